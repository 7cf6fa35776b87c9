"""The samples of a project's data by their pseudonyms, so that requests are looked up without the data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from obliviate.data.lookup import spelling
from obliviate.data.owners import named
from obliviate.data.predicate import plain
from obliviate.data.sources import Data
from obliviate.errors import ProjectError
from obliviate.ledger.names import NOBODY, Sample
from obliviate.project import Project
from obliviate.requests import Requests
from obliviate.requests.store import ORIGINAL
from obliviate.training.defaults import recipe_for
from obliviate.training.progress import Progress, silent
from obliviate.workspace import Portion, Workspace
from obliviate.workspace.origin import read_facts


def opened(project: Project, *, progress: Progress = silent) -> Workspace:
    """The workspace of a project, begun where it is not there, with the user's weights where the project names them.

    Those are read once: from then on the workspace has its own copy, and knows them by their hash. Raises
    WorkspaceError for a workspace of other settings, and CheckpointError for weights that do not fit.
    """
    config = project.config
    source = config.source
    if (project.folder / source).exists():
        source = str((project.folder / source).resolve())
    if config.code and not config.trust:
        raise ProjectError(
            f"expected trust = true in [model] of obliviate.toml, to import {config.code[0]} that it names, got none; "
            "say so if you know that code"
        )
    settings: dict[str, Any] = {
        "source": source,
        "recipe": partial(recipe_for, model=config.model, options=config.options, **config.recipe),
        "seed": config.seed,
        "progress": progress,
        "portion": Portion(train_size=config.train_size, holdout_size=config.holdout_size),
    }
    if config.weights is None:
        return Workspace.create(project.workspace, **settings)
    adopted = _adopted(project.workspace)
    if adopted is None:
        return Workspace.adopt(project.workspace, project.folder / config.weights, **settings)
    return Workspace.create(project.workspace, **settings, adopted=adopted)


def _adopted(folder: Path) -> str | None:
    """The hash of the weights that a workspace was begun with; None where no model was taken over yet."""
    if not Requests(folder).slot(ORIGINAL, None).manifest.exists():
        return None
    return read_facts(folder).get("adopted")


def index(project: Project, workspace: Workspace | None = None) -> Workspace:
    """Enter the samples of a project's data in its ledger, if they are not there; returns its workspace.

    Raises ProjectError for a column that the data do not have, LedgerError for other data than before.
    """
    workspace = opened(project) if workspace is None else workspace
    if not project.ledger.indexed:
        data = workspace.data
        project.ledger.index(list(_samples(project, data)), data_sha256=data.sha256)
    return workspace


def columns(project: Project, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """What training samples are called in requests, and whose they are, "" for nobody's."""
    called = data.train.ids if project.config.id is None else _column(data, project.config.id, "id")
    owner = project.config.owner or data.owner
    owners = np.full(len(data.train), NOBODY) if owner is None else named(_column(data, owner, "owner"))
    return called, owners


def _column(data: Data, name: str, what: str) -> np.ndarray:
    columns: dict[str, Any] = {**data.cells, **data.metadata}
    if name not in columns:
        raise ProjectError(
            f"expected a column of the data for {what} of [data] in obliviate.toml ({', '.join(columns) or 'none'}), "
            f"got {name!r:.80}; correct it"
        )
    return plain(np.asarray(columns[name])).astype(np.str_)


def _samples(project: Project, data: Data) -> Iterator[Sample]:
    called, owners = columns(project, data)
    yield from _part(project, "train", data.train.ids, called, owners)
    for part, samples in (("test", data.test), ("holdout", data.holdout)):
        if samples is not None:
            nobody = np.full(len(samples), NOBODY)
            whose = named(data.owners.get(part, nobody)) if project.config.owner in (None, data.owner) else nobody
            yield from _part(project, part, samples.ids, samples.ids, whose)


def _part(project: Project, part: str, ids: np.ndarray, called: np.ndarray, owners: np.ndarray) -> Iterator[Sample]:
    of = project.pseudonyms.of
    for sample, name, owner in zip(ids.tolist(), called.tolist(), owners.tolist(), strict=True):
        whose = (of("owner", owner), of("owner spelled", spelling(owner))) if owner != NOBODY else (NOBODY, NOBODY)
        # Names of other parts do not stand for training samples of the same name.
        yield Sample(
            of("sample", f"{part} {sample}"), of("name", name), of("name spelled", spelling(name)), *whose, part
        )
