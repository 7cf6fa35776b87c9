"""Figures and verdicts in words that a reader without statistics understands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from obliviate.results.canaries import CoinTest
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results
from obliviate.results.values import PASSED, Interval, Verdict

MISSING: Final = "–"

# verdict → (class of its badge, sign, what it means); the sign carries the verdict where colour does not reach.
VERDICTS: Final[Mapping[Verdict, tuple[str, str, str]]] = {
    PASSED: (
        "good",
        "✓",
        "No attack could tell the model from models that never saw these samples: whatever difference there is was "
        "shown to be smaller than the margin. A leak smaller than the margin, or one that only another attack would "
        "find, can still be there. This is a measurement, not a proof of deletion.",
    ),
    "leaks": (
        "bad",
        "✕",
        "At least one attack recognises the forgotten samples more often than it does on models that never saw them, "
        "by more than chance explains. The model still carries traces of them.",
    ),
    "over-unlearned": (
        "warn",
        "↓",
        "The forgotten samples stand out because the model treats them worse than samples that it never saw. That "
        "tells an attacker which samples were removed, so it is not what training without them would have given.",
    ),
    "utility lost": (
        "warn",
        "▽",
        "The model is certainly worse at its task, on retained or on unseen samples, or on one of the classes, by more "
        "than the utility margin allows. A model that has lost its skill can look as if it had forgotten, so its "
        "forgetting is not credited.",
    ),
    "not resolvable with these data": (
        "open",
        "?",
        "The audit could show neither a leak nor its absence: it had too few samples or models, its controls failed, "
        "or it was not shown that the model is still as good as it should be. This is not a pass.",
    ),
}

# verdict → the answer to "did the model forget?", about one model or several; the second form is for several.
_ANSWERS: Final[Mapping[Verdict, str]] = {
    PASSED: "{names} cannot be told from models that never saw these samples, at a margin of {margin} points.",
    "leaks": "attacks on {names} still recognise these samples.",
    "over-unlearned": "in {names} these samples stand out as removed.",
    "utility lost": "{names} lost more of what the model is good for than allowed, so that forgetting is not credited.",
    "not resolvable with these data": "the audit is too coarse to show that {names} forgot, or did not.",
}
_OPENINGS: Final[Mapping[Verdict, str]] = {
    PASSED: "Forgotten, as far as this audit can see:",
    "leaks": "Not forgotten:",
    "over-unlearned": "Forgotten too visibly:",
    "utility lost": "Damaged:",
    "not resolvable with these data": "Not known:",
}

# verdict on the only model → the answer in a few words
_ALONE: Final[Mapping[Verdict, str]] = {
    "leaks": "No.",
    "over-unlearned": "Not as training again without them would have.",
    "utility lost": "That is not credited: the model is damaged.",
    "not resolvable with these data": "This audit cannot tell.",
}

TRAINABLE: Final = "trainable_share"
"""What the settings of a model call the share of its weights that could change, where that is not all of them."""

# what a method reported → plain words, and whether it is a share; what is not listed shows under its own name.
NOTES: Final = {
    TRAINABLE: ("weights that could change", True),
    "adversarial_found": ("forget samples for which an adversarial example was found", True),
    "adversarial_median_l2": ("median L2 distance of these examples from their samples", False),
    "gradients_per_sample": ("gradients spent on the search, per forget sample", False),
    "flipped_share": ("forget samples that a step across the boundary gave another class", True),
    "dampened_share": ("weights that were dampened", True),
    "tau": ("τ, the loss that the forget samples were to reach", False),
    "forget_epochs": ("passes over the forget set", False),
    "alpha": ("step along the influence (α)", False),
    "cg_steps": ("conjugate-gradient steps", False),
    "cg_residual": ("residual of the conjugate gradients", False),
    "mask_mean_minus_lambda": ("mean of the masks minus λ", False),
    "mask_spread": ("spread of the masks over pixels and pairs", False),
}


def number(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A figure with thousands separators and a true minus; a dash where there is none.

    >>> number(-1234.56), number(None)
    ('−1,234.6', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "" if float(text.replace(",", "")) == 0 else "−")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that a reader would choose.

    >>> duration(4.44), duration(150), duration(7200)
    ('4.4 s', '2 min 30 s', '2.0 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    return f"{seconds / 3600:,.1f} h"


def share(fraction: float | None) -> str:
    """A fraction of a retraining in percent, with a digit more below 10 %.

    >>> share(0.19), share(0.034), share(None)
    ('19 %', '3.4 %', '–')
    """
    return MISSING if fraction is None else f"{number(100 * fraction, 1 if abs(fraction) < 0.1 else 0)} %"


def span(interval: Interval | CoinTest | tuple[float, float] | None, between: str = " to ", digits: int = 1) -> str:
    """The limits of an interval, or a range; empty where there is none.

    >>> span((49.44, 50.8), "–"), span(None)
    ('49.4–50.8', '')
    """
    if interval is None:
        return ""
    low, high = interval if isinstance(interval, tuple) else (interval.low, interval.high)
    return f"{number(low, digits)}{between}{number(high, digits)}"


def extent(values: Sequence[float | None], digits: int = 1) -> str:
    """Least and greatest of some figures, or the only one; a dash where there is none.

    >>> extent([50.8, 49.4]), extent([50.8, 50.84]), extent([])
    ('49.4–50.8', '50.8', '–')
    """
    figures = [value for value in values if value is not None]
    if not figures:
        return MISSING
    low, high = number(min(figures), digits), number(max(figures), digits)
    return low if low == high else f"{low}–{high}"


def plain(value: Any) -> str:
    """A setting as people write it: nested ones as JSON, a dash where there is none.

    >>> plain({"a": 1}), plain(None), plain("x")
    ('{"a": 1}', '–', 'x')
    """
    if value is None:
        return MISSING
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple | bool) else str(value)


def notes(settings: Mapping[str, Any]) -> dict[str, str]:
    """What a method reported, in plain words, with four digits.

    >>> notes({"adversarial_found": 0.998})
    {'forget samples for which an adversarial example was found': '99.8 %'}
    """
    reported: dict[str, str] = {}
    for key, value in settings.items():
        words, is_share = NOTES.get(key, (key.replace("_", " "), False))
        if not isinstance(value, int | float) or isinstance(value, bool):
            reported[words] = plain(value)
        else:
            reported[words] = f"{100 * value:.4g} %" if is_share else f"{value:.4g}".replace("-", "−")
    return reported


def frozen(models: Sequence[ModelResult]) -> str:
    """Say of models with frozen weights, such as those with adapters (LoRA), what an audit of them cannot tell.

    Empty where all weights of all models could change.
    """
    shares = {model.name: share for model in models if isinstance(share := model.settings.get(TRAINABLE), int | float)}
    if not shares:
        return ""
    percent = extent([100 * share for share in shares.values()], 2)
    return (
        f"Only {percent} % of the weights of {listed(list(shares))} could change. If the frozen ones, such as a "
        "pretrained base under an adapter, were trained on the forgotten samples, they still hold what they learned of "
        "them, and this audit cannot tell: what it compares with stands on the same frozen weights."
    )


def at_margin(verdict: str, margin: float) -> str:
    """A verdict with the margin that it holds at, where it is one of equivalence.

    >>> at_margin("consistent with retraining", 2.64), at_margin("leaks", 2.64)
    ('consistent with retraining at margin 2.6 points', 'leaks')
    """
    return f"{verdict} at margin {number(margin)} points" if verdict == PASSED else verdict


def headline(unlearned: Sequence[ModelResult], cautions: Mapping[str, str]) -> str:
    """The outcome in one sentence, no stronger than the verdicts; `cautions` are those of `caution`, by model.

    >>> headline([], {})
    'No unlearned model was audited.'
    """
    if not unlearned:
        return "No unlearned model was audited."
    passed = sum(model.verdict == PASSED for model in unlearned)
    if len(unlearned) == 1 and passed:
        if cautions[unlearned[0].name]:
            return "On average yes, as far as this audit can see, but single samples stand out."
        return "Yes, as far as this audit can see."
    if len(unlearned) == 1:
        return _ALONE[unlearned[0].verdict]
    if passed == 0:
        return f"None of the {len(unlearned)} unlearned models was shown to have forgotten them."
    models = "All" if passed == len(unlearned) else f"{passed} of"
    verb = "has" if passed == 1 else "have"
    return f"{models} {len(unlearned)} unlearned models {verb} forgotten them, as far as this audit can see."


def caution(model: ModelResult, retrained: Sequence[ModelResult]) -> str:
    """A warning where single forget samples stand out more often than chance and than on every retrained model.

    The whole 95 % interval of a share has to lie above what is expected, and above the retrained models' shares.
    Empty where nothing stands out.
    """
    for level, share in model.exposure.shares.items():
        expected = 100 * float(level)
        others = [other.exposure.shares[level].value for other in retrained]
        if share.low > max([expected, *others]):
            beside = f" (retrained models: {extent(others)} %)" if others else ""
            sentence = (
                f"{number(share.value)} % of the forgotten samples look more like training samples than "
                f"{number(100 - expected, 0)} % of unseen ones do, where {number(expected, 0)} % is expected{beside}: "
                "some of them may still be remembered one by one."
            )
            return sentence.replace(" %", "\N{NO-BREAK SPACE}%")
    return ""


def answers(unlearned: Sequence[ModelResult], cautions: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """A sentence per verdict that occurs, with the models that got it: class, sign, opening, and the rest.

    `cautions` are those of `caution`, by model.
    """
    sentences = []
    for verdict, (kind, sign, _) in VERDICTS.items():
        named = [model for model in unlearned if model.verdict == verdict]
        if named:
            margin = extent([model.margin for model in named])
            rest = _ANSWERS[verdict].format(names=listed([model.name for model in named]), margin=margin)
            if verdict == PASSED and (still := [model.name for model in named if cautions[model.name]]):
                rest += f" Yet single samples stand out in {listed(still)}; see there."
            sentences.append((kind, sign, _OPENINGS[verdict], rest))
    return sentences


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def control(results: Results) -> tuple[bool, str] | None:
    """Whether the audit tells the original and does not condemn retrained models; without that nobody is acquitted.

    None where there is nothing to control by.
    """
    original, retrained = results.of_role("original"), results.of_role("retrained")
    if not original and not retrained:
        return None
    accepted = sum(model.verdict == PASSED for model in retrained)
    outcomes = [f"the original was judged “{model.verdict}”" for model in original]
    outcomes += [f"{accepted} of {len(retrained)} retrained models “{PASSED}”"] if retrained else []
    return results.controls.passed, " and ".join(outcomes)
