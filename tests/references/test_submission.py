"""Models that an executor makes: whoever can submit makes the same pool, and failures are told."""

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from obliviate.errors import RecipeError, TrainingError
from obliviate.references.executors.protocol import Executor
from obliviate.references.pool import ReferencePool
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from pools import Make, names_in, same


def test_a_thread_makes_the_same_pool(make_pool: Make, tmp_path: Path, whole: ReferencePool) -> None:
    with ThreadPoolExecutor(1) as executor:
        same(make_pool(tmp_path, executor=executor), whole)


def test_threads_take_turns_with_the_random_state(make_pool: Make, tmp_path: Path, whole: ReferencePool) -> None:
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(4) as executor:
        same(make_pool(tmp_path, executor=executor), whole)
    assert torch.get_num_threads() == threads


def test_processes_of_an_executor_make_the_same_pool(make_pool: Make, tmp_path: Path, whole: ReferencePool) -> None:
    reports: list[tuple[str, float, float]] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        pool = make_pool(tmp_path, executor=executor, progress=lambda *report: reports.append(report))
    same(pool, whole)
    assert {report[0] for report in reports} == {"references"}
    assert (reports[0][1:], reports[-1][1:]) == ((0, 4), (4, 4))


def test_whatever_can_submit_is_an_executor(
    make_pool: Make, tmp_path: Path, whole: ReferencePool, at_once: Any
) -> None:
    same(make_pool(tmp_path, executor=at_once), whole)
    assert [call[2] for call in at_once.calls] == [0, 1, 2, 3]
    make_pool(tmp_path, executor=at_once, models=6)
    assert [call[2] for call in at_once.calls[4:]] == [4, 5]


class Unlucky(nn.Linear):
    """It works where the pool is begun, and not in a thread of the executor."""

    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if threading.current_thread() is not threading.main_thread():
            raise ZeroDivisionError("no such luck")
        return super().forward(input)


def test_a_failure_in_an_executor_is_reported_and_the_rest_is_called_off(
    make_pool: Make, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    executor = ThreadPoolExecutor(1)
    with pytest.raises(
        TrainingError, match=r"got a failure .ZeroDivisionError: no such luck. of the executor in member 0"
    ):
        make_pool(tmp_path, executor=executor, recipe=replace(tiny_recipe, model=Unlucky, model_options={}))
    executor.shutdown()
    (folder,) = tmp_path.iterdir()
    assert "job.pickle" not in names_in(folder)
    assert not [name for name in names_in(folder) if name.endswith("safetensors")]


def test_an_error_that_can_be_mended_is_passed_on(
    make_pool: Make, tmp_path: Path, tiny_recipe: Recipe, at_once: Executor
) -> None:
    with pytest.raises(TrainingError, match=r"expected a finite loss, got .*; lower the learning rate"):
        make_pool(tmp_path, executor=at_once, recipe=replace(tiny_recipe, learning_rate=1e30))


def test_members_in_the_making_stop_when_the_job_is_called_off(
    make_pool: Make, tmp_path: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, epochs = Run.fit, [0]

    def counting(self: Run, *arguments: Any, **options: Any) -> float:
        epochs[0] += 1
        return fit(self, *arguments, **options)

    def dying(stage: str, done: float, total: float) -> None:
        if epochs[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "fit", counting)
    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        make_pool(tmp_path, executor=executor, recipe=replace(tiny_recipe, epochs=30_000), progress=dying)
    assert 0 < epochs[0] < 30_000  # of the first member alone
    assert not list(tmp_path.glob("*/member-*"))
    assert not list(tmp_path.glob("*/job.pickle"))


def test_a_model_that_the_executor_cannot_import_is_refused(
    make_pool: Make, tmp_path: Path, tiny_recipe: Recipe, at_once: Executor
) -> None:
    recipe = replace(tiny_recipe, model=lambda **_: nn.Linear(6, 3))
    with pytest.raises(RecipeError, match=r"expected a model that other processes can import, got .*<lambda>"):
        make_pool(tmp_path, executor=at_once, recipe=recipe)
