"""Local processes that make models: they stop with whoever began them, and their failures are reported."""

import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from forks import die, forked, forks
from obliviate._util.files import WORK
from obliviate._util.locks import locked
from obliviate.errors import TrainingError
from obliviate.references import processes
from obliviate.references.jobs import Job
from obliviate.references.pool import ReferencePool
from obliviate.training.recipe import Recipe
from pools import Make, same


@forks
def test_workers_of_a_killed_process_stop_and_the_pool_goes_on(
    make_pool: Make, tmp_path: Path, whole: ReferencePool, tiny_recipe: Recipe
) -> None:
    long = replace(tiny_recipe, epochs=30_000)

    def dying(stage: str, done: float, total: float) -> None:
        if list(tmp_path.glob(f"*/{WORK}/member-*")):  # the worker is at work
            die()

    assert forked(lambda: make_pool(tmp_path, recipe=long, workers=1, progress=dying)).code == -signal.SIGKILL
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
    same(make_pool(tmp_path), whole)


def test_a_worker_that_is_killed_is_reported(tmp_path: Path, job: Job) -> None:
    log = tmp_path / "worker-0.log"
    log.touch()
    process = subprocess.Popen(["sh", "-c", "kill -9 $$"])
    process.wait()
    with pytest.raises(
        TrainingError, match=r"expected all references to be made, got a failure .killed by signal 9, per"
    ):
        processes._refuse_failures(job, [process], [log])
