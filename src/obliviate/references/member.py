"""Reference models: each is trained on its half of the population, and asked about all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, CheckpointError
from obliviate.references.jobs import Job
from obliviate.references.plan import leave_half_out
from obliviate.references.records import check_weights
from obliviate.training.device import brought
from obliviate.training.progress import Progress
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.state import load_state


@dataclass(frozen=True, eq=False)
class Members(Job):
    """The members of a reference pool; which half each is trained on is a function of the seed and its number."""

    kind: ClassVar[str] = "member"
    stage: ClassVar[str] = "references"

    models: int
    groups: Shaped[np.ndarray, " population"] | None = None

    @property
    def asked(self) -> Samples:
        return self.population

    def folders(self, folder: Path) -> tuple[Path, ...]:
        return (folder,)

    def models_of(
        self, member: int, *, work: Mapping[str, Path], progress: Progress
    ) -> Iterator[tuple[str, nn.Module, float]]:
        plan = leave_half_out(self.models, len(self.population), seed=self.seed, groups=self.groups)
        seed = derive(self.seed, "reference", member)
        for fingerprint, folder in work.items():
            run = Run(self.task, seed=seed, recipe=self.recipe, folder=folder, progress=progress)
            model = run.finished(run.train(self.population.at(plan[member])))
            yield fingerprint, model, run.seconds


def read_member(folder: Path, member: int, weights_sha256: str | None, recipe: Recipe, *, seed: int = 0) -> nn.Module:
    """Read a member's model, in evaluation mode; raises AuditError for weights that are damaged or of another model."""
    path = check_weights(folder, Members.kind, member, weights_sha256)
    model = recipe.build(seed=seed)
    try:
        load_state(model, load_file(path))
    except (OSError, SafetensorError, CheckpointError) as error:
        raise AuditError(
            f"expected the weights of a model of this recipe, got {path} ({' '.join(str(error).split())}); "
            "train the references again in a new folder"
        ) from error
    return brought(model).eval()
