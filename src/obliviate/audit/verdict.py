"""The verdict: is a model consistent with retraining, and at which margin?

"Forgotten" is a claim of equivalence, not of no difference: two one-sided tests (Schuirmann 1987) against models that
never saw the forget set. A leak is a difference from them that sampling and the spread between models do not explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t

from obliviate.errors import DataError
from obliviate.metrics.intervals import Interval, tost

Verdict = Literal[
    "consistent with retraining", "leaks", "over-unlearned", "utility lost", "not resolvable with these data"
]

LEVEL = 0.05  # of each one-sided test of equivalence, and of all tests for a leak together
ACCEPTANCE = 0.95  # how often a true retrain passes at the resolution


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How an attack's AUC on a model differs from its AUC on models that never saw the forget set, as fractions.

    `error` is the standard error of `value`, with sampling and the spread between models in it; `null_error` is what
    it would be if the model were one of the others; `df` are the degrees of freedom of both.
    """

    attack: str
    value: float
    error: float
    null_error: float
    df: float

    def interval(self, confidence: float = 1 - 2 * LEVEL) -> Interval:
        """The two-sided interval of the difference, 90 % unless told: two one-sided tests at 5 %.

        >>> one = Evidence(attack="rmia", value=0.02, error=0.01, null_error=0.01, df=1e9)
        >>> round(one.interval().low, 4), round(one.interval().high, 4)
        (0.0036, 0.0364)
        """
        half = float(t.ppf((1 + confidence) / 2, self.df)) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def within(self, margin: float) -> bool:
        """Whether the difference is shown to lie inside ±margin."""
        return tost(self.interval(), margin)

    def p_above(self) -> float:
        """One-sided p-value of "no higher than on the others"."""
        return self._tail(self.value)

    def p_below(self) -> float:
        """One-sided p-value of "no lower than on the others"."""
        return self._tail(-self.value)

    def _tail(self, value: float) -> float:
        return float(t.sf(value / self.error, self.df)) if self.error > 0 else 0.5 if value == 0 else float(value < 0)

    def resolution(self, attacks: int = 1) -> float:
        """The least margin at which a true retrain passes in 95 % of cases, by all of several attacks together.

        It depends on variances only, never on the model's own figure. Attacks are counted as if independent, which
        makes the margin no smaller than it must be.

        >>> round(Evidence(attack="rmia", value=0.5, error=0.1, null_error=0.01, df=1e9).resolution(), 4)
        0.036
        """
        missed = (1 - ACCEPTANCE) / attacks
        return float(t.ppf(1 - LEVEL, self.df) + t.ppf(1 - missed / 2, self.df)) * self.null_error


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict, the margin that it was made at, what the data resolve (both fractions of AUC), and the reason.

    Where attacks have margins of their own, these are the widest.
    """

    verdict: Verdict
    margin: float
    resolution: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Margins:
    """What counts as no difference: fractions of AUC, and of test accuracy for `utility`.

    `preset` is a margin that was fixed before the audit. Where there is none, each attack is judged at what it resolves
    itself, but at no less than the first attack and `least`, and at no more than `most`: a further attack that resolves
    little widens nothing for the others.
    """

    preset: float | None = None
    least: float = 0.02
    most: float = 0.10
    utility: float = 0.03


def judge(
    evidence: Sequence[Evidence],
    utility: Interval,
    margins: Margins,
    *,
    yardstick: str = "the retrained models",
    utility_yardstick: str = "their mean",
    one_sided: bool = False,
) -> Judgement:
    """The verdict on a model, from what the attacks found and the difference of test accuracy to the yardstick.

    The first rule that holds decides:

    1. "utility lost": `utility` lies wholly below 0 and its value more than the utility margin below.
    2. "consistent with retraining": every attack's difference lies inside ±margin, by two one-sided tests at 5 %.
    3. "leaks": an attack's difference is above 0, by a one-sided test at 5 % over all attacks (Bonferroni).
    4. "over-unlearned": the same below 0: the forget set stands out as removed, which gives it away too.
    5. "not resolvable with these data".

    Where the data resolve no margin that may be used, rule 2 never holds, so that few samples cannot acquit a model.
    `one_sided` says that the yardstick is known to lie above a retrained model, as references do that had half of a
    group of samples: what is above it leaks, and nothing else can be said; rules 2 and 4 never hold.
    `yardstick` and `utility_yardstick` name what was compared with, in the reason. Raises DataError without evidence.

    >>> found = Evidence(attack="rmia", value=0.2, error=0.01, null_error=0.01, df=1e9)
    >>> judge([found], Interval(0.0, -0.01, 0.01), Margins()).verdict
    'leaks'
    """
    if not evidence:
        raise DataError("expected the evidence of at least 1 attack, got none; run one")
    own = [one.resolution(len(evidence)) for one in evidence]
    resolution, preset = max(own), margins.preset
    allowed = [max(one, own[0], margins.least) if preset is None else preset for one in own]
    margin = max(allowed)
    resolvable = resolution <= (margins.most if preset is None else preset)
    level = LEVEL / len(evidence)

    def judged(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(verdict=verdict, margin=margin, resolution=resolution, reason=reason)

    if utility.high < 0 and utility.value < -margins.utility:
        limit = f"more than the {100 * margins.utility:g} points allowed"
        return judged("utility lost", f"Test accuracy is {points(utility)} from {utility_yardstick}, {limit}.")
    if not one_sided and resolvable and all(one.within(limit) for one, limit in zip(evidence, allowed, strict=True)):
        widest = max(evidence, key=lambda one: max(abs(one.interval().low), abs(one.interval().high)))
        return judged(
            "consistent with retraining",
            f"No attack ({', '.join(one.attack for one in evidence)}) tells it from {yardstick} at margin "
            f"{100 * margin:.1f} points of AUC; the widest difference is that of {widest.attack}, "
            f"{points(widest.interval())}.",
        )
    above, below = min(evidence, key=Evidence.p_above), min(evidence, key=Evidence.p_below)
    if above.p_above() < level:
        return judged(
            "leaks",
            f"The forget set is still recognised: FT-AUC of {above.attack} is {points(above.interval())} from "
            f"{yardstick}.",
        )
    if one_sided:
        return judged(
            "not resolvable with these data",
            f"No attack finds it above {yardstick}, but these were trained on half of the forget samples, which are of "
            "a kind: a model retrained without all of them would be lower. Retrain two models or more to compare with.",
        )
    if below.p_below() < level:
        return judged(
            "over-unlearned",
            f"The forget set stands out as removed: FT-AUC of {below.attack} is {points(below.interval())} from "
            f"{yardstick}.",
        )
    widest = max(evidence, key=lambda one: abs(one.value))
    wanted = f"at margin {100 * margin:.1f} points" if resolvable else f"finer than {100 * resolution:.1f} points"
    return judged(
        "not resolvable with these data",
        f"FT-AUC of {widest.attack} is {points(widest.interval())} from {yardstick}: neither a leak nor its absence "
        f"can be shown {wanted}; audit more samples{'' if resolvable else ' or more models'}.",
    )


def points(interval: Interval) -> str:
    """A difference of fractions in points, with its 90 % interval, as reports write it.

    >>> points(Interval(-0.012, -0.03, 0.006))
    '−1.2 points (90 % interval −3.0 to +0.6)'
    """
    value, low, high = (f"{100 * one:+.1f}".replace("-", "−") for one in (interval.value, interval.low, interval.high))
    return f"{value} points (90 % interval {low} to {high})"
