"""Retraining from scratch on the retain set: exact, and what every other method is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from obliviate.data.split import Split
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """Train a fresh model on the retain set with the original recipe.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], Retrain()).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "retrain"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels", "recipe"})
    exact: ClassVar[bool] = True
    source: ClassVar[str] = "exact unlearning by definition"

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:  # noqa: ARG002
        return run.train(split.kept)
