"""Selective Synaptic Dampening: shrink the weights that matter more to the forget set than to the whole.

Foster, Schoepf, Brintrup, "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening", AAAI 2024,
arXiv 2308.07707.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive
from obliviate.methods.relative import Weakness
from obliviate.training.importance import importances
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class SSD:
    """Dampen what the forget set depends on out of proportion: θ ← θ·min(λF_D/F_F, 1) where F_F > α·F_D.

    No step is trained. The importances F are mean squared gradients, F_D over all training samples, F_F over D_F.
    `batch_size` is how many samples make one gradient: 1 is the paper's definition, 64 about the authors' code, and as
    many times cheaper. D_F is a part of D, so that F_F ≤ F_D·|D|/|D_F|: an `alpha` above |D|/|D_F| changes nothing.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], SSD(alpha=10)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "ssd"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Foster et al., AAAI 2024, arXiv 2308.07707"

    alpha: Weakness = 2.0
    dampening: float = 1.0
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "alpha", "dampening", "batch_size")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        size = min(self.batch_size, len(split.forget))  # a mean over fewer samples has larger squares
        forget = run.once("importance_forget", lambda: importances(model, split.forget, run, size))
        retain = run.once("importance_retain", lambda: importances(model, split.kept, run, size))
        share = len(split.forget) / (len(split.forget) + len(split.kept))
        selected = total = 0
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name not in forget:
                    continue
                f = forget[name]
                d = share * f + (1 - share) * retain[name]
                chosen = f > self.alpha * d
                parameter.mul_(torch.where(chosen, (self.dampening * d / f).clamp(max=1), 1))
                selected += int(chosen.sum())
                total += parameter.numel()
        if not selected:
            raise MethodError(
                f"expected weights with F_F above {self.alpha}·F_D, got none of {total}; "
                f"lower alpha, which cannot be reached above |D|/|D_F| = {1 / share:.4g}"
            )
        run.notes["dampened_share"] = selected / total
        return model
