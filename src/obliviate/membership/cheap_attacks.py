"""Cheap attacks of the literature: attacks that look at one model only, without references.

No verdict rests on them; published tables were made with them, and a figure means something only beside that of
retrained models. They learn to tell forget from unseen samples by cross-validation, or retained from unseen ones
(`halves`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from obliviate.membership import boosted_trees, logistic, svc
from obliviate.membership.base import Scores, Signal, Target, Use
from obliviate.membership.outputs import NLL, Outputs

Learner = Callable[..., tuple[Float[np.ndarray, " f"], Float[np.ndarray, " u"]]]


class _CheapAttack(ABC):
    """What all of them have in common; the title is the name, with spaces."""

    use: ClassVar[Use] = "cheap"
    name: ClassVar[str]
    title: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in vars(cls):
            cls.title = cls.name.replace("_", " ")

    @property
    def signals(self) -> tuple[Signal, ...]:
        """None: it looks at one model only."""
        return ()

    @abstractmethod
    def __call__(self, target: Target) -> Scores: ...


class _LogisticAttack(_CheapAttack):
    """Logistic regression on one number a sample, forget (as members) against unseen samples."""

    source: ClassVar[str] = "Trippa et al., arXiv 2403.14339"
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def feature(self, outputs: Outputs) -> Float[np.ndarray, " k"]:
        """The number that each sample is told by."""

    def __call__(self, target: Target) -> Scores:
        rows = np.concatenate([target.index("forget"), target.index("unseen")])
        members = np.arange(len(rows)) < len(target.index("forget"))
        scores = np.full(len(target.outputs), np.nan)
        feature = self.feature(target.outputs.at(rows))
        scores[rows] = logistic.scores(feature, members, repeats=logistic.REPEATS)
        return scores


class _LearningAttack(_CheapAttack):
    """An attack that learns retained against unseen samples, and is asked about those that it did not learn."""

    needs: ClassVar[frozenset[str]] = frozenset({"classes"})
    learner: ClassVar[Learner]

    @abstractmethod
    def features(self, outputs: Outputs) -> Float[np.ndarray, "n k"]:
        """The numbers that each sample is told by."""

    def __call__(self, target: Target) -> Scores:
        features = self.features(target.outputs)
        forget, retain, unseen = (target.index(part) for part in ("forget", "retain", "unseen"))
        scores = np.full(len(features), np.nan)
        scores[forget], scores[unseen] = type(self).learner(features[forget], features[retain], features[unseen])
        return scores


class _SvcAttack(_LearningAttack):
    """A support vector classifier on one of `svc.features`, which is the rest of the name."""

    source: ClassVar[str] = "Jia et al., NeurIPS 2023, arXiv 2304.04934; Fan et al., ICLR 2024, arXiv 2310.12508"
    learner: ClassVar[Learner] = svc.success

    def features(self, outputs: Outputs) -> Float[np.ndarray, "n k"]:
        assert outputs.labels is not None
        return svc.features(outputs.values, outputs.labels)[self.name.removeprefix("svc_")]


@dataclass(frozen=True, kw_only=True)
class LossAttack(_LogisticAttack):
    """Logistic regression on the loss (MIA_L)."""

    name: ClassVar[str] = "mia_loss"

    def feature(self, outputs: Outputs) -> Float[np.ndarray, " k"]:
        return outputs.losses if outputs.labels is None else logistic.loss(outputs.values, outputs.labels)


@dataclass(frozen=True, kw_only=True)
class EntropyAttack(_LogisticAttack):
    """Logistic regression on the entropy of the softmax (MIA_E)."""

    name: ClassVar[str] = "mia_entropy"
    needs: ClassVar[frozenset[str]] = frozenset({"classes"})

    def feature(self, outputs: Outputs) -> Float[np.ndarray, " k"]:
        return logistic.entropy(outputs.values)


@dataclass(frozen=True, kw_only=True)
class ConfidenceAttack(_LogisticAttack):
    """Logistic regression on the probability of the true class, or of the target without classes."""

    name: ClassVar[str] = "mia_confidence"

    def feature(self, outputs: Outputs) -> Float[np.ndarray, " k"]:
        if outputs.labels is None:
            return np.exp(-outputs.values[:, NLL].astype(np.float64))
        return logistic.confidence(outputs.values, outputs.labels)


@dataclass(frozen=True, kw_only=True)
class CorrectnessSvc(_SvcAttack):
    """A support vector classifier on whether the model is right."""

    name: ClassVar[str] = "svc_correctness"


@dataclass(frozen=True, kw_only=True)
class ConfidenceSvc(_SvcAttack):
    """A support vector classifier on the probability of the true class."""

    name: ClassVar[str] = "svc_confidence"


@dataclass(frozen=True, kw_only=True)
class EntropySvc(_SvcAttack):
    """A support vector classifier on the entropy of the softmax."""

    name: ClassVar[str] = "svc_entropy"


@dataclass(frozen=True, kw_only=True)
class ModifiedEntropySvc(_SvcAttack):
    """A support vector classifier on the modified entropy, which knows the true class."""

    name: ClassVar[str] = "svc_modified_entropy"


@dataclass(frozen=True, kw_only=True)
class ProbabilitiesSvc(_SvcAttack):
    """A support vector classifier on the probabilities of all classes."""

    name: ClassVar[str] = "svc_probabilities"


@dataclass(frozen=True, kw_only=True)
class SortedSoftmaxTrees(_LearningAttack):
    """Boosted trees on sorted softmax vectors: the ASR of MixUnlearn and LAF."""

    name: ClassVar[str] = "asr"
    source: ClassVar[str] = "Shen et al., ICLR 2024, arXiv 2404.00506; Peng et al., ICLR 2025, arXiv 2502.10288"
    learner: ClassVar[Learner] = boosted_trees.success

    def features(self, outputs: Outputs) -> Float[np.ndarray, "n k"]:
        return boosted_trees.sorted_softmax(outputs.values)
