"""The controls of an audit: what it must be able to tell, and what it compares with, are tested before anybody passes.

An audit that cannot tell the original from retrained models can acquit nobody, and neither can one that condemns the
retrained models themselves. A retrained model that never trained, or that began from the trained checkpoint, is no
baseline at all: it stops the audit, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scipy.stats import norm, t

from obliviate.audit.utility import Utility
from obliviate.audit.verdict import LEVEL, Evidence, Judgement, Margins, points
from obliviate.errors import AuditError

PASSED: Final = "consistent with retraining"
CONDEMNED: Final = ("leaks", "over-unlearned", "utility lost")
HALF: Final = 0.5  # of what the original knows must be told from nothing
POWER: Final = 0.8  # of the audit that is recommended instead
ODD: Final = 0.10  # a baseline may differ this much from others, however certain it is that it does
STRANGE: Final = 0.20  # from the original, which was trained on more
KNOWS: Final = 0.05  # points of AUC above the references
STOPS: Final = 1e-4  # p-value of what stops an audit


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Whether the original was told from models that never saw the forget set, and retrained ones were not condemned.

    `original` is None where there is none. `reason` says why the controls failed, empty if they passed;
    `samples_needed` and `models_needed` are about how many forget samples, or retrained models, would tell the
    original, None where that is not the matter or no number would.
    """

    original: bool | None
    condemned: tuple[str, ...]
    reason: str = ""
    samples_needed: int | None = None
    models_needed: int | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether a model may be acquitted."""
        return not self.reason


def control(
    original: Judgement | None,
    evidence: Sequence[Evidence],
    retrained: Mapping[str, Judgement],
    margins: Margins,
    *,
    forget: int,
) -> Controls:
    """Look at how the original and the retrained models were judged; `evidence` is that on the original.

    The original must be told, and half of its largest difference is the ceiling below which a model must be shown to
    lie to be acquitted; data that could show it of no model at all let nobody pass. (Beside a margin that was set
    before the audit there is no ceiling.)
    """
    condemned = tuple(name for name, judged in retrained.items() if judged.verdict in CONDEMNED)
    if original is None:
        return Controls(
            original=None,
            condemned=condemned,
            reason="the original is not among the models, so that nothing shows that this audit could tell a model "
            "that remembers; audit it too",
        )
    if original.verdict != "leaks":
        samples, models = needed(evidence, forget=forget, models=len(retrained))
        return Controls(
            original=False,
            condemned=condemned,
            reason="these data cannot show forgetting: the original itself "
            + ("would pass" if original.verdict == PASSED else "is not told from them")
            + f"; {_wanted(samples, models)}",
            samples_needed=samples,
            models_needed=models,
        )
    widest = max(evidence, key=lambda attack: attack.value)
    finest = float(t.ppf(1 - LEVEL, widest.df)) * widest.null_error
    if margins.preset is None and finest > HALF * widest.value:
        samples = math.ceil(forget * (finest / (HALF * widest.value)) ** 2)
        return Controls(
            original=True,
            condemned=condemned,
            reason="these data cannot show forgetting: a model that knows half of what the original does "
            f"({100 * widest.value:+.1f} points of {widest.attack}) cannot be told from one that knows nothing; "
            f"{_wanted(samples, None)}",
            samples_needed=samples,
        )
    ceilings = {} if margins.preset is not None else {widest.attack: HALF * widest.value}
    if condemned:
        names = ", ".join(condemned)
        return Controls(
            original=True,
            condemned=condemned,
            reason=f"the control failed: {names}, which never saw the forget set, was judged "
            f"“{retrained[condemned[0]].verdict}”; train more references and retrained models",
        )
    return Controls(original=True, condemned=(), ceilings=ceilings)


def needed(evidence: Sequence[Evidence], *, forget: int, models: int) -> tuple[int | None, int | None]:
    """About how many forget samples, or retrained models, would tell the original with 80 % power.

    It goes by the attack that needs fewest, from what it found this time. None where no number of them would do.

    >>> one = Evidence(attack="rmia", value=0.01, error=0.01, null_error=0.01, df=math.inf)
    >>> needed([one], forget=100, models=3)
    (619, None)
    """
    wanted = float(norm.isf(LEVEL / len(evidence)) + norm.isf(1 - POWER))
    samples, retrained = [], []
    for attack in evidence:
        allowed = (max(attack.value, 0.0) / wanted) ** 2
        sampling = attack.error**2 - attack.spread
        if allowed > attack.spread:
            samples.append(math.ceil(forget * sampling / (allowed - attack.spread)))
        elif models and allowed > sampling + (between := attack.spread / (1 + 1 / models)):
            retrained.append(math.ceil(1 / ((allowed - sampling) / between - 1)))
    return (max(min(samples), forget + 1) if samples else None), (min(retrained) if retrained else None)


def _wanted(samples: int | None, models: int | None) -> str:
    if samples is not None:
        return f"about {samples:,} forget samples would"
    if models is not None:
        return f"about {models:,} retrained models would"
    return "what it remembers of them is too little for these attacks"


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """What is tested of one retrained model before it is used: its utility beside others', and what it knows.

    `beside` is its utility beside the other retrained models, `references` beside references on what these never saw,
    and `original` beside the original, None where there is none. `knowledge` is its evidence beside the references, and
    `known` what the original knows more than they, attack by attack, empty where there is none. `half` says that it was
    trained on as many samples as a reference, or more.
    """

    name: str
    beside: Utility | None
    references: Utility
    original: Utility | None
    knowledge: Sequence[Evidence]
    known: Sequence[float]
    half: bool


def check_baselines(baselines: Sequence[Baseline], *, shifted: Callable[[], bool]) -> None:
    """Refuse retrained models that cannot be what they are said to be; raises AuditError with their names.

    A model that is trained on as many samples as a reference or more is no worse on its own training samples, or on
    unseen ones, than references are on samples that they never saw; it fits retained samples about as the original does
    and as other retrained models do; and it knows no more of the forget set than references that never saw it.

    References learn from unseen samples as well. Where these are not like the training samples (`shifted`, which is
    asked only if it matters), a retrained model, which learns from training samples alone, is the better judge of the
    forgotten ones by that: then it is refused if it certainly knows more than half of what the original knows.
    """
    if not baselines:
        return
    reasons = {baseline.name: reason for baseline in baselines if (reason := _odd(baseline, shifted))}
    if not reasons and len(baselines) > 1:
        reasons = _apart(baselines)
    if reasons:
        name, reason = next(iter(reasons.items()))
        more = f" (and {', '.join(list(reasons)[1:])})" if len(reasons) > 1 else ""
        raise AuditError(
            f"expected retrained models that were trained without the forget set by the recipe, got {name}{more}, "
            f"{reason}; retrain from fresh weights, or leave it out"
        )


def _odd(baseline: Baseline, shifted: Callable[[], bool]) -> str:
    if baseline.half and (figure := _worse(baseline.references, ODD)):
        return f"which is worse than references, trained on half, are on samples that they never saw ({figure})"
    if baseline.original is not None and (figure := _worse(baseline.original, STRANGE, part="retain")):
        return f"which fits retained samples otherwise than the original does ({figure})"
    informed = _informed(baseline, [0.0] * len(baseline.knowledge))
    if informed is not None and baseline.known and shifted():
        informed = _informed(baseline, [HALF * known for known in baseline.known])
    if informed is None:
        return ""
    return (
        f"which knows the forget set: FT-AUC of {informed.attack} is {points(informed.interval())} from references "
        "that never saw it"
    )


def _informed(baseline: Baseline, beyond: Sequence[float]) -> Evidence | None:
    """The first attack that finds, beyond all doubt, more than it may beside the references; None if none does."""
    sure = STOPS / len(baseline.knowledge)
    for attack, allowed in zip(baseline.knowledge, beyond, strict=True):
        if attack.value > KNOWS and attack.moved(-allowed).p_above() < sure:
            return attack
    return None


def _apart(baselines: Sequence[Baseline]) -> dict[str, str]:
    """The retrained models that are much worse than the others."""
    odd = {}
    for baseline in baselines:
        if baseline.beside is not None and (figure := _worse(baseline.beside, ODD)):
            odd[baseline.name] = f"which differs from the other retrained models ({figure})"
    return odd if len(odd) < len(baselines) else {}


def _worse(utility: Utility, most: float, *, part: str = "") -> str:
    """Accuracy or its like that is lower by more than `most`, beyond all doubt, in words; empty if none is."""
    for figure in utility.figures:
        if figure.classwise or figure.unit != "percent" or part not in {"", figure.part}:
            continue
        evidence = figure.difference
        if evidence.moved(most).p_below() < STOPS and evidence.value < -most:
            return figure.words
    return ""


def planned_resolution(forget: int, unseen: int) -> float:
    """About what margin an audit of so many samples resolves, as a fraction of AUC, whatever the models are.

    Of an AUC near one half with independent samples (Hanley & McNeil 1982), and the two tests of equivalence of three
    attacks. That models differ by their seeds comes on top, and that they are compared on the same samples takes away:
    on the shipped images both together change little (docs/evaluation.md).

    >>> round(planned_resolution(500, 2500), 3), round(planned_resolution(7, 2500), 2)
    (0.057, 0.44)
    """
    error = math.sqrt((1 / forget + 1 / unseen) / 12)
    return float(norm.isf(LEVEL) + norm.isf(LEVEL / 6)) * error


def outlook(forget: int, unseen: int, margin: float | None = None) -> str:
    """What an audit of so many samples cannot do, before any work: a sentence, empty if it can acquit a model.

    `margin` is one that was set before the audit; without it, none wider than `Margins.most` acquits.

    >>> outlook(500, 2500)
    ''
    >>> outlook(7, 2500)
    'an audit of 7 forget and 2,500 unseen samples resolves about 44 points of AUC, ...: about 144 forget samples ...'
    """
    allowed, finest = Margins().most if margin is None else margin, planned_resolution(forget, unseen)
    if finest <= allowed:
        return ""
    wanted = samples_for(allowed, unseen)
    remedy = (
        "beside so few unseen samples no number of forget samples would do, so keep more samples out of training"
        if wanted is None
        else f"about {wanted:,} forget samples would do"
    )
    return (
        f"an audit of {forget:,} forget and {unseen:,} unseen samples resolves about {100 * finest:.0f} points of AUC, "
        f"and can acquit nobody at a margin of {100 * allowed:g}: {remedy}"
    )


def samples_for(margin: float, unseen: int) -> int | None:
    """About how many forget samples an audit needs to resolve a margin; None where no number does.

    >>> samples_for(0.10, 2500), samples_for(0.01, 2500)
    (144, None)
    """
    room = 12 * (margin / float(norm.isf(LEVEL) + norm.isf(LEVEL / 6))) ** 2 - 1 / unseen
    return math.ceil(1 / room) if room > 0 else None
