import numpy as np
import pytest
from sklearn.metrics import roc_curve

from obliviate.errors import DataError
from obliviate.metrics.forgetting import average_gap, closure, density, margin_bins, tpr_at


def test_average_gap_reproduces_a_row_by_hand():
    assert average_gap([99.0, 100.0, 94.0, 62.0], [94.0, 99.0, 95.0, 50.0]) == pytest.approx((5 + 1 + 1 + 12) / 4)


def test_average_gap_matches_mappings_by_name():
    model = {"ua": 1.0, "ra": 2.0, "ta": 3.0, "ft": 4.0}
    assert average_gap(model, dict(reversed(model.items()))) == 0


def test_average_gap_refuses_other_figures():
    with pytest.raises(DataError, match="4 figures"):
        average_gap([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="equal names"):
        average_gap(dict.fromkeys("abcd", 0.0), dict.fromkeys("abce", 0.0))
    with pytest.raises(DataError, match="one of each"):
        average_gap(dict.fromkeys("abcd", 0.0), [0.0] * 4)


@pytest.mark.parametrize(("unlearned", "share"), [(70.0, 0.0), (60.0, 0.5), (50.0, 1.0), (40.0, 1.5), (80.0, -0.5)])
def test_closure_runs_from_original_to_retrained(unlearned: float, share: float):
    assert closure(70.0, unlearned, 50.0) == pytest.approx(share)


def test_closure_of_no_distance_is_refused():
    with pytest.raises(DataError, match="differ"):
        closure(50.0, 40.0, 50.0)


def test_tpr_is_the_best_whose_fpr_does_not_exceed_the_limit():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(2, 30, 80).astype(float), rng.integers(0, 25, 60).astype(float)
    labels = np.repeat([1, 0], [80, 60])
    fpr, tpr, _ = roc_curve(labels, np.concatenate([positive, negative]), drop_intermediate=False)
    grid = np.linspace(0, 1, 61)
    expected = [tpr[fpr <= limit + 1e-9].max() for limit in grid]
    np.testing.assert_allclose(tpr_at(positive, negative, grid), expected)


def test_density_encloses_an_area_of_one_with_tails_outside_the_bins():
    values = np.random.default_rng(1).normal(size=5000)
    edges = margin_bins(values)
    assert len(edges) == 41
    assert edges[[0, -1]] == pytest.approx(np.percentile(values, [0.5, 99.5]))
    assert density(values * 3, edges) @ np.diff(edges) == pytest.approx(1)
