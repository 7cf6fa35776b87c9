"""What relative settings of methods are multiples and shares of: how a model was trained, or could have been."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate._util.randomness import seed_generators, undisturbed
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import MethodError, RecipeError
from obliviate.task import Task
from obliviate.training import optimizers
from obliviate.training.recipe import Recipe
from obliviate.types import Batch

ADAM_BESIDE_SGD: Final = 0.01
USUAL: Final = 64  # samples a step, at which Adam's rate is that beside SGD's
MOST: Final = 1000  # samples that the search looks at
STEPS: Final = 10  # that it takes at each rate
RISE: Final = 0.5  # of the way to a blind model's loss that is too much
MARGIN: Final = 10**0.5  # one place of the grid: what the scale stays below the largest rate that does no harm
KIN: Final = {"NAdam": "adam", "RAdam": "adam", "RMSprop": "adam"}
"""Optimisers of torch whose usual rates are those of Adam, by which methods go on where they were trained."""
RATES: Final = {
    "sgd": tuple(10 ** (power / 2) for power in range(-8, 1)),  # 1e-4 … 1
    "adamw": tuple(10 ** (power / 2) for power in range(-10, -1)),  # 1e-5 … 1e-1
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a model was trained: its optimiser, peak learning rate, and passes over the data.

    `momentum` is that of SGD, or β₁ of Adam and AdamW. The defaults are assumed where no recipe is known.
    """

    optimizer: str
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = USUAL
    epochs: int = 20

    def rate(self, optimizer: str, batch_size: int | None = None) -> float | None:
        """The learning rate by which this optimiser would have trained the model; None where that is not known.

        A rate belongs to a batch size, the recipe's if left out: that of SGD grows with it (Goyal et al. 2017, arXiv
        1706.02677), those of Adam and AdamW with its square root (Malladi et al. 2022, arXiv 2205.10287). For Adam
        beside SGD it is a hundredth at 64 samples a step, as usual rates are (0.001 beside 0.1): steps of Adam do not
        depend on the size of gradients.

        >>> scale = Scale(optimizer="sgd", learning_rate=0.8, batch_size=512)
        >>> scale.rate("sgd"), scale.rate("sgd", 64), scale.rate("adamw", 64), scale.rate("adamw", 256)
        (0.8, 0.1, 0.001, 0.002)
        >>> Scale(optimizer="adamw", learning_rate=1e-3).rate("sgd")
        """
        size = batch_size or self.batch_size
        if self.optimizer != "sgd":
            return None if optimizer == "sgd" else self.learning_rate * (size / self.batch_size) ** 0.5
        if optimizer == "sgd":
            return self.learning_rate * size / self.batch_size
        return ADAM_BESIDE_SGD * self.learning_rate * USUAL / self.batch_size * (size / USUAL) ** 0.5

    @staticmethod
    def is_known_of(recipe: Recipe) -> bool:
        """Whether a recipe says it: one by a training function, or an optimiser with rates of its own kind, does not.

        >>> Scale.is_known_of(Recipe(optimizer="RMSprop")), Scale.is_known_of(Recipe(optimizer="Adagrad"))
        (True, False)
        """
        return recipe.train is None and recipe.optimizer in {*optimizers.OPTIMIZERS, *KIN}

    @classmethod
    def of(cls, recipe: Recipe) -> Scale:
        """Read it off a recipe; raises RecipeError for one of which it is not known (`is_known_of`).

        >>> Scale.of(Recipe(optimizer="adamw", learning_rate=3e-3, momentum=0.5)).momentum  # which AdamW never has
        0.9
        """
        if not cls.is_known_of(recipe):
            raise RecipeError(
                "expected a recipe by sgd, adam, adamw or their kin for settings that are multiples of its rate, got "
                f"{'a training function' if recipe.train is not None else recipe.optimizer}; give numbers instead, or "
                "unlearn without this step, where a rate is found from the model"
            )
        return cls(
            optimizer=KIN.get(recipe.optimizer, recipe.optimizer),
            learning_rate=recipe.learning_rate,
            momentum=recipe.first_moment,
            weight_decay=recipe.weight_decay,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
        )


def found_scale(model: nn.Module, samples: Samples, task: Task, *, seed: int) -> Scale:
    """Find a scale for a model whose recipe is not known, by at most 90 steps of copies of it on kept samples.

    From the smallest rate of a grid upwards, ten steps are taken in training mode, until the loss of a held part rises
    by more than half of the way to the loss of a blind model, which gives all samples the mean output; the scale is one
    place of the grid (a factor of √10) below the last rate that did not. Models with embeddings and inputs of tokens
    are asked by AdamW, others by SGD. Nothing of the model or of any random state is changed.
    Raises MethodError where the smallest rate is too large.
    """
    words = not samples.take(torch.arange(1)).x.is_floating_point()
    kind = "adamw" if words or any(isinstance(module, nn.Embedding) for module in model.modules()) else "sgd"
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(derive(seed, "scale"))
    batch = samples.take(torch.randperm(len(samples), generator=generator)[:MOST]).to(device)
    some = len(batch) // 4
    held, others = _rows(batch, torch.arange(max(some, 1))), _rows(batch, torch.arange(some, len(batch)))
    size = min(max(len(others), 2), Scale.batch_size)  # one sample is too few for batch norm
    draws = [torch.randint(len(others), (size,), generator=generator) for _ in range(STEPS)]
    with undisturbed():
        before, blind = _losses(copy.deepcopy(model), held, task)
        largest = None
        for rate in RATES[kind]:
            seed_generators(derive(seed, "scale", "steps"))
            private = copy.deepcopy(model).train()
            optimizer = optimizers.make(private, Scale(optimizer=kind, learning_rate=rate))
            for draw in draws:
                optimizer.zero_grad()
                task.loss(private, _rows(others, draw)).backward()
                optimizer.step()
            after, _ = _losses(private, held, task)
            if not after <= before + RISE * max(blind - before, 0.0):  # NaN is too much as well
                break
            largest = rate
    if largest is None:
        raise MethodError(
            f"expected a learning rate at which ten steps of {kind} do no harm, got a loss that rises at the smallest, "
            f"{RATES[kind][0]:.0e}; give the recipe that trained the model, or settings in numbers"
        )
    return Scale(optimizer=kind, learning_rate=float(f"{largest / MARGIN:.3g}"), batch_size=min(64, len(samples)))


@torch.no_grad()
def _losses(model: nn.Module, batch: Batch, task: Task) -> tuple[float, float]:
    """The mean loss of a model in evaluation mode, and what it were with the mean output for every sample."""
    with evaluating(model):
        output = model(batch.x).float()
    blind = output.mean(0, keepdim=True).expand_as(output)
    return float(task.per_sample(output, batch.y).mean()), float(task.per_sample(blind, batch.y).mean())


def _rows(batch: Batch, places: Tensor) -> Batch:
    """Some samples of a batch, which may come more than once."""
    return Batch(batch.x[places], batch.y[places], batch.ids[places.numpy()])
