"""A model and how it came to be, in memory and as a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from obliviate.audit.inputs import Role
from obliviate.errors import CheckpointError, RecipeError
from obliviate.models.admission import admitted
from obliviate.requests.manifest import Manifest
from obliviate.task import Task
from obliviate.training import checkpoint
from obliviate.training.device import brought
from obliviate.training.recipe import Recipe
from obliviate.types import SampleId
from obliviate.workflow.effect import Effect


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model and how it came to be: by the recipe ("train") or by an unlearning method.

    `task` is what it is for, and `recipe` how it, or the model that it was made of, was trained, None where that is not
    known; `checkpoints` is the folder of its slice checkpoints, where it was trained in shards (`sisa`).
    `seconds` is the time of the training or of the method, an interrupted part included, None where it is not known:
    neither checks nor measuring nor what a process does once are in it. `notes` are figures that the method reported;
    `id` is what it is addressed by where it is kept, "" where it is not.
    `effect` is what it did to the model's utility, None where that was not measured; `teachers` is the fingerprint of
    the pool that the method learned from or was tuned by, None where there is none; `tuning` is how the settings were
    chosen (`Tuned.to_dict`), None where they were given. `TrainedModel.given` wraps a model that was trained elsewhere.

    >>> from obliviate.task import Classification
    >>> model = TrainedModel.given(nn.Linear(4, 2), Classification(classes=2), name="mine")
    >>> model.label, model.role, model.seconds
    ('mine', 'original', None)
    """

    model: nn.Module
    task: Task
    recipe: Recipe | None
    role: Role
    method: str
    seed: int
    seconds: float | None
    notes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    name: str = ""
    effect: Effect | None = None
    teachers: str | None = None
    tuning: Mapping[str, Any] | None = None
    id: str = ""
    checkpoints: Path | None = None

    @classmethod
    def given(
        cls,
        model: nn.Module,
        task: Task,
        *,
        recipe: Recipe | None = None,
        role: Role = "original",
        name: str = "",
        checkpoints: Path | None = None,
    ) -> TrainedModel:
        """Wrap a model that was trained or unlearned elsewhere, so that it can forget and be audited.

        `recipe` says how it was trained, for the methods that need to know, and for relative settings.
        Wrappers of `torch.compile` and `DataParallel` are taken off (docs/models.md). Raises RecipeError for a file or
        weights, which are no model yet, and for a scripted or quantised model.

        >>> from obliviate.task import Classification
        >>> TrainedModel.given(nn.Linear(4, 2), Classification(classes=2)).label
        'original'
        """
        if not isinstance(model, nn.Module):
            raise RecipeError(
                f"expected a model, got {type(model).__name__}; build the model and read the weights into it: "
                '`model.load_state_dict(torch.load("x.pth", weights_only=True))`'
            )
        return cls(admitted(model), task, recipe, role, "given", 0, None, name=name or role, checkpoints=checkpoints)

    def named(self, name: str) -> TrainedModel:
        """The same model under another name in tables."""
        return replace(self, name=name)

    @property
    def label(self) -> str:
        """The name in tables."""
        base = self.name or self.method.partition("(")[0]
        return f"{base} (seed {self.seed})" if self.role == "retrained" and not self.name else base


def save(
    path: Path,
    trained: TrainedModel,
    *,
    data_sha256: str,
    ids: list[SampleId],
    settings: Mapping[str, Any] | None = None,
    number: int = 1,
) -> None:
    """Write a model to `path` (.safetensors) with a manifest beside it, which `read` makes the same of.

    `ids` are the samples that it has seen, `settings` what else its manifest tells of its making, and `number` its
    place among the models beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"name": trained.name, "notes": dict(trained.notes)}
    effect = {} if trained.effect is None else {"effect": trained.effect.to_dict()}
    teachers = {} if trained.teachers is None else {"teachers": trained.teachers}
    # What shadows are made by are the settings that were chosen, not those that were asked for.
    tuning = {} if trained.tuning is None else {"tuning": dict(trained.tuning), "method": trained.tuning["method"]}
    checkpoint.save(
        path,
        trained.model,
        role=trained.role,
        method=trained.method,
        seed=trained.seed,
        recipe={} if trained.recipe is None else trained.recipe.to_dict(),
        data_sha256=data_sha256,
        ids=ids,
        settings={**facts, **effect, **teachers, **tuning, **(settings or {})},
        seconds=trained.seconds or 0.0,
        number=number,
    )


def read(path: Path, task: Task, recipe: Recipe) -> tuple[TrainedModel, Manifest]:
    """Read what `save` wrote, and what its manifest says; raises CheckpointError for a damaged or foreign file."""
    return read_into(path, recipe.build(seed=0), task, recipe)


def read_into(path: Path, model: nn.Module, task: Task, recipe: Recipe | None) -> tuple[TrainedModel, Manifest]:
    """Read what `save` wrote as `read` does, into a model of the same architecture, whose weights are replaced."""
    manifest = checkpoint.load(path, model)
    notes, name = manifest.settings.get("notes", {}), manifest.settings.get("name", "")
    role: Any = manifest.role
    trained = TrainedModel(
        brought(model).eval(),
        task,
        recipe,
        role,
        manifest.method,
        manifest.seed,
        manifest.seconds,
        notes,
        name,
        _effect(path, manifest),
        manifest.settings.get("teachers"),
        manifest.settings.get("tuning"),
    )
    return trained, manifest


def _effect(path: Path, manifest: Manifest) -> Effect | None:
    if (values := manifest.settings.get("effect")) is None:
        return None
    try:
        return Effect.from_dict(values)
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"expected the utility before and after in the manifest of {path}, got something else ({error!r}); "
            "the file is damaged: restore it or make the model again"
        ) from error
