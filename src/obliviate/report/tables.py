"""The researcher's tables: every figure of the models beside that of models that never saw the forget set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    keys = _keys(model["difference"] for model in models)
    rows = [
        (
            model,
            [_interval(model["difference"].get(key), signed=True) for key in keys]
            + [(number(model["margin"]), ""), (number(model["resolution"]), "")],
        )
        for model in models
    ]
    heads = [attack_name(key.removeprefix("ft_")) for key in keys]
    return Table(heads=[*heads, "margin", "resolution"], rows=rows, floor=[])


def utility(models: Sequence[Model]) -> Table:
    """What the models are good for, each figure with what it is compared with; of the recalls of classes the lowest."""
    heads: dict[tuple[str, str], str] = {}
    for model in models:
        for figure in model["utility"]:
            if not is_recall(figure):
                percent = ", %" if figure["unit"] == "percent" else ""
                heads[figure["figure"], figure["part"]] = f"{figure['figure']}, {_samples(figure['part'])}{percent}"

    def written(figure: Mapping[str, Any]) -> Cell:
        digits = 1 if figure["unit"] == "percent" else 2
        lost = " ✕" if figure["lost"] else ""
        return f"{number(figure['value'], digits)}{lost}", f"of {number(figure['expected'], digits)}"

    def cell(model: Model, key: tuple[str, str]) -> Cell:
        return next((written(figure) for figure in model["utility"] if (figure["figure"], figure["part"]) == key), NONE)

    def lowest(model: Model) -> Cell:
        recalls = [figure for figure in model["utility"] if is_recall(figure)]
        if not recalls:
            return NONE
        least = min(recalls, key=lambda figure: (not figure["lost"], figure["difference"]["value"]))
        value, expected = written(least)
        label = least["figure"].removeprefix("recall of ").removeprefix("class ")
        return value, f"{expected}: {label}, {_samples(least['part'])}"

    classes = any(is_recall(figure) for model in models for figure in model["utility"])
    rows = [(model, [cell(model, key) for key in heads] + ([lowest(model)] if classes else [])) for model in models]
    return Table(heads=[*heads.values(), *(["recall that fell most, %"] if classes else [])], rows=rows, floor=[])


def is_recall(figure: Mapping[str, Any]) -> bool:
    """Whether a figure of utility is the recall of a class, or of several.

    >>> is_recall({"figure": "recall of class shirt"}), is_recall({"figure": "accuracy"})
    (True, False)
    """
    return figure["figure"].startswith("recall of ")


def _samples(part: str) -> str:
    return "retained" if part == "retain" else "unseen"


def attacks(models: Sequence[Model]) -> Table:
    """FT-AUC of every attack, in percent."""
    names = _keys(model["attacks"] for model in models)
    figure = _getter("attacks", "ft")
    rows = [(model, [_interval(figure(model, name), "auc") for name in names]) for model in models]
    return Table(heads=[attack_name(name) for name in names], rows=rows, floor=_floor(models, names, figure, "auc"))


def rates(models: Sequence[Model]) -> Table:
    """True-positive rates at fixed false-positive rates, in percent, or how many unseen samples would tell."""
    places = [(name, place) for name, rates in models[0]["rates"].items() for place in range(len(rates))]

    def cell(rate: Mapping[str, Any]) -> Cell:
        if rate["tpr"] is None:
            return "not resolvable", f"needs {rate['unseen_needed']:,} unseen"
        return number(rate["tpr"]["value"]), span(rate["tpr"], "–")

    rows = [(model, [cell(model["rates"][name][place]) for name, place in places]) for model in models]
    floor = [
        extent([(model["rates"][name][place]["tpr"] or {}).get("value") for model in _retrained(models)])
        for name, place in places
    ]
    heads = [f"{attack_name(name)}, TPR at {models[0]['rates'][name][place]['fpr']:g} % FPR" for name, place in places]
    return Table(heads=heads, rows=rows, floor=floor if _retrained(models) else [])


def shares(models: Sequence[Model]) -> Table:
    """How many forget samples are among the 1 % and 5 % of unseen samples that look most like members, in percent."""
    levels = _keys(model["worst"]["shares"] for model in models)

    def figure(model: Model, level: str) -> Any:
        return model["worst"]["shares"].get(level)

    rows = [(model, [_interval(figure(model, level)) for level in levels]) for model in models]
    heads = [f"in the top {100 * float(level):g} %, expected {100 * float(level):g}" for level in levels]
    return Table(heads=heads, rows=rows, floor=_floor(models, levels, figure, "value"))


def distances(models: Sequence[Model]) -> Table | None:
    """Distances of outputs to those of the retrained models, for every part; None without them."""
    models = [model for model in models if model["distances"]]
    if not models:
        return None
    columns = [(part, kind) for part in models[0]["distances"] for kind in models[0]["distances"][part]]

    def text(value: float, kind: str) -> str:
        return number(100 * value) if kind == "agreement" else number(value, 3)

    rows = [(model, [(text(model["distances"][part][kind], kind), "") for part, kind in columns]) for model in models]
    floor = []
    for part, kind in columns:
        values = [model["distances"][part][kind] for model in _retrained(models)]
        percent = kind == "agreement"
        floor.append(extent([100 * value if percent else value for value in values], 1 if percent else 3))
    words = {"js": "JS, bits", "softmax": "L2 of softmax", "agreement": "agreement, %"}
    return Table(heads=[f"{part}: {words.get(kind, kind)}" for part, kind in columns], rows=rows, floor=floor)


def klom(models: Sequence[Model]) -> Table | None:
    """KLoM over the forget samples, each percentile above its floor; None without shadows."""
    models = [model for model in models if model["klom"]]
    if not models:
        return None
    keys = list(models[0]["klom"]["unlearned"])
    rows = [
        (
            model,
            [
                (number(model["klom"]["unlearned"][key], 2), f"floor {number(model['klom']['floor'][key], 2)}")
                for key in keys
            ],
        )
        for model in models
    ]
    heads = [f"{key[1:]}th percentile" if key[1:].isdigit() else key for key in keys]
    return Table(heads=heads, rows=rows, floor=[])


def competition(models: Sequence[Model]) -> Table | None:
    """The score of the NeurIPS 2023 competition against its floor; None where no model has shadows enough."""
    entered = [(model, model.get("competition") or {}) for model in models]
    scores = [(model, scored) for model, scored in entered if scored.get("quality") is not None]
    if not scores:
        return None
    rows = [
        (
            model,
            [(number(scored["quality"], 3), f"floor {number(scored['floor'], 3)}"), (number(scored["score"], 3), "")],
        )
        for model, scored in scores
    ]
    return Table(heads=["forgetting quality F", "final score"], rows=rows, floor=[])


def too_few(model: Model) -> bool:
    """Whether a model has shadows, but too few for the score of the NeurIPS 2023 competition."""
    scored = model.get("competition")
    return bool(scored) and scored["quality"] is None


def screens(models: Sequence[Model]) -> Table | None:
    """Balanced accuracy of the cheap attacks in percent; None where they were not asked for."""
    names = _keys(model["screens"] for model in models)
    if not names:
        return None

    def figure(model: Model, name: str) -> Any:
        return model["screens"].get(name)

    rows = [(model, [_interval(figure(model, name)) for name in names]) for model in models]
    heads = [name.replace("_", " ") for name in names]
    return Table(heads=heads, rows=rows, floor=_floor(models, names, figure, "value"))


def attack_name(name: str) -> str:
    """An attack as its paper writes it.

    >>> attack_name("ulira"), attack_name("test_accuracy")
    ('U-LiRA', 'test accuracy')
    """
    return ATTACKS.get(name, name.replace("_", " "))


def _retrained(models: Sequence[Model]) -> list[Model]:
    return [model for model in models if model["role"] == "retrained"]


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _getter(first: str, last: str) -> Callable[[Model, str], Any]:
    return lambda model, name: model[first].get(name, {}).get(last)


def _interval(interval: Any, value: str = "value", *, signed: bool = False) -> Cell:
    if not interval:
        return NONE
    return number(interval[value], signed=signed), span(interval, " to " if signed else "–")


def _floor(models: Sequence[Model], keys: Sequence[str], figure: Callable[[Model, str], Any], value: str) -> list[str]:
    """The range of the retrained models in every column."""
    peers = _retrained(models)
    return [extent([(figure(model, key) or {}).get(value) for model in peers]) for key in keys] if peers else []
