"""Models of a folder that an executor makes: the same as are made here, once, from the data that the folder names."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import MethodError, TrainingError, WorkspaceError
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.training.compute import Compute
from obliviate.training.recipe import Recipe
from obliviate.workspace import Workspace
from obliviate.workspace.making import Unlearning
from obliviate.workspace.remote import make_elsewhere


class Elsewhere:
    """One thread that is given what another machine would read."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.thread = thread
        self.sizes: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        sent = pickle.dumps((fn, args))
        self.sizes.append(len(sent))
        fn, args = pickle.loads(sent)
        return self.thread.submit(fn, *args)


@pytest.fixture
def source(tiny: Samples, tmp_path: Path) -> Path:
    batch = tiny.everything()
    x, y, ids = batch.x.numpy(), batch.y.numpy(), batch.ids
    parts = {"train": slice(0, 30), "holdout": slice(30, 45), "test": slice(45, 60)}
    arrays: dict[str, Any] = {
        f"{part}_{name}": values[rows]
        for part, rows in parts.items()
        for name, values in (("x", x), ("y", y), ("ids", ids))
    }
    np.savez(tmp_path / "rows.npz", **arrays)
    return tmp_path / "rows.npz"


@pytest.fixture
def begin(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> Callable[[str], Workspace]:
    def begin(name: str) -> Workspace:
        work = Workspace.create(tmp_path / name, source=str(source), recipe=tiny_recipe, seed=0)
        work.train()
        work.choose(["s03", "s01", "s07", "s11"])
        return work

    return begin


def weights(work: Workspace) -> dict[str, tuple[str, Any]]:
    return {kept.label: (kept.manifest.weights_sha256, kept.manifest.method) for kept in work.kept()}


def test_an_executor_makes_the_models_that_are_made_here(
    begin: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, remote = begin("here"), begin("there")
    threads: list[str] = []
    unlearn = workflow.unlearn

    def noting(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return unlearn(*arguments, **options)

    here.retrained(2)
    here.unlearn(FineTune(epochs=1), tune=2)
    monkeypatch.setattr(workflow, "unlearn", noting)
    monkeypatch.setattr("obliviate.workflow.tuning.unlearn", noting)
    with ThreadPoolExecutor(1) as thread:
        executor = Elsewhere(thread)
        remote._retrain(2, 1, executor)
        remote.unlearn(FineTune(epochs=1), tune=2, executor=executor)
        calls = len(executor.sizes)
        remote.unlearn(FineTune(epochs=1), tune=2, executor=executor)
    assert (calls, len(executor.sizes)) == (3, 3)  # what is there is not made again
    assert "MainThread" not in threads
    assert max(executor.sizes) < 5_000  # data are named
    assert weights(remote) == weights(here)
    assert not [path for path in remote.folder.rglob("*") if path.name.startswith((".elsewhere", "outcome", "lock"))]


def test_a_failure_elsewhere_is_told_and_nothing_is_kept(begin: Callable[[str], Workspace]) -> None:
    class Broken:
        def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(OSError("no such luck"))
            return future

    work = begin("run")
    problem = r"expected retrain \(seed 1\) to be made, got a failure of the executor \(OSError: no such luck\)"
    with pytest.raises(TrainingError, match=problem):
        work.unlearn(Retrain(), seed=1, executor=Broken())
    assert [kept.label for kept in work.kept()] == ["original"]
    with pytest.raises(MethodError, match="expected a budget or an executor, got both; a budget is measured here"):
        work.unlearn(FineTune(), budget=0.5, executor=Broken())


def test_work_that_is_no_longer_wanted_is_not_begun(begin: Callable[[str], Workspace]) -> None:
    work, unused = begin("run"), (Unlearning.retraining(1), Compute())
    with pytest.raises(WorkspaceError, match="expected work that is still wanted, got none"):
        make_elsewhere(str(work.folder), ".elsewhere.gone", work.origin, "", 1, *unused)
