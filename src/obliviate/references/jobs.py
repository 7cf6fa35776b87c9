"""Models that are made independently of each other, by number, in any process; the files say which are done.

Both reference models and shadows are made here: in this process, in local processes, or by an executor that is given.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

import torch
from safetensors.torch import save_file
from torch import nn

from obliviate._util.files import (
    LOG,
    WORK,
    check_sha256,
    read_sealed_json,
    remove_leftovers,
    sha256_of,
    write_atomically,
    write_sealed_json,
)
from obliviate._util.locks import locked
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, ObliviateError, RecipeError, TrainingError, WorkspaceError
from obliviate.references.logits import REMEDY, StoredLogits, write_logits
from obliviate.task import Task
from obliviate.training.compute import Compute
from obliviate.training.device import chosen
from obliviate.training.identity import architecture_sha256, task_sha256
from obliviate.training.inference import observed
from obliviate.training.randomness import one_thread
from obliviate.training.recipe import Recipe
from obliviate.training.run import TICK, Progress, silent
from obliviate.training.state import state_of

FORMAT: Final = "obliviate.made/1"
JOB: Final = "job.pt"
NOTE: Final = "note: "  # begins the lines of a worker that are for whoever waits for it
PATIENCE: Final = 10.0  # seconds that models in the making are given to stop
_in_turn = threading.Lock()  # torch's global random state belongs to the whole process


def weights_file(folder: Path, kind: str, member: int) -> Path:
    """Where a model's weights are, if they are kept."""
    return folder / f"{kind}-{member:03d}.safetensors"


def logits_file(folder: Path, kind: str, member: int) -> Path:
    """Where a model's outputs are."""
    return folder / f"{kind}-{member:03d}.logits.safetensors"


def record_file(folder: Path, kind: str, member: int) -> Path:
    """Where the hashes of a model's files are; this file is written last."""
    return folder / f"{kind}-{member:03d}.json"


def is_finished(folder: Path, kind: str, member: int) -> bool:
    """Whether a model is done: its outputs are there, and the hashes that are written last."""
    return record_file(folder, kind, member).exists() and logits_file(folder, kind, member).exists()


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """What is known of a model that was made: of what it is, the seconds that it took, and the hashes of its files.

    `fingerprint` is that of the pool or the shadows, `member` its number there. `weights_sha256` is None where the
    weights were not kept, `begun_from` the hash of the weights that it was made from, None if it was trained afresh.
    `threads` and `torch` (its version) decide the last bits.
    """

    fingerprint: str
    member: int
    seconds: float
    logits_sha256: str
    weights_sha256: str | None
    begun_from: str | None
    threads: int
    torch: str


def read_record(folder: Path, kind: str, member: int, fingerprint: str) -> ModelRecord:
    """Read what is known of a model; raises AuditError for a damaged file, and for one of another model."""
    path = record_file(folder, kind, member)
    values = read_sealed_json(path, FORMAT, remedy=REMEDY, error=AuditError)
    try:
        record = ModelRecord(**{key: value for key, value in values.items() if key != "format"})
    except TypeError as error:
        raise AuditError(f"expected the fields of {FORMAT}, got others in {path} ({error}); {REMEDY}") from error
    if (record.fingerprint, record.member) != (fingerprint, member):
        raise AuditError(
            f"expected what is known of model {member} of {fingerprint}, got that of {record.member} of "
            f"{record.fingerprint} in {path}; {REMEDY}"
        )
    return record


def check_weights(folder: Path, kind: str, member: int, wanted: str | None) -> Path:
    """Say where a model's weights are, after checking them; raises AuditError for a damaged or missing file."""
    path = weights_file(folder, kind, member)
    remedy = f"delete it and {record_file(folder, kind, member).name} beside it to train the reference again"
    check_sha256(path, wanted or "none", remedy=remedy, error=AuditError)
    return path


def open_logits(folder: Path, kind: str, records: Sequence[ModelRecord], *, samples: int) -> StoredLogits:
    """Open the outputs of models; raises AuditError as `StoredLogits.open` does."""
    paths = [logits_file(folder, kind, record.member) for record in records]
    return StoredLogits.open(paths, [record.logits_sha256 for record in records], samples=samples)


@runtime_checkable
class Pending(Protocol):
    """A result to come, as `concurrent.futures.Future` is."""

    def done(self) -> bool: ...

    def result(self) -> object: ...

    def cancel(self) -> object: ...


@runtime_checkable
class Executor(Protocol):
    """Whoever runs a function somewhere, as `concurrent.futures.Executor` does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending: ...


@dataclass(frozen=True, eq=False)
class Job(ABC):
    """What models that are made independently of each other share.

    `kind` begins the names of their files; `stage` is what progress calls them.
    """

    kind: ClassVar[str]
    stage: ClassVar[str]

    recipe: Recipe
    task: Task
    population: Samples
    seed: int
    fingerprint: str
    keep_weights: bool

    @property
    @abstractmethod
    def asked(self) -> Samples:
        """The samples that every model is asked about."""

    @abstractmethod
    def model(self, member: int, *, folder: Path, progress: Progress) -> tuple[nn.Module, float]:
        """Make one model, with its own folder to resume in, and tell how many seconds that took."""

    def begun_from(self, member: int) -> str | None:  # noqa: ARG002
        """The hash of the weights that a model is made from, None for one that is trained afresh."""
        return None

    @property
    def portable(self) -> str | None:
        """What keeps other processes from doing this job, as "expected …; do …"; None if nothing does."""
        if self.recipe.importable:
            return None
        return (
            f"expected a model that other processes can import, got {self.recipe.model_name}; "
            "define it at the top level of a module, or pass workers=0 to train in this process"
        )

    def write(self, folder: Path) -> str:
        """Put the job where other processes find it, and return the file's hash."""
        batch = self.population.everything()
        population = Samples.from_tensors(
            batch.x.cpu().contiguous(), batch.y.cpu().contiguous(), ids=self.population.ids
        )
        content = replace(self, population=population), self.code_sha256, Compute.current()
        write_atomically(folder / JOB, lambda temporary: torch.save(content, temporary))
        return sha256_of(folder / JOB)

    @property
    def code_sha256(self) -> tuple[str, str]:
        """What the code of the model and of the task amounts to in this process."""
        model = self.recipe.build(seed=0)
        architecture = architecture_sha256(self.recipe, self.population)
        return architecture, task_sha256(self.task, model, self.population)

    @staticmethod
    def read(folder: Path, sha256: str) -> tuple[Job, Compute]:
        """Read the job that `write` wrote, and what it is to be computed with.

        Raises AuditError for any other file, and where the code is another here.
        """
        path = folder / JOB
        if not path.exists() or sha256_of(path) != sha256:
            raise AuditError(f"expected the job that was begun in {folder}, got another or none; begin again")
        job, code, compute = torch.load(path, weights_only=False, mmap=True)  # the hash tells that it is our own
        assert isinstance(job, Job)
        if job.code_sha256 != code:
            raise AuditError(
                f"expected the code of {job.recipe.model_name} and of the task as in the process that began the job, "
                "got other code; it was edited since: begin again in a new process"
            )
        return job, compute


def make(job: Job, folder: Path, member: int, *, progress: Progress = silent) -> None:
    """Make one model of a job, and write its weights, if they are kept, its outputs, and then the hashes of both.

    Raises TrainingError when the outputs are not finite.
    """
    work = folder / WORK / f"{job.kind}-{member:03d}"
    work.mkdir(parents=True, exist_ok=True)
    model, seconds = job.model(member, folder=work, progress=progress)
    logits = observed(model, job.asked, job.task)
    if not bool(torch.isfinite(logits).all()):
        raise TrainingError(
            f"expected finite outputs, got NaN or Inf from {job.kind} {member}; lower the recipe's learning rate"
        )
    record_file(folder, job.kind, member).unlink(missing_ok=True)  # of files that were deleted, to be made again
    weights_sha256 = None
    if job.keep_weights:
        weights = state_of(model)
        path = weights_file(folder, job.kind, member)
        write_atomically(path, lambda temporary: save_file(weights, temporary))
        weights_sha256 = sha256_of(path)
    record = ModelRecord(
        fingerprint=job.fingerprint,
        member=member,
        seconds=round(seconds, 3),
        logits_sha256=write_logits(logits_file(folder, job.kind, member), logits),
        weights_sha256=weights_sha256,
        begun_from=job.begun_from(member),
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
    )
    write_sealed_json(record_file(folder, job.kind, member), {"format": FORMAT, **asdict(record)})
    shutil.rmtree(work)


def make_elsewhere(folder: str, sha256: str, member: int, parent: int | None = None) -> None:
    """Make one model of the job in a folder: what an executor is given, with arguments that any process can read.

    The model is made by one thread, in turn with others of this process. It stops where it is when the job's file is
    taken away, and when `parent` is named and is no longer the parent process.
    """
    path = Path(folder)

    def stop_if_unwanted(stage: str, done: float, total: float) -> None:  # noqa: ARG001
        if not (path / JOB).exists() or parent not in {None, os.getppid()}:
            raise TrainingError("expected a job that is still wanted, got none; whoever began it has stopped")

    with _in_turn, one_thread():
        job, compute = Job.read(path, sha256)
        stop_if_unwanted("", 0, 1)
        with compute.used():
            make(job, path, member, progress=stop_if_unwanted)


def check_makers(workers: int | None, executor: Executor | None) -> None:
    """Refuse workers and an executor at once; raises AuditError.

    >>> check_makers(2, None)
    """
    if executor is not None and workers is not None:
        raise AuditError(f"expected workers or an executor, got workers={workers} and an executor; leave one out")


def complete(
    job: Job,
    folder: Path,
    models: int,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> None:
    """Make those of the models 0 … `models` − 1 that are not yet in `folder`, which nobody else may be working in.

    `workers` local processes work side by side, one thread each; 0 works in this process, which is the default on a
    GPU and for a job that other processes cannot do. An `executor` is given every model as a function call; its
    processes must see `folder`.

    Raises RecipeError or MethodError, before any work, for a job that other processes cannot do; AuditError for both
    workers and an executor; WorkspaceError when another process works in the folder; TrainingError for a failure.
    """
    check_makers(workers, executor)
    count = _workers(job, workers, executor)

    def missing() -> list[int]:
        return [member for member in range(models) if not is_finished(folder, job.kind, member)]

    def report() -> None:
        progress(job.stage, models - len(missing()), models)

    if not missing():
        with (
            suppress(WorkspaceError),
            locked(folder, patience=0),
        ):  # another process that is at work there sweeps itself
            _sweep(folder)
        return
    with locked(folder) as lock:
        _sweep(folder)
        todo = missing()
        report()
        try:
            if executor is not None:
                _by_executor(executor, job, folder, todo, report)
            elif count:
                _by_processes(job, folder, todo, min(count, len(todo)), report, lock)
            else:
                for member in todo:
                    make(job, folder, member)
                    report()
        finally:  # whatever happened, no copy of the samples stays; it is written again when it is needed
            (folder / JOB).unlink(missing_ok=True)
        _sweep(folder)
        for log in folder.glob("worker-*.log"):
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith(NOTE):
                    LOG.warning("%s", line.removeprefix(NOTE))
            log.unlink()


def _sweep(folder: Path) -> None:
    """Remove what killed processes left, but not what unfinished models need to go on."""
    (folder / JOB).unlink(missing_ok=True)
    remove_leftovers(folder)
    for work in sorted((folder / WORK).glob("*")):
        kind, _, member = work.name.rpartition("-")
        if member.isdecimal() and is_finished(folder, kind, int(member)):
            shutil.rmtree(work)
    if (folder / WORK).exists() and not any((folder / WORK).iterdir()):
        (folder / WORK).rmdir()


def _workers(job: Job, asked: int | None, executor: Executor | None) -> int:
    problem = job.portable
    if (asked or executor is not None) and problem is not None:
        raise RecipeError(problem)
    if asked is None:
        return (os.cpu_count() or 1) if problem is None and chosen().type == "cpu" else 0
    return asked


# ---------------------------------------------------------------------------------------------- local processes


def _by_processes(
    job: Job, folder: Path, members: list[int], count: int, report: Callable[[], None], lock: int
) -> None:
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
                        pass_fds=(lock,),  # a worker that outlives this process keeps others out until it stops
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


# ---------------------------------------------------------------------------------------------- a given executor


def _by_executor(executor: Executor, job: Job, folder: Path, members: list[int], report: Callable[[], None]) -> None:
    sha256 = job.write(folder)
    pending = [executor.submit(make_elsewhere, str(folder.absolute()), sha256, member) for member in members]
    try:
        while True:
            waiting = [result for result in pending if not result.done()]
            for member, result in zip(members, pending, strict=True):
                if result.done():
                    _refuse_failure(job, member, result)
            report()
            if not waiting:
                return
            time.sleep(TICK)
    finally:
        for result in pending:
            result.cancel()
        (folder / JOB).unlink(missing_ok=True)  # which stops those that have begun
        until = time.monotonic() + PATIENCE
        while not all(result.done() for result in pending) and time.monotonic() < until:
            time.sleep(TICK)


def _refuse_failure(job: Job, member: int, finished: Pending) -> None:
    try:
        finished.result()
    except ObliviateError:
        raise
    except Exception as error:  # executors such as dask's and ray's raise types of their own, with no common base
        raise TrainingError(
            f"expected all {job.stage} to be made, got a failure ({type(error).__name__}: {error}) of the executor in "
            f"{job.kind} {member}; mend its cause and begin again: what is done is kept"
        ) from error


def pickled(value: object) -> bool:
    """Tell whether another process can read `value`: it is made of what modules hold, other than the main script."""
    try:
        return b"__main__" not in pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
