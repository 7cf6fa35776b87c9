"""Make the table of cells that the package ships, and the leaderboard, from what was measured.

    python scripts/make_leaderboard.py

Reads `benchmarks/results/grounds.json`, `benchmarks/results/gpu.json`, and what others have measured,
`benchmarks/results/contributed/*.csv` (docs/howto/add-to-the-leaderboard.md). Writes
`src/obliviate/advice/cells.csv` and `docs/leaderboard.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from obliviate.advice import Cell, advise, read_cells, write_cells
from obliviate.advice.ranking import BY
from obliviate.errors import ReportError

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
CELLS: Final = ROOT / "src" / "obliviate" / "advice" / "cells.csv"
PAGE: Final = ROOT / "docs" / "leaderboard.md"

GROUNDS: Final[Mapping[str, tuple[str, int, int]]] = {
    "fashion": ("images", 5000, 20),
    "fashion_long": ("images", 5000, 100),
    "resnet8_small": ("images", 6000, 20),
    "resnet8_large_batch": ("images", 6000, 30),
    "resnet8": ("images", 20000, 20),
    "vgg": ("images", 10000, 20),
    "mnist": ("images", 6000, 4),
    "adult": ("table", 8000, 20),
    "newsgroups": ("texts", 2000, 8),
}
"""The task of each ground, its samples, and its passes (`benchmarks/grounds.py`)."""
OWNERS, CLASSES = 30, 10
WITHOUT: Final = " (no retain set)"

REQUESTS: Final = (
    ("random", 0.1, True, "Samples at random, 10 %"),
    ("random", 0.1, False, "The same without the retain set"),
    ("random", 0.01, True, "Samples at random, 1 %"),
    ("random", 0.5, True, "Samples at random, 50 %"),
    ("memorised", 0.1, True, "The most memorised tenth"),
    ("owner", 0.1, True, "All samples of one owner"),
    ("class", 0.1, True, "A class"),
)

HEAD: Final = """# Leaderboard

The methods in the order of how near they came to retraining, for each kind of request, by
[the cells that the package ships](../src/obliviate/advice/cells.csv), of which each has its commit.
[The methods side by side](comparison.md) has the figures one by one, the grounds, the machine and the commands that
remake them. The same is said of a request of yours by

```console
$ obliviate advise random --share 0.1
```

A figure is a multiple of the *floor*, which is how far retrained models are from each other: 1 is another retrained
model. It is the geometric mean over grounds, with the best and the worst ground in brackets; differences that are
smaller than the ranges are none. What was measured on fewer than half of the grounds, or lost the utility on half of
its cells, stands below each table. `(paper)` are the papers' own recipes, `(tuned)` is `--tune`. `resnet18_gpu` is
[the run on a GPU](comparison.md#on-a-gpu-resnet-18-on-all-of-cifar-10), whose floor is that of two retrained models,
and after which methods were mended.

`python scripts/make_leaderboard.py` makes this page. Your method can stand here too:
[add it](howto/add-to-the-leaderboard.md).
"""


def cells() -> Iterator[Cell]:
    """Everything that was measured; raises ReportError for a contributed file that is not as it should be."""
    ours = json.loads((RESULTS / "grounds.json").read_text(encoding="utf-8"))["cells"].values()
    told = {
        (row["ground"], row["method"], row["request"], row["seed"]): row["u_lira_auc"]
        for row in ours
        if row.get("stage") == "strong"
    }
    for row in ours:
        if "stage" not in row and "failed" not in row and row["method"] != "retrained":
            yield _of_ground(row, told.get((row["ground"], row["method"], row["request"], row["seed"])))
    yield from _of_gpu(json.loads((RESULTS / "gpu.json").read_text(encoding="utf-8")))
    for path in sorted((RESULTS / "contributed").glob("*.csv")):
        yield from read_cells(path)


def _of_ground(row: Mapping[str, Any], u_lira_auc: float | None) -> Cell:
    task, samples, epochs = GROUNDS[row["ground"]]
    request, _, share = row["request"].partition(":")
    method: str = row["method"]
    return Cell(
        method=method.replace(WITHOUT, ""),
        retain_set=WITHOUT not in method,
        ground=row["ground"],
        task=task,
        samples=samples,
        epochs=epochs,
        request=request,
        share=float(share) if share else round(1 / (OWNERS if request == "owner" else CLASSES), 3),
        seed=row["seed"],
        original=row["original"],
        gap=row["gap"],
        floor=row["floor"],
        margins=row.get("margin_ratio"),
        u_lira_auc=u_lira_auc,
        cost=row.get("cost"),
        verdict=row["verdict"],
        damaged=bool(row.get("damage")),
        commit=row["commit"],
    )


def _of_gpu(results: Mapping[str, Any]) -> Iterator[Cell]:
    plan, floor = results["plan"], results["cells"]["yardstick"]["floor"]["average_gap_mean"]
    for name, cell in results["cells"].items():
        if name == "yardstick" or "audit" not in cell:
            continue
        audit = cell["audit"]
        yield Cell(
            method=cell["method"],
            retain_set=cell["retain"],
            ground="resnet18_gpu",
            task="images",
            samples=plan["train"],
            epochs=plan["epochs"],
            request="random",
            share=0.1,
            seed=0,
            gap=round(audit["average_gap"], 3),
            floor=round(floor, 3),
            cost=round(audit["share_of_retraining"], 2),
            verdict=audit["verdict"],
            commit=plan["commit"],
        )


def page(measured: list[Cell]) -> str:
    """The leaderboard: a table for every kind of request, and one by the strongest attack."""
    parts = [HEAD]
    for request, share, retain_set, title in REQUESTS:
        parts.append(_part(title, measured, request=request, share=share, retain_set=retain_set))
    parts.append(_part("10 % at random, by the strongest attack (U-LiRA)", measured, request="random", by="u-lira"))
    return "\n".join(parts)


def _part(title: str, measured: list[Cell], **asked: Any) -> str:
    advice = advise(**asked, cells=measured)
    shown = advice.table()
    lines = [f"## {title}", "", f"On {', '.join(advice.grounds)}.", ""]
    lines += ["| # | method | " + " | ".join([BY[advice.by][0], *shown.heads[2:]]) + " |", "|---|---|---|---|---|---|"]
    for place, (method, *figures) in enumerate(shown.rows, 1):
        lines.append(f"| {place} | `{method}` | " + " | ".join(figures) + " |")
    if advice.passed_over:
        reasons: dict[str, list[str]] = {}
        for method, reason in advice.passed_over.items():
            reasons.setdefault(reason, []).append(f"`{method}`")
        lines += ["", "Left out: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items()) + "."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    try:
        measured = list(cells())
    except ReportError as error:
        sys.exit(str(error))
    write_cells(CELLS, measured)
    PAGE.write_text(page(measured), encoding="utf-8")
