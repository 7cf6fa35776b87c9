"""Cheap attacks of the literature: attacks that look at one model only, without references.

No verdict rests on them; published tables were made with them, and a figure means something only beside that of
retrained models. They learn to tell forget from unseen samples by cross-validation, or retained from unseen ones
(`halves`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from obliviate.membership import boosted_trees, logistic, svc
from obliviate.membership.base import Scores, Signal, Target, Use
from obliviate.membership.outputs import NLL, Outputs

NABLA_TAU = "Trippa et al., arXiv 2403.14339"
SALUN = "Jia et al., NeurIPS 2023, arXiv 2304.04934; Fan et al., ICLR 2024, arXiv 2310.12508"


class _CheapAttack:
    """What all of them have in common."""

    use: ClassVar[Use] = "cheap"

    @property
    def signals(self) -> tuple[Signal, ...]:
        """None: it looks at one model only."""
        return ()


def _by_threshold(target: Target, feature: Callable[[Outputs], Float[np.ndarray, " k"]]) -> Scores:
    """Logistic regression on one number a sample, forget (as members) against unseen samples."""
    asked = np.concatenate([target.index("forget"), target.index("unseen")])
    members = np.arange(len(asked)) < len(target.index("forget"))
    scores = np.full(len(target.outputs), np.nan)
    scores[asked] = logistic.scores(feature(target.outputs.at(asked)), members)
    return scores


Learner = Callable[..., tuple[Float[np.ndarray, " f"], Float[np.ndarray, " u"]]]


def _by_learning(target: Target, features: Float[np.ndarray, "n k"], learner: Learner) -> Scores:
    """An attack that learns retained against unseen samples, and is asked about those that it did not learn."""
    forget, retain, unseen = (target.index(part) for part in ("forget", "retain", "unseen"))
    scores = np.full(len(features), np.nan)
    scores[forget], scores[unseen] = learner(features[forget], features[retain], features[unseen])
    return scores


@dataclass(frozen=True, kw_only=True)
class LossAttack(_CheapAttack):
    """Logistic regression on the loss (MIA_L)."""

    name: ClassVar[str] = "mia_loss"
    title: ClassVar[str] = "mia loss"
    source: ClassVar[str] = NABLA_TAU
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, target: Target) -> Scores:
        def loss(outputs: Outputs) -> Float[np.ndarray, " k"]:
            return outputs.losses if outputs.labels is None else logistic.loss(outputs.values, outputs.labels)

        return _by_threshold(target, loss)


@dataclass(frozen=True, kw_only=True)
class EntropyAttack(_CheapAttack):
    """Logistic regression on the entropy of the softmax (MIA_E)."""

    name: ClassVar[str] = "mia_entropy"
    title: ClassVar[str] = "mia entropy"
    source: ClassVar[str] = NABLA_TAU
    needs: ClassVar[frozenset[str]] = frozenset({"classes"})

    def __call__(self, target: Target) -> Scores:
        return _by_threshold(target, lambda outputs: logistic.entropy(outputs.values))


@dataclass(frozen=True, kw_only=True)
class ConfidenceAttack(_CheapAttack):
    """Logistic regression on the probability of the true class, or of the target without classes."""

    name: ClassVar[str] = "mia_confidence"
    title: ClassVar[str] = "mia confidence"
    source: ClassVar[str] = NABLA_TAU
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, target: Target) -> Scores:
        def confidence(outputs: Outputs) -> Float[np.ndarray, " k"]:
            if outputs.labels is None:
                return np.exp(-outputs.values[:, NLL].astype(np.float64))
            return logistic.confidence(outputs.values, outputs.labels)

        return _by_threshold(target, confidence)


class _SvcAttack(_CheapAttack):
    """A support vector classifier on one of `svc.features`, which is the rest of the name."""

    name: ClassVar[str]
    source: ClassVar[str] = SALUN
    needs: ClassVar[frozenset[str]] = frozenset({"classes"})

    def __call__(self, target: Target) -> Scores:
        assert target.outputs.labels is not None
        features = svc.features(target.outputs.values, target.outputs.labels)[self.name.removeprefix("svc_")]
        return _by_learning(target, features, svc.success)


@dataclass(frozen=True, kw_only=True)
class CorrectnessSvc(_SvcAttack):
    """A support vector classifier on whether the model is right."""

    name: ClassVar[str] = "svc_correctness"
    title: ClassVar[str] = "svc correctness"


@dataclass(frozen=True, kw_only=True)
class ConfidenceSvc(_SvcAttack):
    """A support vector classifier on the probability of the true class."""

    name: ClassVar[str] = "svc_confidence"
    title: ClassVar[str] = "svc confidence"


@dataclass(frozen=True, kw_only=True)
class EntropySvc(_SvcAttack):
    """A support vector classifier on the entropy of the softmax."""

    name: ClassVar[str] = "svc_entropy"
    title: ClassVar[str] = "svc entropy"


@dataclass(frozen=True, kw_only=True)
class ModifiedEntropySvc(_SvcAttack):
    """A support vector classifier on the modified entropy, which knows the true class."""

    name: ClassVar[str] = "svc_modified_entropy"
    title: ClassVar[str] = "svc modified entropy"


@dataclass(frozen=True, kw_only=True)
class ProbabilitiesSvc(_SvcAttack):
    """A support vector classifier on the probabilities of all classes."""

    name: ClassVar[str] = "svc_probabilities"
    title: ClassVar[str] = "svc probabilities"


@dataclass(frozen=True, kw_only=True)
class SortedSoftmaxTrees(_CheapAttack):
    """Boosted trees on sorted softmax vectors: the ASR of MixUnlearn and LAF."""

    name: ClassVar[str] = "asr"
    title: ClassVar[str] = "asr"
    source: ClassVar[str] = "Shen et al., ICLR 2024, arXiv 2404.00506; Peng et al., ICLR 2025, arXiv 2502.10288"
    needs: ClassVar[frozenset[str]] = frozenset({"classes"})

    def __call__(self, target: Target) -> Scores:
        return _by_learning(target, boosted_trees.sorted_softmax(target.outputs.values), boosted_trees.success)
