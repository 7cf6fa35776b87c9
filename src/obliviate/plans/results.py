"""What came of a plan: a table for each rule that forget sets were chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import ValidationError

from obliviate._util.files import read_sealed_json
from obliviate.comparison.figures import Comparison, Outcome, combined, write
from obliviate.data.ids import ids_sha256
from obliviate.errors import PlanError
from obliviate.plans.ground import Cell
from obliviate.plans.work import FORMAT, Bench
from obliviate.results.model import ModelResult
from obliviate.results.tabular import Record, Table, Tabular
from obliviate.workspace.elsewhere import unseen_in_audit

SCHEMA: Final = "obliviate.plan/1"
TABLE: Final = "table"


@dataclass(frozen=True, kw_only=True, repr=False)
class PlanResults(Tabular):
    """The tables of a plan, one for each rule that forget sets were chosen by, in the order of the plan.

    `cells` is how many things were made for them, models that runs share among them; `failed` in how many of the runs
    a method came to nothing.
    """

    keys: ClassVar[tuple[str, ...]] = ("forget", "model")

    tables: tuple[Comparison, ...]
    cells: int
    failed: int

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        tables = [table.to_dict() for table in self.tables]
        return {"schema": SCHEMA, "cells": self.cells, "failed": self.failed, "tables": tables}

    def __repr__(self) -> str:
        return f"PlanResults({self.cells} cells, {self.failed} failed: {', '.join(map(repr, self.tables))})"

    def records(self) -> list[Record]:
        """All tables in plain columns, a row a method and rule (`Compared.record`)."""
        return [record for table in self.tables for record in table.records()]

    def table(self) -> Table:
        """All tables, one below the other, with the rule of their forget sets before each row."""
        tables = [(table.title, table.table()) for table in self.tables]
        heads = ("forget", *tables[0][1].heads) if tables else ()
        rows = [(title, *row) for title, table in tables for row in table.rows]
        return Table(heads=heads, rows=rows, notes=[note for _, table in tables for note in table.notes])

    def to_svg(self) -> str:
        """All tables as a picture."""
        from obliviate.comparison.plot import svg

        return svg(self.tables)

    def write(self, folder: Path) -> Path:
        """Write `table.json`, `table.csv` and `table.svg` into a folder, and return it."""
        return write(folder, TABLE, self.to_dict(), self.to_csv(), self.to_svg())


def results(bench: Bench) -> PlanResults:
    """Read what was found in every cell, all of which are done; raises PlanError for a damaged or foreign one."""
    plan, sets = bench.ground.plan, bench.sets
    cells = bench.cells
    audits = [cell for cell in cells if cell.kind in {"controls", "method"}]
    outcomes = {cell.id: _outcomes(bench, cell) for cell in audits}
    tables = []
    for title in (asked.title(step) for asked in plan.forget for step in range(asked.steps)):
        of_title = [cell for cell in audits if sets[cell.forget].rule == title]
        if judged := [outcome for cell in of_title for outcome in outcomes[cell.id]]:
            tables.append(combined(judged, title=title))
    failed = sum(bool(outcome.failed) for of_cell in outcomes.values() for outcome in of_cell)
    return PlanResults(tables=tuple(tables), cells=len(cells), failed=failed)


def _outcomes(bench: Bench, cell: Cell) -> list[Outcome]:
    path, plan = cell.file(bench.folder), bench.ground.plan
    remedy = "delete it, and run the plan again, which makes it anew"
    values = read_sealed_json(path, FORMAT, remedy=remedy, error=PlanError)
    chosen = bench.sets[cell.forget].chosen
    facts: dict[str, Any] = {
        "seed": cell.seed,
        "forget": tuple(sorted(map(str, chosen.ids))),
        "unseen": ids_sha256(np.sort(unseen_in_audit(bench.ground.data, chosen.ids).ids)),
        "attack": plan.audit.lead,
    }
    label = plan.trials[cell.trial].label if cell.kind == "method" else ""
    if values.get("cell") != cell.id:
        raise PlanError(f"expected the cell {cell.id}, got {values.get('cell')!r:.80} in {path}; {remedy}")
    if failed := values.get("failed"):
        return [Outcome(name=label, role="unlearned", failed=failed, **facts)]
    rows = [_row(row, path, remedy) for row in values["rows"]]
    if label:
        ((model, scores),) = rows
        return [Outcome(name=label, role="unlearned", models=(model,), pair=scores, **facts)]
    (original, scores), *retrained = rows
    outcomes = [Outcome(name="original", role="original", models=(original,), pair=scores, **facts)]
    if retrained:
        models = tuple(model for model, _ in retrained)
        outcomes.append(Outcome(name="retrained", role="retrained", models=models, **facts))
    return outcomes


def _row(values: Mapping[str, Any], path: Path, remedy: str) -> tuple[ModelResult, tuple[np.ndarray, np.ndarray]]:
    try:
        scores: Sequence[Sequence[float]] = values["scores"]
        return ModelResult.model_validate(values["model"]), (np.array(scores[0]), np.array(scores[1]))
    except (ValidationError, KeyError, TypeError, IndexError) as error:
        raise PlanError(f"expected what an audit found on a model, got other fields in {path}; {remedy}") from error
