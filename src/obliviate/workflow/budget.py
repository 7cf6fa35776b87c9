"""Choose how long a method goes on by what it may cost, as a share of a retraining.

What a method costs is counted, not timed, so that the same request has the same length on any machine: samples that
pass through the model, those of training steps three times, for the way back costs twice the way there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import Method, settle
from obliviate.methods.relative import kinds
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.teachers import Teachers
from obliviate.workflow.models import TrainedModel
from obliviate.workflow.tuning import Knobs
from obliviate.workflow.unlearning import check_request, kept

THERE_AND_BACK: Final = 3
PROBED: Final = 512  # samples, of which a request has its share
LEAST: Final = 8  # samples of each set
LEAST_BATCH: Final = 4
SHORTEST: Final = 0.01  # of the method's own length


@dataclass(frozen=True)
class Affordable:
    """A method with the length that a budget pays for, and the share of a retraining that this is expected to cost.

    `lengths` are the method's fields that say how long it goes on.
    """

    method: Method
    share: float
    lengths: Mapping[str, float]


def within_budget(
    budget: float,
    original: TrainedModel,
    split: Split,
    method: Method,
    *,
    retained: int | None = None,
    seed: int = 0,
    teachers: ReferencePool | Teachers | None = None,
) -> Affordable:
    """Make a method as long as a share of a retraining pays for, and leave its other settings as they are.

    The method goes twice over a few of the request's samples, at its own length and at double that, on copies of the
    model; what passes through them is a line over the length. `retained` is the number of samples that a retraining
    would have, for a split without a retain set. What teachers are asked is not counted.

    Raises MethodError for a budget that is no share in (0, 1], for a model without a recipe, for a method without
    epochs, and for a budget that does not pay for its shortest run, with the least that does; else what `unlearn`
    raises before any work.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> from obliviate.task import Classification
    >>> samples = Samples.from_tensors(torch.randn(40, 3), torch.arange(40) % 2)
    >>> split = Split.of(samples, forget=samples.ids[:4])
    >>> original = TrainedModel.given(nn.Linear(3, 2), Classification(classes=2), recipe=Recipe(epochs=20))
    >>> within_budget(0.3, original, split, FineTune()).method.epochs
    6
    """
    if not 0 < budget <= 1:
        raise MethodError(f"expected a budget as a share of a retraining in (0, 1], got {budget:g}; 0.15 is 15 %")
    model, task, recipe = original.model, original.task, original.recipe
    if recipe is None:
        raise MethodError(
            "expected a model whose recipe is known, for a budget is a share of a retraining by it, got none; give it "
            "to `TrainedModel.given(..., recipe=...)`"
        )
    if recipe.train is not None:
        raise MethodError(
            "expected a recipe with epochs for a budget, got a training function, of which nobody knows what it costs; "
            "leave out the budget"
        )
    if retained is None and split.retain is None:
        raise MethodError(
            "expected the number of retained samples for a split without them, got none; pass `retained=...`, which "
            "says how much a retraining costs"
        )
    taught = PoolTeachers.of(teachers, recipe, task) if isinstance(teachers, ReferencePool) else teachers
    run = Run(task, seed=seed, recipe=recipe, teachers=taught)
    check_request(method, split, run)
    task.check_model(model, split.forget)
    settled, total = settle(method, split, partial(run.scale, model, kept(split))), retained or len(split.kept)
    knobs = Knobs.of(settled)
    now = {name: value for name, value in knobs.values(settled).items() if name in knobs.length}
    if not now:
        raise MethodError(f"expected a method with epochs for a budget, got {method.name}; leave out the budget")
    few, share = _few(split, seed=seed)
    whole = THERE_AND_BACK * recipe.epochs * (total * share if few.retain is None else len(few.retain))
    probe = partial(_passed, model, few, task, recipe=recipe, seed=seed, teachers=taught)
    once, twice = (probe(_stretched(_smaller(settled, share), now, factor)) / whole for factor in (1.0, 2.0))
    slope = twice - once
    factor = (budget - (once - slope)) / slope
    affordable = _stretched(settled, now, factor)
    # Whole epochs may come to less than was paid for, and the shortest run to more.
    reached = max(getattr(affordable, name) / value for name, value in now.items())
    cost = once + (reached - 1) * slope
    if cost > budget * (1 + 1e-9):
        least = math.ceil(100 * cost - 1e-6)
        raise MethodError(
            f"expected a budget that pays for the shortest run of {method.name} here, about {least} % of a retraining, "
            f"got {100 * budget:g} %; give as much, or use another method"
        )
    return Affordable(affordable, cost, {name: getattr(affordable, name) for name in now})


def _stretched(method: Any, now: Mapping[str, float], factor: float) -> Any:
    """The method with all lengths multiplied: epochs are whole and at least 1, passes may be a part of one."""
    factor = max(factor, SHORTEST)
    changed = {
        name: max(1, math.floor(value * factor + 1e-9)) if isinstance(value, int) else value * factor
        for name, value in now.items()
    }
    return replace(method, **changed)


def _smaller(method: Any, share: float) -> Any:
    """The method with batches that are as much smaller as its sets: sets that are paired meet as often then."""
    sizes = {name: getattr(method, name) for name, kind in kinds(type(method)).items() if kind == "batch_size"}
    return replace(
        method, **{name: max(LEAST_BATCH, round(share * size)) for name, size in sizes.items() if isinstance(size, int)}
    )


def _few(split: Split, *, seed: int) -> tuple[Split, float]:
    """A split of a few samples with nearly its proportions, and the share of the samples that it has."""
    everything = len(split.forget) + (0 if split.retain is None else len(split.retain))
    share = min(1.0, PROBED / everything)

    def drawn(samples: Samples | None, name: str) -> Samples | None:
        if samples is None:
            return None
        count = min(len(samples), max(LEAST, round(share * len(samples))))
        places = np.random.default_rng(derive(seed, "budget", name)).permutation(len(samples))[:count]
        included = np.zeros(len(samples), dtype=bool)
        included[places] = True
        return samples.at(included)

    forget = drawn(split.forget, "forget")
    assert forget is not None
    return Split(forget, drawn(split.retain, "retain"), drawn(split.holdout, "reference")), share


def _passed(
    model: nn.Module,
    split: Split,
    task: Task,
    method: Method,
    *,
    recipe: Recipe,
    seed: int,
    teachers: Teachers | None,
) -> float:
    """How many samples pass through a copy of the model and its copies, those of steps counted there and back."""
    run = Run(task, seed=seed, recipe=recipe, teachers=teachers)
    private, passed = run.private(model, split.forget), [0.0]

    def count(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        samples = len(arguments[0]) if arguments else 0
        passed[0] += samples * (THERE_AND_BACK if torch.is_grad_enabled() else 1)

    private.register_forward_pre_hook(count)  # copies that a method makes count in the same list
    method(private, split, run)
    return passed[0]
