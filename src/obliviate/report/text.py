"""The result table as rows of text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from obliviate.audit.result import AuditResult
from obliviate.report.tables import is_recall
from obliviate.report.wording import extent

FIRST: Final = ("model", "forget %", "retain %", "test %")
LAST: Final = ("FT-AUC ± 95 %", "gap", "seconds", "cost", "verdict")


def columns(results: Mapping[str, Any]) -> tuple[str, ...]:
    """The heads of the table: accuracies, other utility on unseen samples, forgetting, cost and verdict."""
    return (*FIRST, *_beside(results), *LAST)


def rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row of `columns` per model, of a result dictionary (docs/results-schema.md)."""
    names = [name for name, _ in _beside(results).values()]
    return [_row(model, names) for model in results["models"]]


def _beside(results: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The figures of utility beside accuracy, on unseen samples, by the heads of their columns: name and unit."""
    heads = {}
    for model in results["models"]:
        for figure in model["utility"]:
            if figure["part"] == "unseen" and figure["figure"] != "accuracy" and not is_recall(figure):
                percent = " %" if figure["unit"] == "percent" else ""
                head = figure["figure"].replace("balanced accuracy", "balanced")
                heads[head + percent] = figure["figure"], figure["unit"]
    return heads


def table(result: AuditResult) -> str:
    """Lay the results of an audit out in columns, and say below what to compare them with.

    `gap` is the mean distance to the retrained models in points, empty without them; `cost` the share of the time of
    one retraining.
    """
    values = result.to_dict()
    heads = columns(values)
    lines = [heads, *rows(values)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    numbers = range(1, len(heads) - 1)
    laid_out = [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*laid_out, "", *notes(values)])


def notes(results: Mapping[str, Any]) -> list[str]:
    """What to compare the figures with, the margin of the verdicts, and a warning where the samples differ.

    Columns that are empty are not explained.
    """
    floor = results["floor"]
    against = "retrained models" if results["yardstick"] == "retrained" else "references that never saw them"
    margin = extent([model["margin"] for model in results["models"]])
    known = extent([floor["ft_auc_min"], floor["ft_auc_max"]])
    gap = floor["average_gap_mean"]
    parts = [
        *([] if gap is None else [f"gap: average distance to the {against}, which differ by {gap:.2f} themselves."]),
        *(
            ["cost: share of the time of one retraining."]
            if any(model["share_of_retraining"] is not None for model in results["models"])
            else []
        ),
    ]
    lines = [
        f"FT-AUC: how well forgotten samples are told from unseen ones; {against}: {known}.",
        f"Verdicts at margin {margin} points of AUC: smaller differences count as none.",
        *([" ".join(parts)] if parts else []),
    ]
    if not results["controls"]["passed"]:
        lines.append(f"warning: nobody can be acquitted, for {results['controls']['reason']}.")
    lines += [
        f"{model['name']} is damaged: {model['damage']}."
        for model in results["models"]
        if model["damage"] and model["verdict"] != "utility lost"
    ]
    if results["two_sample"]["differs"]:
        lines.append("warning: forgotten and unseen samples differ by themselves, so that 50 is not what to expect.")
    return lines


def competition(results: Mapping[str, Any]) -> list[str]:
    """The score of the NeurIPS 2023 competition, or what it would need, for every model that has shadows."""
    lines = []
    for model in results["models"]:
        if not (scored := model.get("competition")):
            continue
        if scored["quality"] is None:
            lines.append(
                f"{model['name']}: the score of the NeurIPS 2023 competition needs at least {scored['shadows_needed']} "
                "references with their shadows."
            )
            continue
        final = "" if scored["score"] is None else f", final score {scored['score']:.3f}"
        lines.append(
            f"{model['name']}: forgetting quality F of the NeurIPS 2023 competition {scored['quality']:.3f}, where "
            f"{scored['floor']:.3f} is that of models that never had the samples{final}."
        )
    return lines


def _row(model: Mapping[str, Any], beside: Sequence[str]) -> tuple[str, ...]:
    accuracy, attack = model["accuracy"], model["attacks"]["rmia"]["ft"]
    gap, seconds, share = model["average_gap"], model["seconds"], model["share_of_retraining"]
    unseen = {figure["figure"]: figure for figure in model["utility"] if figure["part"] == "unseen"}
    return (
        model["name"],
        *(f"{accuracy[part]:.1f}" for part in ("forget", "retain", "test")),
        *(
            "" if name not in unseen else f"{unseen[name]['value']:.{1 if unseen[name]['unit'] == 'percent' else 2}f}"
            for name in beside
        ),
        f"{attack['auc']:.1f} ± {(attack['high'] - attack['low']) / 2:.1f}",
        "" if gap is None else f"{gap:.2f}",
        "" if seconds is None else f"{seconds:.1f}",
        "" if share is None else f"{100 * share:.0f} %",
        verdict_in_words(model),
    )


def verdict_in_words(model: Mapping[str, Any]) -> str:
    """The verdict on a model, and whether it is damaged beside."""
    damaged = model["damage"] and model["verdict"] != "utility lost"
    return f"{model['verdict']}; damaged" if damaged else str(model["verdict"])
