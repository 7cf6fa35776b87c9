"""Reference models: each is trained on its half of the population, and asked about all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from obliviate.data.samples import Samples
from obliviate.references.jobs import Job
from obliviate.references.plan import leave_half_out
from obliviate.seeds import derive
from obliviate.training.run import Progress, Run


@dataclass(frozen=True, eq=False)
class Members(Job):
    """The members of a reference pool; which half each is trained on is a function of the seed and its number."""

    kind: ClassVar[str] = "member"
    stage: ClassVar[str] = "references"

    models: int

    @property
    def asked(self) -> Samples:
        return self.population

    def model(self, member: int, *, folder: Path, progress: Progress) -> tuple[nn.Module, float]:
        included = leave_half_out(self.models, len(self.population), seed=self.seed)[member]
        seed = derive(self.seed, "reference", member)
        run = Run(self.task, seed=seed, recipe=self.recipe, folder=folder, progress=progress)
        return run.train(self.population.at(included)), run.seconds
