"""Pools that can be made again in many ways, and an executor of one's own."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from obliviate.data.samples import Samples
from obliviate.references.jobs import Job
from obliviate.references.member import Members
from obliviate.references.pool import ReferencePool, train_pool
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from pools import Make


@dataclass
class AtOnce:
    """It has `submit`, and does everything in it, from what another process would read."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.calls.append(args)
        received = pickle.loads(pickle.dumps((fn, args)))
        future: Future[Any] = Future()
        try:
            future.set_result(received[0](*received[1]))
        except BaseException as error:  # noqa: BLE001 - as the executors of the standard library do
            future.set_exception(error)
        return future


@pytest.fixture
def at_once() -> AtOnce:
    return AtOnce()


@pytest.fixture(scope="session")
def make_pool(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Make:
    def make(folder: Path, **options: Any) -> ReferencePool:
        options = {"models": 4, "seed": 1, "recipe": tiny_recipe} | options
        if "executor" not in options:
            options = {"workers": 0} | options
        return train_pool(options.pop("recipe"), tiny, three_classes, folder=folder, **options)

    return make


@pytest.fixture(scope="session")
def whole(make_pool: Make, tmp_path_factory: pytest.TempPathFactory) -> ReferencePool:
    """A pool that was trained without an interruption."""
    return make_pool(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def job(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Job:
    return Members(tiny_recipe, three_classes, tiny, 1, ("name",), True, 4)
