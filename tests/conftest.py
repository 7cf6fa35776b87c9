"""What several test modules share: data, a model trained on a part of them, and ways to spoil what tests look at."""

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Two threads on a busy two-core machine wait for each other; one is faster, and gives the same sums everywhere.
os.environ["OMP_NUM_THREADS"] = "1"
# Tests of the engine's parts hand tensors to models themselves, on the processor. Where a GPU is asked for, those that
# go by the public functions run on it (CONTRIBUTING.md).
if not os.environ.get("OBLIVIATE_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import nn

import type_checks
from obliviate import workflow
from obliviate.audit import two_sample
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.experiment import Experiment
from obliviate.membership import logistic
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from postgres_support import postgres, server
from quick_audits import undrawn

__all__ = ["postgres", "server"]

if os.environ.get("OBLIVIATE_TEST_GPU") and not torch.cuda.is_available():
    pytest.exit(
        "expected a CUDA device for OBLIVIATE_TEST_GPU=1, got none; run `make test` on this machine", returncode=4
    )

torch.set_num_threads(1)
PERMUTATIONS, REPEATS = two_sample.PERMUTATIONS, logistic.REPEATS
# The same examples in every run, and no time limit that a busy machine could miss.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests take as long as they take."""
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.timeout(0))


def pytest_collection() -> None:
    """Nearly nothing of what is imported and collected is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end; nobody need look through it for garbage again and again.

    Nor through the rest after every few hundred objects.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Tests kill processes, but cut no power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def data() -> sources.Data:
    """The shipped images."""
    return sources.embedded()


@pytest.fixture(scope="session")
def few(data: sources.Data) -> Samples:
    """600 training samples."""
    return data.train.select(data.train.ids[:600])


@pytest.fixture(scope="session")
def task() -> Classification:
    return Classification(classes=10)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A short training that reaches about 72 % on the shipped test set with 600 samples."""
    return Recipe(epochs=4, batch_size=32)


@pytest.fixture(scope="session")
def original(few: Samples, task: Classification, recipe: Recipe) -> nn.Module:
    """A model trained on the 600 samples; tests must not change it."""
    return workflow.train(Experiment(task, recipe, few)).model


@pytest.fixture(scope="session")
def tiny() -> Samples:
    """60 rows of 6 numbers in [0, 1] in 3 classes, which a small network can tell apart; their ids are s00 … s59."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    centres = torch.rand(3, 6, generator=generator)
    x = (centres[y] + 0.15 * torch.randn(60, 6, generator=generator)).clamp(0, 1)
    return Samples.from_tensors(x, y, ids=[f"s{i:02d}" for i in range(60)])


@pytest.fixture(scope="session")
def three_classes() -> Classification:
    return Classification(classes=3)


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Fits `tiny`."""
    options = {"features": 6, "classes": 3, "hidden": (8,)}
    return Recipe(model="mlp", model_options=options, epochs=3, batch_size=16, precision="float32")


@pytest.fixture(scope="session")
def noise() -> Samples:
    """240 random inputs with random labels of 2 classes: all that can be learnt of them is learnt by heart."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(240, 30, generator=generator), torch.randint(0, 2, (240,), generator=generator)
    return Samples.from_tensors(x, y, ids=[f"s{i:03d}" for i in range(240)])


@pytest.fixture(scope="session")
def two_classes() -> Classification:
    return Classification(classes=2)


@pytest.fixture(scope="session")
def by_heart() -> Recipe:
    """Learns `noise` by heart."""
    options = {"features": 30, "classes": 2, "hidden": (64,)}
    return Recipe(model="mlp", model_options=options, epochs=60, batch_size=32, weight_decay=0.0, precision="float32")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No run-time checks of types and shapes, as for a user: what they would stop reaches our own messages."""
    with type_checks.unchecked():
        yield


@pytest.fixture(scope="session", autouse=True)
def few_permutations() -> Iterator[None]:
    """Audits without most of their time, which their two-sample test takes, and few tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "PERMUTATIONS", (1, 1))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_repeat() -> Iterator[None]:
    """Cheap attacks whose 25 regressions a model are five, which few tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logistic, "REPEATS", 1)
        yield


@pytest.fixture
def all_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many regressions as a user gets, for tests that look at what they find."""
    monkeypatch.setattr(logistic, "REPEATS", REPEATS)


@pytest.fixture
def all_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many permutations as a user gets, for tests that look at whether samples differ by themselves."""
    monkeypatch.setattr(two_sample, "PERMUTATIONS", PERMUTATIONS)


@pytest.fixture
def without_plots() -> Iterator[None]:
    """Reports without their plots, for tests of words."""
    with undrawn():
        yield


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Interrupt the epochs of these numbers, of runs that save their state after each; the list counts the epochs."""

    def interrupt(*numbers: int) -> list[int]:
        fit, init, begun = Run.fit, Run.__init__, [0]

        def counting(self: Run, *arguments: Any, **options: Any) -> float:
            begun[0] += 1
            if begun[0] in numbers:
                raise KeyboardInterrupt
            return fit(self, *arguments, **options)

        def saving(self: Run, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options | {"save_every": 0.0})

        monkeypatch.setattr(Run, "__init__", saving)
        monkeypatch.setattr(Run, "fit", counting)
        return begun

    return interrupt


@pytest.fixture
def flip_bits() -> Callable[[Path], Iterator[int]]:
    """Write a file again and again, each time with another bit flipped; the numbers are those of the bits."""

    def flip_bits(path: Path) -> Iterator[int]:
        content = path.read_bytes()
        for place in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << place % 8
            path.write_bytes(flipped)
            yield place

    return flip_bits


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, {width}), nn.Linear({width}, 3)

    def forward(self, x):
        return self.b(self.a(x).{activation}())


def make():
    model = Net()
    {then}
    return model
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a module of the user's, as an editor would, whose `make` makes a network that fits `tiny`.

    The next import reads it again.
    """
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions may be written within the same second
    written: set[str] = set()

    def write(name: str, *, width: int = 8, activation: str = "relu", then: str = "pass") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(NET.format(width=width, activation=activation, then=then), encoding="utf-8")
        written.add(name)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return path

    yield write
    for name in written:
        sys.modules.pop(name, None)
