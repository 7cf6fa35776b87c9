"""Models that are made independently of each other, by number, in any process: reference models and shadows."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import torch
from safetensors.torch import save_file
from torch import nn

from obliviate._util.files import WORK, sha256_of, write_atomically, write_sealed_json
from obliviate._util.locks import claimed
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, TrainingError
from obliviate.references.handover import check_same, fingerprints, portable, read_value, write_value
from obliviate.references.logits import write_logits
from obliviate.references.records import FORMAT, ModelRecord, is_finished, logits_file, record_file, weights_file
from obliviate.task import Task
from obliviate.training.compute import Compute
from obliviate.training.identity import architecture_sha256, task_sha256
from obliviate.training.inference import observed
from obliviate.training.progress import Progress, silent
from obliviate.training.randomness import one_thread
from obliviate.training.recipe import Recipe
from obliviate.training.state import state_of

JOB: Final = "job.pickle"
_in_turn = threading.Lock()  # torch's global random state belongs to the whole process


@dataclass(frozen=True, eq=False)
class Job(ABC):
    """What models that are made independently of each other share.

    `kind` begins the names of their files; `stage` is what progress calls them. A number stands for one model, or for
    several that are made from the same one, so that it is read once; `fingerprints` are what each of them is kept by.
    `self_contained` jobs read no file besides their own and the data set.
    """

    kind: ClassVar[str]
    stage: ClassVar[str]
    self_contained: ClassVar[bool] = True

    recipe: Recipe
    task: Task
    population: Samples
    seed: int
    fingerprints: tuple[str, ...]
    keep_weights: bool

    @property
    @abstractmethod
    def asked(self) -> Samples:
        """The samples that every model is asked about."""

    @abstractmethod
    def folders(self, folder: Path) -> Sequence[Path]:
        """Where models lie of a job that is worked on in `folder`: a folder for each of the fingerprints."""

    @abstractmethod
    def models_of(
        self, member: int, *, work: Mapping[str, Path], progress: Progress
    ) -> Iterator[tuple[str, nn.Module, float]]:
        """Make the models of a number that are named, by fingerprint, each with a folder of its own to resume in.

        Yields the fingerprint of each, the model, and how many seconds it took.
        """

    def is_finished(self, folder: Path, member: int) -> bool:
        """Whether all models of a number are done."""
        return all(is_finished(place, self.kind, member) for place in self.folders(folder))

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
        """Put the job where other processes find it, and return the file's hash.

        It names its samples, which lie where the data set is that they are read from, or in a file beside it.
        """
        job = replace(self, population=portable(self.population))
        return write_value(folder / JOB, (job, fingerprints(job.population), self.code_sha256, Compute.current()))

    @property
    def code_sha256(self) -> tuple[str, str, str]:
        """What the code of the model, of the task and of the training amounts to in this process."""
        model = self.recipe.build(seed=0)
        architecture = architecture_sha256(self.recipe, self.population)
        return architecture, task_sha256(self.task, model, self.population), self.recipe.fingerprint

    @staticmethod
    def read(folder: Path, sha256: str) -> tuple[Job, Compute]:
        """Read the job that `write` wrote, and what it is to be computed with.

        Raises AuditError for any other file, and where the code or the samples are others here.
        """
        path = folder / JOB
        if not path.exists() or sha256_of(path) != sha256:
            raise AuditError(f"expected the job that was begun in {folder}, got another or none; begin again")
        job, samples, code, compute = read_value(path)  # the hash tells that it is our own
        assert isinstance(job, Job)
        check_same(job.population, samples)
        if job.code_sha256 != code:
            raise AuditError(
                f"expected the code of {job.recipe.model_name} and of the task as in the process that began the job, "
                "got other code; it was edited since: begin again in a new process"
            )
        return job, compute


def make(job: Job, folder: Path, member: int, *, progress: Progress = silent) -> None:
    """Make what is missing of the models of a number; raises TrainingError when outputs are not finite."""
    missing = {
        fingerprint: place
        for fingerprint, place in zip(job.fingerprints, job.folders(folder), strict=True)
        if not is_finished(place, job.kind, member)
    }
    work = {name: place / WORK / f"{job.kind}-{member:03d}" for name, place in missing.items()}
    for path in work.values():
        path.mkdir(parents=True, exist_ok=True)
    for fingerprint, model, seconds in job.models_of(member, work=work, progress=progress):
        _write(job, missing[fingerprint], member, fingerprint, model, seconds)
        shutil.rmtree(work[fingerprint])


def _write(job: Job, folder: Path, member: int, fingerprint: str, model: nn.Module, seconds: float) -> None:
    """Write a model's weights, if they are kept, its outputs, and then the hashes of both."""
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
        fingerprint=fingerprint,
        member=member,
        seconds=round(seconds, 3),
        logits_sha256=write_logits(logits_file(folder, job.kind, member), logits),
        weights_sha256=weights_sha256,
        begun_from=job.begun_from(member),
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
    )
    write_sealed_json(record_file(folder, job.kind, member), {"format": FORMAT, **asdict(record)})


def make_elsewhere(folder: str, sha256: str, member: int, parent: int | None = None) -> None:
    """Make one model of the job in a folder: what an executor is given, with arguments that any process can read.

    The model is made by one thread, in turn with others of this process. It stops where it is when the job's file is
    taken away or written anew, and when `parent` is named and is no longer the parent process.
    """
    path = Path(folder)
    written = _written(path / JOB)

    def stop_if_unwanted(stage: str, done: float, total: float) -> None:  # noqa: ARG001
        if _written(path / JOB) != written or parent not in {None, os.getppid()}:
            raise TrainingError("expected a job that is still wanted, got none; whoever began it has stopped")

    with _in_turn, one_thread():
        job, compute = Job.read(path, sha256)
        stop_if_unwanted("", 0, 1)
        # Where a call was lost with its machine and is made again, what is left of the first ends before this begins.
        with compute.used(), claimed(path / WORK / f"{job.kind}-{member:03d}.lock"):
            make(job, path, member, progress=stop_if_unwanted)


def _written(path: Path) -> int | None:
    """When a file was written, None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def pickled(value: object) -> bool:
    """Tell whether another process can read `value`: it is made of what modules hold, other than the main script."""
    try:
        return b"__main__" not in pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
