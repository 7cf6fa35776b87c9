"""The ROC of the leading attack."""

import numpy as np

from example_results import example
from obliviate.metrics.forgetting import tpr_at
from obliviate.report.roc_plot import guessing_band, roc_plot
from obliviate.results.file import parse


def test_guessing_band_holds_95_percent_of_guessing_curves():
    rng = np.random.default_rng(0)
    forget, unseen, fpr = 60, 400, np.array([0.01, 0.1, 0.5, 1.0])
    curves = np.stack([tpr_at(rng.random(forget), rng.random(unseen), fpr) for _ in range(2000)])
    low, high = guessing_band(fpr, forget, unseen)
    inside = ((curves >= low - 1e-9) & (curves <= high + 1e-9)).mean(axis=0)
    assert (inside >= 0.94).all()
    assert (inside[1:3] <= 0.985).all()  # no wider than counts ask for
    outside = (curves < low - 1e-9).mean(axis=0), (curves > high + 1e-9).mean(axis=0)
    assert np.max(outside) < 0.035


def test_roc_marks_what_the_unseen_samples_cannot_resolve():
    assert "not resolvable" in roc_plot(parse(example()))
    assert "guessing, 95 %" not in roc_plot(parse(example()))
    results = example()
    results["models"] = [m for m in results["models"] if m["role"] != "retrained"]
    assert "guessing, 95 %" in roc_plot(parse(results))
