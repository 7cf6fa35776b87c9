"""Rates and exact tests: true positives at a fixed false-positive rate, coin-flip audits, several p-values at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.stats import binom

from obliviate._util.seeds import derive
from obliviate.errors import DataError
from obliviate.metrics.intervals import Interval, clopper_pearson

# Negatives times FPR; below it a rate rests on a handful of samples.
LEAST_EXPECTED = 10


@dataclass(frozen=True)
class RateAtFpr:
    """A true-positive rate at a false-positive rate: the threshold, both rates on fresh samples, None if unresolvable.

    `negatives_needed` is the number of non-members from which on the rate is resolved; rates are fractions.
    """

    fpr: float
    resolvable: bool
    negatives_needed: int
    threshold: float | None
    tpr: Interval | None
    realised_fpr: Interval | None


def tpr_at_fpr(
    members: Real[np.ndarray, " p"],
    others: Real[np.ndarray, " n"],
    fpr: float,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> RateAtFpr:
    """True-positive rate at a threshold set on one half of the non-members, with exact intervals, as fractions.

    The threshold is the smallest score of the calibration half above which a fresh non-member lies with probability
    `fpr` or less (split conformal, Vovk et al. 2005), so that the choice does not flatter the rate as `tpr_at` does.
    TPR and the FPR on the other half have Clopper-Pearson intervals, which take the threshold as given. With fewer than
    10 / fpr non-members nothing is resolved and all are None. A sample counts as positive strictly above the threshold.
    Raises DataError for an fpr outside (0, 1), NaN, no members, or fewer than 2 non-members.

    >>> found = tpr_at_fpr(np.arange(50, 150), np.arange(100), 0.1)
    >>> found.resolvable, found.tpr.value > 0.5, tpr_at_fpr(np.arange(9), np.arange(100), 0.01).tpr
    (True, True, None)
    """
    if not 0 < fpr < 1:
        raise DataError(f"expected fpr in (0, 1), got {fpr}; write 0.1 % as 0.001")
    if members.ndim != 1 or others.ndim != 1 or not len(members) or len(others) < 2:
        raise DataError(
            f"expected vectors of >= 1 member and >= 2 non-member scores, got {members.shape} and {others.shape}; "
            "score more samples"
        )
    if np.isnan(members).any() or np.isnan(others).any():
        raise DataError("expected scores without NaN, got NaN; check that the model has not diverged")
    # A share such as 0.1 is not exact in binary, and must not ask for one sample more.
    needed = int(np.ceil(LEAST_EXPECTED / fpr - 1e-9))
    if len(others) < needed:
        return RateAtFpr(fpr, False, needed, None, None, None)
    order = np.random.default_rng(derive(seed, "tpr_at_fpr")).permutation(len(others))
    half = len(others) // 2
    calibration = np.sort(others[order[:half]])[::-1]
    threshold = float(calibration[int(np.floor(fpr * (half + 1) + 1e-9)) - 1])
    rates = [
        clopper_pearson(int((scores > threshold).sum()), len(scores), confidence=confidence)
        for scores in (members, others[order[half:]])
    ]
    return RateAtFpr(fpr, True, needed, threshold, rates[0], rates[1])


@dataclass(frozen=True)
class CoinFlips:
    """Correct guesses of fair coins: their share with its exact interval, and the one-sided p-value against 1/2."""

    accuracy: Interval
    p_value: float


def coin_guesses(scores: Real[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Guess which items were forgotten: those that score above the median, as members do.

    >>> coin_guesses(np.array([0.1, 0.9, 0.2, 0.8])).tolist()
    [False, True, False, True]
    """
    if not len(scores) or np.isnan(scores).any():
        raise DataError(f"expected at least 1 score, none NaN, got {scores}; score every item")
    return scores > np.median(scores)


def coin_flip_test(correct: int, trials: int, *, confidence: float = 0.95) -> CoinFlips:
    """Exact one-sided binomial test that one unlearned model tells nothing of which items it was trained on.

    Before training, a fair coin for each of `trials` exchangeable items decides between "train, then forget" and "never
    train". After exact retraining the model does not depend on the coins, so that whatever the guesses, the number of
    correct ones is Bin(trials, 1/2): a valid p-value from one model. Coins must be independent; halves of a fixed
    size are not. Raises DataError unless 0 <= correct <= trials and trials >= 1.

    >>> round(coin_flip_test(550, 1000).p_value, 5)
    0.00087
    """
    return CoinFlips(clopper_pearson(correct, trials, confidence=confidence), float(binom.sf(correct - 1, trials, 0.5)))


def coin_flip_power(trials: int, accuracy: float, *, level: float = 0.05) -> float:
    """Probability that `coin_flip_test` rejects at `level` when guesses are right with probability `accuracy`.

    >>> round(coin_flip_power(1000, 0.55), 2)
    0.93
    """
    if trials < 1 or not 0 <= accuracy <= 1 or not 0 < level < 1:
        raise DataError(
            f"expected trials >= 1, accuracy in [0, 1] and level in (0, 1), got {trials}, {accuracy} and {level}; "
            "write 55 % as 0.55"
        )
    # The test rejects from the first number on whose tail is at most the level.
    least = int(binom.isf(level, trials, 0.5)) + 1
    return float(binom.sf(least - 1, trials, accuracy))


def holm(p_values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """p-values adjusted for their number by Holm (1979): reject those at most alpha, and any error has rate <= alpha.

    Raises DataError for p-values outside [0, 1].

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise DataError(f"expected p-values in [0, 1], got {p_values}; pass p-values")
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(adjusted, 1.0)
