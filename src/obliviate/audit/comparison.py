"""What the models of an audit are compared with: retrained models, the original, and the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.baseline import OutOfSample, References, Retrained
from obliviate.audit.controls import Baseline
from obliviate.audit.figures import View, views
from obliviate.audit.inputs import LEAST_RETRAINED, AuditSamples, Pool
from obliviate.audit.scored import Scored
from obliviate.audit.shadows import ShadowKnowledge
from obliviate.audit.spread import Spread
from obliviate.audit.utility import Bar, ReferenceUtility, Utility, bar, utility
from obliviate.audit.verdict import Evidence
from obliviate.membership.base import PARTS, Attack, readings

MOST_FORGOTTEN: Final = 0.3  # of a class, whose utility is not compared with that of models which had more of it


@dataclass(frozen=True, eq=False)
class Comparison:
    """What models are compared with."""

    attacks: FittedAttacks
    retrained: list[Scored]
    paired: dict[str, Retrained]
    references: dict[str, References]
    spread: dict[str, Spread]
    pool: Pool
    original: Scored | None
    views: list[View]
    inside: list[ReferenceUtility]  # references on retained samples that they had, and on unseen ones that they had not
    outside: list[ReferenceUtility]  # on samples that they had not
    half: bool  # whether as many samples are retained as a reference is trained on, or more

    @classmethod
    def of(cls, scored: Sequence[Scored], attacks: FittedAttacks, pool: Pool, samples: AuditSamples) -> Comparison:
        """Read every reference once more, each attacked by the others."""
        retrained = [model for model in scored if model.candidate.role == "retrained"]
        decisive = [attack for attack in attacks.on_all if attack.name in attacks.decisive]
        signals = list(attacks.knowledge.moments)
        out_of_sample: dict[str, list[OutOfSample]] = {attack.name: [] for attack in decisive}
        looked_at = views(
            samples,
            {name: np.flatnonzero(samples.part_of == place) for place, name in enumerate(PARTS)},
            columns=int(scored[0].candidate.logits.shape[1]),
            spared=() if len(retrained) >= LEAST_RETRAINED else _mostly_forgotten(samples),
        )
        inside = [ReferenceUtility(view, trained=view.part == "retain") for view in looked_at]
        outside = [ReferenceUtility(view, trained=False) for view in looked_at]
        for outputs, included in samples.references(pool):
            # A reference attacked by the others: what attacks say of a model that never saw the samples that it was not
            # trained on. The scores of its own samples mean nothing.
            rest = attacks.knowledge.without(readings(outputs, signals), included)
            target, never = samples.target(outputs, rest, included=included), samples.by_part(~included)
            for attack in decisive:
                parts = samples.by_part(attack(target))
                pair = parts["forget"][never["forget"]], parts["unseen"][never["unseen"]]
                out_of_sample[attack.name].append(OutOfSample(pair, never["forget"], never["unseen"]))
            for gathered in (*inside, *outside):
                gathered.add(outputs, included)
        references = {name: References.of(parts) for name, parts in out_of_sample.items()}
        paired = (
            {name: Retrained.of([model.pair(name) for model in retrained]) for name in attacks.decisive}
            if len(retrained) >= LEAST_RETRAINED
            else {}
        )
        spread = {name: _spread(references[name], paired.get(name)) for name in attacks.decisive}
        original = next((model for model in scored if model.candidate.role == "original"), None)
        return cls(
            attacks=attacks,
            retrained=retrained if paired else [],
            paired=paired,
            references=references,
            spread=spread,
            pool=pool,
            original=original,
            views=looked_at,
            inside=inside,
            outside=outside,
            half=bool(len(samples.retain) >= pool.included.sum(axis=1).min()),
        )

    def others(self, scored: Scored) -> list[Scored]:
        """The retrained models other than this one; none where there are too few to be a baseline."""
        return [other for other in self.retrained if other is not scored] if self.paired else []

    def evidence(self, scored: Scored) -> list[Evidence]:
        """What every attack that the verdict rests on says of a model."""
        place = next((place for place, other in enumerate(self.retrained) if other is scored), None)
        decisive = self.attacks.decisive
        if self.paired:
            evidence = [
                self.paired[name].evidence(name, scored.pair(name), self.spread[name], leave_out=place)
                for name in decisive
            ]
        else:
            evidence = [self.references[name].evidence(name, scored.pair(name), self.spread[name]) for name in decisive]
        if scored.shadows is not None:
            for attack in self.attacks.by_shadows:
                if attack.use == "verdict":
                    evidence.append(self._by_shadows(attack, scored, scored.shadows))
        return evidence

    def _by_shadows(self, attack: Attack, scored: Scored, shadows: ShadowKnowledge) -> Evidence:
        """What an attack by shadows says: the same baseline models, under the shadows of this one."""
        references = shadows.references(attack, self.pool)
        pairs = [shadows.pair(attack, other.candidate) for other in self.retrained]
        paired = Retrained.of(pairs) if self.paired else None
        spread = _spread(references, paired)
        return (paired or references).evidence(attack.name, shadows.pair(attack, scored.candidate), spread)

    def utility(self, scored: Scored, margin: float) -> Utility:
        """How useful a model is, beside the other retrained models, the original, or the references."""
        if others := self.others(scored):
            against = "the retrained models have"
        elif self.original is not None:
            others, against = [self.original], "the original has"
        else:
            against = "the references have"
        return utility(self.bars(others), scored.outputs, margin=margin, against=against)

    def bars(self, others: Sequence[Scored]) -> list[Bar]:
        """What every figure of utility should be, by some models, or by the references where there are none."""
        retrained = all(model.candidate.role == "retrained" for model in others)
        bars = []
        for view, inside in zip(self.views, self.inside, strict=True):
            whole = np.ones(len(view.index), dtype=bool)
            values = [view.read(model.outputs, whole) for model in others]
            bars.append(bar(view, values, inside, values if retrained else []))
        return bars

    @cached_property
    def bars_unseen(self) -> list[Bar]:
        """What the references have on samples that they were not trained on."""
        return [bar(view, [], outside, []) for view, outside in zip(self.views, self.outside, strict=True)]

    @cached_property
    def bars_of_original(self) -> list[Bar] | None:
        """What the original has; None where there is none."""
        return None if self.original is None else self.bars([self.original])

    def tested(self, scored: Scored, margin: float) -> Baseline:
        """What is looked at of a retrained model before it is a baseline."""

        def beside(bars: list[Bar]) -> Utility:
            return utility(bars, scored.outputs, margin=margin, against="")

        others, original = self.others(scored), self.bars_of_original
        return Baseline(
            name=scored.candidate.name,
            beside=beside(self.bars(others)) if others else None,
            references=beside(self.bars_unseen),
            original=None if original is None else beside(original),
            knowledge=self._beside_references(scored),
            known=self.known,
            half=self.half,
        )

    @cached_property
    def known(self) -> list[float]:
        """What the original knows more than references, attack by attack; empty where there is none."""
        return [] if self.original is None else [attack.value for attack in self._beside_references(self.original)]

    def _beside_references(self, scored: Scored) -> list[Evidence]:
        """What attacks say of a model beside the references alone, on samples that these never saw."""
        return [
            self.references[name].evidence(name, scored.pair(name), _spread(self.references[name], None))
            for name in self.attacks.decisive
        ]


def _mostly_forgotten(samples: AuditSamples) -> list[int]:
    """The classes that lose so many samples that a retrained model would know less of them than the original."""
    if samples.labels is None:
        return []
    counts = np.bincount(samples.labels[samples.forget], minlength=int(samples.labels.max()) + 1)
    kept = np.bincount(samples.labels[samples.retain], minlength=len(counts))
    forgotten = np.flatnonzero(counts > MOST_FORGOTTEN * (counts + kept))
    return forgotten.tolist() if len(np.setdiff1d(samples.labels[samples.unseen], forgotten)) else []


def _spread(references: References, retrained: Retrained | None) -> Spread:
    """How far models that never saw the forget set lie apart beyond sampling."""
    group = references.values, references.sampling
    return Spread.of(group) if retrained is None else Spread.between(group, (retrained.values, retrained.noise))
