"""What an attack keeps of its reference models: count, mean and spread of one signal per sample, with and without it.

RMIA needs the means of the probability p, LiRA the means and variances of the margin phi, and both need them apart for
references trained with a sample ("inside") and without it ("outside"). These few numbers are all: references can be
scored one at a time and thrown away, and memory does not grow with their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.errors import DataError


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and sum of squared deviations of a signal; row 0 is outside, row 1 inside.

    Immutable: `add` and `without` return new moments. Updates are those of Welford (1962) in float64, so that a common
    offset of the values costs no digits. Where `count` is 0, `centre` is 0 and says nothing; ask `mean`, which is NaN.

    >>> references = np.array([[0.9, 0.3], [0.5, 0.8], [0.7, 0.4]])
    >>> moments = Moments.of(references, np.array([[True, False], [False, True], [True, False]]))
    >>> moments.mean(inside=True).round(3).tolist(), moments.count.tolist()
    ([0.8, 0.8], [[1, 2], [2, 1]])
    """

    count: Int[np.ndarray, "2 n"]
    centre: Float[np.ndarray, "2 n"]
    squares: Float[np.ndarray, "2 n"]

    @classmethod
    def empty(cls, n: int) -> Moments:
        """The moments of n >= 1 samples before any reference.

        Raises DataError for n < 1.

        >>> Moments.empty(3).references
        0
        """
        if n < 1:
            raise DataError(f"expected n >= 1, got {n}; give the number of samples that each reference scores")
        return cls(np.zeros((2, n), np.int64), np.zeros((2, n)), np.zeros((2, n)))

    @classmethod
    def of(cls, references: Float[np.ndarray, "models n"], included: Bool[np.ndarray, "models n"]) -> Moments:
        """The moments of several references at once; the same bits as `empty` and one `add` for each.

        `included` says which reference trained on which sample.
        Raises DataError as `add` does, and without references.

        >>> Moments.of(np.array([[0.5], [0.7]]), np.array([[True], [False]])).references
        2
        """
        if references.ndim != 2 or included.shape != references.shape or not len(references):
            raise DataError(
                f"expected references (models >= 1, n) and included of that shape, got {references.shape} and "
                f"{included.shape}; score every model on the same samples"
            )
        moments = cls.empty(references.shape[1])
        for values, row in zip(references, included, strict=True):
            moments = moments.add(values, row)
        return moments

    @property
    def n(self) -> int:
        """The number of samples."""
        return self.count.shape[1]

    @property
    def references(self) -> int:
        """The number of references; each of them is either inside or outside at a sample."""
        return int(self.count[:, 0].sum())

    def add(self, values: Float[np.ndarray, " n"], included: Bool[np.ndarray, " n"]) -> Moments:
        """The moments with one reference more, in O(n).

        Raises DataError for another number of samples and for values that are not finite.

        >>> moments = Moments.empty(1)
        >>> for value in (1.0, 2.0, 6.0):
        ...     moments = moments.add(np.array([value]), np.array([True]))
        >>> moments.mean(inside=True).tolist(), moments.variance(inside=True).tolist()
        ([3.0], [7.0])
        """
        wide, at = self._checked(values, included)
        count, centre, squares = self.count.copy(), self.centre.copy(), self.squares.copy()
        count[at] += 1
        step = wide - centre[at]
        centre[at] += step / count[at]
        squares[at] += step * (wide - centre[at])
        return Moments(count, centre, squares)

    def without(self, values: Float[np.ndarray, " n"], included: Bool[np.ndarray, " n"]) -> Moments:
        """The moments with one of these references left out, in O(n), so that it can play the target.

        `values` and `included` are those with which the reference was added. Leaving out is not exact to the last bit:
        the error is about 1e-16 of the largest value, or of its square, seen so far.
        Raises DataError as `add` does, and for values that cannot have been among these.

        >>> values, included = np.array([[1.0], [2.0], [6.0]]), np.array([[True], [True], [True]])
        >>> rest = Moments.of(values, included).without(values[2], included[2])
        >>> rest.mean(inside=True).round(9).tolist(), rest.variance(inside=True).round(9).tolist()
        ([1.5], [0.5])
        """
        wide, at = self._checked(values, included)
        count, centre, squares = self.count.copy(), self.centre.copy(), self.squares.copy()
        count[at] -= 1
        left, step = count[at], wide - centre[at]
        centre[at] = np.where(left > 0, centre[at] - step / np.maximum(left, 1), 0.0)
        rest = squares[at] - step * np.where(left > 0, wide - centre[at], step)
        # One value or none has no spread; a remainder far from what is possible shows a value never added.
        tolerance = 1e-6 * (self.squares[at] + wide**2 + self.centre[at] ** 2)
        foreign = (left < 0) | (rest < -tolerance) | ((left <= 1) & (rest > tolerance))
        if foreign.any():
            raise DataError(
                f"expected a reference that was added, got values that were not at {int(foreign.sum())} of {self.n} "
                f"samples (first at index {int(foreign.argmax())}); pass the values and the row of the plan as added"
            )
        squares[at] = np.where(left > 1, np.maximum(rest, 0.0), 0.0)
        return Moments(count, centre, squares)

    def at(self, index: Int[np.ndarray, " k"]) -> Moments:
        """The moments of some of the samples.

        >>> Moments.empty(3).at(np.array([0, 2])).n
        2
        """
        return Moments(self.count[:, index], self.centre[:, index], self.squares[:, index])

    def mean(self, inside: bool) -> Float[np.ndarray, " n"]:
        """Mean over the references inside or outside, a sample each; NaN where there is none.

        >>> Moments.of(np.array([[0.5]]), np.array([[True]])).mean(inside=False).tolist()
        [nan]
        """
        return np.where(self.count[int(inside)] > 0, self.centre[int(inside)], np.nan)

    def variance(self, inside: bool) -> Float[np.ndarray, " n"]:
        """Unbiased variance (ddof = 1) over the references inside or outside; NaN where there are fewer than 2.

        >>> Moments.of(np.array([[1.0], [3.0]]), np.array([[True], [True]])).variance(inside=True).tolist()
        [2.0]
        """
        freedom = self.count[int(inside)] - 1
        return np.where(freedom > 0, self.squares[int(inside)] / np.maximum(freedom, 1), np.nan)

    def pooled_variance(self, inside: bool) -> float:
        """One variance for all samples: squared deviations from each sample's own mean, over their degrees of freedom.

        The spread of the means between samples is not in it, and the references of the other side are not either.
        Raises DataError when no sample has 2 references on the side.

        >>> values = np.array([[1.0, 101.0], [3.0, 103.0]])
        >>> Moments.of(values, np.ones((2, 2), bool)).pooled_variance(inside=True)
        2.0
        """
        freedom = int(np.maximum(self.count[int(inside)] - 1, 0).sum())
        if not freedom:
            raise DataError(
                f"expected a sample with at least 2 references {'inside' if inside else 'outside'}, got none; train "
                "at least 4 references on a leave-half-out plan"
            )
        return float(self.squares[int(inside)].sum()) / freedom

    def check(self, target: Float[np.ndarray, " n"]) -> None:
        """Refuse a target that was not scored on these samples, or samples that an attack cannot judge fairly.

        Raises DataError for another shape, for NaN, and for a sample that every reference or no reference trained on:
        the attack would treat it unlike the others, and on a perfect retrain the AUC would not be 0.5.

        >>> Moments.of(np.array([[0.5]]), np.array([[True]])).check(np.array([0.5]))
        Traceback (most recent call last):
        obliviate.errors.DataError: expected every sample in some references and out of others, got 1 of 1 in all ...
        """
        if target.shape != (self.n,):
            raise DataError(
                f"expected target (n,) and the moments of references on the same n samples, got {target.shape} and "
                f"{self.n} samples; score every model on the same samples"
            )
        if np.isnan(target).any():
            raise DataError("expected a target without NaN, got NaN; check that no model has diverged")
        one_sided = (self.count == 0).any(axis=0)
        if one_sided.any():
            raise DataError(
                f"expected every sample in some references and out of others, got {int(one_sided.sum())} of {self.n} "
                f"in all or in none (first at index {int(one_sided.argmax())}); train references on a leave-half-out "
                "plan over training and held-out samples alike"
            )

    def _checked(self, values: np.ndarray, included: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        if values.shape != (self.n,) or included.shape != (self.n,) or included.dtype != np.bool_:
            raise DataError(
                f"expected values and included (booleans) of shape ({self.n},), got {values.shape} and "
                f"{included.shape} ({included.dtype}); score every model on the same samples"
            )
        wide = values.astype(np.float64)
        if not np.isfinite(wide).all():
            raise DataError("expected finite values, got NaN or infinity; check that no model has diverged")
        return wide, (included.astype(np.intp), np.arange(self.n))
