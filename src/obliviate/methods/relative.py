"""Settings that are relative to how the model was trained, so that one default serves many models.

A method says which of its fields are such by their types: `Rate`, `Length`, `Passes`, `LeastSteps`, `BatchSize`,
`Momentum`, `WeightDecay`, `OptimizerName`. `check` refuses what they cannot be, `resolved` turns them into numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import is_dataclass, replace
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_type_hints

from obliviate.errors import MethodError
from obliviate.training.optimizers import OPTIMIZERS
from obliviate.training.scale import Scale

Rate: TypeAlias = Annotated[float | str, "rate"]
"""A learning rate: a number, or a multiple of the recipe's peak rate, at the method's batch size (`Scale.rate`)."""
Length: TypeAlias = Annotated[int | str, "length"]
"""A number of epochs: a whole one, or a share of the recipe's (`LONGEST`) such as "20%", rounded up."""
Passes: TypeAlias = Annotated[float | str, "passes"]
"""Passes over the retain set: a number, which may be a part of one, or a share of the recipe's, at least one."""
LeastSteps: TypeAlias = Annotated[int | None, "steps"]
"""The fewest optimiser steps that a run takes, whatever its epochs come to: small requests need them."""
BatchSize: TypeAlias = Annotated[int | None, "batch_size"]
Momentum: TypeAlias = Annotated[float | None, "momentum"]
WeightDecay: TypeAlias = Annotated[float | None, "weight_decay"]
"""None is the recipe's, unless the method's `when_none` says what it becomes."""
OptimizerName: TypeAlias = Annotated[str, "optimizer"]
""" "recipe" is the recipe's own; momentum is β₁ of Adam and AdamW."""
Strength: TypeAlias = Annotated[float, "strength"]
"""A number above 0 that makes a method without a learning rate change the model more, for `workflow.tuning`."""
Weakness: TypeAlias = Annotated[float, "weakness"]
"""One that makes it change the model less."""

RECIPE: Final = "recipe"
LONGEST: Final = 30
"""Shares are of so many of a recipe's epochs at most.

What has to be undone does not grow with the passes that a model was trained for, and methods that go on too long do
harm: of a recipe of 100 epochs, 20 % is twice as far from retraining as 5 % (docs/comparison.md, "Longer and shorter").
"""
OF_RECIPE: Final = ("batch_size", "momentum", "weight_decay")
SIGNS: Final = {"rate": "x", "length": "%", "passes": "%"}
WANTED: Final = {
    "rate": "a number above 0 or a multiple of the recipe's such as '0.5x'",
    "length": "a whole number above 0 or a share of the recipe's such as '20%'",
    "passes": "a number above 0 or a share of the recipe's epochs such as '20%'",
}
KINDS: Final = frozenset({*SIGNS, *OF_RECIPE, "optimizer", "steps"})
LENGTHS: Final = frozenset({"length", "passes", "steps"})
"""The kinds that say how long a method goes on."""
MOST: Final = (1e38, 10**6)
"""The largest value of a setting, and of one that says how long: a machine cannot do more."""
STRENGTHS: Final = {"strength": 1, "weakness": -1}
"""What becomes of a field when a method is made twice as strong: it doubles (1) or halves (−1)."""

M = TypeVar("M")


@cache
def kinds(cls: type[Any]) -> Mapping[str, str]:
    """Name the fields of a method that may be relative, each with its kind.

    >>> from obliviate.methods.gradient_ascent import GradientAscent
    >>> kinds(GradientAscent)["epochs"]
    'length'
    """
    return _marked(cls, KINDS)


@cache
def strengths(cls: type[Any]) -> Mapping[str, int]:
    """Name the fields of a method that make it stronger (1) or weaker (−1) the larger they are.

    >>> from obliviate.methods.ssd import SSD
    >>> strengths(SSD)
    {'alpha': -1}
    """
    return {name: STRENGTHS[mark] for name, mark in _marked(cls, STRENGTHS).items()}


def _marked(cls: type[Any], marks: Collection[str]) -> dict[str, str]:
    """The fields of a method whose types have one of these marks, with the mark."""
    if not is_dataclass(cls):
        return {}
    fields: dict[str, str] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for part in (hint, *get_args(hint)):  # a union with None has the alias inside
            for mark in set(marks).intersection(getattr(part, "__metadata__", ())):
                fields[name] = mark
    return fields


def check(method: Any) -> None:
    """Refuse settings of these kinds that are out of range or no such text; raises MethodError."""
    for name, kind in kinds(type(method)).items():
        value = getattr(method, name)
        if value is None:
            continue
        if kind == "optimizer":
            if value not in (choices := (RECIPE, *OPTIMIZERS)):
                raise MethodError(f"expected an optimizer of {', '.join(choices)}, got {value!r}; name one of them")
            continue
        if isinstance(value, str):
            wanted, fits = f"as {WANTED[kind]}", amount(value, SIGNS[kind]) is not None
        elif kind == "momentum":
            wanted, fits = "in [0, 1)", 0 <= value < 1
        elif kind in ("weight_decay", "steps"):
            wanted, fits = "of 0 or more", value >= 0
        else:
            wanted, fits = "above 0", value > 0
        if fits and not isinstance(value, str) and value > MOST[kind in LENGTHS]:
            wanted, fits = f"of at most {MOST[kind in LENGTHS]:g}", False
        if not fits:
            raise MethodError(f"expected {name} {wanted}, got {value!r:.60}; correct the setting of {method.name}")


def amount(text: str, sign: str) -> float | None:
    """The number above 0 before the sign; None where the text is no such.

    >>> amount("1.5x", "x"), amount("20%", "%"), amount("0%", "%"), amount("1.5", "x")
    (1.5, 20.0, None, None)
    """
    try:
        number = float(text.removesuffix(sign))
    except ValueError:
        return None
    return number if text.endswith(sign) and 0 < number < math.inf else None


def resolved(method: M, scale: Callable[[], Scale], *, settled: bool = False) -> M:
    """Turn relative settings into numbers; `scale` is asked only if there are any.

    None is left to a method that says in `when_none` what it becomes, until it is `settled`.

    A rate is a multiple of that by which its optimiser would have trained the model in batches of the method's size
    (`Scale.rate`), a length a share of the recipe's epochs, of which `LONGEST` count. Raises MethodError where there
    is no such rate.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> scale = Scale(optimizer="sgd", learning_rate=0.1, epochs=12)
    >>> method = resolved(FineTune(optimizer="recipe", learning_rate="1.5x", epochs="20%"), lambda: scale)
    >>> method.optimizer, method.learning_rate, method.epochs
    ('sgd', 0.15, 3)
    """
    fields = kinds(type(method))
    values = {name: getattr(method, name) for name in fields}
    cases = {} if settled else getattr(method, "when_none", {})
    own = {name for case in cases.values() for name in case}
    for name, kind in fields.items():
        if kind == "optimizer" and values[name] == RECIPE:
            values[name] = scale().optimizer
        elif kind in OF_RECIPE and values[name] is None and name not in own:
            values[name] = getattr(scale(), kind)
        elif kind == "length" and isinstance(text := values[name], str):
            values[name] = math.ceil(_share(text, scale()))
        elif kind == "passes" and isinstance(text := values[name], str):
            values[name] = max(1.0, _share(text, scale()))
    optimizer, size = values.get("optimizer", RECIPE), values.get("batch_size", 0)
    for name, text in values.items():
        if fields[name] == "rate" and isinstance(text, str) and None not in (optimizer, size):  # or not settled yet
            rate = scale().rate(scale().optimizer if optimizer == RECIPE else optimizer, size or None)
            if rate is None:
                raise MethodError(
                    f"expected {name} as a number for optimizer {optimizer}, got {text!r}, which is a multiple of the "
                    f"recipe's rate for {scale().optimizer}; give a number"
                )
            values[name] = float(f"{(amount(text, 'x') or 0.0) * rate:.12g}")
    changed = {name: value for name, value in values.items() if value is not getattr(method, name)}
    return replace(method, **changed) if changed else method  # pyright: ignore[reportArgumentType]


def _share(text: str, scale: Scale) -> float:
    """So many epochs are a share of the recipe's."""
    return (amount(text, "%") or 0.0) * min(scale.epochs, LONGEST) / 100


def whole(method: Any, *names: str) -> tuple[int, ...]:
    """The whole numbers of a settled method, by name; raises MethodError for one that is not settled yet.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> whole(FineTune(epochs=3, batch_size=32), "epochs", "batch_size")
    (3, 32)
    """
    values = {name: getattr(method, name) for name in names}
    for name, value in values.items():
        if not isinstance(value, int):
            raise MethodError(
                f"expected {name} of {method.name} as a whole number, got {value!r}; settle the method first, as "
                "`unlearn` does (`methods.base.settle`)"
            )
    return tuple(values.values())


def passes(method: Any) -> float:
    """The `retain_passes` of a settled method; raises MethodError if it is not settled yet.

    >>> from obliviate.methods.nabla_tau import NablaTau
    >>> passes(NablaTau(retain_passes=0.5))
    0.5
    """
    if isinstance(number := method.retain_passes, str):
        raise MethodError(
            f"expected retain_passes of {method.name} as a number, got {number!r}; settle the method first, as "
            "`unlearn` does (`methods.base.settle`)"
        )
    return float(number)
