"""What an audit is given: models' outputs, the references, the samples and which part each plays, and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate import membership
from obliviate.errors import AuditError
from obliviate.membership.base import PARTS, Attack, Knowledge, Target
from obliviate.membership.outputs import EVIDENCE, Outputs
from obliviate.results.roles import Role

LEAST_RETRAINED = 2  # fewer cannot be a baseline: each is judged against the others
LEAST_REFERENCES = 4  # one of them plays the target, and every sample is then inside and outside of others


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadows:
    """References that were unlearned as a candidate was: their logits over the samples F ∪ V.

    F is the forget set and V as many unseen samples; `index` says where these are in the pool population, `forget`
    which of them are F, and `included` which of them each shadow was trained on and then made to forget.
    """

    logits: Sequence[np.ndarray]
    included: Bool[np.ndarray, "shadows k"]
    index: Int[np.ndarray, " k"]
    forget: Bool[np.ndarray, " k"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One model to audit: its outputs over the pool population and where it comes from; `seconds` made it.

    Outputs are called logits, which they are where samples have one class each. For other tasks they have three columns
    a sample: −log of the target's likelihood, the score that LiRA reads, and the share that the model has right; the
    model's answers, 0 or 1 for every label, may follow.

    With `shadows` the model is also attacked through them, and its verdict then rests on that as well.
    """

    name: str
    role: Role
    method: str
    seed: int
    logits: Float[np.ndarray, "pool k"]
    seconds: float | None
    weights_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shadows: Shadows | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The reference models: logits over training and held-out samples, and who trained on what.

    `logits` holds one array (samples, k) of outputs a model (see `Candidate`); it is read in order, twice, and need not
    be in memory.
    """

    logits: Sequence[np.ndarray]
    included: Bool[np.ndarray, "models pool"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditSamples:
    """The samples of an audit: which indices of the pool population are forget, retain and unseen ones, their classes.

    `labels` None says that samples have no classes, and outputs are not logits (see `Candidate`). `ids` name the
    samples in the per-sample view; without them their indices do. `grouped` says that the forget samples were chosen
    for what they have in common (an owner, a class): references, which had half of them, cannot acquit a model then.
    `class_names` are what people call the classes, in order; without them figures name their numbers.

    Utility beside accuracy is read by what else is known of samples without classes: `null_loss` is the loss of the
    best constant prediction (for R²), `present` says which labels a sample has (for macro-F1), `tokens` that losses are
    those of tokens (for perplexity).
    """

    labels: Int[np.ndarray, " pool"] | None
    forget: Int[np.ndarray, " f"]
    retain: Int[np.ndarray, " r"]
    unseen: Int[np.ndarray, " u"]
    ids: np.ndarray | None = None
    grouped: bool = False
    class_names: tuple[str, ...] = ()
    null_loss: Float[np.ndarray, " pool"] | None = None
    present: Bool[np.ndarray, "pool labels"] | None = None
    tokens: bool = False

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The indices of each part, by name."""
        return {"forget": self.forget, "retain": self.retain, "unseen": self.unseen}

    def classes(self, index: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"] | None:
        """The classes of some of the pool population."""
        return None if self.labels is None else self.labels[index]

    @cached_property
    def index(self) -> Int[np.ndarray, " n"]:
        """The samples in the order forget, retain, unseen, in which everything of an audit stands."""
        return np.concatenate([self.parts[name] for name in PARTS])

    @cached_property
    def part_of(self) -> Int[np.ndarray, " n"]:
        """Which part each sample of `index` plays, as an index into `PARTS`."""
        return np.repeat(np.arange(len(PARTS)), [len(self.parts[name]) for name in PARTS])

    @cached_property
    def population(self) -> Int[np.ndarray, " u"]:
        """Where the unseen samples stand in `index`."""
        return np.flatnonzero(self.part_of == PARTS.index("unseen"))

    def by_part(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all samples, taken apart."""
        return {name: values[self.part_of == place] for place, name in enumerate(PARTS)}

    def outputs(self, values: Float[np.ndarray, "pool k"], *, whose: str) -> Outputs:
        """A model's outputs on the samples; raises AuditError for NaN and infinity."""
        return Outputs.checked(values[self.index], self.classes(self.index), whose=whose)

    def references(self, pool: Pool) -> Iterator[tuple[Outputs, Bool[np.ndarray, " n"]]]:
        """Each reference's outputs, and which samples it was trained on; one at a time."""
        for place, (values, included) in enumerate(zip(pool.logits, pool.included[:, self.index], strict=True)):
            yield self.outputs(values, whose=f"reference {place}"), included

    def target(
        self, outputs: Outputs, knowledge: Knowledge, *, included: Bool[np.ndarray, " n"] | None = None
    ) -> Target:
        """A model under attack; `included` are the samples that it was trained on, if it is a reference."""
        population = self.population if included is None else np.flatnonzero(self._unseen & ~included)
        return Target(outputs, self.part_of, population, knowledge)

    @cached_property
    def _unseen(self) -> Bool[np.ndarray, " n"]:
        return self.part_of == PARTS.index("unseen")


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of the audit; `margin` is a fraction of AUC, `utility_margin` of accuracy, recall and their like.

    `attacks` are what models are attacked by; the first that verdicts rest on leads: curves, gaps and exposed samples
    are its own. Attacks by shadows are made on the models that have such. Without a `margin` the verdict is made at
    what the data resolve (`verdict.Margins`). `cheap_attacks` adds the cheap attacks that the task allows.
    Raises AuditError for attacks with one name, and without one that needs references and that verdicts rest on.

    >>> from obliviate.membership import usual
    >>> AuditSettings(attacks=usual(variance="shrunk"), margin=0.05).lead
    'rmia'
    """

    attacks: tuple[Attack, ...] = field(default_factory=membership.usual)
    confidence: float = 0.95
    margin: float | None = None
    utility_margin: float = 0.03
    cheap_attacks: bool = False

    def __post_init__(self) -> None:
        names = [attack.name for attack in self.attacks]
        if len(set(names)) < len(names):
            raise AuditError(f"expected attacks with distinct names, got {names}; name each once")
        first = next((attack for attack in self.attacks if attack.use == "verdict"), None)
        if first is None or "references" not in first.needs:
            raise AuditError(
                "expected first an attack that needs references and that verdicts rest on, got "
                f"{'none' if first is None else first.name}; begin with those of `usual()`"
            )

    @property
    def lead(self) -> str:
        """The attack whose FT-AUC stands in tables."""
        return next(attack.name for attack in self.attacks if attack.use == "verdict")

    def check_classes(self, *, has_classes: bool) -> None:
        """Refuse attacks that need classes where samples have none; raises AuditError."""
        if not has_classes and (needy := [attack.name for attack in self.attacks if "classes" in attack.needs]):
            raise AuditError(f"expected attacks that need no classes, got {', '.join(needy)}; leave them out")


def check(candidates: Sequence[Candidate], pool: Pool, samples: AuditSamples, *, least: int = 2) -> None:
    """Refuse what cannot be audited fairly, with `least` forget samples, before any score is computed.

    Raises AuditError.
    """
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names) or not names:
        raise AuditError(f"expected at least 1 candidate and distinct names, got {names}; rename the candidates")
    n, models = pool.included.shape[1], len(pool.logits)
    if samples.labels is not None and len(samples.labels) != n:
        raise AuditError(
            f"expected a label for each of the {n} samples of the pool, got {len(samples.labels)}; align them"
        )
    if models < LEAST_REFERENCES or len(pool.included) != models:
        raise AuditError(
            f"expected at least {LEAST_REFERENCES} references and included (references, {n}), got {models} and "
            f"{pool.included.shape}; score every reference on the {n} samples"
        )
    shape = pool.logits[0].shape
    answers = 0 if samples.present is None else samples.present.shape[1]
    if samples.labels is None and shape[1:] not in {(EVIDENCE,), (EVIDENCE + answers,)}:
        raise AuditError(
            "expected the columns −log-likelihood, score and share right of a task without classes, got outputs of "
            f"shape {shape}; give `labels` where they are logits"
        )
    for name, size in [("a reference", shape)] + [(candidate.name, candidate.logits.shape) for candidate in candidates]:
        if len(size) != 2 or size[0] != n or size != shape:
            raise AuditError(
                f"expected logits of shape ({n}, {shape[-1]}), got {size} from {name}; score the pool's samples"
            )
    for name, part in samples.parts.items():
        wanted = least if name == "forget" else 2
        if len(part) < wanted or part.dtype.kind not in "iu" or part.min() < 0 or part.max() >= n:
            raise AuditError(
                f"expected at least {wanted} indices in [0, {n}) for {name}, got {part}; choose samples of the pool"
            )
    points = np.concatenate(list(samples.parts.values()))
    if shared := len(points) - len(np.unique(points)):
        raise AuditError(
            f"expected every sample in one part, got {shared} repeated; make forget, retain, unseen disjoint"
        )
    for name, part in samples.parts.items():
        seen = pool.included[:, part].sum(axis=0)
        # One reference plays the target, so that two must have been trained with and without every sample.
        if one_sided := int(((seen < 2) | (seen > models - 2)).sum()):
            raise AuditError(
                f"expected every {name} sample in at least 2 references and out of at least 2, got {one_sided} of "
                f"{len(part)} that are not; such points bias the attack, so train references on a plan that covers them"
            )


def check_classes(forget: Int[np.ndarray, " f"], retain: Int[np.ndarray, " r"], *, retrained: int) -> None:
    """Refuse labels of which none is retained where there are too few retrained models; raises AuditError.

    References are no baseline then, for none of them went without such a class.

    >>> check_classes(np.array([0, 2]), np.array([0, 1, 2]), retrained=0)
    >>> check_classes(np.array([0, 2]), np.array([0, 1]), retrained=2)
    """
    if retrained < LEAST_RETRAINED and len(wholly := np.setdiff1d(forget, retain)):
        raise AuditError(
            f"expected at least {LEAST_RETRAINED} retrained models where a whole class is forgotten, got {retrained} "
            f"and class {', '.join(map(str, wholly))} without a retained sample; no reference went without it, so "
            f"retrain {LEAST_RETRAINED} or more"
        )
