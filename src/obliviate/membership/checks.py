"""What every attack is held to, built-in or of another package: `pytest.mark.parametrize("check", CHECKS)`.

The models are simulated, so that a check takes milliseconds and knows the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from obliviate.membership.base import PARTS, Attack, Knowledge, Target, fit, readings, register, settings_of
from obliviate.membership.outputs import Outputs
from obliviate.metrics.intervals import auc

FORGET, RETAIN, UNSEEN, CLASSES, REFERENCES = 150, 200, 300, 4, 12
__all__ = ["CHECKS", "Check", "Simulation"]

FINDS: Final = 0.55  # AUC on a model that remembers
CHANCE: Final = 0.10  # distance of the AUC on a model that never saw from one half


@dataclass(frozen=True, eq=False)
class Simulation:
    """Models that are surer of what they were trained on, by `boost`, and references that had half of the samples."""

    boost: float = 2.0
    seed: int = 0

    @cached_property
    def parts(self) -> np.ndarray:
        """Which part each sample plays."""
        return np.repeat(np.arange(len(PARTS)), [FORGET, RETAIN, UNSEEN])

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of each sample."""
        return np.random.default_rng(self.seed).integers(0, CLASSES, len(self.parts))

    def outputs(self, members: np.ndarray, *, seed: int) -> Outputs:
        """What a model says that was trained on `members`."""
        shared, own = np.random.default_rng(self.seed + 1), np.random.default_rng((self.seed, seed))
        difficulty = shared.normal(1, 1.5, len(self.parts))
        logits = own.normal(0, 0.5, (len(self.parts), CLASSES))
        logits[np.arange(len(logits)), self.labels] += difficulty + self.boost * members
        return Outputs(logits, self.labels)

    def target(self, attack: Attack, *, remembers: bool) -> tuple[Attack, Target]:
        """The attack, fitted, and a model that does, or does not, know the forget set."""
        plan = np.tile(np.arange(REFERENCES)[:, None] < REFERENCES // 2, len(self.parts))
        included = np.random.default_rng(self.seed + 2).permuted(plan, axis=0)
        read = [(readings(self.outputs(row, seed=place), attack.signals), row) for place, row in enumerate(included)]
        knowledge = Knowledge.of(read, samples=len(self.parts))
        population = np.flatnonzero(self.parts == PARTS.index("unseen"))
        members = (self.parts == PARTS.index("retain")) | (remembers & (self.parts == PARTS.index("forget")))
        fitted = fit(attack, knowledge, population)
        return fitted, Target(self.outputs(members, seed=99), self.parts, population, knowledge)


Check = Callable[[Attack], None]


def _scores(attack: Attack, *, remembers: bool) -> tuple[np.ndarray, np.ndarray]:
    fitted, target = Simulation().target(attack, remembers=remembers)
    scores = fitted(target)
    return scores[target.index("forget")], scores[target.index("unseen")]


def keeps_the_contract(attack: Attack) -> None:
    """It is a frozen dataclass with the attributes of `base.Attack`, and its settings can be written down."""
    registry: dict[str, type[Any]] = {}
    register(registry, type(attack))
    assert isinstance(attack, Attack)
    settings_of(attack)


def gives_one_score_a_sample(attack: Attack) -> None:
    """Scores are finite where the attack is asked: on forget and on unseen samples."""
    fitted, target = Simulation().target(attack, remembers=True)
    scores = fitted(target)
    assert scores.shape == target.parts.shape, (scores.shape, target.parts.shape)
    asked = target.parts != PARTS.index("retain")
    assert np.isfinite(scores[asked]).all(), "NaN or infinity among the scores of forget or unseen samples"


def finds_a_model_that_remembers(attack: Attack) -> None:
    """Members score higher."""
    reached = auc(*_scores(attack, remembers=True))
    assert reached > FINDS, f"an AUC of {reached:.2f} on a model that remembers"


def accepts_a_model_that_never_saw(attack: Attack) -> None:
    """Forget samples score as unseen ones do."""
    reached = auc(*_scores(attack, remembers=False))
    assert abs(reached - 0.5) < CHANCE, f"an AUC of {reached:.2f} on a model that never saw the forget set"


def is_a_function_of_its_target(attack: Attack) -> None:
    """The same target gives the same scores, and is not changed."""
    fitted, target = Simulation().target(attack, remembers=True)
    before = target.outputs.values.copy()
    first, second = fitted(target), fitted(target)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(before, target.outputs.values)


CHECKS: Final[tuple[Check, ...]] = (
    keeps_the_contract,
    gives_one_score_a_sample,
    finds_a_model_that_remembers,
    accepts_a_model_that_never_saw,
    is_a_function_of_its_target,
)
