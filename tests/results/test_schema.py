"""The content of results.json as a whole."""

from obliviate.results.model import ExposedSample, Exposure
from obliviate.results.schema import SCHEMA, Results, exposed_names
from written_results import model


def test_the_file_names_its_schema_and_leaves_no_field_out(results: Results) -> None:
    content = results.to_dict()
    assert content["schema"] == SCHEMA
    assert content["coin_flips"] is None
    assert Results.model_validate(content) == results


def test_the_most_exposed_samples_of_models_that_were_trained_on_them_are_named_once() -> None:
    def exposing(role: str, *names: str) -> object:
        samples = tuple(ExposedSample(name=name, label=None, p=0.01) for name in names)
        return model(role).model_copy(update={"role": role, "exposure": Exposure(shares={}, samples=samples)})

    models = [exposing("original", "a", "b", "c"), exposing("retrained", "d"), exposing("unlearned", "b", "e", "f")]
    assert exposed_names(models, 2) == ["a", "b", "e"]  # pyright: ignore[reportArgumentType]
