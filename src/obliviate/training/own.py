"""Training by a function of the user's own, in place of a recipe's settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from obliviate._util.randomness import seed_generators, undisturbed
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import ObliviateError, RecipeError, TrainingError
from obliviate.training.code import called, where, written_name
from obliviate.training.tensors import tensors_sha256


@runtime_checkable
class TrainFunction(Protocol):
    """Trains a fresh model and returns it, or another of the same architecture.

    `model` has new weights and is on the `device` already; `dataset` is a map-style dataset of (input, target), which a
    `DataLoader` takes, and its `samples` have the ids. Everything random follows the `seed`: torch's, numpy's and
    Python's global generators are seeded before each call, and given back afterwards.

    >>> def train(model, dataset, *, seed, device):
    ...     loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True)
    ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ...     for x, y in loader:
    ...         optimizer.zero_grad()
    ...         nn.functional.cross_entropy(model(x.to(device)), y.to(device)).backward()
    ...         optimizer.step()
    ...     return model
    """

    def __call__(
        self, model: nn.Module, dataset: Dataset[tuple[Tensor, Tensor]], *, seed: int, device: torch.device
    ) -> nn.Module: ...


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Samples as a map-style dataset of (input, target) on the processor.

    >>> pairs = Pairs(Samples.from_tensors(torch.rand(3, 4), torch.tensor([0, 1, 0])))
    >>> len(pairs), pairs[1][1]
    (3, tensor(1))
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected a number below {len(self)}, got {index}; ask for a sample that there is")
        batch = self.samples.take(torch.tensor([index % len(self)]))
        return batch.x[0].cpu(), batch.y[0].cpu()


def train(
    function: str | Callable[..., Any], model: nn.Module, samples: Samples, *, seed: int, device: torch.device
) -> nn.Module:
    """Train a fresh model by a function of the user's own, which is checked for what it returns.

    Raises TrainingError for an error of the function, with where it was raised, for weights that are not finite or have
    not changed; RecipeError for a function that returns no model, or one of another architecture.
    """
    name, function = written_name(function), called(function, what="training function")
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    before = tensors_sha256(model.state_dict())
    with _seeded(seed):
        try:
            trained = function(model.train(), Pairs(samples), seed=derive(seed, "own training"), device=device)
        except ObliviateError:
            raise
        except (Exception, SystemExit) as error:
            raise TrainingError(
                f"expected {name} to train a model on {len(samples):,} samples, got {where(error)}; correct the "
                "function"
            ) from error
    if not isinstance(trained, nn.Module):
        raise RecipeError(
            f"expected {name} to return the trained model, got {type(trained).__name__}; end it with `return model`"
        )
    state = trained.state_dict()
    if odd := sorted(set(shapes) ^ set(state)) or sorted(key for key in shapes if state[key].shape != shapes[key]):
        raise RecipeError(
            f"expected {name} to return a model of the architecture that it is given, got another ({odd[0]}); return "
            "the model itself, without a wrapper"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point()):
        raise TrainingError(f"expected finite weights from {name}, got NaN or Inf; lower its learning rate")
    if tensors_sha256(state) == before:
        raise TrainingError(f"expected {name} to train the model, got its fresh weights back; let it take steps")
    return trained


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside, and give their states back."""
    with undisturbed():
        drawn = derive(seed, "own training")
        seed_generators(drawn)
        np.random.seed(drawn % 2**32)
        random.seed(drawn)
        yield
