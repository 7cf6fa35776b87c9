"""Models that are made once, kept with what they say of themselves, and read back afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from obliviate.errors import WorkspaceError
from obliviate.methods.retrain import Retrain
from obliviate.requests import KeptModel, Manifest, Requests, Slot, purged
from obliviate.results.roles import Role
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.types import SampleId
from obliviate.workflow import models
from obliviate.workflow.models import ADOPTED, TrainedModel


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """Models among `requests`, all of one task, of one recipe, if there is any, and of data with one hash.

    `build` returns a model of their architecture, whose weights are replaced. `checkpoints` is where the slice
    checkpoints of all of them are. What is in `known` is not read again: models by their files.
    """

    requests: Requests
    task: Task
    recipe: Recipe | None
    data_sha256: str
    build: Callable[[], nn.Module]
    checkpoints: Path | None = None
    known: dict[Path, tuple[TrainedModel, Manifest]] = field(default_factory=dict)

    def once(
        self,
        slot: Slot,
        make: Callable[[Path], TrainedModel],
        *,
        ids: list[SampleId],
        settings: Mapping[str, Any] | None = None,
    ) -> TrainedModel:
        """The model of a place, read back, or made now in a folder where it can be resumed, and kept.

        `ids` are the samples that it has seen, `settings` what else its manifest tells of its making. Raises
        WorkspaceError for a manifest that says otherwise.
        """
        asked = json.loads(json.dumps(settings or {}))

        def read() -> TrainedModel:
            model, manifest = self._read(slot)
            recorded = {key: manifest.settings.get(key) for key in asked}
            if (manifest.ids, recorded) != (ids, asked):
                raise WorkspaceError(
                    f"expected the model {model.label} as it is asked for, got a manifest in {slot.path.parent} that "
                    f"says otherwise; remove {slot.manifest.name} to make it again"
                )
            return model

        def save(model: TrainedModel, number: int) -> None:
            models.save(slot.path, model, data_sha256=self.data_sha256, ids=ids, settings=asked, number=number)

        return replace(self.requests.once(slot, make, save=save, read=read), id=slot.id)

    def read(self, kept: KeptModel) -> TrainedModel:
        """Read a model under the label that it has among all; raises WorkspaceError for one of other data or recipe."""
        model, _ = self._read(kept.slot)
        return model if model.label == kept.label else replace(model, name=kept.label)

    def _read(self, slot: Slot) -> tuple[TrainedModel, Manifest]:
        if slot.path not in self.known:
            self.known[slot.path] = self._read_file(slot)
        return self.known[slot.path]

    def _read_file(self, slot: Slot) -> tuple[TrainedModel, Manifest]:
        purged.refuse(self.requests.folder, slot.path)
        model, manifest = models.read_into(slot.path, self.build(), self.task, self.recipe)
        if manifest.data_sha256 != self.data_sha256:
            raise WorkspaceError(
                f"expected a model of this folder's data, got {slot.path} of other data; remove it from "
                f"{slot.path.parent}"
            )
        if _settings(manifest.recipe) != ({} if self.recipe is None else _settings(self.recipe.to_dict())):
            raise WorkspaceError(
                f"expected a model of this folder's recipe, got {slot.path} of another; restore workspace.json or the "
                f"model, or remove it from {slot.path.parent}"
            )
        if manifest.role != _role(manifest.method):
            raise WorkspaceError(
                f"expected the role {_role(manifest.method)} of a model by {manifest.method}, got {manifest.role} "
                f"in {slot.manifest}; remove the file to make the model again"
            )
        return replace(model, id=slot.id, checkpoints=self.checkpoints), manifest


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without the name of its builder, which may be another for the same architecture."""
    return {key: value for key, value in recipe.items() if key != "model"}


def _role(method: str) -> Role:
    """The part in an audit that a model by this method plays: retrained ones alone are what others are measured by."""
    if method in {"train", ADOPTED}:
        return "original"
    return "retrained" if method == repr(Retrain()) else "unlearned"
