"""What an audit found fits together."""

import pytest

from obliviate.errors import ResultsError
from obliviate.results import file
from obliviate.results.schema import Results


def test_two_models_of_one_name_are_refused(results: Results) -> None:
    content = results.to_dict()
    content["models"] *= 2
    with pytest.raises(ResultsError, match="expected distinct names of models"):
        file.parse(content)


def test_a_model_without_the_leading_attack_is_refused(results: Results) -> None:
    content = results.to_dict()
    content["models"][0]["attacks"] = {}
    with pytest.raises(ResultsError, match="rmia on every model, got fine_tune without"):
        file.parse(content)


def test_the_first_attack_that_verdicts_rest_on_leads(results: Results) -> None:
    figure = results.lead.model_copy(update={"name": "cheap", "use": "cheap"})
    findings = results.model_copy(update={"attacks": (figure, results.lead)})
    assert findings.lead.name == "rmia"
    assert findings.leading(findings.models[0]) is findings.models[0].attacks["rmia"]
    assert findings.titles == {"cheap": "RMIA", "rmia": "RMIA"}


def test_models_are_found_by_their_role(results: Results) -> None:
    assert [model.name for model in results.of_role("unlearned")] == ["fine_tune"]
    assert results.of_role("original") == []
