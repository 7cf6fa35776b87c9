"""Choose a method's learning rate and length for a model, without any retrained model and without an audit.

Every setting is tried on the real model and request, and judged by how far the outcome is from what is expected of a
model that never saw the forget samples (`workflow.expectation`).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from obliviate.data.split import Split
from obliviate.errors import MethodError, TrainingError
from obliviate.methods.base import Method, settle
from obliviate.methods.base import to_dict as describe_method
from obliviate.methods.relative import LENGTHS, kinds, strengths
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.requests.manifest import read_manifest
from obliviate.task import Classification
from obliviate.training.form import Form
from obliviate.training.progress import Progress, silent
from obliviate.training.run import Run
from obliviate.training.teachers import Teachers
from obliviate.workflow.expectation import Expectation, Score, check_holdout
from obliviate.workflow.models import TrainedModel, read_into, save
from obliviate.workflow.unlearning import Measuring, check_request, kept, unlearn, with_effect

BUDGET: Final = 8
LEAST_BUDGET: Final = 2
MOST_BUDGET: Final = 1000
FARTHEST: Final = 24.0  # doublings that a setting is moved by at most, either way
FARTHEST_LENGTH: Final = 1.0  # longer runs come nearer still, and soon cost as much as a retraining
NAMED: Final = {"learning_rate": "rate", "epochs": "length"}
"""The kinds of fields that are of none, by their names: of methods that were written elsewhere."""

Place = tuple[float, float]
"""A setting as doublings of the strength and of the length from those that the method came with."""


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: its numbers, how near it came, and the seconds that the method took.

    `score` is None where the method `failed`, which says why; `push` is then −∞ for too little and ∞ for too much.
    """

    settings: Mapping[str, float]
    score: Score | None
    seconds: float
    failed: str = ""
    push: float = 0.0

    @property
    def total(self) -> float:
        """The score, infinite where there is none."""
        return math.inf if self.score is None else self.score.total

    @property
    def strong(self) -> bool:
        """Whether the setting is too strong rather than too weak."""
        return (self.push if self.score is None else self.score.strength) > 0

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON values."""
        score = None if self.score is None else self.score.to_dict()
        return {"settings": dict(self.settings), "score": score, "seconds": self.seconds, "failed": self.failed}


@dataclass(frozen=True, eq=False)
class Tuned:
    """The settings that were chosen for a model, and the model that they made.

    `method` has them in absolute numbers; `trained` is the outcome of the best trial, whose `seconds` are those of that
    trial alone. `chosen` is its place in `trials`, the first of which are the settings that the method came with;
    `budget` says in words what was spent, and `judge` what the trials were judged by.
    """

    method: Method
    trained: TrainedModel
    trials: tuple[Trial, ...]
    chosen: int
    budget: str
    judge: str

    @property
    def seconds(self) -> float:
        """The time of all trials."""
        return sum(trial.seconds for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON values, without the model."""
        return {
            "method": describe_method(self.method),
            "budget": self.budget,
            "judge": self.judge,
            "trials": [trial.to_dict() for trial in self.trials],
            "chosen": self.chosen,
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        return f"Tuned({self.method!r}, {self.budget}, judged by {self.judge})"


def tune(
    original: TrainedModel,
    split: Split,
    method: Method,
    *,
    teachers: ReferencePool | Teachers | None = None,
    budget: int = BUDGET,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Make a copy of the model forget under up to `budget` settings, and keep the outcome that is nearest.

    The first trial has the method's own settings. The others multiply all its learning rates by powers of 2, or the
    strength of a method without (`Strength`, `Weakness`), until one is too weak and the next too strong, and then halve
    or double its epochs. What a model should say that never saw the forget samples is told by `teachers`, a pool other
    than that of the audit, or else by how well the original knows the unseen samples `split.holdout`, of the same
    classes (`workflow.expectation`); tasks without classes are always judged by these. Neither a retrained model nor
    the samples of an audit play a part. The effect of the outcome is measured on the samples of the split.

    The same seed gives the same outcome. With a `folder`, an interrupted search goes on there. Raises MethodError where
    the method has nothing to tune, without a holdout set, and where every setting fails; else what `unlearn` raises.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> original = ob.train(experiment)
    >>> split = ob.Split.of(data.train, forget=data.train.ids[:10], holdout=data.test)
    >>> tuned = ob.tune(original, split, ob.FineTune(epochs=1), budget=2)
    >>> len(tuned.trials)
    2
    """
    check_tuning(method, split, budget)
    model, task, recipe = original.model, original.task, original.recipe
    pool = teachers if isinstance(task, Classification) else None
    taught = teachers if "teachers" in method.needs else None
    asked, learned = (
        PoolTeachers.of(given, recipe, task) if isinstance(given, ReferencePool) else given for given in (pool, taught)
    )
    run = Run(task, seed=seed, recipe=recipe, teachers=learned)
    check_request(method, split, run)
    task.check_model(model, split.forget)
    search = Search(settle(method, split, partial(run.scale, model, kept(split))))

    def like() -> TrainedModel:
        return replace(original, model=run.place(copy.deepcopy(model)))

    expectation, best = Expectation.of(like().model, split, task, asked, seed=seed), None
    while len(search.trials) < budget and (setting := search.following()) is not None:
        number = len(search.trials)
        place = None if folder is None else folder / f"trial-{number + 1}"
        attempt = partial(
            unlearn, original, split, setting, seed=seed, folder=place,
            progress=partial(_of_trial, progress, number + 1), measure=None, teachers=taught,
        )  # fmt: skip
        trial, outcome = _tried(search.knobs.values(setting), setting, attempt, expectation, place, like)
        search.trials.append(trial)
        if outcome is not None and search.best == number:
            best = outcome
        progress("tuning", number + 1, budget)
    if best is None:
        raise MethodError(
            f"expected a setting of {method.name} that works, got none in {len(search.trials)} trials (the last: "
            f"{search.trials[-1].failed}); begin from other hyperparameters, or use another method"
        )
    progress("tuning", budget, budget)
    judge = f"{len(expectation.parts['unseen'][0]):,} unseen samples"
    tuned = Tuned(
        method=search.settings[search.best],
        trained=best,
        trials=tuple(search.trials),
        chosen=search.best,
        budget=f"{len(search.trials)} of at most {budget} trials",
        judge=judge if asked is None else f"{len(asked)} teachers and {judge}",
    )
    best = replace(best, model=Form.of(model).restored(best.model, flags=False))
    best = with_effect(original, best, tuned.method, split, Measuring())
    fingerprint = best.teachers if pool is None else pool.fingerprint
    best = replace(best, teachers=fingerprint, tuning=tuned.to_dict(), notes={**run.notes, **best.notes})
    return replace(tuned, trained=best)


def _of_trial(report: Progress, number: int, stage: str, done: float, total: float) -> None:
    """Report a stage of one trial under its number."""
    report(f"trial {number}, {stage}", done, total)


def _tried(
    values: Mapping[str, float],
    setting: Method,
    attempt: Callable[[], TrainedModel],
    expectation: Expectation,
    folder: Path | None,
    like: Callable[[], TrainedModel],
) -> tuple[Trial, TrainedModel | None]:
    """Try one setting, or read back from `folder` what came of it; a method that fails is a trial without a score."""
    path, began = None if folder is None else folder / "outcome.safetensors", time.monotonic()
    try:
        outcome = None if path is None else _read_back(path, setting, like)
        if outcome is None:
            outcome = attempt()
            if path is not None:
                save(path, outcome, data_sha256="", ids=[])
        score = expectation.score(outcome.model)
    except (TrainingError, MethodError) as error:
        # Weights that did not change were pushed too little, those that are not finite too much.
        weak = isinstance(error, MethodError)
        return Trial(values, None, time.monotonic() - began, str(error), -math.inf if weak else math.inf), None
    return Trial(values, score, outcome.seconds or 0.0), outcome


def _read_back(path: Path, setting: Method, like: Callable[[], TrainedModel]) -> TrainedModel | None:
    """The model that an interrupted search made by this setting, None where there is none.

    `like` returns a model of the same architecture, task and recipe, whose weights are replaced.
    """
    if not path.with_suffix(".json").exists() or read_manifest(path).method != repr(setting):
        return None
    blank = like()
    outcome, _ = read_into(path, blank.model, blank.task, blank.recipe)
    return replace(outcome, checkpoints=blank.checkpoints)


def check_tuning(method: Method, split: Split, budget: int) -> None:
    """Refuse, before any work, what cannot be tuned: too few trials, nothing to turn, nothing to judge by.

    Raises MethodError.
    """
    if budget < LEAST_BUDGET:
        raise MethodError(f"expected a budget of at least {LEAST_BUDGET} trials, got {budget}; {BUDGET} is the default")
    if budget > MOST_BUDGET:
        raise MethodError(f"expected a budget of at most {MOST_BUDGET} trials, got {budget}; {BUDGET} is the default")
    Knobs.of(method)
    check_holdout(split)


def outline(method: Method, split: Split, budget: int, *, teachers: int = 0) -> str:
    """Say what `tune` would do with a settled method; raises MethodError as it does before any work.

    >>> import torch
    >>> from obliviate.data.samples import Samples
    >>> from obliviate.methods.fine_tune import FineTune
    >>> x, y = torch.zeros(5, 2), torch.zeros(5).long()
    >>> seen, unseen = (Samples.from_tensors(x, y, ids=list(ids)) for ids in ("abcde", "fghij"))
    >>> outline(FineTune(learning_rate=0.16, epochs=2), Split.of(seen, forget=["a"], holdout=unseen), 8)
    'up to 8 trials around learning_rate=0.16, epochs=2, judged by 5 unseen samples'
    """
    check_tuning(method, split, budget)
    unseen = 0 if split.holdout is None else len(split.holdout)
    around = ", ".join(f"{name}={value:g}" for name, value in Knobs.of(method).values(method).items())
    judges = f"{teachers} teachers and " if teachers else ""
    return f"up to {budget} trials around {around}, judged by {judges}{unseen:,} unseen samples"


@dataclass(frozen=True)
class Knobs:
    """The fields of a method that make it stronger, with what becomes of each, and those that make it longer."""

    strength: Mapping[str, int]
    length: tuple[str, ...]

    @classmethod
    def of(cls, method: Method) -> Knobs:
        """Find them by their kinds (`methods.relative`); raises MethodError for a method without.

        Where there are learning rates, they are the strength.

        >>> from obliviate.methods.ssd import SSD
        >>> Knobs.of(SSD())
        Knobs(strength={'alpha': -1}, length=())
        """
        fields = {name: NAMED[name] for name in NAMED if hasattr(method, name)} | dict(kinds(type(method)))
        rates = {name: 1 for name, kind in fields.items() if kind == "rate"}
        strength = rates or dict(strengths(type(method)))
        length = tuple(name for name, kind in fields.items() if kind in LENGTHS)
        if not strength and not length:
            raise MethodError(
                f"expected a method with a learning rate, a strength or epochs to tune, got {method.name}, which has "
                "none of these; leave out the tuning"
            )
        return cls(strength, length)

    def values(self, method: Method) -> dict[str, float]:
        """What they are in a settled method.

        >>> from obliviate.methods.fine_tune import FineTune
        >>> Knobs.of(FineTune()).values(FineTune(epochs=2, learning_rate=0.16))
        {'learning_rate': 0.16, 'epochs': 2}
        """
        values = {name: getattr(method, name) for name in (*self.strength, *self.length)}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}

    def turned(self, method: Method, place: Place) -> Method:
        """A settled method at a place: its strength and its length doubled so many times.

        >>> from obliviate.methods.fine_tune import FineTune
        >>> Knobs.of(FineTune()).turned(FineTune(epochs=2, learning_rate=0.16), (-2, 1)).learning_rate
        0.04
        """
        now, (strength, length) = self.values(method), place
        changed: dict[str, float] = {
            name: float(f"{now[name] * 2 ** (sign * strength):.6g}")
            for name, sign in self.strength.items()
            if name in now and strength
        }
        for name in self.length:
            if name in now and length:  # passes may be a part of one, epochs may not
                longer = now[name] * 2**length
                changed[name] = math.ceil(longer) if isinstance(now[name], int) else longer
        return replace(method, **changed)  # pyright: ignore[reportArgumentType]


class Search:
    """A search for the best place around a settled method: first by strength, then by length, then more finely.

    From the method's own settings, the strength moves by more and more doublings until one place is too weak and one
    above is too strong; what lies between is halved down to one doubling. Then the best place so far is moved by a
    doubling of the length, half of one of the strength, and a whole one, in the direction that it lacks first.
    """

    def __init__(self, method: Method) -> None:
        self.method, self.knobs = method, Knobs.of(method)
        self.trials: list[Trial] = []
        self.settings: list[Method] = []
        self._places: list[Place] = []

    @property
    def best(self) -> int:
        """The place of the best trial, the first of equals."""
        return min(range(len(self.trials)), key=lambda number: self.trials[number].total)

    def following(self) -> Method | None:
        """The setting to try next, None where nothing is left that the search would try."""
        for place in self._candidates():
            setting = self.knobs.turned(self.method, place)
            if repr(setting) not in map(repr, self.settings):
                self._places.append(place)
                self.settings.append(setting)
                return setting
        return None

    def _candidates(self) -> Iterator[Place]:
        if not self.trials:
            yield 0.0, 0.0
            return
        if self.knobs.strength:
            yield from self._bracket()
        strength, length = self._places[self.best]
        sign = -1 if self.trials[self.best].strong else 1
        steps = [(0, 1), (0, -1), (0.5, 0), (-0.5, 0), (1, 0), (-1, 0)]
        for step in steps if self.knobs.length else steps[2:]:
            place = strength + sign * step[0], length + sign * step[1]
            if abs(place[0]) <= FARTHEST * bool(self.knobs.strength) and abs(place[1]) <= FARTHEST_LENGTH:
                yield place

    def _bracket(self) -> Iterator[Place]:
        """The place that shows where too weak ends and too strong begins, if two places a doubling apart do not yet."""
        strong = {
            place: trial.strong
            for (place, length), trial in zip(self._places, self.trials, strict=True)
            if not length and place == int(place)
        }
        top = min((place for place in strong if strong[place]), default=None)
        bottom = max((place for place in strong if not strong[place] and (top is None or place < top)), default=None)
        if top is None:
            yield min(2 * max(strong) + 2, FARTHEST), 0.0
        elif bottom is None:
            yield max(2 * min(strong) - 2, -FARTHEST), 0.0
        elif top - bottom > 1:
            yield float((top + bottom) // 2), 0.0
