"""The verdict: is a model consistent with retraining, and at which margin?

"Forgotten" is a claim of equivalence, not of no difference: two one-sided tests (Schuirmann 1987) against models that
never saw the forget set. A leak is a difference from them that sampling and the spread between models do not explain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy.stats import t

from obliviate.errors import DataError
from obliviate.metrics.intervals import Interval, tost
from obliviate.metrics.multiple import least_correlation, least_p
from obliviate.results.values import Verdict

LEVEL = 0.05  # of each one-sided test of equivalence, of all tests for a leak together, and of all figures of utility
CERTAIN = 0.01  # of all tests for a leak together, where it counts though it is smaller than the margin
ACCEPTANCE = 0.95  # how often a true retrain passes at the resolution


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How an attack's AUC on a model differs from its AUC on models that never saw the forget set, as fractions.

    `error` is the standard error of `value`, with sampling and the spread between models in it; `null_error` is what
    it would be if the model were one of the others; `df` are the degrees of freedom of both. `spread` is the part of
    the variance that more samples do not mend, and `influences` are the parts of each forget and each unseen sample in
    the value, which tell how several attacks go together.
    """

    attack: str
    value: float
    error: float
    null_error: float
    df: float
    spread: float = 0.0
    influences: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)

    def interval(self, confidence: float = 1 - 2 * LEVEL) -> Interval:
        """The two-sided interval of the difference, 90 % unless told: two one-sided tests at 5 %.

        >>> one = Evidence(attack="rmia", value=0.02, error=0.01, null_error=0.01, df=1e9)
        >>> round(one.interval().low, 4), round(one.interval().high, 4)
        (0.0036, 0.0364)
        """
        half = float(t.ppf((1 + confidence) / 2, self.df)) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def moved(self, by: float) -> Evidence:
        """The same evidence of another value.

        >>> Evidence(attack="rmia", value=-0.05, error=0.01, null_error=0.01, df=1e9).moved(0.03).value
        -0.02
        """
        return replace(self, value=self.value + by)

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

    Where attacks have margins of their own, these are the widest. `damage` says what has certainly fallen on retained
    samples, whatever the verdict; empty if nothing has.
    """

    verdict: Verdict
    margin: float
    resolution: float
    reason: str
    damage: str = ""


@dataclass(frozen=True, kw_only=True)
class Margins:
    """What counts as no difference, as fractions of AUC.

    `preset` is a margin that was fixed before the audit. Where there is none, each attack is judged at what it resolves
    itself, but at no less than the first attack and `least`, and at no more than `most`: a further attack that resolves
    little widens nothing for the others.
    """

    preset: float | None = None
    least: float = 0.02
    most: float = 0.10

    def of(self, evidence: Sequence[Evidence]) -> list[float]:
        """What counts as no difference for each of some attacks.

        >>> Margins(preset=0.05).of([Evidence(attack="rmia", value=0.2, error=0.1, null_error=0.1, df=1e9)])
        [0.05]
        """
        own = [attack.resolution(len(evidence)) for attack in evidence]
        return [max(finest, own[0], self.least) if self.preset is None else self.preset for finest in own]


@dataclass(frozen=True, kw_only=True)
class Usefulness:
    """What a verdict needs to know of a model's utility, as sentences or parts of them, empty if there is nothing.

    `lost` names the figures that are certainly lost, `unshown` why it is not shown that nothing is, and `damage` what
    has certainly fallen on retained samples, by however little.
    """

    lost: str = ""
    unshown: str = ""
    damage: str = ""


def together(evidence: Sequence[Evidence]) -> dict[Literal["above", "below"], tuple[Evidence, float]]:
    """The attack with the least one-sided p-value on either side, and that p-value corrected for the others.

    Attacks read the same samples, so they go together, and the correction counts on the least correlation that any two
    of them have (`metrics.multiple`).

    >>> alone = Evidence(attack="rmia", value=0.2, error=0.1, null_error=0.1, df=1e9)
    >>> attack, p_value = together([alone])["above"]
    >>> attack.attack, round(p_value, 3)
    ('rmia', 0.023)
    """
    sizes = {tuple(map(len, attack.influences)) for attack in evidence}
    same = len(sizes) == 1 and () not in sizes  # attacks on other samples are taken for independent
    correlation = least_correlation([attack.influences for attack in evidence]) if same else 0.0
    above, below = min(evidence, key=Evidence.p_above), min(evidence, key=Evidence.p_below)
    return {
        "above": (above, least_p(above.p_above(), len(evidence), correlation)),
        "below": (below, least_p(below.p_below(), len(evidence), correlation)),
    }


def judge(
    evidence: Sequence[Evidence],
    usefulness: Usefulness,
    margins: Margins,
    *,
    baseline: str = "the retrained models",
    one_sided: bool = False,
    unlike: bool = False,
    uncontrolled: str = "",
    ceilings: Mapping[str, float] | None = None,
    level: float = LEVEL,
) -> Judgement:
    """The verdict on a model, from what the attacks found and what is known of its utility.

    The first rule that holds decides:

    1. "utility lost": a figure of utility is certainly lower than it should be, by more than the utility margin.
    2. "leaks": an attack's difference is certainly above 0, by a one-sided test at 1 % over all attacks, however small
       it is: a margin excuses what may be chance.
    3. "consistent with retraining": every attack's difference lies inside ±margin, by two one-sided tests at 5 %, no
       figure of utility is lower than it should be by more than its margin, by a one-sided test at 5 %, and the
       controls have passed.
    4. "leaks": an attack's difference is above 0, by a one-sided test at 5 % over all attacks.
    5. "over-unlearned": the same below 0: the forget set stands out as removed, which gives it away too.
    6. "not resolvable with these data".

    Where the data resolve no margin that may be used, rule 3 never holds, so that few samples cannot acquit a model; a
    leak is one all the same. `one_sided` says that the baseline is known to lie above a retrained model, as references
    do that had half of a group of samples: what is above it leaks, and nothing else can be said; rules 3 and 5 never
    hold. `unlike` says that the baseline has learned from samples of another kind than a retrained model would, so that
    only rules 1 and 6 are left. `uncontrolled` says why the controls failed, so that nobody can be acquitted.
    `baseline` names what was compared with, in the reason. `ceilings` are differences, by attack, that a model must be
    shown to lie below to be acquitted: half of what the original knows. `level` is that of rules 4 and 5, and of rule 2
    if it is below 1 %.
    Raises DataError without evidence.

    >>> found = Evidence(attack="rmia", value=0.2, error=0.01, null_error=0.01, df=1e9)
    >>> judge([found], Usefulness(), Margins()).verdict
    'leaks'
    """
    if not evidence:
        raise DataError("expected the evidence of at least 1 attack, got none; run one")
    resolution = max(attack.resolution(len(evidence)) for attack in evidence)
    allowed = margins.of(evidence)
    margin = max(allowed)
    resolvable = resolution <= (margins.most if margins.preset is None else margins.preset)
    tested = together(evidence)
    (above, p_above), (below, p_below) = tested["above"], tested["below"]
    if unlike:  # then no difference says anything
        p_above = p_below = 1.0

    def judged(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(verdict=verdict, margin=margin, resolution=resolution, reason=reason, damage=usefulness.damage)

    recognised = (
        f"The forget set is still recognised: FT-AUC of {above.attack} is {points(above.interval())} from {baseline}."
    )
    if usefulness.lost:
        return judged("utility lost", usefulness.lost)
    if p_above < min(CERTAIN, level):
        return judged("leaks", recognised)
    unsettled = ""
    if not (one_sided or unlike) and resolvable and all(map(Evidence.within, evidence, allowed)):
        unsettled = uncontrolled or usefulness.unshown or _too_high(evidence, ceilings or {})
        if not unsettled:
            widest = max(evidence, key=lambda attack: max(abs(attack.interval().low), abs(attack.interval().high)))
            return judged(
                "consistent with retraining",
                f"No attack ({', '.join(attack.attack for attack in evidence)}) tells it from {baseline} at margin "
                f"{100 * margin:.1f} points of AUC; the widest difference is that of {widest.attack}, "
                f"{points(widest.interval())}.",
            )
    if p_above < level:
        return judged("leaks", recognised)
    if p_below < level and not one_sided:
        return judged(
            "over-unlearned",
            f"The forget set stands out as removed: FT-AUC of {below.attack} is {points(below.interval())} from "
            f"{baseline}.",
        )
    if unlike:
        reason = (
            f"Training and unseen samples are of two kinds, and {baseline} have learned from both, which a retrained "
            "model does not. Retrain two models or more to compare with."
        )
    elif one_sided:
        reason = (
            f"No attack finds it above {baseline}, but these were trained on half of the forget samples, which are of "
            "a kind: a model retrained without all of them would be lower. Retrain two models or more to compare with."
        )
    elif unsettled:
        reason = f"No attack tells it from {baseline}, but {unsettled}."
    else:
        widest = max(evidence, key=lambda attack: abs(attack.value))
        wanted = f"at margin {100 * margin:.1f} points" if resolvable else f"finer than {100 * resolution:.1f} points"
        reason = (
            f"FT-AUC of {widest.attack} is {points(widest.interval())} from {baseline}: neither a leak nor its "
            f"absence can be shown {wanted}; audit more samples{'' if resolvable else ' or more models'}."
        )
    return judged("not resolvable with these data", reason)


def _too_high(evidence: Sequence[Evidence], ceilings: Mapping[str, float]) -> str:
    """Whether a model may know as much as the ceilings allow at most; empty if it is shown not to."""
    for attack in evidence:
        if attack.interval().high >= ceilings.get(attack.attack, math.inf):
            return (
                f"it may still know half of what the original does: FT-AUC of {attack.attack} is "
                f"{points(attack.interval())}, where half is {100 * ceilings[attack.attack]:.1f}"
            )
    return ""


def points(interval: Interval) -> str:
    """A difference of fractions in points, with its 90 % interval, as reports write it.

    >>> points(Interval(-0.012, -0.03, 0.006))
    '−1.2 points (90 % interval −3.0 to +0.6)'
    """
    value, low, high = (
        f"{100 * figure:+.1f}".replace("-", "−") for figure in (interval.value, interval.low, interval.high)
    )
    return f"{value} points (90 % interval {low} to {high})"
