"""Training in shards and slices (SISA): which sample is where, and the checkpoint that every slice leaves.

Bourtoule et al., "Machine Unlearning", IEEE S&P 2021, arXiv 1912.03817, sections IV and V.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from torch import Tensor, nn

from obliviate._util.files import (
    check_sha256,
    read_sealed_json,
    sha256_of,
    start_over,
    write_atomically,
    write_sealed_json,
)
from obliviate.data.samples import Samples
from obliviate.errors import CheckpointError, RecipeError
from obliviate.models.ensemble import Ensemble
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.progress import Progress
from obliviate.training.recipe import Recipe
from obliviate.training.slicing import assign, slice_epochs
from obliviate.training.state import load_state, state_of
from obliviate.training.tensors import load_tensors, save_tensors

if TYPE_CHECKING:
    from obliviate.training.run import Run

FORMAT: Final = "obliviate.slices/2"
MANIFEST: Final = "slices.json"


@dataclass(frozen=True, eq=False)
class Stage:
    """A constituent's training on slices 0 … `slice` of its shard; `digest` tells everything it has seen until then."""

    shard: int
    slice: int
    samples: Samples
    epochs: int
    first_epoch: int
    digest: str

    @property
    def name(self) -> str:
        """The name of its files and of its random streams."""
        return f"shard-{self.shard:02d}-slice-{self.slice:02d}"

    @property
    def visits(self) -> int:
        """How many samples its training reads, repetitions counted."""
        return self.epochs * len(self.samples)


def plan(samples: Samples, recipe: Recipe, *, seed: int) -> list[list[Stage]]:
    """Plan the training of every shard, slice by slice: a function of the set of samples, the recipe and the seed.

    Raises RecipeError when a shard would be empty.
    """
    samples = samples.select(np.sort(samples.ids))
    shard_of, slice_of = assign(samples.ids, shards=recipe.shards, slices=recipe.slices, seed=seed)
    counts = np.bincount(shard_of, minlength=recipe.shards)
    if not counts.all():
        raise RecipeError(
            f"expected samples in each of {recipe.shards} shards, got none in shard {int(counts.argmin())} of "
            f"{len(samples)} samples; train with fewer shards"
        )
    epochs, stages = slice_epochs(recipe.epochs, recipe.slices), []
    for shard in range(recipe.shards):
        stages.append([])
        digest = ""
        for r in range(recipe.slices):
            new = samples.at((shard_of == shard) & (slice_of == r))
            digest = hashlib.sha256(f"{digest} {new.sha256 if len(new) else ''}".encode()).hexdigest()
            seen = samples.at((shard_of == shard) & (slice_of <= r))
            stages[-1].append(Stage(shard, r, seen, epochs[r] if len(seen) else 0, sum(epochs[:r]), digest))
    return stages


@dataclass(frozen=True)
class SliceCheckpoints:
    """A folder with the weights after every slice of one model's training, and, once all are there, a manifest.

    Files are written whole or not at all, and never changed. What a later request can use of them is linked into its
    own folder, so removing one folder leaves the others whole.
    """

    folder: Path

    @classmethod
    def begin(
        cls, root: Path, stages: Sequence[Sequence[Stage]], identity: tuple[str | int | None, ...]
    ) -> SliceCheckpoints:
        """Go to the folder of this very training under `root`, told by its stages and whatever else decides it."""
        facts = [*identity, *(row[-1].digest for row in stages)]
        folder = root / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    @classmethod
    def of(cls, model: nn.Module, root: Path) -> SliceCheckpoints:
        """Find the finished checkpoints of this very model, told by its weights; raises CheckpointError for none."""
        wanted = weights_sha256(model)
        for path in sorted(root.glob(f"*/{MANIFEST}")):
            checkpoints = cls(path.parent)
            if checkpoints.manifest["weights_sha256"] == wanted:
                return checkpoints
        raise CheckpointError(
            f"expected the slice checkpoints of the model (weights {wanted[:12]}…) in {root}, got none; "
            "name the folder where its training or its last request left them with `checkpoints`"
        )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the finished training says of itself; raises CheckpointError for a damaged or foreign file."""
        path = self.folder / MANIFEST
        return read_sealed_json(path, FORMAT, remedy=f"restore it, or delete {self.folder}", error=CheckpointError)

    @property
    def seed(self) -> int:
        """The seed by which ids have their shards and slices."""
        return int(self.manifest["seed"])

    def path(self, stage: Stage) -> Path:
        """Where the weights after this stage are."""
        return self.folder / f"{stage.name}.safetensors"

    def covers(self, stage: Stage) -> bool:
        """Whether the finished training had seen just the same samples after this stage."""
        return self.manifest["slices"].get(stage.name, {}).get("digest") == stage.digest

    def ready(self, row: Sequence[Stage], begun: SliceCheckpoints | None) -> int:
        """Count the stages of a shard that need no training, those of an earlier training taken over.

        A damaged file of this training is removed, and said: its stage starts over. Raises CheckpointError for a
        damaged one of the earlier training.
        """
        for count, stage in enumerate(row):
            path = self.path(stage)
            if path.exists():
                try:
                    self._load(stage)
                except CheckpointError as error:
                    start_over(path, error)
            if begun is not None and begun.covers(stage):
                self.adopt(stage, begun)
            if not path.exists():
                return count
        return len(row)

    def adopt(self, stage: Stage, begun: SliceCheckpoints) -> None:
        """Take over the weights of a finished training, after checking the file; raises CheckpointError for damage."""
        source, target = begun.path(stage), self.path(stage)
        if target.exists():
            return
        wanted = begun.manifest["slices"][stage.name]["file_sha256"]
        check_sha256(source, wanted, remedy="restore it, or train again", error=CheckpointError)
        try:
            target.hardlink_to(source)
        except OSError:  # a file system without links: a copy is as good
            content = source.read_bytes()
            write_atomically(target, lambda temporary: temporary.write_bytes(content))

    def read(self, stage: Stage, model: nn.Module) -> float:
        """Load the weights after this stage and return the seconds that this training had taken, 0 if adopted."""
        state, facts = self._load(stage)
        try:
            load_state(model, state)
        except CheckpointError as error:
            raise CheckpointError(
                f"expected the weights after {stage.name}, got those of another model in {self.path(stage)}; "
                f"delete {self.folder} to do it again"
            ) from error
        return float(facts["seconds"]) if facts.get("training") == self.folder.name else 0.0

    def _load(self, stage: Stage) -> tuple[dict[str, Tensor], dict[str, str]]:
        state, facts = load_tensors(self.path(stage))
        if facts.get("digest") != stage.digest:
            raise CheckpointError(
                f"expected the weights after {stage.name}, got those after other samples in {self.path(stage)}; "
                f"delete {self.folder} to do it again"
            )
        return state, facts

    def write(self, stage: Stage, model: nn.Module, *, seconds: float) -> None:
        """Keep the weights after this stage."""
        facts = {"digest": stage.digest, "training": self.folder.name, "seconds": str(seconds)}
        save_tensors(self.path(stage), state_of(model), facts)

    def finish(self, model: nn.Module, stages: Sequence[Sequence[Stage]], recipe: Recipe, *, seed: int) -> None:
        """Write the manifest, which so vouches for the whole."""
        slices: Mapping[str, Any] = {
            stage.name: {"digest": stage.digest, "file_sha256": sha256_of(self.path(stage))}
            for row in stages
            for stage in row
        }
        ids = np.sort(np.concatenate([row[-1].samples.ids for row in stages]))
        facts = {
            "format": FORMAT,
            "seed": seed,
            "recipe": recipe.to_dict(),
            "weights_sha256": weights_sha256(model),
            "ids": ids.tolist(),
            "slices": slices,
        }
        write_sealed_json(self.folder / MANIFEST, facts)


def train(
    run: Run, samples: Samples, *, checkpoints: Path | None = None, begun: SliceCheckpoints | None = None
) -> Ensemble:
    """Train a fresh ensemble by the run's recipe, one constituent after the other and each slice by slice.

    Under `checkpoints` the weights after every slice are kept, and a manifest in the end; without it they are kept in
    the run's folder, if it has one, to go on from. What `begun`, an earlier training, has seen of just these samples
    is taken over from there.

    Raises RecipeError for a recipe without shards, and when a shard would be empty; CheckpointError for damaged
    checkpoints of the earlier training.
    """
    recipe, seed = run.recipe, run.seed if begun is None else begun.seed
    if recipe is None or not recipe.sharded:
        raise RecipeError("expected a recipe with shards or slices, got none; train by `Recipe(shards=5, slices=10)`")
    stages = plan(run.place(samples), recipe, seed=seed)
    model, kept = run.laid_out(run.fresh_model(), samples), None
    assert isinstance(model, Ensemble)
    run.warm_up(model.constituents[0], samples)
    root = checkpoints or (run.folder and run.folder / "slices")
    if root is not None:
        identity = recipe.fingerprint, seed, run.seed, begun and begun.folder.name
        kept = SliceCheckpoints.begin(root, stages, identity)
    done, total = 0, sum(stage.epochs for row in stages for stage in row)
    for constituent, row in zip(model.constituents, stages, strict=True):
        ready = 0 if kept is None else kept.ready(row, begun)
        if kept is not None and ready:
            run.spent(kept.read(row[ready - 1], constituent))
        done += sum(stage.epochs for stage in row[:ready])
        for stage in row[ready:]:
            with run.reporting(partial(_of_whole, run.progress, done, total)):
                run.train_stage(stage.name, constituent, stage.samples, stage.epochs, first=stage.first_epoch)
            done += stage.epochs
            if kept is not None:
                kept.write(stage, constituent, seconds=run.seconds)
    if kept is not None and checkpoints is not None:
        kept.finish(model, stages, recipe, seed=seed)
    return model.eval()


def _of_whole(report: Progress, before: int, whole: int, stage: str, done: float, total: float) -> None:  # noqa: ARG001
    """Report a stage of a training as a part of the whole training."""
    report("train", before + done, whole)
