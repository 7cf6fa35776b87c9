"""What unlearning did to a model's utility, in figures and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Verdict = Literal["", "damaged", "hardly changed"]

NAMES: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "r_squared": "R²",
    "perplexity": "perplexity",
}


@dataclass(frozen=True)
class Part:
    """The utility figures of one part of the samples before and after, by name (`metrics.utility.FIGURES`).

    Shares are in [0, 1], losses in nats. `samples` is how many were measured.
    """

    samples: int
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class Effect:
    """What unlearning did to a model's utility, by part: "forget", "retain" and "unseen", as far as they were there.

    `verdict` is "damaged" where retained or unseen samples fare clearly worse, "hardly changed" where the forget
    samples are about as well known as before, and "" otherwise, which says nothing of how well they were forgotten:
    only an audit does. `reason` says it in a sentence; `try_next` are hyperparameters to begin with instead.

    >>> part = Part(100, {"accuracy": 1.0, "loss": 0.01}, {"accuracy": 0.9, "loss": 0.4})
    >>> print(Effect({"forget": part}))
    forget: accuracy 100.0 → 90.0 %
    """

    parts: Mapping[str, Part]
    verdict: Verdict = ""
    reason: str = ""
    try_next: Mapping[str, float] = field(default_factory=dict)

    def _lines(self) -> list[str]:
        lines = [f"{name}: {', '.join(changes(part))}" for name, part in self.parts.items()]
        return lines + [f"{self.verdict}: {self.reason}"] * bool(self.verdict)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return f"Effect({'; '.join(self._lines())})"

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Effect:
        """Read what `to_dict` returned."""
        return cls(**{**values, "parts": {name: Part(**part) for name, part in values["parts"].items()}})


def changes(part: Part) -> list[str]:
    """Say how the figures that sum a part up changed: without recalls, and the loss where there is nothing else.

    >>> changes(Part(9, {"r_squared": 0.91, "loss": 0.2}, {"r_squared": 0.905, "loss": 0.3}))
    ['R² 0.910 → 0.905']
    """
    return [f"{title} {pair}" for title, pair in summary(part).items()]


def summary(part: Part) -> dict[str, str]:
    """The same by the names of the figures.

    >>> summary(Part(9, {"accuracy": 0.91}, {"accuracy": 0.905}))
    {'accuracy': '91.0 → 90.5 %'}
    """
    titles = NAMES | {"auc": "AUC", "loss": "loss"}
    named = [name for name in titles if name != "loss" and name in part.before and name in part.after]
    return {titles[name]: pair(name, part.before[name], part.after[name]) for name in named or ["loss"]}


def pair(name: str, before: float, after: float, arrow: str = "→") -> str:
    """Write a figure before and after, in percent where it is a share.

    >>> pair("accuracy", 0.91, 0.905)
    '91.0 → 90.5 %'
    """
    if name in {"r_squared", "perplexity", "loss"}:
        texts = (f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}" for value in (before, after))
        return f" {arrow} ".join(texts).replace("-", "−")
    return f"{100 * before:.1f} {arrow} {100 * after:.1f} %"
