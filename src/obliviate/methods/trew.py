"""TREW: answer samples of a forgotten class as a model that never knew it would, by similarity of the other classes.

Ebrahimpour-Boroojeny, Wang, Sundaram, "Unlearning Isn't Forgetting: Revealing Hidden Leakage in Class Unlearning
Evaluations", ICML 2026, arXiv 2506.20893.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_classification, check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class TREW:
    """Forget whole classes: distil the original's output over the other classes, tilted towards similar ones.

    The target of a sample of class f is 0 for f, and p(y | x) · exp(β · s(f, y)) for a retained class y, made to sum to
    1 (Tilted REWeighting): of all distributions with the same mean similarity the one nearest to the original's. s is
    the cosine between the classes' vectors in the last linear layer, from which the mean vector has been taken. The
    loss is the cross-entropy with these targets on forget samples, with labels on retained ones.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> forgotten = X[y == 0]
    >>> 0 in model.unlearn((y == 0).nonzero()[0], TREW(epochs=10)).predict(forgotten)
    False
    """

    name: ClassVar[str] = "trew"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Ebrahimpour-Boroojeny et al., ICML 2026, arXiv 2506.20893"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    beta: float = 10.0
    epochs: Length = "20%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "0.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "beta")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        classes = check_classification(self, run.task).classes
        forgotten, retained = split.forget.targets.unique(), split.kept.targets.unique()
        if len(left := forgotten[torch.isin(forgotten, retained)]):
            raise MethodError(
                f"expected classes that are forgotten as a whole for trew, got retained samples of class "
                f"{', '.join(str(int(label)) for label in left)}; forget all samples of a class, as `class:NAME` does, "
                "or use another method"
            )
        tilt = torch.full((classes, classes), -torch.inf)
        tilt[:, retained] = self.beta * similarities(model, classes)[:, retained]
        tilt, gone = run.place(tilt), run.place(torch.isin(torch.arange(classes), forgotten))
        teacher = copy.deepcopy(model).eval().requires_grad_(False)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            logits, away = model(batch.x).float(), gone[batch.y]
            aims = F.one_hot(batch.y, classes).float()
            if bool(away.any()):
                aims[away] = (teacher(batch.x[away]).float() + tilt[batch.y[away]]).softmax(1)
            losses, weights = F.cross_entropy(logits, aims, reduction="none"), run.task.weights(batch.y)
            return losses.mean() if weights is None else (weights * losses).sum() / weights.sum()

        data = run.augmented(split.forget.joined(split.kept))
        optimizer = run.optimizer(model, self)
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs * len(run.batches(data, size, 0)))
        for epoch in run.epochs("trew", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            run.fit(model, run.batches(data, size, epoch), loss, optimizer, scheduler=scheduler)
        return model


def similarities(model: nn.Module, classes: int) -> Float[Tensor, "classes classes"]:
    """The cosines between the classes' centred vectors in the last linear layer; raises MethodError without one.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> _ = nn.init.eye_(layer.weight)
    >>> similarities(layer, 2).round(decimals=4).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == classes]
    if not layers:
        raise MethodError(
            f"expected a model with a linear layer of {classes} outputs for trew, got {type(model).__name__} without; "
            "use another method"
        )
    weight = layers[-1].weight.detach().float().cpu()
    vectors = F.normalize(weight - weight.mean(0), dim=1)
    return vectors @ vectors.T
