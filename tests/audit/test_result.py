"""The result of an audit is short to read, and whole where it is handed on."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from obliviate.audit.result import AuditResult
from obliviate.data.samples import Samples
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.report.text import format_table
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import audit_models, train, train_references, unlearn


@pytest.fixture(scope="module")
def result(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> AuditResult:
    experiment = Experiment(three_classes, tiny_recipe, tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:]))
    split, original = experiment.split(tiny.ids[:10]), train(experiment)
    pool = train_references(experiment, folder=tmp_path_factory.mktemp("pool"), models=4, workers=0)
    forgot = unlearn(original, split, FineTune(epochs=1)).named("<forgot>")
    return audit_models(experiment, [original, forgot], split, pool)


def test_printed_it_is_the_table_and_short(result: AuditResult) -> None:
    assert str(result) == format_table(result)
    assert len(str(result)) < 2000
    assert repr(result) == f"AuditResult(original: {result.models[0].verdict}, <forgot>: {result.models[1].verdict})"


def test_a_notebook_shows_the_table_with_names_escaped(result: AuditResult) -> None:
    html = result._repr_html_()
    assert html.count("<tr>") == 3
    assert "&lt;forgot&gt;" in html
    assert "<forgot>" not in html


def test_a_frame_holds_every_figure_unrounded(result: AuditResult, tmp_path: Path) -> None:
    frame = result.to_frame()
    assert frame["model"].tolist() == ["original", "<forgot>"]
    for row, model in zip(frame.to_dict("records"), result.models, strict=True):
        attack = result.findings.leading(model).ft
        assert (row["ft_auc"], row["ft_auc_low"], row["ft_auc_high"]) == (attack.value, attack.low, attack.high)
        assert row["forget_accuracy"] == model.accuracy.forget.value
        assert (row["verdict"], row["margin"], row["reason"]) == (model.verdict, model.margin, model.reason)
    result.to_csv(tmp_path / "audit.csv")
    read: Any = pd.read_csv(tmp_path / "audit.csv", keep_default_na=False, na_values=[""])
    columns = ["model", "ft_auc", "verdict"]
    pd.testing.assert_frame_equal(read[columns], frame[columns], check_dtype=False)
