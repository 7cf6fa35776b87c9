"""How models look in every picture and table of a report: colours, marks and dashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from obliviate.results.model import ModelResult

INK, MUTED, RULE, PAPER = "#1b1f24", "#5a636e", "#d5dae0", "#ffffff"
ORIGINAL, RETRAINED = "#d55e00", "#7f8790"
# Okabe and Ito's colour-blind-safe set, less the vermilion of the original and its too pale yellow.
UNLEARNED = ("#0072b2", "#009e73", "#b8589a", "#c98500", "#4aa8de", "#6f4fb0")
MARKERS = ("D", "^", "v", "P", "X", "p")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
    ORIGINAL: "--original",
    RETRAINED: "--retrained",
} | {colour: f"--unlearned-{i}" for i, colour in enumerate(UNLEARNED)}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one model looks in every picture and table of a report."""

    colour: str
    marker: str
    dashes: Any

    @property
    def variable(self) -> str:
        return VARIABLES[self.colour]


def styles(models: Sequence[ModelResult]) -> list[Style]:
    """One style per model, by role and by order among the unlearned ones."""
    looks: list[Style] = []
    unlearned = 0
    for model in models:
        if model.role == "original":
            looks.append(Style(colour=ORIGINAL, marker="s", dashes="-"))
        elif model.role == "retrained":
            looks.append(Style(colour=RETRAINED, marker="o", dashes="-"))
        else:
            rounds, place = divmod(unlearned, len(UNLEARNED))
            marker, dashes = MARKERS[(place + rounds) % len(MARKERS)], DASHES[rounds % len(DASHES)]
            looks.append(Style(colour=UNLEARNED[place], marker=marker, dashes=dashes))
            unlearned += 1
    return looks
