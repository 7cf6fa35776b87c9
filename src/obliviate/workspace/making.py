"""What is made in a folder, once: the original, unlearned and retrained models, references and teachers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from obliviate import workflow
from obliviate._util.locks import claimed
from obliviate._util.seeds import derive
from obliviate.data.erased import erased_ids
from obliviate.data.ids import ids_sha256
from obliviate.data.split import Split
from obliviate.errors import MethodError, WorkspaceError
from obliviate.methods.base import Method
from obliviate.methods.base import to_dict as describe_method
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.requests.store import Slot
from obliviate.training import checkpoint
from obliviate.training.weights import write_weights
from obliviate.types import SampleId
from obliviate.workflow import TrainedModel, models
from obliviate.workspace.contents import Contents
from obliviate.workspace.evidence import Makers

LOCAL = Makers()


def train(contents: Contents) -> TrainedModel:
    """Train the original model, or read it back."""
    origin = contents.origin

    def make(work: Path) -> TrainedModel:
        if origin.adopted is not None:
            raise WorkspaceError(
                f"expected the model that {contents.folder} was begun with, got none; run `obliviate adopt` again with "
                "the same weights"
            )
        origin.check_code(contents.folder)
        if gone := len(origin.data.erased):
            raise WorkspaceError(
                f"expected all rows that {contents.folder} was begun with to train its original, got {gone:,} erased "
                "since; begin in a new folder, without them"
            )
        return workflow.train(
            origin.experiment,
            folder=work,
            checkpoints=contents.checkpoints,
            progress=contents.progress_of("original"),
        )

    with contents.held():
        slot = contents.requests.slot("original", None)
        return contents.files.once(slot, make, ids=origin.data.trained_ids.tolist())


def keep_adopted(contents: Contents, adopted: TrainedModel) -> TrainedModel:
    """Keep a model that was taken over as the original, or read it back."""
    with contents.held():
        slot = contents.requests.slot("original", None)
        return contents.files.once(slot, lambda _: adopted, ids=contents.origin.data.trained_ids.tolist())


def export(contents: Contents, id_: str, path: Path) -> Path:
    """Write the weights of a model, by its id or the beginning of it, for plain PyTorch."""
    with contents.held():
        write_weights(path, contents.files.read(contents.addressed(id_)).model)
    return path


@dataclass(frozen=True, kw_only=True)
class Unlearning:
    """How a model is made to forget a request: by which method, with which seed, and with what help.

    `retain` says whether the method may use the retained samples, `name` is that of the model ("" for the usual one);
    `teachers` is how many are learned from, `tune` how many settings are tried, and `budget` a share of a retraining.
    """

    method: Method
    seed: int
    retain: bool
    name: str
    teachers: int
    tune: int
    budget: float | None

    @classmethod
    def retraining(cls, seed: int) -> Unlearning:
        """Retrain on what is retained, under a seed."""
        return cls(method=Retrain(), seed=seed, retain=True, name="", teachers=0, tune=0, budget=None)

    def label(self, number: int) -> str:
        """What the model is called in tables."""
        if self.name:
            return self.name
        method = self.method
        hidden = "" if self.retain else " (no retain set)"
        name = f"{method.name} (seed {self.seed})" if isinstance(method, Retrain) else f"{method.name}{hidden}"
        return name + (" (tuned)" if self.tune else "") + ("" if number == 1 else f", request {number}")


@dataclass(frozen=True, eq=False)
class _Task:
    """A model to be made: from which model, by which split of which request, and how; where it is kept, what it tells.

    `whole` is the `split` with its retain set; `notes` say what the length of the method rests on.
    """

    contents: Contents
    number: int
    asked: Unlearning
    begun_from: TrainedModel
    split: Split
    whole: Split
    notes: Mapping[str, float]

    @cached_property
    def slot(self) -> Slot:
        """Where it is kept."""
        return self.contents.requests.slot(_slot_name(self.asked, self.split, self.begun_from), self.number)

    @property
    def ids(self) -> list[SampleId]:
        """The samples that it may be trained on."""
        return self.whole.kept.ids.tolist() if self.asked.retain else []

    @property
    def settings(self) -> dict[str, Any]:
        """How it is made, as its manifest tells it."""
        asked = self.asked
        return {
            "tuned_from" if asked.tune else "method": describe_method(asked.method),
            "retain": asked.retain,
            "request": self.number,
            "forget_sha256": ids_sha256(self.split.forget.ids),
            **({"taught_by": asked.teachers} if asked.teachers else {}),
            **({"tune": asked.tune} if asked.tune else {}),
        }

    def make(self, work: Path) -> TrainedModel:
        """Make it, or go on with it, in a folder."""
        contents, asked, split, origin = self.contents, self.asked, self.split, self.contents.origin
        origin.check_code(contents.folder)
        if "recipe" in asked.method.needs and split.holdout is None:  # with a holdout set `unlearn` does so itself
            workflow.check_fresh(
                origin.recipe,
                split.known,
                origin.data.test,
                origin.task,
                seed=asked.seed,
                what=split.known_name,
            )
        name = asked.label(self.number)
        options: dict[str, Any] = {
            "seed": asked.seed,
            "folder": work,
            "progress": contents.progress_of(name),
            "teachers": teachers(contents, asked.teachers) if asked.teachers else None,
        }
        measure = workflow.Measuring(unseen=origin.data.test, retained=self.whole.kept)
        if asked.tune:
            tuned = workflow.tune(self.begun_from, split, asked.method, budget=asked.tune, **options)
            unlearned = workflow.with_effect(self.begun_from, tuned.trained, tuned.method, split, measure)
        else:
            unlearned = workflow.unlearn(self.begun_from, split, asked.method, measure=measure, **options)
        return replace(unlearned, name=name, notes={**unlearned.notes, **self.notes})


def unlearn(contents: Contents, number: int, asked: Unlearning) -> TrainedModel:
    """Make the model that a request begins from forget, or read the outcome back."""
    task = _task(contents, number, asked)

    def make(work: Path) -> TrainedModel:
        left = _left(work)
        if not left.with_suffix(".json").exists():
            return task.make(work)
        recipe = contents.origin.recipe
        model, _ = models.read_into(left, recipe.build(seed=0), contents.origin.task, recipe)
        return replace(model, checkpoints=contents.checkpoints)

    return contents.files.once(task.slot, make, ids=task.ids, settings=task.settings)


def is_missing(contents: Contents, number: int, asked: Unlearning) -> bool:
    """Whether a model is neither kept nor left by another process (`leave`)."""
    slot = _task(contents, number, asked).slot
    return not slot.manifest.exists() and not _left(slot.work).with_suffix(".json").exists()


def leave(contents: Contents, number: int, asked: Unlearning) -> None:
    """Make a model for the process that holds the folder, and leave it where `unlearn` takes it from."""
    task = _task(contents, number, asked)
    task.slot.work.mkdir(parents=True, exist_ok=True)
    with claimed(task.slot.work / "lock"):  # where this call was lost and is made again, its first ends before
        models.save(_left(task.slot.work), task.make(task.slot.work), data_sha256="", ids=[])


def _left(work: Path) -> Path:
    return work / "outcome.safetensors"


def _task(contents: Contents, number: int, asked: Unlearning) -> _Task:
    """What is to be made, of a length that is paid for; raises, before any work, for what cannot be."""
    origin, whole = contents.origin, contents.split_of(number)
    if "recipe" in asked.method.needs:
        origin.recipe.check_trainable()
    split = whole if asked.retain else whole.without_retain()
    refuse_erased(asked, split)
    method = workflow.without_forgotten(asked.method, contents.before(number).forgotten)
    if asked.tune:
        workflow.check_tuning(method, split, asked.tune)
    begun_from = served(contents, number)
    pool = teachers(contents, asked.teachers) if asked.teachers and asked.budget is not None else None
    notes: dict[str, float] = {}
    if asked.budget is not None:
        affordable = workflow.within_budget(
            asked.budget, begun_from, split, method, retained=len(whole.kept), seed=asked.seed, teachers=pool
        )
        method, notes = affordable.method, {"budget": asked.budget, "expected_share": round(affordable.share, 4)}
        notes |= affordable.lengths
    return _Task(contents, number, replace(asked, method=method), begun_from, split, whole, notes)


def refuse_erased(asked: Unlearning, split: Split) -> None:
    """Refuse, before any work, what tries a method out where rows to forget are gone; raises MethodError."""
    if len(erased_ids(split.forget)) and (asked.tune or asked.budget is not None):
        raise MethodError(
            "expected the rows of the samples to forget to try settings by, got some that were erased; leave out "
            "--tune and --budget"
        )


def teachers(contents: Contents, models: int, makers: Makers = LOCAL) -> ReferencePool:
    """Train the teachers that are missing, over training and holdout samples, and open all of them."""
    origin = contents.origin
    with contents.held():
        origin.check_code(contents.folder)
        unseen, seed = origin.experiment.holdout, derive(origin.seed, "teachers")
        return workflow.train_references(
            replace(origin.experiment, test=unseen, holdout=None, seed=seed),
            folder=contents.folder / "teachers",
            models=models,
            groups=origin.data.groups("holdout"),
            workers=makers.workers,
            executor=makers.executor,
            progress=contents.progress_of("teachers"),
        )


def references(contents: Contents, models: int, makers: Makers = LOCAL, *, keep_weights: bool = True) -> ReferencePool:
    """Train the references that are missing, over training and test samples, and open all of them."""
    with contents.held():
        contents.origin.check_code(contents.folder)
        return workflow.train_references(
            contents.origin.experiment,
            folder=contents.folder / "references",
            models=models,
            workers=makers.workers,
            executor=makers.executor,
            keep_weights=keep_weights,
            progress=contents.progress,
        )


def served(contents: Contents, number: int) -> TrainedModel:
    """The model that a request begins from."""
    if contents.requests.numbered(number).after is None:
        return train(contents)
    return contents.files.read(contents.requests.served(number))


def _slot_name(asked: Unlearning, split: Split, served: TrainedModel) -> str:
    """A name that tells this outcome from every other: its method, and a hash of all that it depends on."""
    weights = checkpoint.weights_sha256(served.model)
    facts = f"{asked.method!r} {asked.seed} {asked.retain} {sorted(split.forget.ids.tolist())} {weights}"
    facts += (f" {asked.teachers} teachers" if asked.teachers else "") + (f" {asked.tune} trials" if asked.tune else "")
    return f"{asked.method.name}-{hashlib.sha256(facts.encode()).hexdigest()[:10]}"
