"""The folder: what it was made from, what was asked for, and everything that was made since."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from obliviate import inspection, workflow
from obliviate._util.files import LOG, write_json
from obliviate._util.seeds import derive
from obliviate.audit.controls import outlook
from obliviate.audit.inputs import AuditSettings, check_classes
from obliviate.data.history import History
from obliviate.data.ids import as_ids, ids_sha256
from obliviate.data.lookup import Unknown
from obliviate.data.pseudonyms import Key, named_by_environment
from obliviate.data.rules import Chosen, Forget
from obliviate.data.samples import Samples
from obliviate.data.sources import BUILT_IN, Data, load_data
from obliviate.data.split import Split
from obliviate.errors import AuditError, DataError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method
from obliviate.methods.base import to_dict as describe_method
from obliviate.methods.retrain import Retrain
from obliviate.references.jobs import Executor
from obliviate.references.pool import ReferencePool
from obliviate.requests import KeptModel, Manifest, Parent, Request, RequestFolder, Requests
from obliviate.results import file as results_file
from obliviate.results.schema import Results
from obliviate.task import Classification, Task
from obliviate.training import checkpoint
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, silent
from obliviate.workflow import TrainedModel
from obliviate.workflow.keeping import ModelFiles
from obliviate.workspace import evidence, scores
from obliviate.workspace import forget as forgetting
from obliviate.workspace.elsewhere import Elsewhere, unseen_in_audit
from obliviate.workspace.origin import Origin
from obliviate.workspace.preview import preview
from obliviate.workspace.report import write_report

INSPECTION: Final = "obliviate.inspection/1"
TEACHERS: Final = 8
"""How many models a method that needs teachers learns from, unless told otherwise."""


Given = ParamSpec("Given")
T = TypeVar("T")


def _holding(method: Callable[Concatenate[Workspace, Given], T]) -> Callable[Concatenate[Workspace, Given], T]:
    """Hold the folder while a method works in it, which reads no model twice."""

    @wraps(method)
    def holding(self: Workspace, *args: Given.args, **options: Given.kwargs) -> T:
        with self._store.held(), self._reading_once():
            return method(self, *args, **options)

    return holding


@dataclass(frozen=True, eq=False)
class Workspace:
    """A folder with a trained model in it, what it was trained on and how, and everything made from it since."""

    folder: Path
    origin: Origin
    progress: Progress = silent
    _known: list[dict[Path, tuple[TrainedModel, Manifest]]] = field(default_factory=list, init=False, repr=False)
    """The models that the command at work has read, none between commands."""

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        source: str,
        recipe: Recipe | Callable[[Data], Recipe],
        seed: int,
        progress: Progress = silent,
        train_size: int | None = None,
        holdout_size: int | None = None,
        coins: int | None = None,
        noise: int | None = None,
        noise_scale: float | None = None,
        pseudonyms: Path | None = None,
    ) -> Workspace:
        """Begin in `folder`, or go on there if it holds the same data, recipe and seed; the data may have moved since.

        A function makes the recipe for the data (`recipe_for`). For `train_size`, `holdout_size`, `coins`, `noise` and
        `noise_scale` see `Origin`. `pseudonyms` is the file of a key, which is made if it is not there: ids and owners
        are written as keyed hashes by it, everywhere in the folder; OBLIVIATE_PSEUDONYMS names it too.
        Raises WorkspaceError where the folder cannot be written to or holds something else.
        """
        if source not in BUILT_IN and Path(source).exists():
            source = str(Path(source).absolute())  # the folder may be opened from elsewhere
        loaded = None
        if not isinstance(recipe, Recipe):
            loaded = load_data(source, train_size=train_size, holdout_size=holdout_size, seed=seed)
            recipe = recipe(loaded)
        pseudonyms = named_by_environment() if pseudonyms is None else pseudonyms
        key = None if pseudonyms is None else Key.create(pseudonyms)
        origin = Origin(source, recipe, seed, train_size, holdout_size, coins, noise, noise_scale, loaded, key)
        origin.write(folder)
        return cls(folder, origin, progress)

    @classmethod
    def open(
        cls, folder: Path, *, progress: Progress = silent, trust: bool = False, pseudonyms: Path | None = None
    ) -> Workspace:
        """Go on in a folder that `obliviate train` or `obliviate demo` made.

        `pseudonyms` is the file of the key, for a folder that was begun with one, unless OBLIVIATE_PSEUDONYMS names it.
        With `trust`, a model that is a function of somebody's own, named in the folder, is imported (`Origin.read`).
        """
        return cls(folder, Origin.read(folder, trust=trust, pseudonyms=pseudonyms), progress)

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

    def place(self, request: int | None = None) -> RequestFolder:
        """Where everything of a request lies, the last if left out; raises WorkspaceError where there is none."""
        return self._store.at(self._store.numbered(request).number)

    # ------------------------------------------------------------------------------------------- the forget set

    def choose(
        self, forget: Forget, *, after: str | None = None, with_copies: bool = False, unknown: Unknown = "refuse"
    ) -> Split:
        """Fix what a request is for: ids, a rule, or its text, such as "random:SHARE" or "class:K" (docs/forget.md).

        `after` is the id of the unlearned model that the request begins from, or the beginning of its id; without one
        it is the first request. Rules choose among the samples that no earlier request was for; `with_copies` takes
        along what has the same input under another name. Names in a list or a text that the training set does not have
        are refused, or skipped with `unknown="skip"`; what became of each name is kept with the request. What is
        refused is logged (`Requests.attempt`). Raises DataError for ids that were forgotten before; WorkspaceError for
        a request that is there already with other ids or after another model.
        """
        with self._store.attempt(private=self.origin.key is not None):
            return self._chosen(forget, after=after, with_copies=with_copies, unknown=unknown)

    def _chosen(self, forget: Forget, *, after: str | None, with_copies: bool, unknown: Unknown) -> Split:
        chosen, split, (number, parent) = self._resolved(forget, after, with_copies, unknown)
        ids = split.forget.ids.tolist()
        self._store.ask(Request(number, chosen.rule, ids, parent, chosen.references, chosen.grouped, chosen.asked))
        return split

    def preview(
        self,
        method: Method,
        *,
        forget: Forget | None = None,
        after: str | None = None,
        retain: bool = True,
        with_copies: bool = False,
        teachers: int | None = None,
        tune: int = 0,
        unknown: Unknown = "refuse",
    ) -> dict[str, Any]:
        """Tell what a method would be made to forget, and change nothing (`preview.preview`).

        Without `forget` it is what was chosen; `with_copies` and `unknown` are those of `choose`, `teachers` and `tune`
        those of `unlearn`. Raises what `choose` and `unlearn` raise before any work.
        """
        if forget is None:
            _refuse_copies_alone(with_copies)
            number = self._store.numbered(None if after is None else self.following(after)).number
            split = self.split_of(number)
            request = self._store.numbered(number)
            chosen = Chosen(split.forget.ids.tolist(), request.full_rule, asked=request.asked)
        else:
            chosen, split, (number, _) = self._resolved(forget, after, with_copies, unknown)
        elsewhere = self._elsewhere(number, split)
        split = split if retain else split.without_retain()
        among, unseen = self._context(number).among, len(self.data.test) - elsewhere.test
        outline = preview(
            chosen, split, elsewhere, among, method, self.task, self.recipe, unseen=unseen,
            tune=tune, teachers=self._teachers(method, teachers, tune=tune),
        )  # fmt: skip
        return {"folder": str(self.folder), **outline}

    def _resolved(
        self, forget: Forget, after: str | None, with_copies: bool, unknown: Unknown
    ) -> tuple[Chosen, Split, tuple[int, Parent | None]]:
        number, parent = self._store.begins(after)
        chosen = forgetting.choose(forget, replace(self._context(number), unknown=unknown), with_copies=with_copies)
        split = self._before(number).split(chosen.ids)
        if number <= len(self.requests):
            self._store.refuse_other(number, split.forget.ids.tolist())
        return chosen, split, (number, parent)

    def elsewhere(self, request: int | None = None) -> Elsewhere:
        """What a request, the last if left out, does not reach: retained copies, and unseen samples of its people."""
        number = self._store.numbered(request).number
        return self._elsewhere(number, self.split_of(number))

    def _elsewhere(self, number: int, split: Split) -> Elsewhere:
        return Elsewhere.of(split, self.data, [*self._before(number).forgotten, *split.forget.ids])

    def _unseen(self, number: int) -> Samples:
        """The samples that an audit of a request takes for unseen."""
        return unseen_in_audit(self.data, [*self._before(number).forgotten, *self._store.numbered(number).ids])

    def _context(self, number: int) -> forgetting.Context:
        return forgetting.Context(self.folder, self.origin, number, self._before(number).forgotten)

    def _before(self, number: int) -> History:
        """What was trained on, and what was forgotten before the request of this number."""
        earlier = tuple(as_ids(request.ids, what="ids of a request") for request in self.requests[: number - 1])
        return History(self.data.train, self.data.holdout, earlier)

    @property
    def _store(self) -> Requests:
        return Requests(self.folder)

    @property
    def requests(self) -> list[Request]:
        """Every request, in order."""
        return self._store.all

    def following(self, after: str | None) -> int:
        """The number of the request that begins from the model of this id, 1 for None, which is the original.

        Raises WorkspaceError where there is no such model, or where that request began from another.
        """
        return self._store.begins(after)[0]

    @property
    def rule(self) -> str:
        """How the forget set of the last request was chosen, in a few words."""
        return self._store.numbered().full_rule

    @property
    def split(self) -> Split:
        """The split of the last request; raises WorkspaceError where there is none."""
        return self.split_of(None)

    def split_of(self, request: int | None) -> Split:
        """The split of a request, None the last: samples of earlier ones are neither forgotten nor retained."""
        asked = self._store.numbered(request)
        return self._before(asked.number).split(asked.ids)

    def _served(self, number: int) -> TrainedModel:
        """The model that a request begins from."""
        if self._store.numbered(number).after is None:
            return self.train()
        return self._files.read(self._store.served(number))

    # ------------------------------------------------------------------------------------------- models

    @_holding
    def train(self) -> TrainedModel:
        """Train the original model, or read it back."""

        def make(work: Path) -> TrainedModel:
            self.origin.check_code(self.folder)
            return workflow.train(
                self.experiment, folder=work, checkpoints=self._checkpoints, progress=self._progress_of("original")
            )

        slot = self._store.slot("original", None)
        return self._files.once(slot, make, ids=self.data.train.ids.tolist())

    def unlearn(
        self,
        method: Method,
        *,
        forget: Forget | None = None,
        after: str | None = None,
        seed: int | None = None,
        retain: bool = True,
        name: str = "",
        request: int | None = None,
        with_copies: bool = False,
        teachers: int | None = None,
        tune: int = 0,
        budget: float | None = None,
        unknown: Unknown = "refuse",
    ) -> TrainedModel:
        """Make the model that a request begins from forget by a method, or read the outcome back.

        `forget` chooses what to forget (`choose`, as for `with_copies` and `unknown`), if that was not done before, and
        `after` is the id of the model to begin from; a request that is refused is logged, and taken back if it is new.
        Otherwise it is the request of this number, the last if left out. `retain=False` hides the retain set from the
        method. The name defaults to the method's, with the request's number from the second on.

        With `tune`, up to so many settings of the method are tried and the best outcome is kept (`workflow.tune`).
        `teachers` are trained first where the method needs such, 8 if left out, and to tune by, none if left out:
        unseen samples are what it is tuned by then.

        A `budget` is a share of a retraining: the method is as long as that pays for (`workflow.within_budget`), and
        the notes "budget" and "expected_share" say so, beside the lengths.
        """
        if tune and budget is not None:
            raise MethodError("expected trials or a budget, got both; tuning finds the length itself, leave out one")
        with self._store.attempt(private=self.origin.key is not None), self._reading_once():
            if forget is None:
                _refuse_copies_alone(with_copies)
            else:
                self._chosen(forget, after=after, with_copies=with_copies, unknown=unknown)
            if forget is not None or after is not None:
                request = self.following(after)
            number = self._store.numbered(request).number
            count = self._teachers(method, teachers, tune=tune)
            return self._unlearned(
                method, number, seed=seed, retain=retain, name=name, teachers=count, tune=tune, budget=budget
            )

    def _unlearned(
        self,
        method: Method,
        number: int,
        *,
        seed: int | None,
        retain: bool,
        name: str,
        teachers: int,
        tune: int,
        budget: float | None,
    ) -> TrainedModel:
        seed, whole = self.seed if seed is None else seed, self.split_of(number)
        split = whole if retain else whole.without_retain()
        method = workflow.without_forgotten(method, self._before(number).forgotten)
        if tune:
            workflow.check_tuning(method, split, tune)
        if not name:
            hidden = "" if retain else " (no retain set)"
            name = f"{method.name} (seed {seed})" if isinstance(method, Retrain) else f"{method.name}{hidden}"
            name += (" (tuned)" if tune else "") + ("" if number == 1 else f", request {number}")
        served = self._served(number)
        notes: dict[str, float] = {}
        if budget is not None:
            affordable = workflow.within_budget(
                budget,
                served,
                split,
                method,
                retained=len(whole.kept),
                seed=seed,
                teachers=self.teachers(teachers) if teachers else None,
            )
            method, notes = affordable.method, {"budget": budget, "expected_share": round(affordable.share, 4)}
            notes |= affordable.lengths
        weights = checkpoint.weights_sha256(served.model)
        facts = f"{method!r} {seed} {retain} {sorted(split.forget.ids.tolist())} {weights}"
        facts += (f" {teachers} teachers" if teachers else "") + (f" {tune} trials" if tune else "")
        slot = self._store.slot(f"{method.name}-{hashlib.sha256(facts.encode()).hexdigest()[:10]}", number)

        def make(work: Path) -> TrainedModel:
            self.origin.check_code(self.folder)
            if "recipe" in method.needs and split.holdout is None:  # with a holdout set `unlearn` does so itself
                workflow.check_fresh(
                    self.recipe, split.forget, self.data.test, self.task, seed=seed, what="the samples to forget"
                )
            options: dict[str, Any] = {
                "seed": seed,
                "folder": work,
                "progress": self._progress_of(name),
                "teachers": self.teachers(teachers) if teachers else None,
            }
            measure = workflow.Measuring(unseen=self.data.test, retained=whole.kept)
            if tune:
                tuned = workflow.tune(served, split, method, budget=tune, **options)
                unlearned = workflow.with_effect(served, tuned.trained, tuned.method, split, measure)
            else:
                unlearned = workflow.unlearn(served, split, method, measure=measure, **options)
            return replace(unlearned, name=name, notes={**unlearned.notes, **notes})

        return self._files.once(
            slot,
            make,
            ids=whole.kept.ids.tolist() if retain else [],
            settings={
                "tuned_from" if tune else "method": describe_method(method),
                "retain": retain,
                "request": number,
                "forget_sha256": ids_sha256(split.forget.ids),
                **({"taught_by": teachers} if teachers else {}),
                **({"tune": tune} if tune else {}),
            },
        )

    def _teachers(self, method: Method, asked: int | None, *, tune: int) -> int:
        """How many teachers there shall be: those asked for, or the usual number, where there is a use for them."""
        if "teachers" in method.needs:
            return TEACHERS if asked is None else asked
        return asked or 0 if tune and isinstance(self.task, Classification) else 0

    def retrained(self, count: int, *, request: int | None = None) -> list[TrainedModel]:
        """Retrain without all that was forgotten up to a request under `count` seeds, or read them back."""
        return [self.unlearn(Retrain(), seed=self.seed + 1 + repeat, request=request) for repeat in range(count)]

    def models(self) -> list[TrainedModel]:
        """Every model of this folder: the original, then the others in the order of their making.

        A label that is there already gets a number; `id` is what a model is addressed by.
        """
        return [self._files.read(kept) for kept in self._store.models()]

    def _compared(self, number: int) -> list[KeptModel]:
        """The models of one request: what it began from, then what came of it; none of them read yet.

        Raises WorkspaceError for one that by its manifest is not of the request.
        """
        store = self._store
        of_request = store.models(number)
        if number > 1:
            begun_from = [store.served(number)]
        else:
            begun_from = [kept for kept in store.models() if kept.slot.request is None]
        for kept in [*begun_from, *of_request] if number == 1 else of_request:
            store.refuse_contradiction(kept, number)
        return [*begun_from, *of_request]

    def _read(self, compared: list[KeptModel]) -> list[TrainedModel]:
        """Read what `_compared` found; what a request began from plays the part of the original."""
        first, *others = map(self._files.read, compared)
        return [replace(first, role="original"), *others]

    @property
    def _files(self) -> ModelFiles:
        return ModelFiles(
            self._store,
            self.task,
            self.recipe,
            self.data.sha256,
            lambda: self.recipe.build(seed=0),
            self._checkpoints,
            self._known[0] if self._known else {},
        )

    @contextmanager
    def _reading_once(self) -> Iterator[None]:
        """Read no model twice inside: what one step of a command has read is there for the next."""
        if self._known:  # a command within another
            yield
            return
        self._known.append({})
        try:
            yield
        finally:
            self._known.clear()

    @property
    def _checkpoints(self) -> Path | None:
        return self.folder / "checkpoints" if self.recipe.sharded else None

    def _progress_of(self, name: str) -> Progress:
        def progress(stage: str, done: float, total: float) -> None:
            self.progress(name if stage in {"train", name} else f"{name}: {stage}", done, total)

        return progress

    # ------------------------------------------------------------------------------------------- evidence

    @_holding
    def teachers(
        self, models: int = TEACHERS, *, workers: int | None = None, executor: Executor | None = None
    ) -> ReferencePool:
        """Train the teachers that are missing, over training and holdout samples, and open all of them.

        They are references of a pool of their own, which methods may learn from and no audit rests on. Where samples
        have owners, all of an owner's are in the same half, so that half of the teachers know nothing of each.
        """
        self.origin.check_code(self.folder)
        unseen, seed = self.experiment.holdout, derive(self.seed, "teachers")
        return workflow.train_references(
            replace(self.experiment, test=unseen, holdout=None, seed=seed),
            folder=self.folder / "teachers",
            models=models,
            groups=self.data.groups("holdout"),
            workers=workers,
            executor=executor,
            progress=self._progress_of("teachers"),
        )

    @_holding
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
        self.origin.check_code(self.folder)
        return workflow.train_references(
            self.experiment,
            folder=self.folder / "references",
            models=models,
            workers=workers,
            executor=executor,
            keep_weights=keep_weights,
            progress=self.progress,
        )

    @_holding
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
        since: float | None = None,
        command: str | None = None,
        pictures: bool = True,
    ) -> Results:
        """Audit every model of a request, the last if left out; write `results.json` and `report.html` in its folder.

        Samples of earlier requests play no part: they are neither forgotten nor retained, nor in a retrained model. Nor
        do test samples of owners all of whose training samples are forgotten; a note tells how many these are. Missing
        retrained models and references are trained first; with `retrained=0` the references are the baseline, unless
        two retrained models or more are in the folder. An audit of so few samples that nobody can be acquitted is told
        before the work, and in "limits". With `shadows`, every reference is made to forget by the method of every
        unlearned model, after those of the requests before, for U-LiRA; which model that cannot be done for is told in
        "notes". `workers` or an `executor` make references and shadows (`train_references`).

        `since` is when the work began (`time.monotonic()`), if that was before the audit; `command` is what a reader
        types to repeat it. `pictures` shows the most exposed forget samples in the report, where they are images.
        """
        evidence.check_counts(references=references, retrained=retrained)
        makers = evidence.Makers(workers, executor)
        settings = settings or AuditSettings()
        workflow.check_margins(settings)
        since = time.monotonic() if since is None else since
        asked = self._store.numbered(request)
        number, split = asked.number, self.split_of(asked.number)
        unseen = self._unseen(number)
        if not retrained:  # before references are trained in vain
            at_hand = sum(kept.manifest.role == "retrained" for kept in self._store.models(number))
            evidence.check_chosen(asked.references, retrained=at_hand)
            if isinstance(self.task, Classification):
                labels = (samples.everything().y.cpu().numpy() for samples in (split.forget, split.kept))
                check_classes(*labels, retrained=at_hand)
        self._compared(number)  # what is there and contradicts the request is refused before any work
        if coarse := outlook(len(split.forget), len(unseen), settings.margin):
            LOG.warning(coarse)  # before models are trained in vain
        self._served(number)
        self.retrained(retrained, request=number)
        pool = self.references(references, workers=workers, executor=executor)
        compared = self._compared(number)
        models = self._read(compared)
        unlearned, notes = {}, []
        if shadows:
            before = [(self._store.served(later).manifest, self.split_of(later - 1)) for later in range(2, number + 1)]
            unlearned, notes = evidence.make_shadows(
                [(model, kept.manifest) for model, kept in zip(models, compared, strict=True)],
                split,
                before,
                pool,
                self.experiment,
                makers,
                self._progress_of,
                self.teachers,
            )
        self.progress("audit", 0, 1)
        audited = replace(self.experiment, test=unseen)
        result = workflow.audit_models(
            audited, models, split, pool, settings=settings, shadows=unlearned, grouped=asked.grouped
        )
        coin_flips, planted_noise, untested = self.origin.plan.tests(models, split, self.task)
        if left_out := len(self.data.test) - len(unseen):
            notes.append(f"{left_out:,} test samples of owners who are forgotten were left out of this audit")
        circumstances = workflow.Circumstances(
            data_name=self.data.name,
            data_sha256=self.data.sha256,
            forget_rule=asked.full_rule,
            wall_seconds=time.monotonic() - since,
            command=command,
            pictures=pictures,
            notes=(*notes, *untested),
            warning=coarse,
        )
        results = workflow.describe(
            audited, result, split, pool, circumstances, coin_flips=coin_flips, planted_noise=planted_noise
        )
        place = self._store.at(number)
        for path in (place.report, place.scores):  # of the audit before: never beside the results of another
            path.unlink(missing_ok=True)
        results_file.write(place.results, results)
        scores.write(place.scores, result, forget=split.forget.ids, unseen=unseen.ids)
        self.progress("audit", 1, 1)
        write_report(self.folder, number)
        self._store.log_audit(number)
        return results

    @_holding
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
        if retrained < 0:
            raise AuditError(f"expected 0 or more retrained models, got {retrained}; 3 is the default")
        inspection.check_settings(epochs, learning_rate)
        asked = self._store.numbered(request)
        split, unseen = self.split_of(asked.number), self._unseen(asked.number)
        self._compared(asked.number)
        self._served(asked.number)
        self.retrained(retrained, request=asked.number)
        inspected = inspection.inspect_models(
            replace(self.experiment, test=unseen),
            self._read(self._compared(asked.number)),
            split,
            epochs=epochs,
            learning_rate=learning_rate,
            progress=self.progress,
        )
        values = {
            "schema": INSPECTION,
            "seed": self.seed,
            "data_sha256": self.data.sha256,
            "data": {
                "forget": len(split.forget),
                "train": len(self.data.train),
                "test": len(unseen),
                "forget_rule": asked.full_rule,
            },
            **inspected.to_dict(),
        }
        write_json(self._store.at(asked.number).inspection, values)
        self._store.log.append("inspected", request=asked.number)
        return values


def _refuse_copies_alone(with_copies: bool) -> None:
    if with_copies:
        raise DataError("expected something to forget, to take copies of it along, got none; name it with --forget")
