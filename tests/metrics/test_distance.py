import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from obliviate.errors import DataError
from obliviate.metrics import distance
from obliviate.metrics.distance import (
    agreement,
    forgetting_epsilon,
    forgetting_quality,
    js_divergence,
    klom,
    neurips_score,
    percentiles,
    softmax_distance,
    zrf,
)


def slow_klom(unlearned: np.ndarray, retrained: np.ndarray) -> list[float]:
    divergences = []
    for ours, theirs in zip(unlearned.T.clip(-100, 100), retrained.T.clip(-100, 100), strict=True):
        limits = (min(ours.min(), theirs.min()), max(ours.max(), theirs.max()))
        p = np.histogram(ours, 20, limits)[0] / len(ours)
        q = np.histogram(theirs, 20, limits)[0] / len(theirs)
        q = [max(b, 1e-5) if a else b for a, b in zip(p, q, strict=True)]
        divergences.append(float(entropy(p, q)))
    return divergences


def slow_epsilon(ours: np.ndarray, theirs: np.ndarray, step: float) -> float:
    """One rule after the other on grids of a step, counting by hand."""
    if np.median(ours) < np.median(theirs):
        ours, theirs = theirs, ours
    rules = []
    low, high = min(*ours, *theirs), max(*ours, *theirs)
    for t in np.linspace(low, high, math.ceil((high - low) / step)):
        rules.append((np.mean(ours < t), np.mean(theirs >= t)))
    narrow, wide = sorted((ours, theirs), key=np.ptp)
    width = np.ptp(narrow)
    start, stop = min(narrow) + width - 2, max(narrow) + 2
    for r in np.linspace(start, stop, math.ceil((stop - start) / step)):
        for left in np.linspace(r - width - 2, r - width + 2, round(4 / step)):
            fpr = sum(left <= x <= r for x in wide) / len(wide)
            rules.append((sum(not left <= x <= r for x in narrow) / len(narrow), fpr))
    bounds = [0.0]
    for fnr, fpr in rules:
        if fnr == fpr == 0:
            return 50.0
        if fnr and fpr:
            bounds += [
                math.log(top / bottom) for top, bottom in ((1 - 1e-5 - fpr, fnr), (1 - 1e-5 - fnr, fpr)) if top > 0
            ]
    return max(bounds)


def test_klom_equals_a_loop_over_histograms():
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(1, 2, (30, 25)), rng.normal(0, 1, (40, 25))
    np.testing.assert_allclose(klom(unlearned, retrained), slow_klom(unlearned, retrained), rtol=1e-9)


def test_klom_of_two_separate_groups_has_a_closed_form():
    unlearned, retrained = np.zeros((10, 1)), np.full((10, 1), 7.0)
    # All of p lies in a bin that q has at the floor only, and q is normalised to 1 + floor.
    assert klom(unlearned, retrained)[0] == pytest.approx(math.log((1 + 1e-5) / 1e-5))


def test_klom_counts_the_model_with_the_largest_margin():
    unlearned, retrained = np.array([0.0] * 9 + [1.0])[:, None], np.zeros((10, 1))
    expected = 0.9 * math.log(0.9 * (1 + 1e-5)) + 0.1 * math.log(0.1 * (1 + 1e-5) / 1e-5)
    assert klom(unlearned, retrained)[0] == pytest.approx(expected)


def test_klom_is_not_moved_by_margins_beyond_the_clip():
    unlearned, retrained = np.random.default_rng(1).normal(size=(2, 30, 5))
    far = unlearned.copy()
    far[0], unlearned[0] = 1e9, 100.0
    np.testing.assert_allclose(klom(far, retrained), klom(unlearned, retrained))


def test_klom_between_groups_of_retrained_models_is_far_from_0_and_falls_with_their_number():
    rng = np.random.default_rng(2)
    floors = [float(klom(*rng.normal(size=(2, models, 400))).mean()) for models in (30, 100, 300)]
    assert floors[0] > floors[1] > floors[2]
    assert floors[1] == pytest.approx(0.34, abs=0.04)
    assert klom(rng.normal(1.0, 1.0, (100, 400)), rng.normal(size=(100, 400))).mean() > 2 * floors[1]


def test_percentiles_show_what_the_mean_hides():
    values = np.concatenate([np.zeros(98), [10.0, 30.0]])
    ranked = percentiles(values, ranks=(50.0, 99.5))
    assert ranked["mean"] == pytest.approx(0.4)
    assert ranked["p50"] == 0
    assert ranked["p99.5"] == pytest.approx(np.percentile(values, 99.5))


@pytest.mark.parametrize(("shift", "scale"), [(0.6, 1.0), (0.1, 0.5), (-0.2, 2.0)])
def test_epsilon_equals_a_loop_over_all_rules(shift: float, scale: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distance, "STEP", 0.04)
    rng = np.random.default_rng(3)
    unlearned, retrained = rng.normal(shift, scale * 0.3, 12), rng.normal(0, 0.3, 9)
    epsilon = forgetting_epsilon(unlearned[:, None], retrained[:, None])[0]
    assert epsilon == pytest.approx(slow_epsilon(unlearned, retrained, 0.04), rel=1e-9)
    swapped = forgetting_epsilon(retrained[:, None], unlearned[:, None])[0]
    assert swapped == pytest.approx(epsilon)


def test_epsilon_of_a_single_threshold_has_a_closed_form():
    # Ten models a side on two values far apart: the only rule with two errors has FNR 0.1 and FPR 0.2.
    unlearned = np.array([0.0] + [9.0] * 9)[:, None]
    retrained = np.array([0.0] * 8 + [9.0] * 2)[:, None]
    assert forgetting_epsilon(unlearned, retrained)[0] == pytest.approx(math.log((1 - 1e-5 - 0.2) / 0.1))


def test_epsilon_is_capped_where_groups_separate_or_one_is_a_spike():
    rng = np.random.default_rng(4)
    wide = rng.normal(size=(20, 3))
    around = np.stack([wide[:, 0] + 50, wide[:, 1] * 1e-3, wide[:, 2]], axis=1)
    epsilons = forgetting_epsilon(wide, around)
    assert epsilons[:2].tolist() == [50.0, 50.0]
    assert epsilons[2] < 2, "equal groups are told apart"


def test_epsilon_is_0_where_all_margins_are_equal():
    assert forgetting_epsilon(np.ones((5, 2)), np.ones((5, 2))).tolist() == [0.0, 0.0]


def test_quality_halves_with_every_bin_and_ends_at_what_the_models_can_show():
    assert [forgetting_quality(np.array([e]), models=512) for e in (0.0, 0.49, 0.5, 1.2)] == [1.0, 1.0, 0.5, 0.25]
    # ln 511 = 6.2, so that the last bin is [6.5, 7).
    assert forgetting_quality(np.array([6.99]), models=512) == 2.0**-13
    assert forgetting_quality(np.array([7.0]), models=512) == 0.0
    assert forgetting_quality(np.array([1.1]), models=4) == 2.0**-2
    assert forgetting_quality(np.array([2.0]), models=4) == 0.0


def test_score_of_identical_distributions_is_about_a_fifth_and_scales_with_both_accuracies(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(distance, "STEP", 0.04)
    rng = np.random.default_rng(5)
    unlearned, retrained = rng.normal(size=(2, 64, 40))
    score = neurips_score(unlearned, retrained, retain_accuracy=(1.0, 1.0), test_accuracy=(0.9, 0.9))
    assert score == pytest.approx(0.19, abs=0.08)
    assert score == forgetting_quality(forgetting_epsilon(unlearned, retrained), models=64)
    worse = neurips_score(unlearned, retrained, retain_accuracy=(0.8, 1.0), test_accuracy=(0.45, 0.9))
    assert worse == pytest.approx(0.4 * score)
    shifted = neurips_score(unlearned + 1.5, retrained, retain_accuracy=(1.0, 1.0), test_accuracy=(0.9, 0.9))
    assert shifted < score / 3


def test_js_divergence_equals_scipy_in_bits():
    rng = np.random.default_rng(6)
    model, other = rng.normal(0, 3, (2, 40, 7))
    p, q = softmax(model, axis=1), softmax(other, axis=1)
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(js_divergence(model, other), expected, rtol=1e-9)
    np.testing.assert_allclose(js_divergence(model, other), js_divergence(other, model))
    assert (js_divergence(model, model + 5.0) < 1e-12).all(), "a shift of all logits changes no softmax"


def test_softmax_distance_and_agreement_equal_their_definitions():
    rng = np.random.default_rng(7)
    model, other = rng.normal(size=(2, 30, 4))
    p, q = softmax(model, axis=1), softmax(other, axis=1)
    expected = [math.sqrt(sum((a - b) ** 2)) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(softmax_distance(model, other), expected)
    same = sum(int(np.argmax(a) == np.argmax(b)) for a, b in zip(model, other, strict=True))
    assert agreement(model, other) == same / 30


def test_zrf_is_1_for_the_incompetent_model_itself_and_falls_with_certainty():
    rng = np.random.default_rng(8)
    incompetent, direction = rng.normal(0, 0.1, (50, 10)), np.eye(10)[rng.integers(0, 10, 50)]
    assert zrf(incompetent, incompetent) == pytest.approx(1)
    assert 1 > zrf(2 * direction, incompetent) > zrf(6 * direction, incompetent) > 0


@pytest.mark.usefixtures("unchecked")
def test_unusable_margins_and_logits_are_refused():
    good = np.zeros((3, 2))
    with pytest.raises(DataError, match=r"^expected "):
        klom(good, np.zeros((3, 4)))
    with pytest.raises(DataError, match="without NaN"):
        klom(good, np.full((3, 2), np.nan))
    with pytest.raises(DataError, match="bins >= 1"):
        klom(good, good, bins=0)
    with pytest.raises(DataError, match="at least 3 models"):
        forgetting_epsilon(good[:2], good)
    with pytest.raises(DataError, match="finite margins"):
        forgetting_epsilon(np.full((3, 2), np.inf), good)
    with pytest.raises(DataError, match="epsilon >= 0"):
        forgetting_quality(np.array([-1.0]), models=9)
    with pytest.raises(DataError, match="accuracies > 0"):
        neurips_score(good, good, retain_accuracy=(1.0, 0.0), test_accuracy=(1.0, 1.0))
    with pytest.raises(DataError, match="at least 1 value"):
        percentiles(np.array([]))
    with pytest.raises(DataError, match=r"^expected "):
        agreement(good, np.zeros((3, 5)))
    with pytest.raises(DataError, match="finite logits"):
        zrf(good, np.full((3, 2), np.inf))
