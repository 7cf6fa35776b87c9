"""The attacks of an audit: fitted on its references, and told apart by what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from obliviate.audit.inputs import AuditSamples, AuditSettings, Pool
from obliviate.membership.base import Attack, Knowledge, Readings, fit, readings, settings_of
from obliviate.results.attacks import AttackUsed


@dataclass(frozen=True, eq=False)
class FittedAttacks:
    """The attacks of an audit, with what was fitted on the references, and what is known of these."""

    asked: tuple[Attack, ...]
    fitted: tuple[Attack, ...]
    knowledge: Knowledge
    lead: str

    @classmethod
    def of(cls, settings: AuditSettings, samples: AuditSamples, pool: Pool) -> FittedAttacks:
        """Read every reference once."""
        asked = settings.attacks
        signals = list(dict.fromkeys(signal for attack in asked if _by_references(attack) for signal in attack.signals))

        def read() -> Iterator[tuple[Readings, np.ndarray]]:
            for outputs, included in samples.references(pool):
                yield readings(outputs, signals), included

        knowledge = Knowledge.of(read(), samples=len(samples.index))
        fitted = tuple(
            fit(attack, knowledge, samples.population) if _by_references(attack) else attack for attack in asked
        )
        return cls(asked, fitted, knowledge, settings.lead)

    @cached_property
    def on_all(self) -> list[Attack]:
        """Those that need no shadows."""
        return [attack for attack in self.fitted if "shadows" not in attack.needs]

    @cached_property
    def by_shadows(self) -> list[Attack]:
        """Those that need shadows."""
        return [attack for attack in self.fitted if "shadows" in attack.needs]

    @cached_property
    def decisive(self) -> list[str]:
        """Those that the verdict on every model rests on."""
        return [attack.name for attack in self.on_all if attack.use == "verdict"]

    @cached_property
    def rated(self) -> list[str]:
        """Those whose true-positive rates are told: scores that have few ties, for they know every sample."""
        return [attack.name for attack in self.on_all if attack.use == "verdict" and _by_references(attack)]

    @property
    def unseen_features(self) -> list[np.ndarray]:
        """What decisive attacks read of models that never saw each sample, on average over these."""
        signals = dict.fromkeys(
            signal for attack in self.on_all if attack.name in self.rated for signal in attack.signals
        )
        return [self.knowledge.moments[signal].mean(inside=False) for signal in signals]

    def described(self) -> tuple[AttackUsed, ...]:
        """What results say of them."""
        used = []
        for attack, fitted in zip(self.asked, self.fitted, strict=True):
            settings = settings_of(attack)
            changed = {name: value for name, value in settings_of(fitted).items() if value != settings[name]}
            used.append(
                AttackUsed(
                    name=attack.name,
                    title=attack.title,
                    source=attack.source,
                    use=attack.use,
                    settings=settings,
                    fitted=changed,
                )
            )
        return tuple(used)


def _by_references(attack: Attack) -> bool:
    return "references" in attack.needs
