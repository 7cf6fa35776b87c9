"""Local processes that make models side by side, `references.worker` each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from obliviate._util.files import LOG
from obliviate.errors import TrainingError
from obliviate.references.jobs import Job
from obliviate.training.progress import TICK

NOTE: Final = "note: "  # begins the lines of a worker that are for whoever waits for it


def make_by_processes(
    job: Job, folder: Path, members: list[int], count: int, report: Callable[[], None], locks: Sequence[int]
) -> None:
    """Share the models out to so many processes of one thread each, and wait; raises TrainingError for a failure."""
    sha256 = job.write(folder)
    logs = [folder / f"worker-{worker}.log" for worker in range(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for worker, log in enumerate(logs):
            command = [sys.executable, "-P", "-m", "obliviate.references.worker", str(folder), sha256, str(os.getpid())]
            command += [str(member) for member in members[worker::count]]
            with log.open("wb") as stream:
                processes.append(
                    subprocess.Popen(  # noqa: S603 - our own module, and a list of numbers
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=stream,
                        stderr=stream,
                        env=environment,
                        pass_fds=locks,  # a worker that outlives this process keeps others out until it stops
                    )
                )
        while any(process.poll() is None for process in processes):
            time.sleep(TICK)
            report()
            _refuse_failures(job, processes, logs)
        _refuse_failures(job, processes, logs)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _refuse_failures(job: Job, processes: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    for process, log in zip(processes, logs, strict=True):
        code = process.poll()
        if code:
            killed = f"killed by signal {-code}, perhaps for want of memory" if code < 0 else "no message"
            text = log.read_text(encoding="utf-8", errors="replace").strip() or killed
            raise TrainingError(
                f"expected all {job.stage} to be made, got a failure ({text.splitlines()[-1]}); "
                f"the whole message is in {log}"
            )


def pass_on_notes(folder: Path) -> None:
    """Log the lines of the workers that are for whoever waits for them, and delete what they wrote."""
    for log in folder.glob("worker-*.log"):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(NOTE):
                LOG.warning("%s", line.removeprefix(NOTE))
        log.unlink()
