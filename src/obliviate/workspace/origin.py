"""An experiment as it is written in a folder; everything else there follows."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from obliviate import workflow
from obliviate._util.files import (
    TEMPORARY,
    WORK,
    read_sealed_json,
    shortened_apart,
    writable_folder,
    write_sealed_json,
)
from obliviate._util.locks import LOCK, held
from obliviate.canaries.plan import Plan
from obliviate.data import sources
from obliviate.data.pseudonyms import ENVIRONMENT, Key, Pseudonyms, named_by_environment
from obliviate.data.remaining import FORMAT as ROWS_FORMAT
from obliviate.data.remaining import RowIndex, load_remaining
from obliviate.errors import DataError, WorkspaceError
from obliviate.experiment import Experiment
from obliviate.task import Classification, Task, task_of
from obliviate.training.identity import architecture_sha256, task_sha256
from obliviate.training.recipe import Recipe

FORMAT: Final = "obliviate.workspace/2"
FILE: Final = "workspace.json"
ROWS: Final = "rows.json"
ASKED: Final = 4  # test samples that tell whether the code of model and task is the same
TRUSTED: Final = "OBLIVIATE_TRUST"
KINDS: Final = {"model": "a model", "augmentation": "an augmentation", "train": "a training"}


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what a folder was made from; raises WorkspaceError for a damaged or edited file, and a foreign one."""
    remedy = "restore it, or use a folder that `obliviate train` or `obliviate demo` made"
    return read_sealed_json(folder / FILE, FORMAT, remedy=remedy)


def check_trust(path: Path, facts: dict[str, Any], trust: bool) -> None:
    """Refuse to run what a file names, unless it is trusted; raises WorkspaceError."""
    recipe = facts.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(facts.get("source"), str):
        raise WorkspaceError(
            f"expected a source and a recipe in {path}, got others; the file is foreign: use one that this package made"
        )
    for field_name in ("model", "augmentation", "train"):
        code = str(recipe.get(field_name))
        if ":" in code and not trust and code not in os.environ.get(TRUSTED, "").split(","):
            raise WorkspaceError(
                f"expected {KINDS[field_name]} of this package, got {code!r:.200}, which {path} names: going "
                f"on runs that code. If you know it, say --trust, or set {TRUSTED} to its name"
            )


def _begun(folder: Path) -> bool:
    """Whether anything was made in a folder, or is in the making: a model, a request, references or teachers."""
    names = ("models", "requests", "references", "teachers", "checkpoints", WORK)
    return any(any((folder / name).rglob("*")) for name in names)


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Which part of the data is used: so many training samples, and an unseen holdout set drawn from them.

    None is all of them, and what the data have for a holdout set (`sources.load_data`).

    >>> Portion(train_size=1000, holdout_size=100).train_size
    1000
    """

    train_size: int | None = None
    holdout_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """What is planned before training, and tested exactly by the audit.

    With `coins`, that many training samples get a fair coin, and the tails are not trained on (`canaries.coins.toss`);
    with `noise`, that many others get noise of scale `noise_scale`, 0.1 if it is None (`canaries.noise.plant`).

    >>> Canaries(coins=1000).noise is None
    True
    """

    coins: int | None = None
    noise: int | None = None
    noise_scale: float | None = None


WHOLE: Final = Portion()
NO_CANARIES: Final = Canaries()


def _key(folder: Path, check: str | None, path: Path | None) -> Key | None:
    """The key of a folder's pseudonyms, None where it has none; raises WorkspaceError and DataError."""
    named = path or named_by_environment()
    if check is None:
        if path is not None:
            raise WorkspaceError(
                f"expected a folder that was begun with pseudonyms, got {folder}, in which names stand as they are; "
                "leave out --pseudonyms, or begin in a new folder with it"
            )
        return None
    if named is None:
        raise WorkspaceError(
            f"expected the key of the pseudonyms in {folder}, got none; name its file with --pseudonyms, or in "
            f"{ENVIRONMENT}"
        )
    key = Key.read(named)
    if key.check != check:
        raise WorkspaceError(
            f"expected the key that {folder} was begun with, got another in {named}; name the file that belongs to it"
        )
    return key


@dataclass(frozen=True, eq=False)
class Origin:
    """An experiment on disk: where its data are and the part of them in use, and what was planned before training.

    `experiment` is made of it, the same whenever the folder is opened: `workspace.json` holds hashes of all that it is.
    `loaded` are the data of the source, where they have been read; `adopted` is the hash of the weights of an original
    that was trained elsewhere, None where it is trained here. With a `key`, ids and owners are written as pseudonyms
    (`data.pseudonyms`), here and in all that follows.
    """

    source: str
    recipe: Recipe
    seed: int
    portion: Portion = WHOLE
    canaries: Canaries = NO_CANARIES
    loaded: sources.Data | None = field(default=None, repr=False)
    adopted: str | None = None
    key: Key | None = None

    @classmethod
    def read(cls, folder: Path, *, trust: bool = False, pseudonyms: Path | None = None) -> Origin:
        """Read what `write` left; `pseudonyms` is the file of the key, of a folder that was begun with one.

        A model that is a function of somebody's own is imported and called only with `trust`, or where the environment
        variable OBLIVIATE_TRUST names it: the file that names it may have been written by anybody.
        Raises WorkspaceError for a model that is not trusted, for a foreign folder, or where its model's code has
        changed since; DataError where its data are gone.
        """
        path = folder / FILE
        if not path.exists():
            raise WorkspaceError(
                f"expected a folder made by `obliviate train` or `obliviate demo`, got {folder} without "
                f"{FILE}; train there first"
            )
        facts = read_facts(folder)
        check_trust(path, facts, trust)
        writable_folder(folder)
        source = facts["source"]
        if source not in sources.BUILT_IN and not Path(source).exists():
            raise DataError(
                f"expected the data of {folder} in {source}, got no such path; put them back, or repeat "
                "`obliviate train` with the same options and --data where they are now"
            )
        portion = Portion(**{setting.name: facts.get(setting.name) for setting in fields(Portion)})
        canaries = Canaries(**{setting.name: facts.get(setting.name) for setting in fields(Canaries)})
        recipe, adopted = Recipe.from_dict(facts["recipe"]), facts.get("adopted")
        key = _key(folder, facts.get("pseudonyms"), pseudonyms)
        origin = cls(source, recipe, facts["seed"], portion, canaries, adopted=adopted, key=key)
        origin = origin._with_what_is_left(folder, facts["data_sha256"])
        origin.check_code(folder)
        origin.plan.keep(folder)
        return origin

    def _with_what_is_left(self, folder: Path, wanted: str) -> Origin:
        """This origin with the data of before, or with what is left of them where rows were erased since.

        Raises DataError for data that are others.
        """
        got = ""
        try:
            if self.data.sha256 == wanted:
                return self
            shown, got = shortened_apart(wanted, self.data.sha256)
        except DataError as error:  # as where a category has lost its last row
            shown, got = wanted, f"an error ({error})"
        reason = f"{folder / ROWS} is missing, by which erased rows are told from others"
        if self.canaries != NO_CANARIES:
            reason = "what was planned before training needs every row"
        elif (folder / ROWS).exists():
            index = RowIndex.from_dict(read_sealed_json(folder / ROWS, ROWS_FORMAT, remedy="restore it"))
            try:
                left = load_remaining(self.source, index, seed=self.seed, sha256=wanted, hide=self._hide)
                return replace(self, loaded=left)
            except DataError as error:
                reason = str(error)
        raise DataError(
            f"expected the data that {folder} was made with (sha256 {shown}), or these without erased rows, got {got}, "
            f"which they are not: {reason}; restore {self.source}, or begin in a new folder: training there is a "
            "retraining without the rows that have been erased since"
        )

    def _hide(self, what: str, name: str) -> str:
        """What a name, or a hash of a row, is written as."""
        return name if self.key is None else self.key.of(what, name)

    def write(self, folder: Path) -> None:
        """Begin in `folder`, or go on there if it holds the same; the data may have moved since.

        Raises WorkspaceError where the folder cannot be written to or holds something else, DataError and RecipeError
        for data and a recipe that do not fit.
        """
        facts = self.facts
        if not (folder / FILE).exists():
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            if foreign := sorted(name for name in names if name != LOCK and not TEMPORARY.fullmatch(name)):
                raise WorkspaceError(
                    f"expected an empty or new folder, got {folder} that holds {foreign[0]}; choose another --out"
                )
            self._check()
        writable_folder(folder)
        with held(folder):
            self._write(folder, facts)

    def _write(self, folder: Path, facts: dict[str, Any]) -> None:
        if (folder / FILE).exists():
            recorded = read_facts(folder)
            compared = [key for key in facts if key != "source"]  # what the data are is told by their hash
            differing = sorted(key for key in compared if recorded.get(key) != facts[key])
            if differing == ["recipe"] and not _begun(folder):  # as after a loss that was not finite
                self._check()
                write_sealed_json(folder / FILE, facts | self._built)
            elif differing:
                raise WorkspaceError(
                    f"expected a new folder, or one with the same {', '.join(compared)}; got {folder} with another "
                    f"{', '.join(differing)}: choose another --out, or delete the folder"
                )
            else:
                self.check_code(folder)
            if not differing and recorded.get("source") != self.source:
                write_sealed_json(folder / FILE, facts | self._built)
        else:
            write_sealed_json(folder / FILE, facts | self._built)
        if self.source not in sources.BUILT_IN and self.canaries == NO_CANARIES and not (folder / ROWS).exists():
            write_sealed_json(folder / ROWS, RowIndex.of(self._named, self._hide).to_dict())
        self.plan.keep(folder)

    def _check(self) -> None:
        """Refuse an experiment that cannot be trained; an adopted one need not be, and was checked with its weights."""
        if self.adopted is None or self.recipe.trainable:
            workflow.check(self.experiment)

    def check_code(self, folder: Path) -> None:
        """Refuse to go on in a folder after the code of its model or its task has changed; raises WorkspaceError."""
        recorded, built = read_facts(folder), self._built
        names = {"architecture_sha256": f"architecture ({self.recipe.model_name})", "task_sha256": "task and its loss"}
        for key, name in names.items():
            if recorded.get(key) != built[key]:
                raise WorkspaceError(
                    f"expected the {name} that {folder} was begun with, got another under the same name; restore its "
                    "code, or begin in a new folder"
                )

    @property
    def _built(self) -> dict[str, str]:
        """What the code that the recipe and the task name amounts to now, for samples that are not to be forgotten."""
        model, asked = self.recipe.build(seed=0), self.data.test.select(self.data.test.ids[:ASKED])
        return {
            "architecture_sha256": architecture_sha256(self.recipe, asked),
            "task_sha256": task_sha256(self.task, model, asked),
        }

    @property
    def facts(self) -> dict[str, Any]:
        """What `workspace.json` holds, besides hashes of the architecture as built and of the task."""
        return {
            "format": FORMAT,
            "source": self.source,
            **asdict(self.portion),
            **asdict(self.canaries),
            "data_sha256": self.data.sha256,
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "adopted": self.adopted,
            "pseudonyms": None if self.key is None else self.key.check,
        }

    @cached_property
    def _named(self) -> sources.Data:
        """The data as they are loaded, under their own names."""
        if self.loaded is not None:
            return self.loaded
        return sources.load_data(self.source, **asdict(self.portion), seed=self.seed)

    @cached_property
    def pseudonyms(self) -> Pseudonyms | None:
        """What stands for the names of the data in everything that is written; None where they stand for themselves."""
        return None if self.key is None else Pseudonyms(self.key, self._named)

    @cached_property
    def _whole(self) -> sources.Data:
        """The data before anything was planned, by the names that are written."""
        return self._named if self.pseudonyms is None else self.pseudonyms.data

    @cached_property
    def plan(self) -> Plan:
        """What was planned before training."""
        canaries = self.canaries
        return Plan(self._whole.train, self.seed, canaries.coins, canaries.noise, canaries.noise_scale)

    @cached_property
    def data(self) -> sources.Data:
        """The data, read when they are first needed, with the training samples that the plan leaves and makes."""
        tossed = self.plan.tossed
        whole = self._whole if tossed is None else self._whole.without(tossed.tails)
        return replace(whole, train=self.plan.train)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment itself; raises DataError and RecipeError for data and a recipe that do not fit."""
        data = self.data
        return Experiment(self.task, self.recipe, data.train, data.test, data.holdout, self.seed)

    @cached_property
    def task(self) -> Task:
        """The task of the data; pixels may be perturbed in [0, 1], or as far as planted noise reaches."""
        task = task_of(self.data)
        if (noise := self.plan.planted) is None:
            return task
        if not isinstance(task, Classification) or task.tokens or task.perturbable is not None:
            raise DataError(
                f"expected images to plant noise in, got {self.data.name} for {task.kind}; leave out --noise"
            )
        reached = noise.noisy.everything().x
        reach = min(0.0, float(reached.min())), max(1.0, float(reached.max()))
        return replace(task, input_range=reach)
