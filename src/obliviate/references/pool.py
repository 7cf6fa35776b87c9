"""Training and loading the reference pool: many independent jobs, each resumable by its file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from obliviate.data.samples import Samples
from obliviate.errors import AuditError, RecipeError, TrainingError
from obliviate.files import writable_folder
from obliviate.references.member import JOB, POPULATION, Job, logits_file, train_member
from obliviate.references.plan import leave_half_out
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, silent
from obliviate.types import Ids


@dataclass(frozen=True, eq=False)
class ReferencePool:
    """Trained references: their outputs over the population, and which samples each was trained on.

    `seconds` is the training time of all members together.
    """

    ids: Ids
    logits: Float[np.ndarray, "models n classes"]
    included: Bool[np.ndarray, "models n"]
    fingerprint: str
    seconds: float

    def __len__(self) -> int:
        return len(self.logits)


def fingerprint(recipe: Recipe, population: Samples, seed: int) -> str:
    """A short hash of what the members of a pool depend on; the number of members is not part of it."""
    return hashlib.sha256(f"{recipe.fingerprint} {population.sha256} {seed}".encode()).hexdigest()[:16]


def train_pool(
    recipe: Recipe,
    population: Samples,
    task: Task,
    *,
    folder: Path,
    models: int = 16,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> ReferencePool:
    """Train the references that are not yet in `folder`, and load all of them.

    The population is what may be audited: the training samples and the unseen ones that stand for non-members, each
    in half of the references. `workers` processes train side by side, one thread each; 0 trains in this process,
    which is the default for a model that other processes cannot import, and on a GPU.

    Raises RecipeError when workers are asked for and the model cannot be imported.
    """
    folder = writable_folder(folder / fingerprint(recipe, population, seed))
    job = Job(recipe, task, population, models, seed)
    included = leave_half_out(models, len(population), seed=seed)
    missing = [member for member in range(models) if not logits_file(folder, member).exists()]
    try:
        if missing:
            done = models - len(missing)
            count = _workers(recipe, workers)
            progress("references", done, models)
            if count == 0:
                for place, member in enumerate(missing):
                    train_member(job, folder, member)
                    progress("references", done + place + 1, models)
            else:
                job.write(folder)
                _train_in_processes(folder, missing, min(count, len(missing)), done, models, progress)
            shutil.rmtree(folder / "work", ignore_errors=True)
            for log in folder.glob("worker-*.log"):
                log.unlink()
    finally:  # whatever happened, no copy of the samples stays; it is written again when it is needed
        for name in (POPULATION, JOB):
            (folder / name).unlink(missing_ok=True)
    return _load(folder, population, included, fingerprint(recipe, population, seed))


def _load(folder: Path, population: Samples, included: Bool[np.ndarray, "models n"], name: str) -> ReferencePool:
    logits, seconds = [], 0.0
    for member in range(len(included)):
        path = logits_file(folder, member)
        try:
            logits.append(load_file(path)["logits"].numpy())
            with safe_open(path, framework="numpy") as file:
                seconds += float((file.metadata() or {})["seconds"])
        except (OSError, KeyError, SafetensorError) as error:
            raise AuditError(
                f"expected the outputs of a reference model, got {path} ({error}); delete the file to train it again"
            ) from error
        shape = (len(population), *logits[0].shape[1:])
        if logits[-1].shape != shape:
            raise AuditError(
                f"expected outputs of shape {shape}, got {logits[-1].shape} in {path}; "
                "delete the file to train it again"
            )
    return ReferencePool(population.ids, np.stack(logits), included, name, seconds)


def _workers(recipe: Recipe, asked: int | None) -> int:
    if asked is None:
        return (os.cpu_count() or 1) if recipe.importable and not torch.cuda.is_available() else 0
    if asked and not recipe.importable:
        raise RecipeError(
            f"expected a model that other processes can import, got {recipe.model_name}; "
            "define it at the top level of a module, or pass workers=0 to train in this process"
        )
    return asked


def _train_in_processes(
    folder: Path, members: list[int], count: int, done: int, models: int, progress: Progress
) -> None:
    logs = [folder / f"worker-{worker}.log" for worker in range(count)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for worker, log in enumerate(logs):
            command = [sys.executable, "-m", "obliviate.references.member", str(folder)]
            command += [str(member) for member in members[worker::count]]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            with log.open("wb") as stream:
                processes.append(
                    subprocess.Popen(  # noqa: S603 - our own module, and a list of numbers
                        command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment
                    )
                )
        while any(process.poll() is None for process in processes):
            time.sleep(0.1)
            progress("references", done + sum(logits_file(folder, one).exists() for one in members), models)
            _refuse_failures(processes, logs)
        _refuse_failures(processes, logs)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _refuse_failures(processes: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    for process, log in zip(processes, logs, strict=True):
        if process.poll():
            text = log.read_text(encoding="utf-8", errors="replace").strip() or "no message"
            raise TrainingError(
                f"expected every reference to train, got a failure ({text.splitlines()[-1]}); "
                f"the whole message is in {log}"
            )
