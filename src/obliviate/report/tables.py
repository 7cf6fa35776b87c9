"""The researcher's tables: every figure of the models beside that of models that never saw the forget set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from obliviate.report.wording import MISSING, extent, number, span

Model: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = tuple[str, str]
"""A figure and what stands small below it."""

NONE: Cell = (MISSING, "")
ATTACKS = {"rmia": "RMIA", "lira": "LiRA", "rmia_offline": "RMIA offline", "lira_offline": "LiRA offline"} | {
    "ulira": "U-LiRA"
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Heads of the columns, a row of cells for every model, and the range of the retrained models, if any."""

    heads: list[str]
    rows: list[tuple[Model, list[Cell]]]
    floor: list[str]


def differences(models: Sequence[Model]) -> Table:
    """The distance to the yardstick, with the interval that the verdict rests on, the margin and the resolution."""
    keys = _keys(one["difference"] for one in models)
    rows = [
        (
            one,
            [_interval(one["difference"].get(key), signed=True) for key in keys]
            + [(number(one["margin"]), ""), (number(one["resolution"]), "")],
        )
        for one in models
    ]
    heads = [attack_name(key.removeprefix("ft_")) for key in keys]
    return Table(heads=[*heads, "margin", "resolution"], rows=rows, floor=[])


def utility(models: Sequence[Model]) -> Table:
    """What the models are good for, each figure with what it is compared with; of the recalls of classes the lowest."""
    heads: dict[tuple[str, str], str] = {}
    for model in models:
        for one in model["utility"]:
            if "recall" not in one["figure"]:
                percent = ", %" if one["unit"] == "percent" else ""
                heads[one["figure"], one["part"]] = f"{one['figure']}, {_samples(one['part'])}{percent}"

    def cell(model: Model, key: tuple[str, str]) -> Cell:
        one = next((one for one in model["utility"] if (one["figure"], one["part"]) == key), None)
        if one is None:
            return NONE
        digits = 1 if one["unit"] == "percent" else 2
        return number(one["value"], digits), f"expected {number(one['expected'], digits)}{' ✕' if one['lost'] else ''}"

    def lowest(model: Model) -> Cell:
        recalls = [one for one in model["utility"] if "recall" in one["figure"]]
        if not recalls:
            return NONE
        least = min(recalls, key=lambda one: (not one["lost"], one["difference"]["value"]))
        where = f"{least['figure'].removeprefix('recall of ')}, {_samples(least['part'])}"
        lost = " ✕" if least["lost"] else ""
        return number(least["value"]), f"{where}; expected {number(least['expected'])}{lost}"

    classes = any("recall" in one["figure"] for model in models for one in model["utility"])
    rows = [(one, [cell(one, key) for key in heads] + ([lowest(one)] if classes else [])) for one in models]
    return Table(heads=[*heads.values(), *(["recall that fell most, %"] if classes else [])], rows=rows, floor=[])


def _samples(part: str) -> str:
    return "retained" if part == "retain" else "unseen"


def attacks(models: Sequence[Model]) -> Table:
    """FT-AUC of every attack, in percent."""
    names = _keys(one["attacks"] for one in models)
    figure = _getter("attacks", "ft")
    rows = [(one, [_interval(figure(one, name), "auc") for name in names]) for one in models]
    return Table(heads=[attack_name(name) for name in names], rows=rows, floor=_floor(models, names, figure, "auc"))


def rates(models: Sequence[Model]) -> Table:
    """True-positive rates at fixed false-positive rates, in percent, or how many unseen samples would tell."""
    places = [(name, place) for name, found in models[0]["rates"].items() for place in range(len(found))]

    def cell(one: Mapping[str, Any]) -> Cell:
        if one["tpr"] is None:
            return "not resolvable", f"needs {one['unseen_needed']:,} unseen"
        return number(one["tpr"]["value"]), span(one["tpr"], "–")

    rows = [(one, [cell(one["rates"][name][place]) for name, place in places]) for one in models]
    floor = [
        extent([(one["rates"][name][place]["tpr"] or {}).get("value") for one in _retrained(models)])
        for name, place in places
    ]
    heads = [f"{attack_name(name)}, TPR at {models[0]['rates'][name][place]['fpr']:g} % FPR" for name, place in places]
    return Table(heads=heads, rows=rows, floor=floor if _retrained(models) else [])


def shares(models: Sequence[Model]) -> Table:
    """How many forget samples are among the 1 % and 5 % of unseen samples that look most like members, in percent."""
    levels = _keys(one["worst"]["shares"] for one in models)

    def figure(one: Model, level: str) -> Any:
        return one["worst"]["shares"].get(level)

    rows = [(one, [_interval(figure(one, level)) for level in levels]) for one in models]
    heads = [f"in the top {100 * float(level):g} %, expected {100 * float(level):g}" for level in levels]
    return Table(heads=heads, rows=rows, floor=_floor(models, levels, figure, "value"))


def distances(models: Sequence[Model]) -> Table | None:
    """Distances of outputs to those of the retrained models, for every part; None without them."""
    there = [one for one in models if one["distances"]]
    if not there:
        return None
    columns = [(part, kind) for part in there[0]["distances"] for kind in there[0]["distances"][part]]

    def text(value: float, kind: str) -> str:
        return number(100 * value) if kind == "agreement" else number(value, 3)

    rows = [(one, [(text(one["distances"][part][kind], kind), "") for part, kind in columns]) for one in there]
    floor = []
    for part, kind in columns:
        values = [one["distances"][part][kind] for one in _retrained(there)]
        percent = kind == "agreement"
        floor.append(extent([100 * one if percent else one for one in values], 1 if percent else 3))
    words = {"js": "JS, bits", "softmax": "L2 of softmax", "agreement": "agreement, %"}
    return Table(heads=[f"{part}: {words.get(kind, kind)}" for part, kind in columns], rows=rows, floor=floor)


def klom(models: Sequence[Model]) -> Table | None:
    """KLoM over the forget samples, each percentile above its floor; None without shadows."""
    there = [one for one in models if one["klom"]]
    if not there:
        return None
    keys = list(there[0]["klom"]["unlearned"])
    rows = [
        (
            one,
            [
                (number(one["klom"]["unlearned"][key], 2), f"floor {number(one['klom']['floor'][key], 2)}")
                for key in keys
            ],
        )
        for one in there
    ]
    heads = [f"{key[1:]}th percentile" if key[1:].isdigit() else key for key in keys]
    return Table(heads=heads, rows=rows, floor=[])


def competition(models: Sequence[Model]) -> Table | None:
    """The score of the NeurIPS 2023 competition against its floor; None where no model has shadows enough."""
    found = [(one, one.get("competition") or {}) for one in models]
    there = [(one, scored) for one, scored in found if scored.get("quality") is not None]
    if not there:
        return None
    rows = [
        (
            one,
            [(number(scored["quality"], 3), f"floor {number(scored['floor'], 3)}"), (number(scored["score"], 3), "")],
        )
        for one, scored in there
    ]
    return Table(heads=["forgetting quality F", "final score"], rows=rows, floor=[])


def too_few(model: Model) -> bool:
    """Whether a model has shadows, but too few for the score of the NeurIPS 2023 competition."""
    scored = model.get("competition")
    return bool(scored) and scored["quality"] is None


def screens(models: Sequence[Model]) -> Table | None:
    """Balanced accuracy of the cheap attacks in percent; None where they were not asked for."""
    names = _keys(one["screens"] for one in models)
    if not names:
        return None

    def figure(one: Model, name: str) -> Any:
        return one["screens"].get(name)

    rows = [(one, [_interval(figure(one, name)) for name in names]) for one in models]
    heads = [name.replace("_", " ") for name in names]
    return Table(heads=heads, rows=rows, floor=_floor(models, names, figure, "value"))


def attack_name(name: str) -> str:
    """An attack as its paper writes it.

    >>> attack_name("ulira"), attack_name("test_accuracy")
    ('U-LiRA', 'test accuracy')
    """
    return ATTACKS.get(name, name.replace("_", " "))


def _retrained(models: Sequence[Model]) -> list[Model]:
    return [one for one in models if one["role"] == "retrained"]


def _keys(found: Any) -> list[str]:
    return list(dict.fromkeys(key for one in found for key in one))


def _getter(first: str, last: str) -> Callable[[Model, str], Any]:
    return lambda one, name: one[first].get(name, {}).get(last)


def _interval(found: Any, value: str = "value", *, signed: bool = False) -> Cell:
    if not found:
        return NONE
    return number(found[value], signed=signed), span(found, " to " if signed else "–")


def _floor(models: Sequence[Model], keys: Sequence[str], figure: Callable[[Model, str], Any], value: str) -> list[str]:
    """The range of the retrained models in every column."""
    peers = _retrained(models)
    return [extent([(figure(one, key) or {}).get(value) for one in peers]) for key in keys] if peers else []
