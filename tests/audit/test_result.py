"""The outcome of an audit."""

import json

import pytest

from obliviate.audit.result import AuditResult
from simulated_models import MODELS


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
