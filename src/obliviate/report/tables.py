"""The researcher's tables: every figure of the models beside that of models that never saw the forget set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from obliviate.report.wording import MISSING, extent, number, span
from obliviate.results.findings import Findings
from obliviate.results.model import Distance, Distances, ModelResult, Percentiles, UtilityFigure
from obliviate.results.values import Interval, Part

Cell: TypeAlias = tuple[str, str]
"""A figure and what stands small below it."""

NONE: Cell = (MISSING, "")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Heads of the columns, a row of cells for every model, and the range of the retrained models, if any."""

    heads: list[str]
    rows: list[tuple[ModelResult, list[Cell]]]
    floor: list[str]


def differences(findings: Findings) -> Table:
    """The distance to the baseline, with the interval that the verdict rests on, the margin and the resolution."""
    names = _keys(model.differences for model in findings.models)
    rows = [
        (
            model,
            [_interval(model.differences.get(name), signed=True) for name in names]
            + [_interval(model.test_accuracy_difference, signed=True)]
            + [(number(model.margin), ""), (number(model.resolution), "")],
        )
        for model in findings.models
    ]
    heads = [findings.titles[name] for name in names]
    return Table(heads=[*heads, "test accuracy", "margin", "resolution"], rows=rows, floor=[])


def utility(models: Sequence[ModelResult]) -> Table:
    """What the models are good for, each figure with what it is compared with; of the recalls of classes the lowest."""
    heads: dict[tuple[str, str], str] = {}
    for model in models:
        for figure in model.utility:
            if not figure.is_recall:
                percent = ", %" if figure.unit == "percent" else ""
                heads[figure.figure, figure.part] = f"{figure.figure}, {_samples(figure.part)}{percent}"

    def written(figure: UtilityFigure) -> Cell:
        digits = 1 if figure.unit == "percent" else 2
        lost = " ✕" if figure.lost else ""
        return f"{number(figure.value, digits)}{lost}", f"of {number(figure.expected, digits)}"

    def cell(model: ModelResult, key: tuple[str, str]) -> Cell:
        return next((written(figure) for figure in model.utility if (figure.figure, figure.part) == key), NONE)

    def lowest(model: ModelResult) -> Cell:
        recalls = [figure for figure in model.utility if figure.is_recall]
        if not recalls:
            return NONE
        least = min(recalls, key=lambda figure: (not figure.lost, figure.difference.value))
        value, expected = written(least)
        label = least.figure.removeprefix("recall of ").removeprefix("class ")
        return value, f"{expected}: {label}, {_samples(least.part)}"

    classes = any(figure.is_recall for model in models for figure in model.utility)
    rows = [(model, [cell(model, key) for key in heads] + ([lowest(model)] if classes else [])) for model in models]
    return Table(heads=[*heads.values(), *(["recall that fell most, %"] if classes else [])], rows=rows, floor=[])


def _samples(part: str) -> str:
    return "retained" if part == "retain" else "unseen"


def attacks(findings: Findings) -> Table:
    """FT-AUC of every attack, in percent."""
    models = findings.models
    names = _keys(model.attacks for model in models)

    def ft(model: ModelResult, name: str) -> Interval | None:
        return model.attacks[name].ft if name in model.attacks else None

    return _with_floor(models, names, [findings.titles[name] for name in names], ft)


def rates(findings: Findings) -> Table:
    """True-positive rates at fixed false-positive rates, in percent, or how many unseen samples would tell."""
    models, first = findings.models, findings.models[0]
    places = [(name, place) for name, outcome in first.attacks.items() for place in range(len(outcome.rates))]

    def cell(model: ModelResult, name: str, place: int) -> Cell:
        rate = model.attacks[name].rates[place]
        if rate.tpr is None:
            return "not resolvable", f"needs {rate.unseen_needed:,} unseen"
        return number(rate.tpr.value), span(rate.tpr, "–")

    rows = [(model, [cell(model, name, place) for name, place in places]) for model in models]
    rates = [[model.attacks[name].rates[place].tpr for model in _retrained(models)] for name, place in places]
    floor = [extent([None if rate is None else rate.value for rate in column]) for column in rates]
    heads = [
        f"{findings.titles[name]}, TPR at {first.attacks[name].rates[place].fpr:g} % FPR" for name, place in places
    ]
    return Table(heads=heads, rows=rows, floor=floor if _retrained(models) else [])


def shares(models: Sequence[ModelResult]) -> Table:
    """How many forget samples are among the 1 % and 5 % of unseen samples that look most like members, in percent."""
    levels = _keys(model.exposure.shares for model in models)
    heads = [f"in the top {100 * float(level):g} %, expected {100 * float(level):g}" for level in levels]
    return _with_floor(models, levels, heads, lambda model, level: model.exposure.shares.get(level))


PARTS: tuple[Part, ...] = ("forget", "retain", "unseen")
DISTANCES = {"js": "JS, bits", "softmax": "L2 of softmax", "agreement": "agreement, %"}


def distances(models: Sequence[ModelResult]) -> Table | None:
    """Distances of outputs to those of the retrained models, for every part; None without them."""
    measured = [(model, model.distances) for model in models if model.distances is not None]
    if not measured:
        return None
    columns: list[tuple[Part, str]] = [(part, kind) for part in PARTS for kind in DISTANCES]

    def figure(distances: Distances, part: Part, kind: str) -> float:
        distance: Distance = getattr(distances, part)
        return 100 * distance.agreement if kind == "agreement" else getattr(distance, kind)

    def digits(kind: str) -> int:
        return 1 if kind == "agreement" else 3

    rows = [
        (model, [(number(figure(distances, part, kind), digits(kind)), "") for part, kind in columns])
        for model, distances in measured
    ]
    peers = [distances for model, distances in measured if model.role == "retrained"]
    floor = [extent([figure(distances, part, kind) for distances in peers], digits(kind)) for part, kind in columns]
    return Table(heads=[f"{part}: {DISTANCES[kind]}" for part, kind in columns], rows=rows, floor=floor)


def klom(models: Sequence[ModelResult]) -> Table | None:
    """KLoM over the forget samples, each percentile above its floor; None without shadows."""
    measured = [(model, model.klom) for model in models if model.klom is not None]
    if not measured:
        return None
    names = list(Percentiles.model_fields)
    rows = [
        (
            model,
            [
                (number(getattr(klom.unlearned, name), 2), f"floor {number(getattr(klom.floor, name), 2)}")
                for name in names
            ],
        )
        for model, klom in measured
    ]
    heads = [f"{name[1:]}th percentile" if name[1:].isdigit() else name for name in names]
    return Table(heads=heads, rows=rows, floor=[])


def competition(models: Sequence[ModelResult]) -> Table | None:
    """The score of the NeurIPS 2023 competition against its floor; None where no model has shadows enough."""
    entered = [(model, model.competition) for model in models if model.competition is not None]
    rows = [
        (model, [(number(scored.quality, 3), f"floor {number(scored.floor, 3)}"), (number(scored.score, 3), "")])
        for model, scored in entered
        if scored.quality is not None
    ]
    return Table(heads=["forgetting quality F", "final score"], rows=rows, floor=[]) if rows else None


def class_membership(models: Sequence[ModelResult]) -> Table | None:
    """How much models still know of classes that were forgotten as a whole; None where none was."""
    if all(model.class_membership is None for model in models):
        return None
    return _with_floor(models, ["share"], ["answers as the original"], lambda model, _: model.class_membership)


def cheap_attacks(models: Sequence[ModelResult]) -> Table | None:
    """Balanced accuracy of the cheap attacks in percent; None where they were not asked for."""
    names = _keys(model.cheap_attacks for model in models)
    if not names:
        return None
    heads = [name.replace("_", " ") for name in names]
    return _with_floor(models, names, heads, lambda model, name: model.cheap_attacks.get(name))


def _retrained(models: Sequence[ModelResult]) -> list[ModelResult]:
    return [model for model in models if model.role == "retrained"]


def _keys(mappings: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _interval(interval: Interval | None, *, signed: bool = False) -> Cell:
    if interval is None:
        return NONE
    return number(interval.value, signed=signed), span(interval, " to " if signed else "–")


def _with_floor(
    models: Sequence[ModelResult],
    keys: Sequence[str],
    heads: list[str],
    figure: Callable[[ModelResult, str], Interval | None],
) -> Table:
    """A column a key, and the range of the retrained models in every column."""
    rows = [(model, [_interval(figure(model, key)) for key in keys]) for model in models]
    peers = _retrained(models)
    figures = [[figure(model, key) for model in peers] for key in keys]
    floor = [extent([None if interval is None else interval.value for interval in column]) for column in figures]
    return Table(heads=heads, rows=rows, floor=floor if peers else [])
