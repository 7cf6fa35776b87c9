"""The models of a folder: each is made once, kept with its manifest, and read back afterwards."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from obliviate.audit.inputs import Role
from obliviate.errors import ObliviateError, WorkspaceError
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
        path = self._path(identity)
        if path.with_suffix(".json").exists():
            return self._read(path)[0]
        work = self.folder / "work" / identity  # made by the run when it has something to keep
        try:
            made = make(work)
        except ObliviateError:  # it would come again: nothing here is worth going on with
            _discard(work)
            raise
        models.save(path, made, self.recipe, data_sha256=self.data_sha256, ids=ids, settings=settings)
        _discard(work)
        return made

    def entries(self) -> list[tuple[Trained, Manifest]]:
        """Every model with its manifest: the original, then the others in the order of their making.

        A label that is there already gets a number.
        """
        # The manifest is written last: weights without one are those of an interrupted run.
        manifests = sorted((self.folder / "models").glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
        loaded = [self._read(path.with_suffix(".safetensors")) for path in manifests]
        loaded.sort(key=lambda one: one[0].role != "original")
        told, entries = Counter[str](), []
        for made, manifest in loaded:
            told[made.label] += 1
            again = told[made.label]
            entries.append((made if again == 1 else replace(made, name=f"{made.label} #{again}"), manifest))
        return entries

    def count(self, role: Role, *, request: int) -> int:
        """How many models of a role did a request make, by their manifests alone."""
        paths = (self.folder / "models").glob("*.json")
        manifests = [checkpoint.read_manifest(path.with_suffix(".safetensors")) for path in paths]
        return sum((one.role, request_of(one)) == (role, request) for one in manifests)

    def _path(self, identity: str) -> Path:
        return self.folder / "models" / f"{identity}.safetensors"

    def _read(self, path: Path) -> tuple[Trained, Manifest]:
        made, manifest = models.read(path, self.recipe)
        if manifest.data_sha256 != self.data_sha256:
            raise WorkspaceError(
                f"expected a model of this folder's data, got {path} of other data; remove it from {path.parent}"
            )
        return made, manifest


def request_of(manifest: Manifest) -> int:
    """The number of the request that made a model; manifests without one are of folders with one request."""
    return int(manifest.settings.get("request", 1))


def _discard(work: Path) -> None:
    """Remove the folder of one run, which is not there if nothing was kept, and the one above it if it is empty."""
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):
        work.parent.rmdir()
