"""LiRA, the likelihood ratio attack (Carlini et al. 2022, arXiv 2112.03570), one Gaussian a sample and side.

The signal is the margin phi = log p_y - log sum_{j != y} p_j (`metrics.utility.margin`), whose distribution over
references is close to normal. Where the variance comes from decides how well few references do:

* "per_sample": the unbiased variance of the sample's own references on the side (2 at least); for many references.
* "pooled": one variance for all samples, of each side's own references, centred at each sample's mean.
* "shrunk": each sample's variance drawn towards the common one by a conjugate normal-inverse-gamma prior, as in BaVarIA
  (Brännvall 2026, arXiv 2603.11799). With k references on a side, mean m and sum of squared deviations S:
  sigma^2 ~ InvGamma(nu/2, nu tau^2/2) with a flat prior for the mean gives for a new model's phi the posterior
  predictive Student-t with nu + k - 1 degrees of freedom, location m and squared scale
  (1 + 1/k) (nu tau^2 + S) / (nu + k - 1). nu and tau^2 are fitted to all samples by the mean and variance of their log
  variances (Smyth 2004, doi 10.2202/1544-6115.1027, section 6.2), so nothing is left to tune; where the samples'
  variances differ no more than chance makes them, nu is infinite and the variance is the pooled one.
* "auto": "pooled" below 64 references, as the paper advises, and "per_sample" from there on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import polygamma, psi
from scipy.stats import norm, t

from obliviate.errors import DataError
from obliviate.membership.base import Scores, Signal, Target, Use
from obliviate.membership.moments import Moments
from obliviate.membership.outputs import Outputs

Variance = Literal["auto", "per_sample", "pooled", "shrunk"]

FEW_REFERENCES = 64
# Beyond this many degrees of freedom of the prior, variances differ by less than 0.02 %, and nu counts as infinite.
MOST_FREEDOM = 1e8


@dataclass(frozen=True)
class Margin:
    """The signal of LiRA: the log-odds of the right answer.

    >>> Margin()(Outputs(np.array([[2.0, 0.0]]), np.array([0]))).tolist()
    [2.0]
    """

    def __call__(self, outputs: Outputs) -> Float[np.ndarray, " n"]:
        return outputs.margin


@dataclass(frozen=True, kw_only=True)
class _ByMargin(ABC):
    """What LiRA by all references and by those without each sample have in common."""

    source: ClassVar[str] = "Carlini et al., S&P 2022, arXiv 2112.03570"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})

    variance: Variance = "auto"

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The margin."""
        return (Margin(),)

    @abstractmethod
    def __call__(self, target: Target) -> Scores: ...


@dataclass(frozen=True, kw_only=True)
class LiRA(_ByMargin):
    """Compare how likely a sample's margin is for models that had it and for models that had not."""

    name: ClassVar[str] = "lira"
    title: ClassVar[str] = "LiRA"
    use: ClassVar[Use] = "verdict"

    def __call__(self, target: Target) -> Scores:
        return online(target.signal(Margin()), target.moments(Margin()), variance=self.variance)


@dataclass(frozen=True, kw_only=True)
class LiRAOffline(_ByMargin):
    """LiRA by the references without each sample alone."""

    name: ClassVar[str] = "lira_offline"
    title: ClassVar[str] = "LiRA offline"
    use: ClassVar[Use] = "figure"

    def __call__(self, target: Target) -> Scores:
        return offline(target.signal(Margin()), target.moments(Margin()), variance=self.variance)


def online(
    target: Float[np.ndarray, " n"], moments: Moments, *, variance: Variance = "auto"
) -> Float[np.ndarray, " n"]:
    """Log likelihood ratio in nats, log p(phi | inside) - log p(phi | outside); above 0 means "member".

    `target` holds margins of the audited model, `moments` those of the references. Gaussians, or Student-t with
    "shrunk"; see the module docstring (Carlini et al. 2022, algorithm 1).
    Raises DataError for a sample that every reference or no reference trained on, with fewer than 2 references on a
    side where "per_sample" needs them, for variances of 0, mismatched shapes and NaN.

    >>> included = np.arange(8)[:, None] < 4
    >>> moments = Moments.of(np.array([[5.0, 6, 7, 6, 1, 2, 3, 2]]).T, included)
    >>> online(np.array([6.0]), moments).round(3).tolist(), online(np.array([4.0]), moments).tolist()
    ([12.0], [0.0])
    """
    moments.check(target)
    return _log_density(target, moments, True, variance) - _log_density(target, moments, False, variance)


def offline(
    target: Float[np.ndarray, " n"], moments: Moments, *, variance: Variance = "auto"
) -> Float[np.ndarray, " n"]:
    """How many standard deviations phi lies above its mean over the references without the sample.

    The published score is the normal distribution function of this z, which saturates and orders samples no
    differently. With "shrunk" the standard deviation is the scale of the Student-t. Arguments and errors as for
    `online`, but only the references outside enter.

    >>> included = np.arange(8)[:, None] < 4
    >>> moments = Moments.of(np.array([[5.0, 6, 7, 6, 1, 2, 3, 2]]).T, included)
    >>> offline(np.array([4.0]), moments).round(3).tolist()
    [2.449]
    """
    moments.check(target)
    spread = _spread(moments, False, variance)
    return (target - moments.mean(inside=False)) / np.sqrt(spread.squared)


def p_values(
    target: Float[np.ndarray, " n"], moments: Moments, *, variance: Variance = "shrunk"
) -> Float[np.ndarray, " n"]:
    """Probability, in [0, 1], of a phi this high or higher from a model that never saw the sample; one a sample.

    Student-t predictive of one more model beside the k references outside: location m, squared scale
    (1 + 1/k) sigma^2, and the degrees of freedom of the variance, k - 1 ("per_sample"), their sum over samples
    ("pooled") or nu + k - 1 ("shrunk"). If margins are normal, p is uniform for models that never saw x, exactly so
    for any k >= 2 with "per_sample", and for "pooled" if all samples have one variance; "shrunk" needs the variances
    to follow its prior, and has more power. Low values at the forget samples of an unlearned model show which of them
    it still treats as members; n tests want a correction for their number.
    Raises DataError as `offline` does.

    >>> included = np.arange(8)[:, None] < 4
    >>> moments = Moments.of(np.array([[5.0, 6, 7, 6, 1, 2, 3, 2]]).T, included)
    >>> p_values(np.array([2.0]), moments, variance="per_sample").tolist()
    [0.5]
    >>> p_values(np.array([4.0]), moments, variance="per_sample").round(3).tolist()
    [0.058]
    """
    moments.check(target)
    spread = _spread(moments, False, variance)
    count = moments.count[0]
    widened = spread.squared * (1.0 if spread.predictive else 1 + 1 / count)
    return t.sf((target - moments.mean(inside=False)) / np.sqrt(widened), spread.freedom)


@dataclass(frozen=True)
class _Spread:
    """Squared scale and degrees of freedom of each sample's phi; whether the scale has the (1 + 1/k) in it."""

    squared: np.ndarray
    freedom: np.ndarray
    predictive: bool


def _log_density(target: np.ndarray, moments: Moments, inside: bool, variance: Variance) -> np.ndarray:
    spread, centre = _spread(moments, inside, variance), moments.mean(inside)
    if spread.predictive:
        return t.logpdf(target, spread.freedom, centre, np.sqrt(spread.squared))
    return norm.logpdf(target, centre, np.sqrt(spread.squared))


def _spread(moments: Moments, inside: bool, variance: Variance) -> _Spread:
    if variance not in ("auto", "per_sample", "pooled", "shrunk"):
        raise DataError(f"expected variance auto, per_sample, pooled or shrunk, got {variance}; the default is auto")
    if variance == "auto":
        variance = "pooled" if moments.references < FEW_REFERENCES else "per_sample"
    freedom = np.maximum(moments.count[int(inside)] - 1, 0)
    side = "inside" if inside else "outside"
    if variance == "per_sample":
        if few := int((freedom < 1).sum()):
            raise DataError(
                f"expected at least 2 references {side} at every sample, got fewer at {few} of {moments.n}; train more "
                "references on a balanced plan, or take variance=pooled"
            )
        squared = moments.variance(inside)
    elif variance == "pooled":
        squared = np.full(moments.n, moments.pooled_variance(inside))
        freedom = np.full(moments.n, int(freedom.sum()))
    else:
        nu, tau2 = _prior(moments, inside)
        squares = moments.squares[int(inside)]
        # nu may be infinite, where the sample's own deviations weigh nothing.
        weight = 1.0 if np.isinf(nu) else nu / (nu + freedom)
        squared = weight * tau2 + (1 - weight) * squares / np.maximum(freedom, 1)
        squared, freedom = squared * (1 + 1 / moments.count[int(inside)]), nu + freedom
    if not (squared > 0).all():
        raise DataError(
            f"expected margins that vary over the references {side}, got equal ones at {int((squared <= 0).sum())} of "
            f"{moments.n} samples; references must differ in seed and data; with some that differ take variance=shrunk"
        )
    return _Spread(squared, np.asarray(freedom, np.float64), predictive=variance == "shrunk")


def _prior(moments: Moments, inside: bool) -> tuple[float, float]:
    """nu and tau^2 of the inverse-gamma prior, from the mean and variance of the samples' log variances."""
    pooled = moments.pooled_variance(inside)
    freedom = moments.count[int(inside)] - 1
    # A variance of 0 has no logarithm; such samples learn from the others.
    usable = (freedom > 0) & (moments.squares[int(inside)] > 0)
    if usable.sum() < 2:
        return np.inf, pooled
    half = freedom[usable] / 2
    # The log of a variance estimated with d degrees of freedom has mean log sigma^2 + psi(d/2) - log(d/2), and
    # psi'(d/2) of its variance is chance; the rest is that of the prior, psi'(nu/2).
    logs = np.log(moments.variance(inside)[usable]) - psi(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= float(polygamma(1, MOST_FREEDOM / 2)):
        return np.inf, pooled
    if excess >= float(polygamma(1, 1e-3)):
        raise DataError(
            f"expected variances of comparable size, got log variances with variance {excess:.3g} beyond chance; take "
            "variance=pooled or per_sample"
        )
    nu = 2 * float(brentq(lambda x: float(polygamma(1, x)) - excess, 1e-3, MOST_FREEDOM / 2, rtol=1e-10))  # pyright: ignore[reportArgumentType]
    return nu, float(np.exp(logs.mean() + psi(nu / 2) - np.log(nu / 2)))
