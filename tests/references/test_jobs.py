"""How the models of a pool are made: killed and resumed, by threads, by processes, by an executor of one's own."""

import os
import pickle
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from obliviate._util.locks import locked
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, RecipeError, TrainingError, WorkspaceError
from obliviate.references import jobs, logits
from obliviate.references.jobs import Executor, Job, make_elsewhere, pickled
from obliviate.references.member import Members
from obliviate.references.pool import ReferencePool, train_pool
from obliviate.task import Classification
from obliviate.training import run as runs
from obliviate.training.compute import Compute, computing
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

Make = Callable[..., ReferencePool]
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def make(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Make:
    def make(folder: Path, **options: Any) -> ReferencePool:
        given: dict[str, Any] = {"models": 4, "seed": 1, "recipe": tiny_recipe} | options
        if "executor" not in given:
            given = {"workers": 0} | given
        return train_pool(given.pop("recipe"), tiny, three_classes, folder=folder, **given)

    return make


@pytest.fixture(scope="module")
def whole(make: Make, tmp_path_factory: pytest.TempPathFactory) -> ReferencePool:
    """A pool that was trained without an interruption."""
    return make(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def job(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Job:
    return Members(tiny_recipe, three_classes, tiny, 1, "name", True, 4)


def names(folder: Path) -> set[str]:
    return {str(one.relative_to(folder)) for one in folder.rglob("*")}


def same(pool: ReferencePool, other: ReferencePool) -> None:
    """Both have the same files, with the same tensors, bit for bit."""
    assert names(pool.folder) == names(other.folder)
    for path in pool.folder.glob("*.safetensors"):
        ours, theirs = load_file(path), load_file(other.folder / path.name)
        assert set(ours) == set(theirs)
        assert all(ours[name].equal(theirs[name]) for name in ours)


# ------------------------------------------------------------------------------------------- killed and resumed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_second(function: Callable[..., Any], before: Callable[..., None] = lambda *_: None) -> Callable[..., Any]:
    """The function, whose second call has only the effect of `before` and then kills this process."""
    calls: list[int] = []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            before(*arguments)
            die()
        return function(*arguments, **options)

    return dying


def half(tensors: Any, path: Path, *_: Any) -> None:
    """Write the first half of what should be written."""
    save_file(tensors if isinstance(tensors, dict) else {"half": torch.ones(9)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_a_state(path: Path, content: bytes) -> None:
    path.with_name(f".{path.name}.abcd_123").write_bytes(content[:100])  # as `write_atomically` names it


MOMENTS: dict[str, tuple[Any, str, Callable[..., None]]] = {
    "in the middle of a training": (Run, "fit", lambda *_: None),
    "while the state is written": (runs, "write_hashed", half_a_state),
    "while weights are written": (jobs, "save_file", half),
    "between weights and outputs": (jobs, "write_logits", lambda *_: None),
    "while outputs are written": (logits, "save_file", half),
    "between outputs and hashes": (jobs, "write_sealed_json", lambda *_: None),
    "after the hashes": (jobs.shutil, "rmtree", lambda *_: None),
    "before what is left is removed": (jobs, "_sweep", lambda *_: None),
}


@forks
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_goes_on_to_the_same_pool(
    moment: str, make: Make, tmp_path: Path, whole: ReferencePool
) -> None:
    child = os.fork()
    if child == 0:  # this process is killed, so nothing of it needs to be undone
        module, name, before = MOMENTS[moment]
        init = Run.__init__

        def saving(self: Run, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options | {"save_every": 0.0})

        setattr(Run, "__init__", saving)  # noqa: B010
        setattr(module, name, die_at_second(getattr(module, name), before))
        try:
            make(tmp_path)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    folder = tmp_path / whole.fingerprint
    assert "lock" in names(folder)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("member-*.json")}
    same(make(tmp_path), whole)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_an_epoch_that_was_finished_before_the_kill_is_not_done_again(
    make: Make, tmp_path: Path, whole: ReferencePool, interrupt: Callable[..., list[int]]
) -> None:
    epochs = interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    same(make(tmp_path), whole)
    assert epochs == [4 * 3 + 1]


@forks
def test_workers_of_a_killed_process_stop_and_the_pool_goes_on(
    make: Make, tmp_path: Path, whole: ReferencePool, tiny_recipe: Recipe
) -> None:
    long = replace(tiny_recipe, epochs=30_000)
    child = os.fork()
    if child == 0:

        def dying(stage: str, done: float, total: float) -> None:
            if list(tmp_path.glob(f"*/{jobs.WORK}/member-*")):  # the worker is at work
                die()

        try:
            make(tmp_path, recipe=long, workers=1, progress=dying)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    (folder,) = tmp_path.iterdir()
    began = time.monotonic()
    with locked(folder, patience=30):  # the worker held it until it stopped
        assert time.monotonic() - began < 20
    assert not list(folder.glob("member-*"))
    shutil.copytree(folder, tmp_path / whole.fingerprint)  # what a killed process leaves: work, job, log
    log = (tmp_path / whole.fingerprint / "worker-0.log").read_text(encoding="utf-8")
    assert "got none; whoever began it has stopped" in log
    shutil.rmtree(tmp_path / whole.fingerprint / "work")
    (tmp_path / whole.fingerprint / "pool.json").unlink()
    same(make(tmp_path), whole)


def test_a_worker_that_is_killed_is_reported(tmp_path: Path, job: Job) -> None:
    log = tmp_path / "worker-0.log"
    log.touch()
    process = subprocess.Popen(["sh", "-c", "kill -9 $$"])
    process.wait()
    with pytest.raises(
        TrainingError, match=r"expected all references to be made, got a failure .killed by signal 9, per"
    ):
        jobs._refuse_failures(job, [process], [log])


def test_two_processes_do_not_train_in_one_folder(
    make: Make, tmp_path: Path, whole: ReferencePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / whole.fingerprint))
    monkeypatch.setattr(jobs, "locked", lambda folder, patience=0.0: locked(folder, patience=0))
    with locked(folder):
        with pytest.raises(WorkspaceError, match=r"expected a folder that no other process works in, got .* in use"):
            make(tmp_path, models=6)
        np.testing.assert_array_equal(make(tmp_path).logits, whole.logits)  # what is there may be used
    assert len(make(tmp_path, models=6)) == 6


# ------------------------------------------------------------------------------------------- executors


def test_a_thread_makes_the_same_pool(make: Make, tmp_path: Path, whole: ReferencePool) -> None:
    with ThreadPoolExecutor(1) as executor:
        same(make(tmp_path, executor=executor), whole)


def test_threads_take_turns_with_the_random_state(make: Make, tmp_path: Path, whole: ReferencePool) -> None:
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(4) as executor:
        same(make(tmp_path, executor=executor), whole)
    assert torch.get_num_threads() == threads


def test_processes_of_an_executor_make_the_same_pool(make: Make, tmp_path: Path, whole: ReferencePool) -> None:
    told: list[tuple[str, float, float]] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        pool = make(tmp_path, executor=executor, progress=lambda *one: told.append(one))
    same(pool, whole)
    assert {one[0] for one in told} == {"references"}
    assert (told[0][1:], told[-1][1:]) == ((0, 4), (4, 4))


def test_whatever_can_submit_is_an_executor(make: Make, tmp_path: Path, whole: ReferencePool, at_once: Any) -> None:
    same(make(tmp_path, executor=at_once), whole)
    assert [call[2] for call in at_once.calls] == [0, 1, 2, 3]
    make(tmp_path, executor=at_once, models=6)
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
    make: Make, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    executor = ThreadPoolExecutor(1)
    with pytest.raises(
        TrainingError, match=r"got a failure .ZeroDivisionError: no such luck. of the executor in member 0"
    ):
        make(tmp_path, executor=executor, recipe=replace(tiny_recipe, model=Unlucky, model_options={}))
    executor.shutdown()
    (folder,) = tmp_path.iterdir()
    assert "job.pt" not in names(folder)
    assert not [name for name in names(folder) if name.endswith("safetensors")]


def test_an_error_that_can_be_mended_is_passed_on(
    make: Make, tmp_path: Path, tiny_recipe: Recipe, at_once: Executor
) -> None:
    with pytest.raises(TrainingError, match=r"expected a finite loss, got .*; lower the learning rate"):
        make(tmp_path, executor=at_once, recipe=replace(tiny_recipe, learning_rate=1e30))


def test_members_in_the_making_stop_when_the_job_is_called_off(
    make: Make, tmp_path: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
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
        make(tmp_path, executor=executor, recipe=replace(tiny_recipe, epochs=30_000), progress=dying)
    assert 0 < epochs[0] < 30_000  # of the first member alone
    assert not list(tmp_path.glob("*/member-*"))
    assert not list(tmp_path.glob("*/job.pt"))


def test_a_model_that_the_executor_cannot_import_is_refused(
    make: Make, tmp_path: Path, tiny_recipe: Recipe, at_once: Executor
) -> None:
    recipe = replace(tiny_recipe, model=lambda **_: nn.Linear(6, 3))
    with pytest.raises(RecipeError, match=r"expected a model that other processes can import, got .*<lambda>"):
        make(tmp_path, executor=at_once, recipe=recipe)


def test_workers_and_an_executor_are_refused(make: Make, tmp_path: Path, at_once: Executor) -> None:
    with pytest.raises(AuditError, match="expected workers or an executor, got workers=2 and an executor; leave one"):
        make(tmp_path, executor=at_once, workers=2)


def test_a_job_that_is_not_the_one_that_was_begun_is_refused(job: Job, tmp_path: Path) -> None:
    sha256 = job.write(tmp_path)
    assert Job.read(tmp_path, sha256)[0].population.ids.tolist() == job.population.ids.tolist()
    (tmp_path / "job.pt").write_bytes(pickle.dumps("something else"))
    with pytest.raises(AuditError, match=r"expected the job that was begun in .*, got another or none"):
        make_elsewhere(str(tmp_path), sha256, 0)


def test_other_processes_compute_with_what_was_asked_for_here(job: Job, tmp_path: Path) -> None:
    with computing(device="cpu", evaluation_batch=7) as asked:
        sha256 = job.write(tmp_path)
    assert Job.read(tmp_path, sha256)[1] == asked
    seen: list[Compute] = []

    def noting(*_: object, **__: object) -> None:
        seen.append(Compute.current())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.references.jobs.make", noting)
        make_elsewhere(str(tmp_path), sha256, 0)
    assert seen == [asked]


def test_what_only_this_process_knows_is_not_sent_to_others() -> None:
    assert pickled(Recipe(epochs=3))
    assert not pickled(lambda: 0)
    main = type("Main", (), {"__module__": "__main__"})
    assert not pickled(main())
