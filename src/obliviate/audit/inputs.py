"""What an audit is given: models' outputs, the references, the samples of the games, and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.attacks.membership.lira import Variance
from obliviate.errors import AuditError

Role = Literal["original", "retrained", "unlearned"]

NLL, SCORE, RIGHT = range(3)  # the columns of outputs that are not logits
EVIDENCE = 3  # how many these are; answers to single labels may follow

LEAST_RETRAINED = 2  # fewer cannot be a yardstick: each is judged against the others
LEAST_REFERENCES = 4  # one of them plays the target, and every sample is then inside and outside of others


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadows:
    """References that were unlearned as a candidate was: their logits over the samples F ∪ V, for U-LiRA.

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

    With `shadows` the model is also attacked by U-LiRA, which its verdict then rests on as well.
    """

    name: str
    role: Role
    method: str
    seed: int
    logits: Float[np.ndarray, "pool k"]
    seconds: float | None
    weights_sha256: str
    settings: Mapping[str, object] = field(default_factory=dict)
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
class Games:
    """The classes of the pool population, and which of its indices are forget, retain and unseen samples.

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
        """The classes of some of the samples."""
        return None if self.labels is None else self.labels[index]


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of the audit; `margin` is a fraction of AUC, `utility_margin` of accuracy, recall and their like.

    Without a `margin` the verdict is made at what the data resolve (`verdict.Margins`). `form` is that of the
    probability that RMIA reads (`rmia.confidence`), `variance` that of LiRA's Gaussians (`lira`). `screens` adds the
    cheap attacks of `audit.screens`.
    """

    gamma: float = 2.0
    temperature: float = 2.0
    form: Literal["softmax", "taylor"] = "softmax"
    variance: Variance = "auto"
    confidence: float = 0.95
    margin: float | None = None
    utility_margin: float = 0.03
    screens: bool = False


def check(candidates: Sequence[Candidate], pool: Pool, games: Games) -> None:
    """Refuse what cannot be audited fairly, before any score is computed; raises AuditError."""
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names) or not names:
        raise AuditError(f"expected at least 1 candidate and distinct names, got {names}; rename the candidates")
    n, models = pool.included.shape[1], len(pool.logits)
    if games.labels is not None and len(games.labels) != n:
        raise AuditError(
            f"expected a label for each of the {n} samples of the pool, got {len(games.labels)}; align them"
        )
    if models < LEAST_REFERENCES or len(pool.included) != models:
        raise AuditError(
            f"expected at least {LEAST_REFERENCES} references and included (references, {n}), got {models} and "
            f"{pool.included.shape}; score every reference on the {n} samples"
        )
    shape = pool.logits[0].shape
    answers = 0 if games.present is None else games.present.shape[1]
    if games.labels is None and shape[1:] not in {(EVIDENCE,), (EVIDENCE + answers,)}:
        raise AuditError(
            "expected the columns −log-likelihood, score and share right of a task without classes, got outputs of "
            f"shape {shape}; give `labels` where they are logits"
        )
    for name, size in [("a reference", shape)] + [(candidate.name, candidate.logits.shape) for candidate in candidates]:
        if len(size) != 2 or size[0] != n or size != shape:
            raise AuditError(
                f"expected logits of shape ({n}, {shape[-1]}), got {size} from {name}; score the pool's samples"
            )
    for name, part in games.parts.items():
        if len(part) < 2 or part.dtype.kind not in "iu" or part.min() < 0 or part.max() >= n:
            raise AuditError(
                f"expected at least 2 indices in [0, {n}) for {name}, got {part}; choose samples of the pool"
            )
    points = np.concatenate(list(games.parts.values()))
    if shared := len(points) - len(np.unique(points)):
        raise AuditError(
            f"expected every sample in one game, got {shared} repeated; make forget, retain, unseen disjoint"
        )
    for name, part in games.parts.items():
        seen = pool.included[:, part].sum(axis=0)
        # One reference plays the target, so that two must have been trained with and without every sample.
        if one_sided := int(((seen < 2) | (seen > models - 2)).sum()):
            raise AuditError(
                f"expected every {name} sample in at least 2 references and out of at least 2, got {one_sided} of "
                f"{len(part)} that are not; such points bias the attack, so train references on a plan that covers them"
            )


def check_classes(forget: Int[np.ndarray, " f"], retain: Int[np.ndarray, " r"], *, retrained: int) -> None:
    """Refuse labels of which none is retained where there are too few retrained models; raises AuditError.

    References are no yardstick then, for none of them went without such a class.

    >>> check_classes(np.array([0, 2]), np.array([0, 1, 2]), retrained=0)
    >>> check_classes(np.array([0, 2]), np.array([0, 1]), retrained=2)
    """
    if retrained < LEAST_RETRAINED and len(wholly := np.setdiff1d(forget, retain)):
        raise AuditError(
            f"expected at least {LEAST_RETRAINED} retrained models where a whole class is forgotten, got {retrained} "
            f"and class {', '.join(map(str, wholly))} without a retained sample; no reference went without it, so "
            f"retrain {LEAST_RETRAINED} or more"
        )
