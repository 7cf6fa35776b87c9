"""One reference model: a job that any process can do, and whose result is a file.

python -m obliviate.references.member FOLDER MEMBER [MEMBER ...]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from obliviate import task as tasks
from obliviate.data.samples import Samples
from obliviate.files import write_atomically, write_json
from obliviate.references.plan import leave_half_out
from obliviate.seeds import derive
from obliviate.task import Task
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent

POPULATION = "population.safetensors"
JOB = "job.json"


@dataclass(frozen=True)
class Job:
    """What the members of a pool share."""

    recipe: Recipe
    task: Task
    population: Samples
    models: int
    seed: int

    def write(self, folder: Path) -> None:
        """Put the job where other processes find it."""
        batch = self.population.everything()
        tensors = {"x": batch.x.cpu().contiguous(), "y": batch.y.cpu().contiguous()}
        write_atomically(folder / POPULATION, lambda temporary: save_file(tensors, temporary))
        facts = {
            "recipe": self.recipe.to_dict(),
            "task": tasks.to_dict(self.task),
            "ids": self.population.ids.tolist(),
            "models": self.models,
            "seed": self.seed,
        }
        write_json(folder / JOB, facts)

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read a job that `write` wrote."""
        facts = json.loads((folder / JOB).read_text(encoding="utf-8"))
        tensors = load_file(folder / POPULATION)
        population = Samples.from_tensors(tensors["x"], tensors["y"], ids=facts["ids"])
        return cls(
            Recipe.from_dict(facts["recipe"]),
            tasks.from_dict(facts["task"]),
            population,
            facts["models"],
            facts["seed"],
        )


def weights_file(folder: Path, member: int) -> Path:
    """Where a member's weights are."""
    return folder / f"member-{member:03d}.safetensors"


def logits_file(folder: Path, member: int) -> Path:
    """Where a member's outputs over the population are; this file is written last, so it marks the member as done."""
    return folder / f"member-{member:03d}.logits.safetensors"


def train_member(job: Job, folder: Path, member: int, *, progress: Progress = silent) -> None:
    """Train one reference on its half of the population and write its weights and its outputs."""
    included = leave_half_out(job.models, len(job.population), seed=job.seed)[member]
    work = folder / "work" / f"member-{member:03d}"
    work.mkdir(parents=True, exist_ok=True)
    run = Run(
        job.task,
        seed=derive(job.seed, "reference", member),
        recipe=job.recipe,
        folder=work,
        progress=progress,
    )
    model = run.train(job.population.at(included))
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomically(weights_file(folder, member), lambda temporary: save_file(weights, temporary))
    logits = {"logits": outputs(model, job.population)}
    metadata = {"seconds": f"{run.seconds:.3f}"}
    write_atomically(logits_file(folder, member), lambda temporary: save_file(logits, temporary, metadata))
    shutil.rmtree(work)


def main() -> None:
    """Train the members named on the command line, one thread each, and stop when the parent process is gone."""
    parent = os.getppid()

    def stop_if_orphaned(stage: str, done: float, total: float) -> None:  # noqa: ARG001
        if os.getppid() != parent:
            raise SystemExit("the process that asked for this reference is gone")

    torch.set_num_threads(1)
    folder, members = Path(sys.argv[1]), [int(one) for one in sys.argv[2:]]
    job = Job.read(folder)
    for member in members:
        train_member(job, folder, member, progress=stop_if_orphaned)


if __name__ == "__main__":
    main()
