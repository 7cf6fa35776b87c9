"""The result table as rows of text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from obliviate.audit.result import AuditResult

COLUMNS: Final = ("model", "forget %", "retain %", "test %", "FT-AUC ± 95 %", "gap", "seconds", "cost", "verdict")


def rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row of `COLUMNS` per model, of a result dictionary (docs/results-schema.md)."""
    return [_row(model) for model in results["models"]]


def table(result: AuditResult) -> str:
    """Lay the results of an audit out in columns.

    `gap` is the mean distance to the retrained models in points, `cost` the share of the time of one retraining.
    """
    lines = [COLUMNS, *rows(result.to_dict())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    numbers = range(1, len(COLUMNS) - 1)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, attack = model["accuracy"], model["attacks"]["rmia"]["ft"]
    seconds, share = model["seconds"], model["share_of_retraining"]
    return (
        model["name"],
        *(f"{accuracy[part]:.1f}" for part in ("forget", "retain", "test")),
        f"{attack['auc']:.1f} ± {(attack['high'] - attack['low']) / 2:.1f}",
        f"{model['average_gap']:.2f}",
        "" if seconds is None else f"{seconds:.1f}",
        "" if share is None else f"{100 * share:.0f} %",
        model["verdict"],
    )
