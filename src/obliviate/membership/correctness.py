"""The attack that guesses "member" where the model is right (Yeom et al. 2018, arXiv 1709.01604).

Its AUC is one half plus half the difference of the accuracies on members and on others, so that it puts the oldest
figure of forgetting, forget accuracy, on the scale of the other attacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from obliviate.membership.base import Scores, Signal, Target, Use


@dataclass(frozen=True, kw_only=True)
class Correctness:
    """Guess "member" where the model is right."""

    name: ClassVar[str] = "correctness"
    title: ClassVar[str] = "correctness"
    source: ClassVar[str] = "Yeom et al., CSF 2018, arXiv 1709.01604"
    needs: ClassVar[frozenset[str]] = frozenset()
    use: ClassVar[Use] = "verdict"

    @property
    def signals(self) -> tuple[Signal, ...]:
        """None: it looks at one model only."""
        return ()

    def __call__(self, target: Target) -> Scores:
        return target.outputs.correct
