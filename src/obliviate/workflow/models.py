"""A model and how it came to be, in memory and as a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from torch import nn

from obliviate.errors import CheckpointError, RecipeError
from obliviate.models.admission import admitted
from obliviate.models.huggingface import adapted
from obliviate.requests.manifest import Manifest
from obliviate.results.roles import Role
from obliviate.results.tabular import Record, Table, Tabular
from obliviate.task import Task
from obliviate.training import checkpoint
from obliviate.training.device import brought
from obliviate.training.recipe import Recipe
from obliviate.types import SampleId
from obliviate.workflow.effect import Effect, summary

ADOPTED: Final = "adopted"
"""The method of a model that was taken over from elsewhere."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainedModel(Tabular):
    """A model and how it came to be: by the recipe ("train") or by an unlearning method.

    `task` is what it is for, and `recipe` how it, or the model that it was made of, was trained, None where that is not
    known; `checkpoints` is the folder of its slice checkpoints, where it was trained in shards (`sisa`).
    `seconds` is the time of the training or of the method, an interrupted part included, None where it is not known:
    neither checks nor measuring nor what a process does once are in it. `notes` are figures that the method reported;
    `id` is what it is addressed by where it is kept, "" where it is not.
    `effect` is what it did to the model's utility, None where that was not measured; `teachers` is the fingerprint of
    the pool that the method learned from or was tuned by, None where there is none; `tuning` is how the settings were
    chosen (`Tuned.to_dict`), None where they were given. `TrainedModel.given` wraps a model that was trained elsewhere.
    `print(trained)` and notebooks show the effect; `to_frame()` and `to_csv()` have a row for each of its figures.

    >>> from obliviate.task import Classification
    >>> model = TrainedModel.given(nn.Linear(4, 2), Classification(classes=2), name="mine")
    >>> model.label, model.role, model.seconds
    ('mine', 'original', None)
    """

    keys: ClassVar[tuple[str, ...]] = ("model", "part", "figure")

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
        Wrappers of `torch.compile` and `DataParallel` are taken off (docs/models.md). A model of `transformers` or
        `peft` is wrapped (docs/huggingface.md): `trained.model.model` is the one that was given. Raises RecipeError for
        a file or weights, which are no model yet, for a scripted or quantised model, and for one of an unknown kind.

        >>> from obliviate.task import Classification
        >>> TrainedModel.given(nn.Linear(4, 2), Classification(classes=2)).label
        'original'
        """
        if not isinstance(model, nn.Module):
            raise RecipeError(
                f"expected a model, got {type(model).__name__}; weights, in a file or a state dict, are taken over by "
                "`ob.adopt(weights, experiment)`, which builds the model by the experiment's recipe"
            )
        model = adapted(admitted(model))
        return cls(model, task, recipe, role, "given", 0, None, name=name or role, checkpoints=checkpoints)

    def named(self, name: str) -> TrainedModel:
        """The same model under another name in tables."""
        return replace(self, name=name)

    @property
    def trainable_share(self) -> float:
        """The share of the weights that training and methods may change, in [0, 1]: little with adapters (LoRA).

        What the others learned of samples before, no method takes from them.

        >>> from obliviate.task import Classification
        >>> model = nn.Sequential(nn.Linear(4, 2).requires_grad_(False), nn.Linear(2, 2))
        >>> TrainedModel.given(model, Classification(classes=2)).trainable_share
        0.375
        """
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.model.parameters()]
        return sum(size for size, trainable in sizes if trainable) / max(sum(size for size, _ in sizes), 1)

    @property
    def label(self) -> str:
        """The name in tables."""
        base = self.name or self.method.partition("(")[0]
        return f"{base} (seed {self.seed})" if self.role == "retrained" and not self.name else base

    def __repr__(self) -> str:
        from obliviate.report.wording import duration

        took = "" if self.seconds is None else f", {duration(self.seconds)}"
        return f"TrainedModel({self.label!r}, {self.role}, {self.method}{took})"

    def records(self) -> list[Record]:
        """One row per part of the samples and figure: its value before and after; none where nothing was measured.

        Shares are in [0, 1], losses in nats.
        """
        parts = {} if self.effect is None else self.effect.parts
        return [
            {"model": self.label, "part": name, "figure": figure, "before": before, "after": part.after.get(figure)}
            for name, part in parts.items()
            for figure, before in part.before.items()
        ]

    def table(self) -> Table:
        """The effect by parts, and below how the model was made."""
        parts = {} if self.effect is None else {name: (part, summary(part)) for name, part in self.effect.parts.items()}
        titles = list(dict.fromkeys(title for _, figures in parts.values() for title in figures))
        rows = [
            (name, *(figures.get(title, "") for title in titles), f"{part.samples:,} samples")
            for name, (part, figures) in parts.items()
        ]
        return Table(heads=("on", *titles, "measured") if rows else (), rows=rows, notes=self._lines())

    def _lines(self) -> list[str]:
        from obliviate.report import wording

        took = "" if self.seconds is None else f", in {wording.duration(self.seconds)}"
        lines = [f"{self.label}: {self.role}, by {self.method}{took}."]
        if self.effect is not None and self.effect.verdict:
            tried = ", ".join(f"{name}={value:g}" for name, value in self.effect.try_next.items())
            lines.append(f"{self.effect.verdict}: {self.effect.reason}." + f" Try {tried} next." * bool(tried))
        if 0 < self.trainable_share < 1:
            lines.append(f"{100 * self.trainable_share:.3g} % of the weights could change.")
        return lines + [f"{words}: {value}." for words, value in wording.notes(self.notes).items()]


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
