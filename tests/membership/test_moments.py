from collections.abc import Callable

import numpy as np
import pytest

from obliviate.errors import DataError
from obliviate.membership.moments import Moments

SIDES = (True, False)


def drawn(models: int = 9, n: int = 40, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Values of a few references, each sample in 0 to all of them."""
    rng = np.random.default_rng(0)
    included = rng.permuted(np.arange(models)[:, None] < rng.integers(0, models + 1, n), axis=0)
    return offset + rng.normal(0, 1, n) + rng.normal(0, 2, (models, n)), included


def slow(values: np.ndarray, included: np.ndarray, inside: bool, figure: Callable[[np.ndarray], float]) -> np.ndarray:
    return np.array([figure(values[included[:, x] == inside, x]) for x in range(values.shape[1])])


@pytest.mark.parametrize("inside", SIDES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_are_those_of_the_references_of_each_side(inside: bool, offset: float):
    values, included = drawn(offset=offset)
    moments = Moments.of(values, included)
    mean = slow(values, included, inside, lambda v: v.mean() if len(v) else np.nan)
    variance = slow(values, included, inside, lambda v: v.var(ddof=1) if len(v) > 1 else np.nan)
    assert np.isnan(mean).any()
    assert np.isnan(variance).sum() > np.isnan(mean).sum(), "some samples have one reference on the side"
    np.testing.assert_allclose(moments.mean(inside), mean, rtol=1e-14)
    np.testing.assert_allclose(moments.variance(inside), variance, rtol=1e-8)
    assert moments.references == 9
    assert moments.n == 40


def test_streamed_moments_are_those_of_all_references_at_once_and_leave_the_earlier_ones_alone():
    values, included = drawn()
    moments, empty = Moments.empty(40), Moments.empty(40)
    for value, row in zip(values.astype(np.float32), included, strict=True):
        moments = moments.add(value, row)
        empty.add(value, row)
    whole = Moments.of(values.astype(np.float32), included)
    for streamed, stacked in (
        (moments.count, whole.count),
        (moments.centre, whole.centre),
        (moments.squares, whole.squares),
    ):
        assert np.array_equal(streamed, stacked)
        assert streamed.nbytes == 8 * 2 * 40, "memory does not grow with the number of references"
    assert empty.references == 0
    assert moments.centre.dtype == np.float64


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_leaving_one_out_gives_the_moments_of_the_rest(offset: float):
    values, included = drawn(offset=offset)
    moments = Moments.of(values, included)
    for k in range(9):
        rest = np.arange(9) != k
        expected, left = Moments.of(values[rest], included[rest]), moments.without(values[k], included[k])
        assert np.array_equal(left.count, expected.count)
        for inside in SIDES:
            np.testing.assert_allclose(left.mean(inside), expected.mean(inside), rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(left.variance(inside), expected.variance(inside), rtol=1e-8, atol=1e-8)
    assert moments.references == 9


def test_what_was_never_added_cannot_be_left_out():
    values, included = drawn()
    moments = Moments.of(values, included)
    with pytest.raises(DataError, match="expected a reference that was added"):
        moments.without(values[0] + 50, included[0])
    with pytest.raises(DataError, match="expected a reference that was added"):
        Moments.of(values[:2], included[:2]).without(values[0], ~included[0])
    with pytest.raises(DataError, match="expected a reference that was added"):
        Moments.empty(40).without(values[0], included[0])


def test_the_pooled_variance_is_of_one_side_and_of_centred_values():
    """Two traps of public code: sigma_out from the IN models, and a spread that includes that of the means."""
    rng = np.random.default_rng(1)
    n, models = 4000, 6
    included = rng.permuted(np.arange(models)[:, None] < np.where(np.arange(n) < n // 2, 2, 4), axis=0)
    values = rng.normal(0, 30, n) + rng.normal(0, np.where(included, 3.0, 0.5))
    moments = Moments.of(values, included)
    assert moments.pooled_variance(inside=True) == pytest.approx(9, rel=0.05)
    assert moments.pooled_variance(inside=False) == pytest.approx(0.25, rel=0.05)
    for inside in SIDES:
        parts = [values[included[:, x] == inside, x] for x in range(n)]
        expected = sum(((p - p.mean()) ** 2).sum() for p in parts) / sum(len(p) - 1 for p in parts)
        assert moments.pooled_variance(inside) == pytest.approx(expected)


def test_a_pooled_variance_needs_two_references_on_its_side():
    moments = Moments.of(np.ones((2, 3)), np.array([[True] * 3, [False] * 3]))
    with pytest.raises(DataError, match="at least 2 references outside"):
        moments.pooled_variance(inside=False)


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    values, included = drawn()
    moments = Moments.of(values, included)
    for wrong in (values[:, :-1], values[:-1]):
        with pytest.raises(DataError, match=r"^expected "):
            Moments.of(wrong, included)
    with pytest.raises(DataError, match="models >= 1"):
        Moments.of(values[:0], included[:0])
    with pytest.raises(DataError, match="n >= 1"):
        Moments.empty(0)
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="expected finite values"):
            moments.add(np.full(40, bad), included[0])
    with pytest.raises(DataError, match=r"shape \(40,\)"):
        moments.add(values[0, :7], included[0, :7])
    with pytest.raises(DataError, match="same n samples"):
        moments.check(values[0, :7])
    with pytest.raises(DataError, match="without NaN"):
        moments.check(np.full(40, np.nan))
    one_sided = int(((moments.count == 0).any(axis=0)).sum())
    with pytest.raises(DataError, match=f"got {one_sided} of 40 in all or in none"):
        moments.check(values[0])
