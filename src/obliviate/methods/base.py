"""The method contract and the registry.

A method is a frozen, keyword-only dataclass: its fields are hyperparameters, its `repr` is the experiment's id, and
calling it with (a private copy of the model, the split, the run) returns the unlearned model.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Shaped
from torch import Tensor, nn

from obliviate._util.plugins import Registry
from obliviate.data.erased import REMEDY as ERASED_REMEDY
from obliviate.data.erased import erased_ids
from obliviate.data.split import Split
from obliviate.errors import DataError, MethodError
from obliviate.methods.relative import OF_RECIPE, kinds, resolved
from obliviate.task import TASKS, Classification, InputSpace, Task
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.training.schedules import SCHEDULES

WhenNone: TypeAlias = Mapping[str, Mapping[str, float | str]]
"""What hyperparameters that are None become, by case ("always", "with retain", …): a value, or a few words."""

MOST: Final = 10**6
"""The largest whole number that a setting may be: beyond it a machine is asked for what it cannot do."""
REGISTRY: Final = Registry(
    kind="method",
    group="obliviate.methods",
    attributes=("name", "needs", "exact", "source"),
    needs=frozenset({"retain", "holdout", "labels", "recipe", "teachers"}),
    page="docs/methods/README.md",
    error=MethodError,
)


@runtime_checkable
class Method(Protocol):
    """An unlearning method.

    `name` is its name in the registry; `needs` says what must be there before any work begins, of "retain",
    "holdout", "labels", "recipe" and "teachers"; an instance may need less than its class (`needs_less`).
    `exact` methods give a model that never saw the forget set; `source` is the publication. A class attribute `tasks`
    may name the kinds of task that it serves; without one it serves all.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> isinstance(FineTune(), Method), sorted(FineTune.needs)
    (True, ['labels', 'retain'])
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    exact: ClassVar[bool]
    source: ClassVar[str]

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module: ...


@runtime_checkable
class Adaptive(Protocol):
    """A method whose unset hyperparameters depend on the split; `settled` fills them in.

    A class attribute `when_none` (see `WhenNone`) tells `describe` what they become.
    """

    def settled(self, split: Split) -> Method: ...


def settle(method: Method, split: Split, scale: Scale | Callable[[], Scale]) -> Method:
    """Fill in the hyperparameters that depend on the split or are relative, so that the `repr` says what was done.

    `scale` is what relative ones are multiples and shares of: `Scale.of(recipe)`, or a function that finds it, which is
    called at most once and only if there are any. Raises MethodError where they cannot be resolved.
    """
    cached_scale = functools.cache(scale if callable(scale) else lambda: scale)
    method = resolved(method, cached_scale)
    # What a method fills in may be relative again.
    return resolved(method.settled(split), cached_scale, settled=True) if isinstance(method, Adaptive) else method


def check_needs(method: Method, split: Split, run: Run, *, planned: frozenset[str] = frozenset()) -> None:
    """Refuse, before any work, a request that lacks what the method needs; raises MethodError.

    What is `planned` will be there by the time that the method is called. Only an exact method does without the rows of
    the samples to forget, where these were erased (`data.erased`).
    """
    if not method.exact and len(gone := erased_ids(split.forget)):
        raise MethodError(
            f"expected the rows of the samples to forget for {method.name}, got {len(gone):,} of "
            f"{len(split.forget):,} that were erased from the source (first: {str(gone[0])!r}); {ERASED_REMEDY}"
        )
    remedies = {
        "retain": (split.retain is not None, "the retained training samples: leave out `--no-retain`, or give them"),
        "holdout": (
            split.holdout is not None,
            "unseen holdout samples: `train --holdout-size N`, `Experiment(..., holdout=...)` or "
            "`Split.of(..., holdout=...)`",
        ),
        "recipe": (run.recipe is not None, "the recipe that trained the original model: `recipe=...`"),
        "teachers": (
            run.teachers is not None,
            "a pool of models of the same recipe, other than that of the audit: `teachers=train_references(...)`",
        ),
    }
    titles = {"retain": "retain set", "holdout": "holdout set", "recipe": "recipe", "teachers": "pool of teachers"}
    for need in sorted((method.needs & set(remedies)) - planned):
        present, remedy = remedies[need]
        if not present:
            raise MethodError(
                f"expected a {titles[need]} for {method.name}, got none; it needs {remedy}, or use another method"
            )


def needs_less(method: Any, *needs: str) -> None:
    """Take needs from an instance that its hyperparameters do without; for `__post_init__`.

    >>> from obliviate.methods.laf import LAF
    >>> "labels" in LAF().needs, "labels" in LAF(labels="agnostic").needs
    (True, False)
    """
    object.__setattr__(method, "needs", type(method).needs - set(needs))


def register(registry: dict[str, type[Any]], cls: type[Any]) -> None:
    """Add one method class to a registry, after checking that it keeps the contract; raises MethodError."""
    REGISTRY.check(cls)
    REGISTRY.add(registry, cls)


def with_plugins(built_in: tuple[type[Any], ...]) -> dict[str, type[Any]]:
    """The built-in methods, then those that installed packages offer through the entry-point group."""
    return REGISTRY.all_of(built_in, register)


def serves(method: Any, kind: str) -> bool:
    """Whether a method, or its class, serves a kind of task."""
    return kind in getattr(method, "tasks", {kind})


def describe(cls: type[Any]) -> dict[str, Any]:
    """What a method says of itself: name, source, needs, exactness, tasks, one sentence, default hyperparameters.

    `when_none` says, by case, what becomes of the defaults that are None.
    """
    defaults = {
        setting.name: setting.default
        for setting in dataclasses.fields(cls)
        if setting.default is not dataclasses.MISSING and isinstance(setting.default, int | float | str | bool | None)
    }
    when_none = {case: dict(values) for case, values in getattr(cls, "when_none", {}).items()}
    own = {name for values in when_none.values() for name in values}
    for name, kind in kinds(cls).items():
        if kind in OF_RECIPE and name in defaults and defaults[name] is None:
            for values in when_none.values() if name in own else [when_none.setdefault("always", {})]:
                values.setdefault(name, "the recipe's")
    return {
        "name": cls.name,
        "summary": (inspect.getdoc(cls) or "").splitlines()[0],
        "source": cls.source,
        "needs": sorted(cls.needs),
        "exact": cls.exact,
        "tasks": [kind for kind in TASKS if serves(cls, kind)],
        "defaults": defaults,
        "when_none": when_none,
    }


def to_dict(method: Method) -> dict[str, Any] | None:
    """Name a method with all its hyperparameters in JSON values; None where one of these is not such a value.

    `methods.from_dict` reads it.
    """
    if not dataclasses.is_dataclass(method):
        return None
    values = {setting.name: getattr(method, setting.name) for setting in dataclasses.fields(method)}
    if not all(isinstance(value, int | float | str | bool | None) for value in values.values()):
        return None
    return {"name": method.name, "settings": values}


def check_positive(method: Any, *names: str) -> None:
    """Refuse hyperparameters that are not above 0; raises MethodError."""
    for name in names:
        value = getattr(method, name)
        if not value > 0:
            raise MethodError(f"expected {name} above 0, got {value}; correct the setting of {method.name}")
        if value == math.inf or (isinstance(value, int) and value > MOST):
            raise MethodError(f"expected {name} of at most {MOST:,}, got {value}; correct the setting of {method.name}")


def check_schedule(method: Any) -> None:
    """Refuse a learning-rate schedule that does not exist; raises MethodError."""
    if method.schedule not in SCHEDULES:
        raise MethodError(f"expected a schedule of {', '.join(SCHEDULES)}, got {method.schedule!r}; name one of them")


def input_space(method: Any, task: Task, model: nn.Module) -> InputSpace:
    """The continuous inputs of a classification task, for the run to place; raises MethodError if there are none."""
    check_classification(method, task)
    space = task.space(model)
    if space is None:
        raise MethodError(
            "expected a task with continuous inputs, got one whose inputs cannot be perturbed; "
            "give the task an `input_range`, or use a method that needs only a loss"
        )
    return space


def check_inside(space: InputSpace, x: Shaped[Tensor, " n ..."]) -> None:
    """Refuse integers, which cannot be perturbed, and inputs outside the valid range; raises MethodError."""
    if not x.is_floating_point():
        raise MethodError(
            f"expected numbers that can be perturbed, got integers ({str(x.dtype).removeprefix('torch.')}), such as "
            "token ids; give Classification(tokens=True) and a model with `embed`, or use a method that needs only a "
            "loss, such as nabla_tau or fine_tune"
        )
    try:
        space.check(x)
    except DataError as error:
        raise MethodError(str(error)) from error


def check_classification(method: Any, task: Task) -> Classification:
    """Refuse every task but classification; raises MethodError."""
    if not isinstance(task, Classification):
        raise MethodError(
            f"expected a classification task for {method.name}, got {task.kind}; "
            "use a method that needs only a loss, such as nabla_tau or fine_tune"
        )
    return task
