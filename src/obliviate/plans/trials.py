"""A method as a plan sets it, read from a table `[[method]]`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from obliviate import methods
from obliviate._util.imports import imported
from obliviate.errors import MethodError, PlanError
from obliviate.methods.base import Method
from obliviate.methods.configuration import configured
from obliviate.methods.retrain import Retrain
from obliviate.plans.document import Table

TEACHERS: Final = 8
OPTIONS: Final = ("name", "label", "retain", "teachers", "tune", "budget", "paper", "unlabelled")
"""Fields of `[[method]]` that are no hyperparameters."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A method as it is set, under the name that it has in tables; the options are those of `Workspace.unlearn`.

    `unlabelled` is the share of the training samples whose labels are kept from the method.
    """

    label: str
    method: Method
    retain: bool = True
    teachers: int = 0
    tune: int = 0
    budget: float | None = None
    unlabelled: float = 0.0

    @property
    def facts(self) -> str:
        """What tells it from all others, whatever it is called."""
        return repr((self.method, self.retain, self.teachers, self.tune, self.budget, self.unlabelled))


def trials_of(tables: list[Table]) -> tuple[Trial, ...]:
    """Read the methods of a plan, each under a name of its own; raises PlanError."""
    trials = [_trial(table) for table in tables]
    names = [str(table.values["name"]) for table in tables]
    labelled: dict[str, Table] = {}
    for place, (trial, table) in enumerate(zip(trials, tables, strict=True)):
        label = trial.label or _label(trial, table, alone=names.count(names[place]) == 1)
        if label in labelled or label in {"original", "retrained"}:
            other = labelled[label].place() if label in labelled else "every plan"
            raise PlanError(
                f"expected methods with names of their own, got {label!r:.80} in {table.place('name')} and in {other}; "
                "give one of them another label"
            )
        labelled[label] = table
        trials[place] = Trial(**{**vars(trial), "label": label})
    return tuple(trials)


def _label(trial: Trial, table: Table, *, alone: bool) -> str:
    settings = {name: value for name, value in table.values.items() if name not in {"name", "label"}}
    if alone or not settings:
        return trial.method.name
    return f"{trial.method.name} ({', '.join(f'{name}={value}' for name, value in settings.items())})"


def _trial(table: Table) -> Trial:
    from obliviate.references.plan import check_count

    name = table.text("name", None)
    if name is None:
        raise table.error("name", "the name of a method", None, "see `obliviate methods`")
    settings = {key: value for key, value in table.values.items() if key not in OPTIONS}
    with table.checked("name"):
        cls = _own(name) if ":" in name else methods.find(name)
    if cls is Retrain:
        raise table.error("name", "a method beside retraining", name, "retrained models are made for every plan")
    for setting, value in settings.items():
        with table.checked(setting):
            configured(cls, {setting: value})
    with table.checked():
        method = configured(cls, settings)
    if (paper := table.values.get("paper", False)) is not False:
        with table.checked("paper"):
            method = _as_published(cls, paper, settings)
    unlabelled = table.number("unlabelled", 0.0)
    if not 0 <= unlabelled < 1:
        raise table.error("unlabelled", "a share of the training samples in [0, 1)", unlabelled)
    if unlabelled and "unlabelled" not in get_type_hints(cls):
        raise table.error("unlabelled", "left out for a method that takes no ids of unlabelled samples", unlabelled)
    tune, teachers = table.integer("tune", 0), table.integer("teachers", None)
    if "teachers" in method.needs:
        teachers = TEACHERS if teachers is None else teachers
    if teachers:
        with table.checked("teachers"):
            check_count(teachers)
        if "teachers" not in method.needs and not tune:
            raise table.error(
                "teachers", "of a method that learns from teachers, or is tuned", teachers, "leave it out"
            )
    if tune < 0:
        raise table.error("tune", "0 or more trials", tune)
    budget = _budget(table)
    if tune and budget is not None:
        raise table.error("budget", "alone, or tune", table.values["budget"], "leave out one")
    label = table.text("label", "")
    return Trial(
        label=label,
        method=method,
        retain=table.truth("retain", True),
        teachers=teachers or 0,
        tune=tune,
        budget=budget,
        unlabelled=unlabelled,
    )


def _own(name: str) -> type[Any]:
    """A method of the user's own, "module:Class"; raises MethodError where there is none."""
    try:
        cls = imported(name)
    except ImportError as error:
        raise MethodError(
            f"expected an importable method, got {name!r} ({error}); install its package, run from its "
            "folder, or name what is in it"
        ) from error
    if not (inspect.isclass(cls) and isinstance(getattr(cls, "name", None), str)):
        raise MethodError(f"expected the class of a method, got {cls!r:.80} by {name!r}; name a method")
    return cls


def _as_published(cls: type[Any], variant: object, settings: Mapping[str, Any]) -> Method:
    """The method by its paper's recipe, with these settings in place of the paper's; raises MethodError.

    `variant` is true, or the name of what the recipe is told to be for, such as "text".
    """
    recipe: Callable[..., Method] | None = getattr(cls, "paper", None)
    if recipe is None:
        raise MethodError(f"expected a method with a recipe of its paper, got {cls.name}, which has none; leave it out")
    flags = [name for name, kind in get_type_hints(recipe).items() if kind is bool]
    if variant is not True and variant not in flags:
        raise MethodError(
            f"expected true{''.join(f' or {flag!r}' for flag in flags)}, got {variant!r:.60}; correct or remove it"
        )
    typed = configured(cls, settings)
    written = {name: getattr(typed, name) for name in settings}
    return recipe(**written) if variant is True else recipe(**{str(variant): True}, **written)


def _budget(table: Table) -> float | None:
    value = table.values.get("budget")
    if value is None:
        return None
    share = value
    if isinstance(value, str):
        digits = value.removesuffix("%")
        number = digits.replace(".", "", 1)
        share = float(digits) / (100 if digits != value else 1) if number.isascii() and number.isdecimal() else None
    if type(share) not in {int, float} or not 0 < float(share or 0) <= 1:
        raise table.error("budget", 'a share of a retraining such as "15%" or 0.15', value)
    return float(share or 0)
