"""A plan of many runs: data, a recipe, forget sets, methods with settings, and training seeds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from obliviate import membership
from obliviate.audit.inputs import AuditSettings
from obliviate.errors import PlanError
from obliviate.plans.document import LARGEST, Table, listed, of_values, read
from obliviate.plans.trials import Trial, trials_of
from obliviate.training.recipe import Recipe
from obliviate.workflow import check_margins
from obliviate.workspace import evidence
from obliviate.workspace.origin import TRUSTED

MOST_DRAWS: Final = 10_000
MOST_STEPS: Final = 100
RANDOM: Final = "random:"
OF_A_FOLDER: Final = ("coins", "noise")
WRONG: Final = "wrong_labels"
"""The rule that chooses the samples whose labels the plan has made wrong."""
CHOSEN_BY_REFERENCES: Final = ("memorised:", "mislabelled:")


@dataclass(frozen=True, kw_only=True)
class ForgetSets:
    """A rule that chooses what to forget (docs/forget.md), and how many sets it draws if it is a random one.

    With `classes`, a random share is drawn of each of these classes, and of no other. With `steps` above 1 a set is
    forgotten by so many requests of one size, one after the other; each step is judged as a set of its own, of all that
    was forgotten so far.
    """

    rule: str
    draws: int = 1
    classes: tuple[int, ...] = ()
    steps: int = 1

    def title(self, step: int = 0) -> str:
        """What tables call the sets after one of the steps.

        >>> ForgetSets(rule="random:0.4", classes=(5, 6)).title(), ForgetSets(rule="random:0.1", steps=5).title(1)
        ('random:0.4 of classes 5, 6', 'random:0.1, 2 of 5 requests')
        """
        of = f" of classes {', '.join(map(str, self.classes))}" if self.classes else ""
        return f"{self.rule}{of}" + (f", {step + 1} of {self.steps} requests" if self.steps > 1 else "")


@dataclass(frozen=True, kw_only=True)
class WrongLabels:
    """A share of the training labels of each of the classes, of all if none is named, that is made wrong at random."""

    share: float
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Methods × settings × training seeds × forget sets, on one set of data and with one recipe.

    `recipe` holds what `recipe_for` takes; "class_weights" may be "balanced". `data_seed` draws parts of the data and
    forget sets, so that these are the same under every one of the `seeds`, which are those of trainings and methods.
    There are so many `references`, for all runs together, and `retrained` models for each forget set and seed.

    >>> plan = Plan.of({
    ...     "seeds": [0, 1],
    ...     "data": {"source": "digits"},
    ...     "forget": [{"rule": "random:0.1", "draws": 2}],
    ...     "method": [{"name": "fine_tune", "epochs": 1}, {"name": "fine_tune", "epochs": 2}],
    ... })
    >>> [trial.label for trial in plan.trials], plan.runs
    (['fine_tune (epochs=1)', 'fine_tune (epochs=2)'], 8)
    """

    source: str
    seeds: tuple[int, ...]
    forget: tuple[ForgetSets, ...]
    trials: tuple[Trial, ...]
    train_size: int | None = None
    holdout_size: int | None = None
    wrong_labels: WrongLabels | None = None
    data_seed: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    references: int = 16
    retrained: int = 3
    audit: AuditSettings = field(default_factory=AuditSettings)
    table: Table = field(default_factory=lambda: Table({}), repr=False, compare=False)

    @property
    def runs(self) -> int:
        """How many times a method is run: every method with every forget set under every seed."""
        return len(self.trials) * len(self.seeds) * self.sets

    @property
    def sets(self) -> int:
        """How many forget sets there are, every step of a sequence of requests counted."""
        return sum(rule.draws * rule.steps for rule in self.forget)

    @classmethod
    def read(cls, path: Path | str, *, trust: bool = False) -> Plan:
        """Read a plan from a file of TOML (docs/plans.md).

        Paths in it are taken from the folder of the file. A model or a method of your own that it names,
        "module:name", is taken only with `trust`, or where the environment variable OBLIVIATE_TRUST names it.
        Raises PlanError, with the line and the field, before any work.
        """
        path = Path(path)
        table = read(path)
        if not trust:
            _check_trusted(table)
        return cls._of(table, path.parent)

    @classmethod
    def of(cls, values: Mapping[str, Any], *, folder: Path | str = "") -> Plan:
        """Make a plan of values as the file of one holds them; raises PlanError.

        Paths in it are taken from the `folder`. Code that it names is trusted.
        """
        return cls._of(of_values(values), Path(folder))

    @classmethod
    def _of(cls, table: Table, folder: Path) -> Plan:
        table.only("seeds", "references", "retrained", "data", "recipe", "audit", "forget", "method")
        seeds = listed(table.values.get("seeds", [0]), "whole numbers", table, "seeds", _is_seed)
        data = table.table("data", needed=True)
        data.only("source", "train_size", "holdout_size", "seed", WRONG, "wrong_classes")
        counts = {"references": table.integer("references", 16), "retrained": table.integer("retrained", 3)}
        with table.checked("references" if "references" in table.values else "retrained"):
            evidence.check_counts(**counts)
        plan = cls(
            source=_source(data, folder),
            seeds=tuple(seeds),
            train_size=_size(data, "train_size"),
            holdout_size=_size(data, "holdout_size"),
            wrong_labels=_wrong_labels(data),
            data_seed=data.integer("seed", 0),
            recipe=_recipe(table.table("recipe")),
            forget=tuple(map(_forget, table.tables("forget"))),
            trials=trials_of(table.tables("method")),
            audit=_audit(table.table("audit")),
            table=table,
            **counts,
        )
        rules = [sets.title() for sets in plan.forget]
        if len(set(rules)) < len(rules):
            raise PlanError(
                f"expected every rule for forget sets once, got {rules} in {table.place('forget')}; use draws for more"
            )
        for sets, entry in zip(plan.forget, table.tables("forget"), strict=True):
            if sets.rule == WRONG and plan.wrong_labels is None:
                raise entry.error("rule", "another rule where labels are as they come", WRONG, f"set data.{WRONG}")
            if sets.rule.startswith(CHOSEN_BY_REFERENCES):
                with entry.checked("rule"):
                    evidence.check_chosen(plan.references, retrained=plan.retrained)
        return plan


def _check_trusted(table: Table) -> None:
    """Refuse code of the user's own that is not trusted by name; raises PlanError."""
    trusted = os.environ.get(TRUSTED, "").split(",")
    named = [("model", table.table("recipe"))]
    if "method" in table.values:
        named += [("name", method) for method in table.tables("method")]
    for field_name, place in named:
        name = str(place.values.get(field_name))
        if ":" in name and name not in trusted:
            what = "model" if field_name == "model" else "method"
            raise PlanError(
                f"expected a {what} of this package, got {name!r:.200}, which {place.place(field_name)} "
                f"names: running the plan runs that code. If you know it, say --trust, or set {TRUSTED} to its name"
            )


def _is_seed(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _source(data: Table, folder: Path) -> str:
    from obliviate.data.sources import BUILT_IN

    source = data.text("source", None)
    if source is None:
        raise data.error("source", "a shipped set or a path", None, "name the data")
    if source in BUILT_IN:
        return source
    if "\0" in source:
        raise data.error("source", "a shipped set or a path", source)
    return str((folder / source).absolute())


def _size(data: Table, name: str) -> int | None:
    size = data.integer(name, None)
    if size is not None and size < 1:
        raise data.error(name, "a whole number of 1 or more", size)
    return size


def _wrong_labels(data: Table) -> WrongLabels | None:
    share = data.number(WRONG, None)
    if share is None:
        if "wrong_classes" in data.values:
            raise data.error("wrong_classes", f"left out without {WRONG}", data.values["wrong_classes"], f"set {WRONG}")
        return None
    if not 0 < share < 1:
        raise data.error(WRONG, "a share of the labels in (0, 1)", share)
    return WrongLabels(share=share, classes=_classes(data, "wrong_classes"))


def _classes(table: Table, name: str) -> tuple[int, ...]:
    """Numbers of classes, in order; none where the field is left out."""
    if name not in table.values:
        return ()
    return tuple(sorted(listed(table.values[name], "numbers of classes", table, name, _is_seed)))


def _recipe(table: Table) -> dict[str, Any]:
    keys = ("options", *(field.name for field in fields(Recipe) if field.name != "model_options"))
    table.only(*keys)
    kinds = {"model": "text", "options": "table", "class_weights": "weights"}
    values: dict[str, Any] = {}
    for name in table.values:
        default = getattr(Recipe, name, None)
        kind = kinds.get(name) or type(default).__name__
        match kind:
            case "text" | "str":
                values[name] = table.text(name, None)
            case "int":
                values[name] = table.integer(name, None)
            case "float":
                values[name] = table.number(name, None)
            case "table":
                values[name] = dict(table.table(name).values)
            case _:
                weights = table.values[name]
                if weights != "balanced":
                    numbers = isinstance(weights, list) and all(type(weight) in {int, float} for weight in weights)
                    if not numbers or not weights:
                        raise table.error(name, '"balanced" or a list of numbers, one a class', weights)
                    with table.checked(name):
                        weights = Recipe(class_weights=tuple(weights)).class_weights
                values[name] = weights
        if name in {"optimizer", "schedule", "augmentation", "precision"} or kind in {"int", "float"}:
            with table.checked(name):
                Recipe(**{name: values[name]})
    return values


def _forget(table: Table) -> ForgetSets:
    table.only("rule", "draws", "classes", "steps")
    rule, draws, steps = table.text("rule", None), table.integer("draws", 1), table.integer("steps", 1)
    if not rule:
        raise table.error("rule", "a rule such as random:0.1", rule, "see docs/forget.md")
    if not 1 <= draws <= MOST_DRAWS:
        raise table.error("draws", f"from 1 to {MOST_DRAWS:,}", draws)
    if not 1 <= steps <= MOST_STEPS:
        raise table.error("steps", f"from 1 to {MOST_STEPS}", steps)
    if draws > 1 and not rule.startswith(RANDOM):
        raise table.error("draws", "1 for a rule that chooses the same samples each time", draws, "leave it out")
    if "classes" in table.values and not re.fullmatch(rf"{RANDOM}0?\.\d+", rule):
        raise table.error("rule", "random:SHARE with a share in (0, 1) where classes are named", rule)
    if rule in OF_A_FOLDER:
        raise table.error("rule", "a rule that needs no folder", rule, "coins and noise are planned by `train`")
    return ForgetSets(rule=rule, draws=draws, classes=_classes(table, "classes"), steps=steps)


def _audit(table: Table) -> AuditSettings:
    table.only("margin", "utility_margin", "attacks", "cheap_attacks")
    margin, utility = table.number("margin", None), table.number("utility_margin", 3.0)
    names = table.values.get("attacks", [])
    if names:
        names = listed(names, "names of attacks", table, "attacks", lambda name: isinstance(name, str))
    with table.checked("attacks"):
        attacks = (*membership.usual(), *(membership.find(name)() for name in names))
        settings = AuditSettings(
            attacks=attacks,
            margin=None if margin is None else margin / 100,
            utility_margin=utility / 100,
            cheap_attacks=table.truth("cheap_attacks", False),
        )
    with table.checked("margin" if margin is not None else "utility_margin"):
        check_margins(settings)
    return settings
