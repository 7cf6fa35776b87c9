"""The result of an audit is short to read, and whole where it is handed on."""

import json
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
from simulated_models import MODELS


@pytest.fixture(scope="module")
def small_result(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> AuditResult:
    experiment = Experiment(three_classes, tiny_recipe, tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:]))
    split, original = experiment.split(tiny.ids[:10]), train(experiment)
    pool = train_references(experiment, folder=tmp_path_factory.mktemp("pool"), models=4, workers=0)
    forgot = unlearn(original, split, FineTune(epochs=1)).named("<forgot>")
    return audit_models(experiment, [original, forgot], split, pool)


def test_printed_it_is_the_table_and_short(small_result: AuditResult) -> None:
    assert str(small_result) == format_table(small_result)
    assert len(str(small_result)) < 2000
    assert (
        repr(small_result)
        == f"AuditResult(original: {small_result.models[0].verdict}, <forgot>: {small_result.models[1].verdict})"
    )


def test_a_notebook_shows_the_table_with_names_escaped(small_result: AuditResult) -> None:
    html = small_result._repr_html_()
    assert html.count("<tr>") == 3
    assert "&lt;forgot&gt;" in html
    assert "<forgot>" not in html


def test_a_frame_holds_every_figure_unrounded(small_result: AuditResult, tmp_path: Path) -> None:
    frame = small_result.to_frame()
    assert frame["model"].tolist() == ["original", "<forgot>"]
    for row, model in zip(frame.to_dict("records"), small_result.models, strict=True):
        attack = small_result.findings.leading(model).ft
        assert (row["ft_auc"], row["ft_auc_low"], row["ft_auc_high"]) == (attack.value, attack.low, attack.high)
        assert row["forget_accuracy"] == model.accuracy.forget.value
        assert (row["verdict"], row["margin"], row["reason"]) == (model.verdict, model.margin, model.reason)
    small_result.to_csv(tmp_path / "audit.csv")
    read: Any = pd.read_csv(tmp_path / "audit.csv", keep_default_na=False, na_values=[""])
    columns = ["model", "ft_auc", "verdict"]
    pd.testing.assert_frame_equal(read[columns], frame[columns], check_dtype=False)


def test_result_is_json_with_plottable_curves(result: AuditResult):
    written = json.loads(result.findings.model_dump_json())
    assert len(written["margin_bins"]) == 41
    assert written["settings"]["references"] == MODELS
    width = written["margin_bins"][1] - written["margin_bins"][0]
    for model in written["models"]:
        roc = model["curves"]["roc_ft"]
        assert len(roc["fpr"]) == len(roc["tpr"]) <= 150
        assert (roc["fpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (pytest.approx(1e-4), pytest.approx(1), 1)
        assert roc["tpr"] == sorted(roc["tpr"])
        for heights in model["curves"]["margins"].values():
            assert sum(heights) * width == pytest.approx(1)
