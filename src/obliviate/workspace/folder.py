"""The folder of an experiment: what it was made from, what was asked of it, and everything that was made since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings
from obliviate.data.lookup import Unknown
from obliviate.data.pseudonyms import Key, named_by_environment
from obliviate.data.rules import Forget
from obliviate.data.sources import BUILT_IN, Data, load_data
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method
from obliviate.methods.retrain import Retrain
from obliviate.references.exchange import Exchanging
from obliviate.references.executors.protocol import Executor
from obliviate.references.pool import ReferencePool
from obliviate.requests import KeptModel, Request, RequestFolder
from obliviate.results.record import RecordAudit
from obliviate.results.schema import Results
from obliviate.task import Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.division import check_alone
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel
from obliviate.workspace import auditing, making, remote, requesting
from obliviate.workspace.auditing import Evidence, ReportSettings
from obliviate.workspace.contents import Contents
from obliviate.workspace.elsewhere import Elsewhere
from obliviate.workspace.evidence import Makers
from obliviate.workspace.making import Unlearning
from obliviate.workspace.origin import NO_CANARIES, WHOLE, Canaries, Origin, Portion
from obliviate.workspace.requesting import TEACHERS, NewRequest


@dataclass(frozen=True, eq=False)
class Workspace:
    """A folder with a trained model in it, what it was trained on and how, and everything made from it since."""

    contents: Contents

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        source: str,
        recipe: Recipe | Callable[[Data], Recipe],
        seed: int,
        progress: Progress = silent,
        portion: Portion = WHOLE,
        canaries: Canaries = NO_CANARIES,
        pseudonyms: Path | None = None,
        adopted: str | None = None,
    ) -> Workspace:
        """Begin in `folder`, or go on there if it holds the same data, recipe and seed; the data may have moved since.

        A function makes the recipe for the data (`recipe_for`). `portion` draws a part of the data, `canaries` are
        planned before training to be tested exactly afterwards. `pseudonyms` is the file of a key, which is made if it
        is not there: ids and owners are written as keyed hashes by it, everywhere in the folder; OBLIVIATE_PSEUDONYMS
        names it too. Where the folder was begun with a model from elsewhere (`adopt`), `adopted` is the hash of its
        weights.
        Raises WorkspaceError where the folder cannot be written to or holds something else.
        """
        check_alone(folder)
        pseudonyms = named_by_environment() if pseudonyms is None else pseudonyms
        key = None if pseudonyms is None else Key.create(pseudonyms)
        origin = replace(cls._origin(source, recipe, seed, portion, canaries), key=key, adopted=adopted)
        origin.write(folder)
        return cls(Contents(folder, origin, progress))

    @classmethod
    def adopt(
        cls,
        folder: Path,
        weights: Path,
        *,
        source: str,
        recipe: Recipe | Callable[[Data], Recipe],
        seed: int,
        progress: Progress = silent,
        portion: Portion = WHOLE,
    ) -> Workspace:
        """Begin in `folder` with a model that was trained elsewhere (`workflow.adopt`), in place of training one.

        Everything else is as in `create`. Nothing is written before the weights fit the model and the model the data.
        Raises CheckpointError for weights that do not.
        """
        check_alone(folder)
        origin = cls._origin(source, recipe, seed, portion, NO_CANARIES)
        adopted = workflow.adopt(weights, origin.experiment)
        origin = replace(origin, adopted=weights_sha256(adopted.model))
        origin.write(folder)
        workspace = cls(Contents(folder, origin, progress))
        making.keep_adopted(workspace.contents, adopted)
        return workspace

    @staticmethod
    def _origin(
        source: str, recipe: Recipe | Callable[[Data], Recipe], seed: int, portion: Portion, canaries: Canaries
    ) -> Origin:
        if source not in BUILT_IN and Path(source).exists():
            source = str(Path(source).absolute())  # the folder may be opened from elsewhere
        loaded = None
        if not isinstance(recipe, Recipe):
            loaded = load_data(source, train_size=portion.train_size, holdout_size=portion.holdout_size, seed=seed)
            recipe = recipe(loaded)
        return Origin(source, recipe, seed, portion, canaries, loaded)

    @classmethod
    def open(
        cls, folder: Path, *, progress: Progress = silent, trust: bool = False, pseudonyms: Path | None = None
    ) -> Workspace:
        """Go on in a folder that `obliviate train` or `obliviate demo` made.

        `pseudonyms` is the file of the key, for a folder that was begun with one, unless OBLIVIATE_PSEUDONYMS names it.
        With `trust`, a model that is a function of somebody's own, named in the folder, is imported (`Origin.read`).
        """
        check_alone(folder)
        return cls(Contents(folder, Origin.read(folder, trust=trust, pseudonyms=pseudonyms), progress))

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.contents.folder

    @property
    def origin(self) -> Origin:
        """The experiment as it is written in the folder."""
        return self.contents.origin

    @property
    def experiment(self) -> Experiment:
        """What everything in this folder is made of; its data are read when they are first needed."""
        return self.origin.experiment

    @property
    def recipe(self) -> Recipe:
        """How the models of this folder are trained."""
        return self.origin.recipe

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return self.origin.seed

    @property
    def data(self) -> Data:
        """The data, read when they are first needed, with the training samples that the plan leaves and makes."""
        return self.origin.data

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.origin.task

    # ------------------------------------------------------------------------------------------- requests

    @property
    def requests(self) -> list[Request]:
        """Every request, in order."""
        return self.contents.requests.all

    def place(self, request: int | None = None) -> RequestFolder:
        """Where everything of a request lies, the last if left out; raises WorkspaceError where there is none."""
        return self.contents.requests.at(self.contents.requests.numbered(request).number)

    def following(self, after: str | None) -> int:
        """The number of the request that begins from the model of this id, 1 for None, which is the original.

        Raises WorkspaceError where there is no such model, or where that request began from another.
        """
        return self.contents.requests.begins(after)[0]

    @property
    def rule(self) -> str:
        """How the forget set of the last request was chosen, in a few words."""
        return self.contents.requests.numbered().full_rule

    @property
    def split(self) -> Split:
        """The split of the last request; raises WorkspaceError where there is none."""
        return self.split_of(None)

    def split_of(self, request: int | None) -> Split:
        """The split of a request, None the last: samples of earlier ones are neither forgotten nor retained."""
        return self.contents.split_of(request)

    def elsewhere(self, request: int | None = None) -> Elsewhere:
        """What a request, the last if left out, does not reach: retained copies, and unseen samples of its people."""
        number = self.contents.requests.numbered(request).number
        return self.contents.elsewhere(number, self.split_of(number))

    def choose(
        self, forget: Forget, *, after: str | None = None, with_copies: bool = False, unknown: Unknown = "refuse"
    ) -> Split:
        """Fix what a request is for, before any model is made for it (`NewRequest`).

        What is refused is logged (`Requests.attempt`). Raises DataError for ids that were forgotten before;
        WorkspaceError for a request that is kept already with other ids or after another model.
        """
        request = NewRequest(forget=forget, after=after, with_copies=with_copies, unknown=unknown)
        with self.contents.requests.attempt(private=self.origin.key is not None):
            return requesting.choose(self.contents, request)

    def preview(
        self,
        method: Method,
        *,
        request: NewRequest | int | None = None,
        retain: bool = True,
        teachers: int | None = None,
        tune: int = 0,
    ) -> dict[str, Any]:
        """Tell what a method would be made to forget, and change nothing (`preview.preview`).

        The request is a new one, or that of a number, the last if left out; `teachers` and `tune` are those of
        `unlearn`. Raises what `choose` and `unlearn` raise before any work.
        """
        return requesting.preview(self.contents, method, request, retain=retain, teachers=teachers, tune=tune)

    # ------------------------------------------------------------------------------------------- models

    def train(self) -> TrainedModel:
        """Train the original model, or read it back."""
        return making.train(self.contents)

    def unlearn(
        self,
        method: Method,
        *,
        request: NewRequest | int | None = None,
        seed: int | None = None,
        retain: bool = True,
        name: str = "",
        teachers: int | None = None,
        tune: int = 0,
        budget: float | None = None,
        executor: Executor | None = None,
    ) -> TrainedModel:
        """Make the model that a request begins from forget by a method, or read the outcome back.

        The request is a new one, which is kept as `choose` does, or that of a number, the last if left out; one that is
        refused is logged, and taken back if it is new. `retain=False` hides the retain set from the method. The name
        defaults to the method's, with the request's number from the second on.

        With `tune`, up to so many settings of the method are tried and the best outcome is kept (`workflow.tune`).
        `teachers` are trained first where the method needs such, 8 if left out, and to tune by, none if left out:
        unseen samples are what it is tuned by then.

        A `budget` is a share of a retraining: the method is as long as that pays for (`workflow.within_budget`), and
        the notes "budget" and "expected_share" say so, beside the lengths.

        An `executor`, whose processes see the folder, trains the teachers and makes the model, trials included.
        """
        if tune and budget is not None:
            raise MethodError("expected trials or a budget, got both; tuning finds the length itself, leave out one")
        contents = self.contents
        with contents.requests.attempt(private=self.origin.key is not None), contents.reading_once():
            if isinstance(request, NewRequest):
                requesting.choose(contents, request)
                request = self.following(request.after)
            unlearning = Unlearning(
                method=method,
                seed=self.seed if seed is None else seed,
                retain=retain,
                name=name,
                teachers=requesting.teachers_for(contents, method, teachers, tune=tune),
                tune=tune,
                budget=budget,
            )
            number = contents.requests.numbered(request).number
            if executor is not None:
                self._prepare(number, [unlearning], executor)
            return making.unlearn(contents, number, unlearning)

    def _prepare(self, number: int, asked: list[Unlearning], executor: Executor) -> None:
        if isinstance(executor, Exchanging):
            return  # which serves references alone: these models are made here
        with self.contents.held():
            remote.prepare(self.contents, number, asked, executor)

    def retrained(self, count: int, *, request: int | None = None) -> list[TrainedModel]:
        """Retrain without all that was forgotten up to a request under `count` seeds, or read them back."""
        return [self.unlearn(Retrain(), seed=self.seed + 1 + repeat, request=request) for repeat in range(count)]

    def models(self) -> list[TrainedModel]:
        """Every model of this folder: the original, then the others in the order of their making.

        A label that is taken already gets a number; `id` is what a model is addressed by.
        """
        return self.contents.models()

    def kept(self) -> list[KeptModel]:
        """What every model of this folder says of itself, none of them read, in the order of `models`."""
        return self.contents.requests.models()

    def export(self, model: str, path: Path) -> Path:
        """Write the weights of a model, addressed by its id or the beginning of it, for plain PyTorch.

        `path` ends in .safetensors, or in .pt or .pth for a state dict. Raises WorkspaceError for an id that there is
        not, CheckpointError for another ending and for a file that is there.
        """
        return making.export(self.contents, model, path)

    # ------------------------------------------------------------------------------------------- evidence

    def teachers(
        self, models: int = TEACHERS, *, workers: int | None = None, executor: Executor | None = None
    ) -> ReferencePool:
        """Train the teachers that are missing, over training and holdout samples, and open all of them.

        They are references of a pool of their own, which methods may learn from and no audit rests on. Where samples
        have owners, all of an owner's are in the same half, so that half of the teachers know nothing of each.
        """
        return making.teachers(self.contents, models, Makers(workers, executor))

    def references(
        self,
        models: int = 16,
        *,
        workers: int | None = None,
        executor: Executor | None = None,
        keep_weights: bool = True,
    ) -> ReferencePool:
        """Train the references that are missing, over training and test samples, and open all of them.

        They do not depend on the forget set, so they may be trained ahead of a request, and serve every later one.
        """
        return making.references(self.contents, models, Makers(workers, executor), keep_weights=keep_weights)

    def audit(
        self,
        *,
        references: int = 16,
        retrained: int = 3,
        request: int | None = None,
        settings: AuditSettings | None = None,
        shadows: bool = False,
        workers: int | None = None,
        executor: Executor | None = None,
        report: ReportSettings | None = None,
    ) -> Results:
        """Audit every model of a request, the last if left out; write `results.json` and `report.html` in its folder.

        Samples of earlier requests play no part: they are neither forgotten nor retained, nor in a retrained model. Nor
        do test samples of owners all of whose training samples are forgotten; a note tells how many these are. Missing
        retrained models and references are trained first; with `retrained=0` the references are the baseline, unless
        two retrained models or more are in the folder. An audit of so few samples that nobody can be acquitted is told
        before the work, and in "limits". With `shadows`, every reference is made to forget by the method of every
        unlearned model, after those of the requests before, for U-LiRA; which model that cannot be done for is told in
        "notes". `workers` or an `executor` make references and shadows (`train_references`); an executor whose
        processes see the folder makes retrained models too.
        """
        evidence = Evidence(
            references=references, retrained=retrained, shadows=shadows, makers=Makers(workers, executor)
        )
        with self.contents.held():
            return auditing.audit(
                self.contents,
                request,
                evidence,
                settings or AuditSettings(),
                report or ReportSettings(),
                partial(self._retrain, executor=executor),
            )

    def audit_record(
        self,
        *,
        references: int = 16,
        retrained: int = 3,
        request: int | None = None,
        settings: AuditSettings | None = None,
        shadows: bool = False,
        workers: int | None = None,
        executor: Executor | None = None,
    ) -> RecordAudit:
        """Rank the one record of a request among unseen samples, on every model; write `record.json` and `report.html`.

        Everything is as in `audit`, but that there is no verdict: one record shows no rate.
        """
        makers = Makers(workers, executor)
        evidence = Evidence(references=references, retrained=retrained, shadows=shadows, makers=makers)
        with self.contents.held():
            return auditing.audit_record(
                self.contents, request, evidence, settings or AuditSettings(), partial(self._retrain, executor=executor)
            )

    def inspect(
        self,
        *,
        retrained: int = 3,
        request: int | None = None,
        epochs: int = 3,
        learning_rate: float | None = None,
    ) -> dict[str, Any]:
        """Look into every model of a request, the last if left out (`inspect_models`); write `inspection.json`.

        Missing retrained models are trained first; nothing else in the folder changes.
        """
        with self.contents.held():
            return auditing.inspect(self.contents, request, retrained, epochs, learning_rate, self._retrain)

    def _retrain(self, count: int, number: int, executor: Executor | None = None) -> None:
        if executor is not None:
            seeds = (self.seed + 1 + repeat for repeat in range(count))
            self._prepare(number, [Unlearning.retraining(seed) for seed in seeds], executor)
        self.retrained(count, request=number)
