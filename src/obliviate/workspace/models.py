"""The models of a folder: each is made once, kept with its manifest, and read back afterwards."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from obliviate.audit.inputs import Role
from obliviate.errors import ObliviateError, WorkspaceError
from obliviate.methods.retrain import Retrain
from obliviate.training import checkpoint
from obliviate.training.checkpoint import Manifest
from obliviate.training.recipe import Recipe
from obliviate.types import SampleId
from obliviate.workflow import Trained, models


@dataclass(frozen=True)
class ModelFolder:
    """The models below `folder`, all of one recipe and of data with one hash."""

    folder: Path
    recipe: Recipe
    data_sha256: str

    def kept(
        self,
        identity: str,
        make: Callable[[Path], Trained],
        *,
        ids: list[SampleId],
        settings: Mapping[str, Any] | None = None,
    ) -> Trained:
        """The model of this identity, read back, or made now in a folder where it can be resumed, and kept.

        `ids` are the samples that it has seen, `settings` what else its manifest tells of its making.
        """
        path, asked = self._path(identity), json.loads(json.dumps(settings or {}))
        if path.with_suffix(".json").exists():
            model, manifest = self._read(path)
            recorded = {key: manifest.settings.get(key) for key in asked}
            if (manifest.ids, recorded) != (ids, asked):
                raise WorkspaceError(
                    f"expected the model {model.label} as it is asked for, got a manifest in {path.parent} that says "
                    f"otherwise; remove {path.stem}.json to make it again"
                )
            return model
        work = self.folder / "work" / identity  # made by the run when it has something to keep
        try:
            model = make(work)
        except ObliviateError:  # it would come again: nothing here is worth going on with
            _discard(work)
            raise
        number = 1 + max((manifest.number for manifest in self._manifests().values()), default=0)
        data = self.data_sha256
        models.save(path, model, self.recipe, data_sha256=data, ids=ids, settings=asked, number=number)
        _discard(work)
        return model

    def entries(self) -> list[tuple[Trained, Manifest]]:
        """Every model with its manifest: the original, then the others in the order of their making.

        A label that is there already gets a number.
        """
        loaded = [self._read(path) for path in self._manifests()]
        loaded.sort(key=lambda entry: (entry[0].role != "original", request_of(entry[1]), entry[1].number))
        labels, entries = Counter[str](), []
        for model, manifest in loaded:
            labels[model.label] += 1
            again = labels[model.label]
            entries.append((model if again == 1 else replace(model, name=f"{model.label} #{again}"), manifest))
        return entries

    def count(self, role: Role, *, request: int) -> int:
        """How many models of a role did a request make, by their manifests alone."""
        return sum((manifest.role, request_of(manifest)) == (role, request) for manifest in self._manifests().values())

    def _manifests(self) -> dict[Path, Manifest]:
        """The manifest of every model, by the path of its weights, in the order of their names."""
        # The manifest is written last: weights without one are those of an interrupted run.
        paths = [path.with_suffix(".safetensors") for path in sorted((self.folder / "models").glob("*.json"))]
        return {path: checkpoint.read_manifest(path) for path in paths}

    def _path(self, identity: str) -> Path:
        return self.folder / "models" / f"{identity}.safetensors"

    def _read(self, path: Path) -> tuple[Trained, Manifest]:
        model, manifest = models.read(path, self.recipe)
        if manifest.data_sha256 != self.data_sha256:
            raise WorkspaceError(
                f"expected a model of this folder's data, got {path} of other data; remove it from {path.parent}"
            )
        if manifest.recipe != self.recipe.to_dict():
            raise WorkspaceError(
                f"expected a model of this folder's recipe, got {path} of another; restore workspace.json or the "
                f"model, or remove it from {path.parent}"
            )
        if manifest.role != _role(manifest.method):
            raise WorkspaceError(
                f"expected the role {_role(manifest.method)} of a model by {manifest.method}, got {manifest.role} "
                f"in {path.with_suffix('.json')}; remove the file to make the model again"
            )
        return model, manifest


def _role(method: str) -> Role:
    """The part in an audit that a model by this method plays: retrained ones alone are what others are measured by."""
    if method == "train":
        return "original"
    return "retrained" if method == repr(Retrain()) else "unlearned"


def request_of(manifest: Manifest) -> int:
    """The number of the request that a model was made for; the original, which has none, is there for the first."""
    number = manifest.settings.get("request", 1)
    if not isinstance(number, int):
        raise WorkspaceError(f"expected the number of a request, got {number!r:.60} in a manifest; make it again")
    return number


def _discard(work: Path) -> None:
    """Remove the folder of one run, which is not there if nothing was kept, and the one above it if it is empty."""
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):
        work.parent.rmdir()
