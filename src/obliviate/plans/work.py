"""The work of a plan: every cell made once, by whichever process comes to it first, and resumed where it was killed."""

from __future__ import annotations

import fcntl
import os
import pickle
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from obliviate import workflow
from obliviate._util.files import WORK, sha256_of, write_atomically, write_sealed_json
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError, PlanError, TrainingError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method
from obliviate.methods.retrain import Retrain
from obliviate.plans.ground import Cell, ForgetSet, Ground
from obliviate.plans.plan import Plan
from obliviate.plans.trials import Trial
from obliviate.references.pool import ReferencePool, load_pool
from obliviate.task import Classification
from obliviate.training.compute import Compute
from obliviate.training.device import chosen
from obliviate.training.inference import outputs
from obliviate.training.progress import TICK, Progress, silent
from obliviate.training.randomness import one_thread
from obliviate.workflow import TrainedModel
from obliviate.workflow.models import read, save
from obliviate.workspace.elsewhere import unseen_in_audit

FORMAT: Final = "obliviate.cell/1"
JOB: Final = "job.pickle"


class Unwanted(PlanError):
    """Whoever began the work has stopped."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Where the cells of a plan are made; the files in `folder` say which are done."""

    ground: Ground
    sets: Sequence[ForgetSet]
    folder: Path
    progress: Progress = silent
    only: frozenset[str] = frozenset()
    """The ids of the cells to make, with what they rest on; all of them where none is named."""
    _audited: list[tuple[tuple[int, int], _Audited]] = field(default_factory=list, repr=False)
    """What the last audits rested on, which the next one mostly rests on too."""

    @cached_property
    def cells(self) -> list[Cell]:
        """Everything that is to be made, in order; raises PlanError for an id that no cell has."""
        cells = self.ground.cells(self.sets)
        if not self.only:
            return cells
        if unknown := self.only - {cell.id for cell in cells}:
            raise PlanError(f"expected cells of the plan, got {', '.join(sorted(unknown))[:200]}; a dry run lists them")
        needed = self.only.union(*(cell.needs for cell in cells if cell.id in self.only))
        return [cell for cell in cells if cell.id in needed]

    def missing(self) -> list[Cell]:
        """What is not done yet."""
        return [cell for cell in self.cells if not cell.file(self.folder).exists()]

    def all(self, *, report: Callable[[], None] = lambda: None) -> None:
        """Make what is missing, but for what other processes are making; return when everything is done."""
        cells = self.cells
        while missing := [cell for cell in cells if not cell.file(self.folder).exists()]:
            open_ids = {cell.id for cell in missing}
            moved = False
            for cell in missing:
                if open_ids.isdisjoint(cell.needs) and self.work_on(cell):
                    moved = True
                    open_ids.discard(cell.id)
                    report()
            if not moved:  # others are at work on what is left
                self.progress("cells", len(cells) - len(missing), len(cells))
                time.sleep(TICK)

    def work_on(self, cell: Cell) -> bool:
        """Make a cell, and tell whether it is done; another process may be at work on it."""
        with _claimed(self.folder / WORK / f"{cell.id}.lock") as mine:
            if not mine:
                return False
            if not cell.file(self.folder).exists():
                work = self.folder / WORK / cell.id
                work.mkdir(parents=True, exist_ok=True)
                with one_thread():  # which adds up in the same order, however many processes there are
                    self._make(cell, work)
                shutil.rmtree(work)
            return True

    def _make(self, cell: Cell, work: Path) -> None:
        match cell.kind:
            case "original":
                model = workflow.train(
                    self.ground.under(cell.seed),
                    folder=work,
                    checkpoints=self._checkpoints(cell.id),
                    progress=self._progress_of(cell),
                )
                self._keep(cell, model, self.ground.data.train.ids.tolist())
            case "retrained":
                split = self.ground.split(self.sets[cell.forget])
                retrained = workflow.unlearn(
                    self._model(self._original(cell.seed)),
                    split,
                    Retrain(),
                    seed=self.ground.retraining_seed(cell),
                    folder=work,
                    progress=self._progress_of(cell),
                    measure=None,
                )
                self._keep(cell, retrained.named(f"retrained {cell.repeat + 1}"), split.kept.ids.tolist())
            case _:
                self._audit(cell, work)

    def _original(self, seed: int) -> Cell:
        return next(cell for cell in self.cells if cell.kind == "original" and cell.seed == seed)

    def _checkpoints(self, id_: str) -> Path | None:
        return self.folder / "checkpoints" / id_ if self.ground.experiment.recipe.sharded else None

    def _keep(self, cell: Cell, model: TrainedModel, ids: list[str]) -> None:
        path = cell.file(self.folder).with_suffix(".safetensors")
        save(path, model, data_sha256=self.ground.data.sha256, ids=ids)

    def _model(self, cell: Cell) -> TrainedModel:
        path = cell.file(self.folder).with_suffix(".safetensors")
        model, _ = read(path, self.ground.experiment.task, self.ground.experiment.recipe)
        return replace(model, checkpoints=self._checkpoints(cell.id))

    def _progress_of(self, cell: Cell) -> Progress:
        return lambda stage, done, total: self.progress(f"{cell.id}: {stage}", done, total)

    # ------------------------------------------------------------------------------------------- audits

    def _audit(self, cell: Cell, work: Path) -> None:
        audited = self._ground_of(cell)
        model, failed = None, ""
        if cell.kind == "method":
            try:
                model = self._unlearned(cell, audited, work)
            except (MethodError, TrainingError) as error:  # this method comes to nothing here; others may not
                failed = str(error)
        values = {
            "format": FORMAT,
            "cell": cell.id,
            "seed": cell.seed,
            "rule": self.sets[cell.forget].rule,
            "failed": failed,
            "made_by": made_by(),
            "rows": [] if failed else self._rows(cell, audited, model),
        }
        write_sealed_json(cell.file(self.folder), values)

    def _ground_of(self, cell: Cell) -> _Audited:
        key = cell.seed, cell.forget
        for seed_and_set, audited in self._audited:
            if seed_and_set == key:
                return audited
        models = {other.id: other for other in self.cells if other.id in cell.needs}
        first, *others = (self._model(models[id_]) for id_ in cell.needs)
        forget = self.sets[cell.forget]
        audited = _Audited(
            original=first,
            retrained=tuple(others),
            split=self.ground.split(forget),
            experiment=replace(self.ground.under(cell.seed), test=unseen_in_audit(self.ground.data, forget.chosen.ids)),
            pool=self.pool(),
        )
        self._audited[:] = [(key, audited)]
        return audited

    def pool(self) -> ReferencePool:
        """The references that judge all cells."""
        return workflow.load_references(
            self.ground.experiment, folder=self.folder / "references", models=self.ground.plan.references
        )

    def teachers(self, count: int) -> ReferencePool:
        """The teachers that methods learn from, of a pool of their own."""
        experiment = teaching(self.ground)
        return load_pool(
            experiment.recipe,
            experiment.population,
            experiment.task,
            folder=self.folder / "teachers",
            models=count,
            seed=experiment.seed,
            groups=self.ground.data.groups("holdout"),
        )

    def _unlearned(self, cell: Cell, audited: _Audited, work: Path) -> TrainedModel:
        trial: Trial = self.ground.plan.trials[cell.trial]
        split = audited.split if trial.retain else audited.split.without_retain()
        data, recipe, method = self.ground.data, self.ground.experiment.recipe, self.ground.method(trial)
        teachers = self.teachers(trial.teachers) if trial.teachers else None
        if "recipe" in method.needs and split.holdout is None:  # with a holdout set `unlearn` does so itself
            workflow.check_fresh(
                recipe, split.forget, data.test, audited.original.task, seed=cell.seed, what="the samples to forget"
            )
        original = audited.original
        if recipe.sharded:  # where `sisa` leaves checkpoints of its own beside those of the original
            original = replace(original, checkpoints=_own(original.checkpoints, work / "checkpoints"))
        if trial.budget is not None:
            kept = len(audited.split.kept)
            method = workflow.within_budget(
                trial.budget, original, split, method, retained=kept, seed=cell.seed, teachers=teachers
            ).method
        options: dict[str, Any] = {
            "seed": cell.seed, "folder": work, "teachers": teachers, "progress": self._progress_of(cell),
        }  # fmt: skip
        if trial.tune:
            return workflow.tune(original, split, method, budget=trial.tune, **options).trained
        if len(requests := self.sets[cell.forget].requests) > 1:
            return self._one_after_the_other(original, requests, method, retain=trial.retain, options=options)
        return workflow.unlearn(original, split, method, measure=None, **options)

    def _one_after_the_other(
        self,
        original: TrainedModel,
        requests: Sequence[Sequence[str]],
        method: Method,
        *,
        retain: bool,
        options: dict[str, Any],
    ) -> TrainedModel:
        """Serve requests in a row; the time is that of all of them."""
        session = workflow.Session.of(original, self.ground.data.train, holdout=self.ground.data.holdout)
        seconds = 0.0
        for ids in requests:
            session = session.forget(ids, method, retain=retain, **options)
            seconds += session.trained.seconds or 0.0
        return replace(session.trained, seconds=seconds)

    def _rows(self, cell: Cell, audited: _Audited, model: TrainedModel | None) -> list[dict[str, Any]]:
        models = [audited.original, *audited.retrained]
        name = "" if model is None else self.ground.plan.trials[cell.trial].label
        if model is not None:
            models.append(model.named(name))
        trained = {model.name: model for model in models}
        grouped = self.sets[cell.forget].chosen.grouped
        try:
            result = workflow.audit_models(
                audited.experiment,
                models,
                audited.split,
                audited.pool,
                settings=self.ground.plan.audit,
                grouped=grouped,
            )
        except AuditError as error:
            raise AuditError(f"{error} (in {cell.id})") from error
        by_id = [np.argsort(samples.ids) for samples in (audited.split.forget, audited.experiment.unseen)]
        rows = []
        for audited_model in result.models:
            if model is not None and audited_model.name != name:
                continue
            scores = [
                part[order].tolist() for part, order in zip(result.scores[audited_model.name], by_id, strict=True)
            ]
            facts = audited_model.model_dump(mode="json", by_alias=True)
            classes = class_accuracies(trained[audited_model.name], audited.experiment.unseen)
            rows.append({"model": facts, "scores": scores, "classes": classes})
        return rows


@dataclass(frozen=True, eq=False)
class _Audited:
    """What the audits of one training seed and one forget set rest on."""

    original: TrainedModel
    retrained: tuple[TrainedModel, ...]
    split: Split
    experiment: Experiment
    pool: ReferencePool


def teaching(ground: Ground) -> Experiment:
    """The experiment that teachers are trained by: without test samples, and under another seed than references."""
    experiment = ground.experiment
    return replace(experiment, test=experiment.holdout, holdout=None, seed=derive(experiment.seed, "teachers"))


def class_accuracies(model: TrainedModel, unseen: Samples) -> list[float | None]:
    """The accuracy on the unseen samples of each class, in percent; None of a class without any, empty without classes.

    What an audit says of recalls leaves out classes that are forgotten as a whole.
    """
    if not isinstance(task := model.task, Classification):
        return []
    targets = unseen.targets
    right = task.correct(outputs(model.model, unseen, task=task), targets)
    of_class = [right[targets == label].float() for label in range(task.classes)]
    return [100 * float(some.mean()) if len(some) else None for some in of_class]


def made_by() -> dict[str, str]:
    """The versions and the processor that make a cell."""
    versions = {"obliviate": version("obliviate"), "torch": torch.__version__, "python": platform.python_version()}
    return {**versions, "cpu": workflow.cpu_name(), "device": str(chosen())}


def _own(checkpoints: Path | None, folder: Path) -> Path:
    """A copy of a model's slice checkpoints for one method alone."""
    assert checkpoints is not None
    shutil.copytree(checkpoints, folder, dirs_exist_ok=True)
    return folder


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether what the file stands for is this process's to do; it is others' again when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------------- in other processes


def put(bench: Bench) -> str:
    """Put the work where other processes find it, and return the file's hash; data are named, not carried."""
    asked = bench.ground.plan, list(bench.sets), bench.only
    content = pickle.dumps((*asked, bench.ground.identity, Compute.current()))
    write_atomically(bench.folder / JOB, lambda temporary: temporary.write_bytes(content))
    return sha256_of(bench.folder / JOB)


@lru_cache(maxsize=1)
def _taken(folder: str, sha256: str) -> tuple[Bench, Compute]:
    """Read the work that `put` wrote; raises PlanError for another file, and where code or data are others here."""
    path = Path(folder) / JOB
    if not path.exists() or sha256_of(path) != sha256:
        raise Unwanted(f"expected the work that was begun in {folder}, got another or none; begin again")
    plan, sets, only, identity, compute = pickle.loads(path.read_bytes())  # noqa: S301 - the hash tells that it is our own
    assert isinstance(plan, Plan)
    ground = Ground.of(plan)
    if ground.identity != identity:
        raise PlanError(
            "expected the data and the code of the model as in the process that began the work, got others; they were "
            "edited since: begin again in a new process"
        )
    return Bench(ground, sets, Path(folder), only=only), compute


def work_elsewhere(folder: str, sha256: str, cell: str = "", parent: int | None = None) -> None:
    """Make one cell, or all that are missing, in a process that sees the folder: what an executor is given.

    It stops where it is when the file of the work is taken away, and when `parent` is named and is no longer the
    parent process.
    """

    def stop_if_unwanted(stage: str, done: float, total: float) -> None:  # noqa: ARG001
        if not (Path(folder) / JOB).exists() or parent not in {None, os.getppid()}:
            raise Unwanted("expected work that is still wanted, got none; whoever began it has stopped")

    bench, compute = _taken(folder, sha256)
    bench = replace(bench, progress=stop_if_unwanted)
    with compute.used():
        if not cell:
            bench.all(report=lambda: stop_if_unwanted("", 0, 1))
            return
        named = next(other for other in bench.cells if other.id == cell)
        if not bench.work_on(named):
            raise PlanError(f"expected {cell} to be free, got it at work in another process; wait for that")
