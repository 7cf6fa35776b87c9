"""The contract that every method is held to, as checks that a package with methods of its own can run in its tests.

A check is a function of (method, bench, an empty folder); it raises ContractError where the method breaks the contract.
No test framework is needed. See docs/tutorials/write-your-own-method.md.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import hashlib
import inspect
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from obliviate import workflow
from obliviate.data import sources
from obliviate.data.samples import Samples, Store
from obliviate.data.split import Split
from obliviate.errors import MethodError, ObliviateError
from obliviate.experiment import Experiment
from obliviate.methods import base
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.training.teachers import Teachers
from obliviate.workflow import Session
from obliviate.workflow.unlearning import kept

__all__ = ["CHECKS", "Bench", "Check", "ContractError", "check_method", "counted", "recorded"]

MOMENTS: Final = ("the first batch", "a third", "nine tenths", "the last batch")
"""When a run is killed."""

COLLAPSE: Final = 15.0  # points of test accuracy


class ContractError(ObliviateError, AssertionError):
    """A method breaks the contract."""


class Killed(Exception):
    """Stands for a power cut."""


class CountedRun(Run):
    """A run that counts the batches that `fit` takes, and is killed before the one numbered `last`."""

    taken: int = 0
    last: int | None = None

    def fit(self, model: nn.Module, batches: Iterable[Any], *rest: Any, **options: Any) -> float:
        """Fit as `Run` does, batch by batch under the count."""
        return super().fit(model, self._counted(batches), *rest, **options)

    def _counted(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            if self.taken == self.last:
                raise Killed
            self.taken += 1
            yield batch


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run of a method: the hash of its weights, and how many batches it took."""

    weights: str
    batches: int


@dataclass(frozen=True)
class Outcome:
    """What a user gets from a method, and the tensors of the original that have another value since."""

    trained: workflow.TrainedModel
    spoilt: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What methods are tried on: an original and how it was trained, a request, and test samples.

    `checkpoints` are those that a training in shards left; every run gets a copy of its own, beside them. `teachers`
    are for methods that need such (`with_teachers`). What several checks look at is made once for each `repr` of a
    method.
    """

    original: nn.Module
    task: Classification
    recipe: Recipe | None
    train: Samples
    split: Split
    test: Samples
    checkpoints: Path | None = None
    teachers: Teachers | None = None
    _wholes: dict[tuple[type, str], Whole] = field(default_factory=dict, init=False, repr=False)
    _outcomes: dict[tuple[type, str], Outcome] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def small(cls) -> Bench:
        """Train a network on 600 of the shipped images, of which 60 are to be forgotten; it takes a second or two."""
        data, task, recipe = sources.embedded(), Classification(classes=10), Recipe(epochs=4, batch_size=32)
        train = data.train.select(data.train.ids[:600])
        split = Split.of(train, forget=train.ids[7:600:10], holdout=data.holdout)
        original = workflow.train(Experiment(task, recipe, train)).model
        return cls(original, task, recipe, train, split, data.test)

    def with_teachers(self, folder: Path) -> Bench:
        """Train four teachers over the training and the holdout samples, which stay in `folder`.

        Raises MethodError for a bench without a recipe.
        """
        if self.recipe is None:
            raise MethodError("expected a recipe to train teachers by, got none; give the bench one, or teachers")
        population = Experiment(self.task, self.recipe, self.train, self.split.holdout, seed=1)
        pool = workflow.train_references(population, folder=folder, models=4, workers=0)
        return dataclasses.replace(self, teachers=PoolTeachers.of(pool, self.recipe, self.task))

    def run(self, *, folder: Path | None = None, progress: Progress = silent, seed: int = 0) -> CountedRun:
        """Make a run as `workflow.unlearn` does, but one that saves its state after every epoch."""
        return CountedRun(
            self.task,
            seed=seed,
            recipe=self.recipe,
            folder=folder,
            checkpoints=self._own_checkpoints(folder),
            progress=progress,
            save_every=0.0,
            teachers=self.teachers,
        )

    def forget(self, method: Any, split: Split | None = None, run: Run | None = None) -> nn.Module:
        """Call the method, as it is settled for the request, with a private copy of the original."""
        run, split = run or self.run(), split or self.split
        settled = self.settled(method, split, run)
        return settled(run.place(copy.deepcopy(self.original)), run.place(split), run)

    def settled(self, method: Any, split: Split | None = None, run: Run | None = None) -> Any:
        """Fill in the settings of a method for the request, as `workflow.unlearn` does."""
        run, split = run or self.run(), split or self.split
        return base.settle(method, split, lambda: run.scale(self.original, kept(split)))

    def whole(self, method: Any) -> Whole:
        """Run the method on the request without an interruption, or tell what came of it when it was run so."""
        key = type(method), repr(method)
        if key not in self._wholes:
            run = self.run()
            self._wholes[key] = Whole(weights_sha256(self.forget(method, run=run)), run.taken)
        return self._wholes[key]

    def outcome(self, method: Any) -> Outcome:
        """Unlearn the request as a user does, or tell what came of it when that was done."""
        key = type(method), repr(method)
        if key not in self._outcomes:
            before = copy.deepcopy(self.original.state_dict())
            unlearned = self.unlearn(method)
            after = self.original.state_dict().items()
            spoilt = tuple(name for name, value in after if not value.equal(before[name]))
            self._outcomes[key] = Outcome(unlearned, spoilt)
        return self._outcomes[key]

    def unlearn(self, method: Any, split: Split | None = None, **options: Any) -> workflow.TrainedModel:
        """Unlearn as a user does."""
        options = {"teachers": self.teachers} | options
        return workflow.unlearn(self._given(), split or self.split, method, **options)

    def _given(self) -> workflow.TrainedModel:
        """The original as a user gives it, with slice checkpoints of its own."""
        checkpoints = self._own_checkpoints(None)
        return workflow.TrainedModel.given(self.original, self.task, recipe=self.recipe, checkpoints=checkpoints)

    def _own_checkpoints(self, folder: Path | None) -> Path | None:
        if self.checkpoints is None:
            return None
        name = uuid4().hex if folder is None else hashlib.sha256(str(folder).encode()).hexdigest()
        own = self.checkpoints.parent / name
        if not own.exists():
            shutil.copytree(self.checkpoints, own)
        return own

    @cached_property
    def before(self) -> float:
        """Test accuracy of the original in percent."""
        return self.accuracy(self.original)

    def accuracy(self, model: nn.Module) -> float:
        """Test accuracy in percent."""
        y = self.test.everything().y
        return 100 * float(self.task.correct(outputs(model, self.test), y).float().mean())


Check = Callable[[Any, Bench, Path], None]


class _RecordingStore:
    """A store that counts how often its rows were read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.store)

    def shape(self) -> tuple[int, ...]:
        return self.store.shape()

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.reads.update(rows.tolist())
        return self.store.take(rows)


def counted(samples: Samples) -> tuple[Samples, Callable[[], Counter[str]]]:
    """The same samples, and a function that tells how often each was read since, by its id."""
    store = _RecordingStore(samples.store)
    by_row = {int(row): str(name) for row, name in zip(samples.rows, samples.ids, strict=True)}
    counting = Samples(store, samples.ids, samples.rows)
    return counting, lambda: Counter({by_row[row]: count for row, count in store.reads.items()})


def recorded(samples: Samples) -> tuple[Samples, Callable[[], set[str]]]:
    """The same samples, and a function that tells the ids of those that were read since."""
    counting, reads = counted(samples)
    return counting, lambda: set(reads())


# ------------------------------------------------------------------------------------------- what it computes


def same_seed_gives_the_same_weights(method: Any, bench: Bench, folder: Path) -> None:
    """Whatever the state of torch's global generator, which stays as it was; another seed gives other weights."""
    first = bench.whole(method).weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        second = weights_sha256(bench.forget(method))
        _expect(torch.get_rng_state().equal(before), method, "to leave torch's global random state", "a changed one")
    _expect(second == first, method, "the same weights from the same seed", "others; draw inside `run.epochs`")
    other = weights_sha256(bench.forget(method, run=bench.run(seed=1)))
    _expect(other != first, method, "other weights from another seed", "the same; take the order from `run.batches`")


def changes_the_weights_of_its_copy_alone(method: Any, bench: Bench, folder: Path) -> None:
    """Half of the tensors change at least, and nothing of the model that was passed in does."""
    outcome = bench.outcome(method)
    _expect(
        not outcome.spoilt, method, "to leave the model that is passed in", f"a changed {', '.join(outcome.spoilt)}"
    )
    before, state = bench.original.state_dict(), outcome.trained.model.state_dict()
    same = [name for name, value in state.items() if value.cpu().equal(before[name].cpu())]
    _expect(2 * len(same) <= len(state), method, "to change the weights", f"the same {', '.join(same)}")


def does_not_collapse_under_its_defaults(method: Any, bench: Bench, folder: Path) -> None:
    """Test accuracy stays within 15 points of the original's."""
    now, least = bench.accuracy(bench.outcome(method).trained.model), bench.before - COLLAPSE
    _expect(now > least, method, f"test accuracy above {least:.1f} %", f"{now:.1f} %")


# ------------------------------------------------------------------------------------------- interruptions


def killed_and_resumed_is_bit_equal(method: Any, bench: Bench, folder: Path) -> None:
    """Killed at four moments of its training and resumed, it ends with the weights of an uninterrupted run."""
    for moment in MOMENTS:
        resumes(method, bench, folder / moment.replace(" ", "-"), moment)


def resumes(method: Any, bench: Bench, folder: Path, moment: str) -> bool:
    """Kill the method at one of the MOMENTS and resume it; returns False if it takes no batch at which to kill it."""
    folder.mkdir(exist_ok=True)
    whole, total = bench.whole(method).weights, bench.whole(method).batches
    if not total:
        return False
    killed = bench.run(folder=folder)
    killed.last = {"the first batch": 0, "a third": total // 3, "nine tenths": 9 * total // 10}.get(moment, total - 1)
    try:
        bench.forget(method, run=killed)
    except Killed:
        pass
    else:
        raise ContractError(f"expected {method.name} to let a kill at {moment} through, got a finished run; let it")
    resumed = bench.run(folder=folder)
    same = weights_sha256(bench.forget(method, run=resumed)) == whole
    _expect(same, method, f"bit-equal weights after a kill at {moment}", "others; name all state in `run.epochs`")
    if moment in {"nine tenths", "the last batch"} and getattr(bench.settled(method), "epochs", None) != 1:
        _expect(resumed.taken < total, method, "to go on where it was killed", "a run from the start; use `run.epochs`")
    return True


def killed_between_epochs_is_bit_equal(method: Any, bench: Bench, folder: Path) -> None:
    """Killed whenever it reports progress, three times over, it ends with the weights of an uninterrupted run."""
    calls = 0

    def dying(stage: str, done: float, total: float) -> None:
        nonlocal calls
        calls += 1
        raise Killed

    while True:
        try:
            resumed = bench.forget(method, run=bench.run(folder=folder, progress=dying if calls < 3 else silent))
        except Killed:
            continue
        break
    same = weights_sha256(resumed) == bench.whole(method).weights
    _expect(same, method, "bit-equal weights after kills between epochs", "others; name all state in `run.epochs`")


def a_finished_run_is_not_done_again(method: Any, bench: Bench, folder: Path) -> None:
    """Called again in the folder of a finished run, it takes no batch and returns the same weights."""
    first = weights_sha256(bench.forget(method, run=bench.run(folder=folder)))
    again = bench.run(folder=folder)
    same = weights_sha256(bench.forget(method, run=again)) == first
    _expect(same and not again.taken, method, "to read a finished run back", f"{again.taken} more batches")


# ------------------------------------------------------------------------------------------- what it reads


def reads_only_what_it_may_see(method: Any, bench: Bench, folder: Path) -> None:
    """It reads no sample outside the split: all of the retain set if it needs one, else none of it unless given."""
    train, read = recorded(bench.train)
    outside, forget = bench.train.ids[:50].tolist(), bench.train.ids[50:110].tolist()
    split = Split.of(train.without(outside), forget=forget, holdout=bench.split.holdout)
    if "retain" in method.needs:
        bench.forget(method, split)
        unread = set(split.kept.ids.tolist()) - read()
        _expect(not unread, method, "to read the whole retain set, which it needs", f"{len(unread)} samples unread")
    else:
        bench.forget(method, split.without_retain())
        _expect(read() == set(forget), method, "to read the forget set and nothing else", f"{len(read())} samples read")
        bench.forget(method, split)
    _expect(
        not read() & set(outside), method, "to read no sample outside the split", f"{sorted(read() & set(outside))[:3]}"
    )
    if method.exact:
        _expect(not read() & set(forget), method, "an exact method not to read the forget set", "some of it read")


def works_on_a_dataset_that_is_not_held_in_memory(method: Any, bench: Bench, folder: Path) -> None:
    """The same weights as from the same samples in memory."""
    batch, ids = bench.train.everything(), bench.train.ids[:200]
    lazy = Samples.from_dataset(TensorDataset(batch.x[:200], batch.y[:200]), ids=ids, in_memory=False)
    splits = [
        Split.of(train, forget=ids[:20], holdout=bench.split.holdout) for train in (lazy, bench.train.select(ids))
    ]
    weights = [weights_sha256(bench.forget(method, split)) for split in splits]
    _expect(weights[0] == weights[1], method, "the same weights from a dataset that is read sample by sample", "others")


def works_with_no_more_than_it_needs(method: Any, bench: Bench, folder: Path) -> None:
    """Without a retain set, a holdout set or a recipe, unless it says that it needs them."""
    least = Split(
        bench.split.forget,
        bench.split.retain if "retain" in method.needs else None,
        bench.split.holdout if "holdout" in method.needs else None,
    )
    poor = bench if "recipe" in method.needs else dataclasses.replace(bench, recipe=None)
    same = weights_sha256(poor.forget(method, least)) == weights_sha256(bench.original)
    _expect(not same, method, "to change the model with no more than it needs", "the same weights")


def never_reads_what_an_earlier_request_forgot(method: Any, bench: Bench, folder: Path) -> None:
    """In three requests in a row, each on the model that the last one left, none reads a sample of an earlier one."""
    train, reads = counted(bench.train.select(bench.train.ids[:150]))
    session = Session.of(bench._given(), train, holdout=bench.split.holdout)
    for number, ids in enumerate(train.ids[:45].reshape(3, 15), start=1):
        before, gone = reads(), set(session.forgotten.tolist())
        session = session.forget(ids, method, folder=folder / "requests", teachers=bench.teachers)
        read = set(reads() - before)
        _expect(bool(read), method, f"request {number} to read samples", "none read")
        again = len(read & gone)
        _expect(
            not again, method, f"request {number} to read nothing of earlier ones", f"{again} of their samples read"
        )


def uses_no_label_unless_it_needs_labels(method: Any, bench: Bench, folder: Path) -> None:
    """Where `needs` is without "labels", the same weights come of wrong labels."""
    if "labels" in method.needs:
        return

    def wrong(samples: Samples) -> Samples:
        batch = samples.everything()
        return Samples.from_tensors(batch.x, (batch.y + 1) % bench.task.classes, ids=batch.ids)

    sets = (bench.split.forget, bench.split.retain, bench.split.holdout)
    forget, retain, holdout = (None if part is None else wrong(part) for part in sets)
    assert forget is not None
    split = Split(forget, retain, holdout)
    same = weights_sha256(bench.forget(method, split)) == bench.whole(method).weights
    _expect(same, method, 'to use no label, as "labels" is not among its needs', "other weights from wrong labels")


# ------------------------------------------------------------------------------------------- how it presents itself


def is_a_frozen_dataclass_with_keyword_only_fields(method: Any, bench: Bench, folder: Path) -> None:
    """Its fields are hyperparameters with defaults, and its `repr` names them all."""
    base.register({}, type(method))
    _expect(isinstance(method, base.Method), method, "a method", "an object without `__call__`")
    for setting in dataclasses.fields(method):
        _expect(setting.kw_only is True, method, f"{setting.name} to be keyword-only", "a positional field")
        _expect(f"{setting.name}=" in repr(method), method, f"a repr that shows {setting.name}", repr(method))
    lacking = [setting.name for setting in dataclasses.fields(method) if _without_default(setting)]
    _expect(not lacking, method, "a default for every field", f"none for {', '.join(lacking)}")


def _without_default(setting: dataclasses.Field[Any]) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING


def describes_itself(method: Any, bench: Bench, folder: Path) -> None:
    """Name, one sentence, source, and the defaults of all fields."""
    described = base.describe(type(method))
    _expect(described["summary"].endswith("."), method, "a docstring that begins with a sentence", described["summary"])
    _expect(bool(described["source"]), method, "a source", "none; name the publication, or say that it is yours")
    fields = {setting.name for setting in dataclasses.fields(method)}
    shown = set(described["defaults"])
    _expect(shown == fields, method, "a plain default for every field", f"none for {sorted(fields - shown)}")


def refuses_hyperparameters_out_of_range(method: Any, bench: Bench, folder: Path) -> None:
    """`epochs`, `learning_rate`, `batch_size` and `clip_norm` of 0, where it has them."""
    for name in {"epochs", "learning_rate", "batch_size", "clip_norm"} & {
        setting.name for setting in dataclasses.fields(method)
    }:
        try:
            type(method)(**{name: 0})
        except MethodError:
            continue
        raise ContractError(
            f"expected {method.name} to refuse {name}=0 with a MethodError, got a method; "
            "call `check_positive` in `__post_init__`"
        )


def leaves_the_engine_to_the_run(method: Any, bench: Bench, folder: Path) -> None:
    """Neither the class nor what it uses of its module calls `backward`, `to` or `cuda`, or makes an optimiser."""
    calls = engine_calls(type(method))
    _expect(not calls, method, "to leave placement, gradients and optimisers to `run`", ", ".join(calls))


def engine_calls(cls: type[Any]) -> list[str]:
    """What a class, and the functions and classes of its module that it uses, do of the engine's work, each by line.

    Raises ContractError for a class whose source cannot be read, as one that was typed into a console.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> engine_calls(FineTune)
    []
    """
    try:
        module = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    except (OSError, TypeError) as error:
        raise ContractError(f"expected the source of {cls.__name__}, got none; define it in a module") from error
    definitions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    optimizers = _optimizer_names(module)
    seen, waiting, calls = set[str](), [cls.__name__], list[tuple[int, str]]()
    while waiting:
        if (name := waiting.pop()) in seen or name not in definitions:
            continue
        seen.add(name)
        for node in ast.walk(definitions[name]):
            if isinstance(node, ast.Name):
                waiting.append(node.id)
            if isinstance(node, ast.Call) and _is_of_engine(node.func, optimizers):
                calls.append((node.lineno, ast.unparse(node.func)))
    return [f"{call} in line {line}" for line, call in sorted(calls)]


def _optimizer_names(module: ast.Module) -> set[str]:
    """What `torch.optim` and what is in it are called in a module."""
    names = {"torch.optim"}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.asname for alias in node.names if alias.asname and alias.name.startswith("torch.optim")}
        if isinstance(node, ast.ImportFrom):
            whole = [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
            names |= {name for origin, name in whole if origin.startswith("torch.optim")}
    return names


def _is_of_engine(called: ast.expr, optimizers: set[str]) -> bool:
    """Whether a call moves something, goes backward, or makes an optimiser."""
    if isinstance(called, ast.Attribute) and called.attr in {"backward", "to", "cuda"}:
        return True
    text = ast.unparse(called)
    return any(text == name or text.startswith(f"{name}.") for name in optimizers)


CHECKS: Final[tuple[Check, ...]] = (
    same_seed_gives_the_same_weights,
    changes_the_weights_of_its_copy_alone,
    does_not_collapse_under_its_defaults,
    killed_and_resumed_is_bit_equal,
    killed_between_epochs_is_bit_equal,
    a_finished_run_is_not_done_again,
    reads_only_what_it_may_see,
    works_on_a_dataset_that_is_not_held_in_memory,
    works_with_no_more_than_it_needs,
    never_reads_what_an_earlier_request_forgot,
    uses_no_label_unless_it_needs_labels,
    leaves_the_engine_to_the_run,
    is_a_frozen_dataclass_with_keyword_only_fields,
    describes_itself,
    refuses_hyperparameters_out_of_range,
)


def check_method(method: Any, bench: Bench | None = None) -> None:
    """Hold a method to the whole contract, on `Bench.small()` unless told otherwise.

    A class is held to it under its defaults, a method as you set it under these settings.
    Raises ContractError at the first check that the method does not pass; what the method raises itself is passed on.

    >>> from obliviate.methods.gradient_ascent import GradientAscent
    >>> check_method(GradientAscent)
    """
    bench, method = bench or Bench.small(), method() if isinstance(method, type) else method
    with tempfile.TemporaryDirectory() as pool_folder:
        if "teachers" in method.needs and bench.teachers is None:
            bench = bench.with_teachers(Path(pool_folder))
        for check in CHECKS:
            with tempfile.TemporaryDirectory() as folder:
                check(method, bench, Path(folder))


def _expect(condition: bool, method: Any, wanted: str, got: str) -> None:
    if not condition:
        raise ContractError(f"expected {wanted} of {method.name}, got {got}; see docs/methods/README.md")
