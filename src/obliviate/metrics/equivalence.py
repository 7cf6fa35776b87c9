"""A figure of one model against the spread of retrained models: differences, intervals and resolvable margins.

Two retrained models differ because of their seeds and because of the samples that they are scored on. The variance
between models is the unweighted method-of-moments component of a random-effects analysis, the observed variance less
the sampling variance (Hedges & Olkin 1985, chapter 9); degrees of freedom follow Satterthwaite (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Real
from scipy.stats import t as student

from obliviate.errors import DataError
from obliviate.metrics.intervals import Interval, ScorePair, placements


@dataclass(frozen=True)
class Yardstick:
    """The mean of a figure over retrained models and the variances that a further retrained model would differ by.

    `sampling_variance` is that of one model, less what all models share because they are scored on the same samples.
    `moment` is the unbiased between-model variance, which may fall below 0, `moment_variance` the variance of that
    estimate, and `df` the degrees of freedom behind it. All are in the unit of the figure, or its square.
    """

    mean: float
    models: int
    sampling_variance: float
    moment: float
    moment_variance: float
    df: float

    @property
    def between_variance(self) -> float:
        """Variance between retrained models beyond sampling, not below 0."""
        return max(self.moment, 0.0)

    @classmethod
    def of(cls, values: Real[np.ndarray, " models"], covariance: Real[np.ndarray, ...]) -> Yardstick:
        """The yardstick of retrained models from their figures and the sampling covariance of these.

        `covariance` is (models, models), from `delong_covariance` or `mean_covariance`, when models are scored on the
        same samples, or the sampling variances (models,) when each has samples of its own.
        Raises DataError for fewer than 2 models, other shapes, negative variances and NaN.

        >>> Yardstick.of(np.array([0.48, 0.5, 0.52]), np.full(3, 1e-4)).between_variance
        0.0003
        """
        models = len(values)
        matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
        if models < 2 or matrix.shape != (models, models):
            raise DataError(
                f"expected >= 2 figures with variances (models,) or (models, models), got {models} and "
                f"{covariance.shape}; score at least 2 retrained models"
            )
        own = np.diagonal(matrix)
        if not np.isfinite(values).all() or not np.isfinite(matrix).all() or (own < 0).any():
            raise DataError(f"expected finite figures and variances >= 0, got {values} and {own}; check the scores")
        shared = (matrix.sum() - own.sum()) / (models * (models - 1))
        observed = float(np.var(values, ddof=1))
        # Rounding alone takes it below 0, where all models score alike.
        sampling = max(float(own.mean() - shared), 0.0)
        spread = 2 * max(observed, sampling) ** 2 / (models - 1)
        return cls(float(np.mean(values)), models, sampling, observed - sampling, spread, float(models - 1))

    def with_spread_of(self, *others: Yardstick) -> Yardstick:
        """This mean with the between-model variance of all, weighted by degrees of freedom; others may lie elsewhere.

        With 3 retrained models the spread has 2 degrees of freedom and a 90 % interval is 1.8 times as wide as with
        many; reference models of the pool, each scored as a model that left its own forget set out, add theirs. That
        they vary as the retrained models do is an assumption: they are trained on half of the samples.

        >>> few, many = (Yardstick.of(np.arange(n) % 2, np.zeros(n)) for n in (2, 16))
        >>> few.with_spread_of(many).df
        16.0
        """
        groups = (self, *others)
        df = sum(group.df for group in groups)
        moment = sum(group.df * group.moment for group in groups) / df
        spread = sum(group.df**2 * group.moment_variance for group in groups) / df**2
        return replace(self, moment=moment, moment_variance=spread, df=df)


@dataclass(frozen=True)
class Difference:
    """A figure of one model less the mean of retrained ones, the variance of that under retraining, and its df."""

    value: float
    variance: float
    df: float

    def interval(self, confidence: float = 0.90) -> Interval:
        """Student-t interval; at 90 %, inside +-margin means two one-sided tests at 5 % (`intervals.tost`).

        >>> Difference(0.0, 1.0, 2.0).interval().high
        2.92
        """
        half = _quantile(confidence, self.df) * self.variance**0.5
        return Interval(self.value, self.value - half, self.value + half)

    def p_value(self) -> float:
        """Two-sided p-value of "this is another retrained model"; a large one is no evidence for it.

        >>> Difference(2.92, 1.0, 2.0).p_value()
        0.1
        """
        return 2 * self._tail(abs(self.value))

    def equivalence_p(self, margin: float) -> float:
        """p-value of two one-sided tests: small where the difference lies inside +-margin. Raises DataError unless > 0.

        >>> Difference(0.0, 1.0, 2.0).equivalence_p(2.92)
        0.05
        """
        if not margin > 0:
            raise DataError(f"expected margin > 0, got {margin}; name the largest difference that does not matter")
        return self._tail(margin - abs(self.value))

    def _tail(self, distance: float) -> float:
        if self.variance > 0:
            return float(student.sf(distance / self.variance**0.5, self.df))
        return 0.5 if distance == 0 else float(distance < 0)


def difference(
    value: float, yardstick: Yardstick, *, variance: float | None = None, paired_variance: float | None = None
) -> Difference:
    """A model's figure less the yardstick's mean, with sampling and between-model variance, by Satterthwaite's df.

    Give one of: `variance`, the sampling variance of `value` where every model is scored on samples of its own, or
    `paired_variance`, that of the whole difference where all are scored on the same samples.
    The total is between_variance * (1 + 1 / models) plus that: the model under test has a seed as well. It errs on the
    wide side, since the between-model variance is cut at 0, and the more so the fewer the models and the larger the
    share of sampling: for a model whose sampling variance is that of the retrained ones, the interval is never inside
    the exact prediction interval of Student's t.
    Raises DataError unless exactly one variance is given and >= 0.

    >>> retrained = Yardstick.of(np.array([0.48, 0.5, 0.52]), np.full(3, 1e-4))
    >>> found = difference(0.58, retrained, variance=1e-4)
    >>> round(found.value, 3), round(found.df, 3), round(found.interval().low, 3)
    (0.08, 2.0, 0.013)
    """
    if (variance is None) == (paired_variance is None):
        raise DataError("expected variance or paired_variance, got both or neither; pass the one that fits the samples")
    sampling = paired_variance
    if variance is not None:
        sampling = variance + yardstick.sampling_variance / yardstick.models
    assert sampling is not None
    if not sampling >= 0:
        raise DataError(f"expected a variance >= 0, got {sampling}; check the scores")
    scale = 1 + 1 / yardstick.models
    total = scale * yardstick.between_variance + sampling
    uncertainty = scale**2 * yardstick.moment_variance
    # Below one degree of freedom Student's t says nothing more.
    df = max(2 * total**2 / uncertainty, 1.0) if uncertainty > 0 else np.inf
    return Difference(value - yardstick.mean, total, df)


def against_retrained(
    values: Real[np.ndarray, " models"],
    covariance: Real[np.ndarray, "models models"],
    *,
    spread: Sequence[Yardstick] = (),
) -> Difference:
    """The first model's figure less the mean of the others, all scored on the same samples.

    `covariance` is that of all figures, from `delong_covariance` or `mean_covariance`; `spread` adds degrees of freedom
    as in `Yardstick.with_spread_of`. Raises DataError for fewer than 2 retrained models and as `Yardstick.of` does.

    >>> scores = [(np.array([2.0, 3.0, 1.0]) + shift, np.array([0.0, 2.0, 1.5])) for shift in (1.0, 0.1, 0.4, 0.6)]
    >>> values = np.array([np.mean(p[:, None] > n) for p, n in scores])
    >>> round(against_retrained(values, delong_covariance(scores)).value, 3)
    0.074
    """
    if covariance.shape != (len(values), len(values)):
        raise DataError(f"expected a covariance of {len(values)} figures, got {covariance.shape}; give one for all")
    yardstick = Yardstick.of(values[1:], covariance[1:, 1:]).with_spread_of(*spread)
    contrast = np.append(1.0, np.full(yardstick.models, -1 / yardstick.models))
    # Rounding alone takes it below 0, where the model scores like the mean.
    paired = max(float(contrast @ covariance @ contrast), 0.0)
    return difference(float(values[0]), yardstick, paired_variance=paired)


def resolvable_margin(
    yardstick: Yardstick, *, confidence: float = 0.90, power: float = 0.95, variance: float | None = None
) -> float:
    """The smallest margin at which two one-sided tests accept a true retrain with probability `power`, or more.

    Uses variances alone, never the figure of a model under test: standard error times (t_(1 + confidence)/2 +
    t_(1 + power)/2), where a true retrain's difference and its standard error make a Student-t. `variance` is the
    sampling variance of the difference; by default that of one more model like the retrained ones. A margin below it
    cannot be decided with these models and samples. Raises DataError for a confidence or power outside (0, 1).

    >>> resolvable_margin(Yardstick.of(np.array([0.48, 0.5, 0.52]), np.full(3, 1e-4)))
    0.167
    """
    if variance is None:
        variance = yardstick.sampling_variance * (1 + 1 / yardstick.models)
    found = difference(yardstick.mean, yardstick, paired_variance=variance)
    return (_quantile(confidence, found.df) + _quantile(power, found.df)) * found.variance**0.5


def delong_covariance(models: Sequence[ScorePair]) -> Float[np.ndarray, "models models"]:
    """Sampling covariance of the AUCs of models scored on the same samples (DeLong et al. 1988, eq. 5).

    Each pair is (positive, negative). Raises DataError for no model, fewer than 2 scores a side or unequal numbers.

    >>> delong_covariance([(np.array([2.0, 3.0]), np.array([1.0, 2.0]))] * 2).tolist()
    [[0.03125, 0.03125], [0.03125, 0.03125]]
    """
    sizes = {tuple(len(side) for side in pair) for pair in models}
    if len(sizes) != 1 or min(min(size) for size in sizes) < 2:
        raise DataError(
            f"expected models scored on the same samples, at least 2 a side, got sizes {sorted(sizes)}; score one set"
        )
    above, below = zip(*(placements(*pair) for pair in models), strict=True)
    return mean_covariance(np.stack(above)) + mean_covariance(np.stack(below))


def mean_covariance(values: Real[np.ndarray, "models n"]) -> Float[np.ndarray, "models models"]:
    """Sampling covariance of the means of models over the same n samples, such as accuracies from 0 and 1.

    Raises DataError for fewer than 2 samples.

    >>> mean_covariance(np.array([[0, 1, 1, 1], [0, 1, 1, 1]])).tolist()
    [[0.0625, 0.0625], [0.0625, 0.0625]]
    """
    if values.ndim != 2 or not len(values) or values.shape[1] < 2:
        raise DataError(f"expected values (models, n >= 2), got {values.shape}; score more samples")
    return np.atleast_2d(np.cov(values)) / values.shape[1]


def _quantile(confidence: float, df: float) -> float:
    if not 0 < confidence < 1:
        raise DataError(f"expected a confidence or power in (0, 1), got {confidence}; write 90 % as 0.90")
    return float(student.ppf((1 + confidence) / 2, df))
