"""Audited folders together: each is one training seed with one forget set, and all are of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from obliviate.comparison.figures import Comparison, Outcome, combined
from obliviate.data.ids import ids_sha256
from obliviate.errors import WorkspaceError
from obliviate.metrics.intervals import ScorePair
from obliviate.requests import Requests
from obliviate.results.file import read
from obliviate.results.model import ModelResult
from obliviate.results.roles import Role
from obliviate.results.schema import Results
from obliviate.workspace import scores
from obliviate.workspace.origin import read_facts
from obliviate.workspace.scores import Scores


@dataclass(frozen=True, eq=False)
class _Audit:
    """One audited folder."""

    folder: Path
    results: Results
    facts: Mapping[str, Any]  # of workspace.json
    of_manifests: Mapping[str, Mapping[str, Any]]  # how every model was made, by the hash of its weights
    forget: tuple[str, ...]
    scores: Scores | None

    @classmethod
    def read(cls, folder: Path, request: int | None) -> _Audit:
        facts, requests = read_facts(folder), Requests(folder)
        asked = requests.numbered(request)
        place, again = requests.at(asked.number), f"`obliviate audit --out {folder} --request {asked.number}`"
        if not place.results.exists():
            raise WorkspaceError(f"expected an audited folder, got {folder} without {place.results}; run {again}")
        results = read(place.results, remedy=f"run {again} again")
        settings = {model.manifest.weights_sha256: model.manifest.settings for model in requests.models()}
        return cls(folder, results, facts, settings, tuple(sorted(asked.ids)), scores.read(place.scores))

    @property
    def seed(self) -> int:
        return self.results.seed

    @property
    def kind(self) -> dict[str, Any]:
        """What must be the same in all of them."""
        results, facts = self.results, self.facts
        rule = results.data.forget_rule
        drawn = facts.get("train_size") is not None or facts.get("holdout_size") is not None
        return {
            "data": (results.data.name, results.task.kind, results.task.settings.get("classes")),
            "data_sha256": None if drawn else results.data_sha256,  # parts are drawn by the seed
            **{key: facts.get(key) for key in ("train_size", "holdout_size", "coins", "noise", "noise_scale")},
            "recipe": results.recipe,
            "rule for the forget set": rule if rule.startswith("random") else rule.split()[0],
            "number of references": results.references.models,
            "attack": {attack.name: attack.settings for attack in results.attacks},
            "baseline": results.baseline,
        }

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How the method of every model was set, by the hash of its weights, where its manifest says so.

        What was tuned is set by what it was tuned from, and how: the settings that were chosen are the outcome.
        """
        return {weights: _asked(of_model) for weights, of_model in self.of_manifests.items() if of_model.get("method")}

    @property
    def outcomes(self) -> list[Outcome]:
        """What it says of each of its rows."""
        rows: dict[str, Role] = {_row(model): model.role for model in self.results.models}
        unseen = "" if self.scores is None else ids_sha256(self.scores.unseen)
        return [
            Outcome(
                name=name,
                role=role,
                seed=self.seed,
                forget=self.forget,
                unseen=unseen,
                attack=self.results.lead.name,
                models=tuple(model for model in self.results.models if _row(model) == name),
                pair=self._pair(name),
            )
            for name, role in rows.items()
        ]

    def _pair(self, name: str) -> ScorePair | None:
        """The scores of a row that is one model, in the order of the samples' ids; None where there are none."""
        (model, *others) = [model for model in self.results.models if _row(model) == name]
        if others or self.scores is None or model.weights_sha256 not in self.scores.of:
            return None
        forget, unseen = self.scores.of[model.weights_sha256]
        return forget[np.argsort(self.scores.forget)], unseen[np.argsort(self.scores.unseen)]


def _asked(settings: Mapping[str, Any]) -> Any:
    if "tune" not in settings:
        return settings["method"]
    return {key: settings.get(key) for key in ("tuned_from", "tune", "taught_by")}


def compare(folders: Sequence[Path | str], *, request: int | None = None) -> Comparison:
    """Compare the methods of several audited folders: means over training seeds and forget sets, with 95 % intervals.

    A folder is one training seed with one forget set, that of its request of this number, the last if left out.
    FT-AUCs have the interval of `hierarchical_bootstrap` over seeds, forget sets and samples; average gaps, accuracies,
    times and costs Student's over the means of the seeds (`comparison.figures.Compared`). `Comparison.to_csv`,
    `to_frame` and `to_svg` show them elsewhere, `write` keeps all of it in a folder.

    Raises WorkspaceError for fewer than 2 folders, folders that were not audited, folders of different kinds (data,
    recipe, kind of forget set, references, attack), one seed and forget set twice, and methods that were set in
    different ways.

    >>> compare(["seed-0"])
    Traceback (most recent call last):
    obliviate.errors.WorkspaceError: expected 2 audited folders or more, got 1; name those of several seeds or ...
    """
    if len(folders) < 2:
        raise WorkspaceError(
            f"expected 2 audited folders or more, got {len(folders)}; name those of several seeds or forget sets"
        )
    audits = [_Audit.read(Path(folder), request) for folder in folders]
    _check(audits)
    notes: list[str] = []
    if unscored := [str(audit.folder) for audit in audits if audit.scores is None]:
        notes.append(
            f"The intervals of FT-AUC are over seeds alone: {', '.join(unscored)} was audited before scores were kept; "
            "audit again."
        )
    return combined(
        [outcome for audit in audits for outcome in audit.outcomes],
        title=audits[0].kind["rule for the forget set"],
        notes=notes,
    )


def _check(audits: Sequence[_Audit]) -> None:
    first = audits[0]
    for place, audit in enumerate(audits):
        if differing := [key for key, value in audit.kind.items() if value != first.kind[key]]:
            raise WorkspaceError(
                f"expected audits of one kind, got {audit.folder} with another {', '.join(differing)} than "
                f"{first.folder}; compare folders that differ in their seeds and forget sets only"
            )
        for other in audits[:place]:
            if (audit.seed, audit.forget) == (other.seed, other.forget):
                raise WorkspaceError(
                    f"expected every training seed with a forget set once, got {other.folder} and {audit.folder} with "
                    "the same; leave one out"
                )
    settings: dict[str, tuple[Any, Path]] = {}
    for audit in audits:
        for model in audit.results.models:
            setting = audit.settings.get(model.weights_sha256, model.method)
            before, where = settings.setdefault(_row(model), (setting, audit.folder))
            if setting != before:
                raise WorkspaceError(
                    f"expected {model.name} with the same settings everywhere, got {before} in {where} and "
                    f"{setting} in {audit.folder}; leave one of the folders out"
                )


def _row(model: ModelResult) -> str:
    return "retrained" if model.role == "retrained" else model.name
