"""Judge a method against models that others trained, by what these said: nothing is trained but by the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from obliviate import workflow
from obliviate._util.files import shortened_apart
from obliviate.audit.inputs import LEAST_RETRAINED, AuditSettings, Candidate
from obliviate.audit.result import AuditResult
from obliviate.data.ids import ids_sha256
from obliviate.data.sources import BUILT_IN
from obliviate.data.split import Split
from obliviate.errors import AuditError, CheckpointError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method
from obliviate.oracles.archive import REMEDY, Archive
from obliviate.references.executors.protocol import Executor
from obliviate.references.logits import HeldLogits
from obliviate.references.pool import ReferencePool
from obliviate.task import to_dict as describe_task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import observed
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.training.state import load_state, state_of
from obliviate.training.teachers import Teachers
from obliviate.workflow import TrainedModel
from obliviate.workflow.auditing import LEAST_FORGOTTEN, Evaluation, ask_models
from obliviate.workspace import Workspace
from obliviate.workspace.elsewhere import unseen_in_audit
from obliviate.workspace.origin import NO_CANARIES, Origin, Portion, check_trust

ASKED: Final = 64
"""Samples by whose answers the original is known again."""
TOLERANCE: Final = 0.01
"""How far an answer may be off, as a share of the greatest: what machines and float16 differ by, and no scale does."""


@dataclass(frozen=True, eq=False, repr=False)
class Oracle:
    """A model, what it is to forget, and what models that never saw that say of all samples.

    `experiment` has the data, `split` what is to be forgotten, `original` the model that knows it. `pool` holds the
    outputs of the references, `retrained` those of the retrained models; neither has weights. `made_by` are the
    versions of the packages that it was made by. Times are those of other machines, so that audits tell no costs.

    >>> import tempfile
    >>> import obliviate as ob
    >>> from obliviate.workspace import Workspace
    >>> recipe = ob.Recipe(model="mlp", model_options={"features": 64, "classes": 10, "hidden": (16,)}, epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     workspace = Workspace.create(
    ...         Path(folder) / "run", source="digits", recipe=recipe, seed=0, portion=Portion(train_size=100)
    ...     )
    ...     _ = workspace.choose("random:0.1")
    ...     path = Path(folder) / "digits.safetensors"
    ...     _ = build_oracle(path, workspace, references=4, retrained=2, workers=0)
    ...     result = Oracle.load(path).judge(ob.FineTune(epochs=1))
    >>> [model.name for model in result.models]
    ['original', 'fine_tune', 'retrain (seed 1)', 'retrain (seed 2)']
    """

    path: Path
    experiment: Experiment
    split: Split
    original: TrainedModel
    pool: ReferencePool
    retrained: tuple[Candidate, ...]
    rule: str
    grouped: bool
    data_name: str
    made_by: Mapping[str, str]

    @classmethod
    def load(cls, path: Path | str, *, data: str | None = None, trust: bool = False) -> Oracle:
        """Read an oracle that `build_oracle` made, and the data that it is about.

        `data` says where these are, as for `load_data`; the file names a set that the package ships or fetches, or
        where they were. A model that is a function of somebody's own is imported only with `trust`.

        Raises AuditError for a file that is missing, damaged, edited or foreign, and where samples, their scale, the
        task or the model as built are others than those that it was made of; WorkspaceError for a model that is not
        trusted; DataError for data that are not there.
        """
        path = Path(path)
        archive = Archive.read(path)
        facts = archive.facts
        check_trust(path, dict(facts), trust)
        source = data or str(facts["source"])
        if source not in BUILT_IN and not Path(source).exists():
            raise AuditError(f"expected the data of {path}, got none in {source}; say where they are with --data")
        origin = Origin(source, Recipe.from_dict(facts["recipe"]), int(facts["seed"]), Portion(**facts["portion"]))
        _check_data(path, origin, facts)
        forget = np.array(facts["forget"])
        experiment = replace(origin.experiment, test=unseen_in_audit(origin.data, forget))
        split = experiment.split(forget)
        ids = np.sort(split.forget.joined(split.kept, experiment.unseen).ids)
        if ids_sha256(ids) != facts["samples_sha256"] or len(ids) != archive.references.shape[1]:
            raise AuditError(f"expected the outputs of {len(ids):,} samples, got those of others in {path}; {REMEDY}")
        pool = ReferencePool(
            ids,
            HeldLogits(archive.references),
            archive.included,
            facts["fingerprint"],
            float(facts["references_seconds"]),
            path,
            experiment.seed,
        )
        original = _original(path, experiment, archive)
        retrained = tuple(
            Candidate(role="retrained", logits=np.asarray(logits, np.float32), **{**described, "seconds": None})
            for logits, described in zip(archive.retrained, facts["retrained"], strict=True)
        )
        named = str(facts["rule"]), bool(facts["grouped"]), origin.data.name, facts["made_by"]
        return cls(path, experiment, split, original, pool, retrained, *named)

    def __repr__(self) -> str:
        return (
            f"Oracle({self.data_name}, forget {len(self.split.forget):,} of {len(self.experiment.train):,} "
            f"({self.rule}), {len(self.pool)} references, {len(self.retrained)} retrained models)"
        )

    def unlearn(
        self,
        method: Method,
        *,
        seed: int | None = None,
        retain: bool = True,
        teachers: ReferencePool | Teachers | None = None,
        progress: Progress = silent,
    ) -> TrainedModel:
        """Make the original forget by a method (`workflow.unlearn`), under the experiment's seed if left out.

        With `retain=False` the method has no retained samples. Retraining is judged as any other method is. Raises what
        `workflow.unlearn` raises.
        """
        split = self.split if retain else self.split.without_retain()
        unlearned = workflow.unlearn(
            self.original,
            split,
            method,
            seed=self.experiment.seed if seed is None else seed,
            progress=progress,
            teachers=teachers,
            measure=None,
        )
        name = method.name + ("" if retain else " (no retain set)")
        return replace(unlearned, role="unlearned", name=name)

    def audit(self, models: Sequence[TrainedModel], *, settings: AuditSettings | None = None) -> AuditResult:
        """Audit models beside the original and the stored retrained ones, as `audit_models` does.

        Models may have been made elsewhere (`TrainedModel.given(model, oracle.experiment.task, role="unlearned")`).
        Raises AuditError as `audit_models` does, and for models of other roles.
        """
        settings = settings or AuditSettings()
        workflow.check_margins(settings)
        if other := [model.label for model in models if model.role != "unlearned"]:
            raise AuditError(
                f"expected models that were unlearned, got {', '.join(other)} of another role; the oracle has the "
                'original and retrained models itself: give `role="unlearned"`'
            )
        evaluation, candidates = ask_models(
            self.experiment, [self.original, *models], self.split, self.pool, {}, grouped=self.grouped
        )
        rows = self.pool.rows(evaluation.samples.ids)
        retrained = [replace(candidate, logits=candidate.logits[rows]) for candidate in self.retrained]
        return evaluation.audit([*candidates, *retrained], settings)

    def judge(
        self,
        method: Method,
        *,
        seed: int | None = None,
        retain: bool = True,
        teachers: ReferencePool | Teachers | None = None,
        settings: AuditSettings | None = None,
        progress: Progress = silent,
    ) -> AuditResult:
        """Make the original forget by a method, and audit the outcome: `unlearn`, and then `audit`."""
        unlearned = self.unlearn(method, seed=seed, retain=retain, teachers=teachers, progress=progress)
        return self.audit([unlearned], settings=settings)


def build_oracle(
    path: Path | str,
    workspace: Workspace,
    *,
    request: int | None = None,
    references: int = 16,
    retrained: int = 3,
    half: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Oracle:
    """Write the oracle of a folder's request to `path`, and load it; what is missing for it is trained first.

    All retrained models of the request go in, at least `retrained`, and the folder's first `references`. With `half`
    outputs are float16: half the file, and figures that differ from an audit of the folder in the third digit.

    Raises AuditError for a request that is not the first, for one of a single sample, and for folders that others could
    not judge by: with planned canaries, pseudonyms, or erased rows.
    """
    path, contents, origin = Path(path), workspace.contents, workspace.origin
    origin.recipe.check_trainable()
    kept = contents.requests.numbered(request)
    _check_folder(workspace, kept.number, len(kept.ids), retrained)
    original = workspace.train()
    workspace.retrained(retrained, request=kept.number)
    pool = workspace.references(references, workers=workers, executor=executor)
    with contents.reading_once():
        compared = contents.read(contents.compared(kept.number))
        split, unseen = contents.split_of(kept.number), contents.unseen(kept.number)
        experiment = replace(origin.experiment, test=unseen)
        evaluation = Evaluation.of(experiment, split, pool, grouped=kept.grouped)
        candidates = [evaluation.candidate(model) for model in compared if model.role == "retrained"]
    order = np.argsort(evaluation.samples.ids)
    kind = np.float16 if half else np.float32

    def stored(outputs: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(over="ignore"):  # what is too great is refused in the end, by name
            return np.stack([np.asarray(values)[order].astype(kind) for values in outputs])

    facts = {
        **_origin_facts(origin),
        "forget": [str(name) for name in split.forget.ids],
        "rule": kept.full_rule,
        "grouped": kept.grouped,
        "samples_sha256": ids_sha256(evaluation.samples.ids[order]),
        "fingerprint": pool.fingerprint,
        "references_seconds": pool.seconds,
        "original": {
            "method": original.method,
            "seed": original.seed,
            "seconds": original.seconds,
            "weights_sha256": weights_sha256(original.model),
        },
        "retrained": [_described(candidate) for candidate in candidates],
        "made_by": {"obliviate": version("obliviate"), "torch": version("torch")},
    }
    asked = experiment.unseen.select(np.sort(experiment.unseen.ids)[:ASKED])
    archive = Archive(
        facts=facts,
        weights=state_of(original.model),
        references=stored(evaluation.pool.logits),
        included=evaluation.pool.included[:, order],
        retrained=stored([candidate.logits for candidate in candidates]),
        answers=observed(original.model, asked, origin.task).numpy().astype(kind),
    )
    archive.write(path)
    return Oracle.load(path, data=origin.source, trust=True)


def _origin_facts(origin: Origin) -> dict[str, Any]:
    """What the experiment is made of, as far as it can be written."""
    return {
        "source": origin.source,
        "portion": asdict(origin.portion),
        "seed": origin.seed,
        "data_sha256": origin.data.sha256,
        "task": describe_task(origin.task),
        "recipe": origin.recipe.to_dict(),
    }


def _check_folder(workspace: Workspace, number: int, forget: int, retrained: int) -> None:
    """Refuse what no oracle can be made of, before anything is trained; raises AuditError."""
    origin = workspace.origin
    if number > 1:
        raise AuditError(
            f"expected the first request of a folder, got request {number}, which another model had been changed for; "
            "begin in a new folder"
        )
    if forget < LEAST_FORGOTTEN or retrained < LEAST_RETRAINED:
        raise AuditError(
            f"expected {LEAST_FORGOTTEN} samples to forget and {LEAST_RETRAINED} retrained models, or more, got "
            f"{forget} and {retrained}; choose more"
        )
    marks = {
        "planned coins or noise": origin.canaries != NO_CANARIES,
        "pseudonyms": origin.key is not None,
        "erased rows": len(origin.data.erased) > 0,
    }
    if odd := [name for name, marked in marks.items() if marked]:
        raise AuditError(
            f"expected a folder whose data others have as they are, got one with {', '.join(odd)}; begin in a new "
            "folder without"
        )


def _described(candidate: Candidate) -> dict[str, Any]:
    """What is told of a retrained model beside its outputs."""
    return {
        "name": candidate.name,
        "method": candidate.method,
        "seed": candidate.seed,
        "seconds": candidate.seconds,
        "weights_sha256": candidate.weights_sha256,
        "settings": dict(candidate.settings),
    }


def _check_data(path: Path, origin: Origin, facts: Mapping[str, Any]) -> None:
    """Refuse other samples, the same on another scale, and another task; raises AuditError."""
    if origin.data.sha256 != facts["data_sha256"]:
        wanted, got = shortened_apart(str(facts["data_sha256"]), origin.data.sha256)
        raise AuditError(
            f"expected the data that {path} was made of (sha256 {wanted}), got {origin.data.name} with {got}: other "
            "samples, or the same on another scale; say where the right ones are with --data"
        )
    if describe_task(origin.task) != facts["task"]:
        raise AuditError(f"expected the task of {path}, {facts['task']}, got {describe_task(origin.task)}; {REMEDY}")


def _original(path: Path, experiment: Experiment, archive: Archive) -> TrainedModel:
    """The model that knows everything, checked by its weights and by what it answers."""
    recipe, task, stored = experiment.recipe, experiment.task, archive.facts["original"]
    model = recipe.build(seed=0)
    try:
        load_state(model, archive.weights)
    except CheckpointError as error:
        raise AuditError(
            f"expected the model that {path} was made of, got another under the name {recipe.model_name}: {error}; use "
            "the version of its code"
        ) from error
    if weights_sha256(model) != stored["weights_sha256"]:
        raise AuditError(f"expected the original's weights in {path}, got others; {REMEDY}")
    asked = experiment.unseen.select(np.sort(experiment.unseen.ids)[:ASKED])
    with torch.no_grad():
        answers = observed(model, asked, task).numpy()
    wanted = archive.answers.astype(np.float32)
    off = float(np.abs(answers - wanted).max()) if answers.shape == wanted.shape else np.inf
    if not off <= TOLERANCE * max(float(np.abs(wanted).max()), 1.0):
        raise AuditError(
            f"expected the original of {path} to answer as it did, got outputs that are off by {off:.3g}; use the "
            "version of the model's code, and the data on their scale"
        )
    return TrainedModel(model.eval(), task, recipe, "original", stored["method"], stored["seed"], None, name="original")
