"""What every benchmark records beside its figures, and how tables are written."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from obliviate.workflow import cpu_name

RESULTS = Path(__file__).parent / "results"


def provenance(command: str) -> dict[str, Any]:
    """The command, the commit (with a mark if files differ from it) and the machine."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", ":/src")  # from the root, not from this folder
    return {
        "command": command,
        "commit": commit + (" with changes" if changed else ""),
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "torch": torch.__version__},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, least and greatest of a few runs."""
    return {"mean": statistics.fmean(values), "min": min(values), "max": max(values)}


def save(name: str, content: Mapping[str, Any]) -> Path:
    """Write `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Of one figure over the rows."""
    return statistics.fmean(row[name] for row in rows)


def cell(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Mean and range of a figure over the rows."""
    figure = spread([row[name] for row in rows])
    return f"{figure['mean']:.1f}" if figure["max"] - figure["min"] < 0.05 else ranged(figure, 1)


def ranged(figure: Mapping[str, float], digits: int) -> str:
    """A `spread`: the mean, and the least and the greatest value behind it."""
    return f"{figure['mean']:z.{digits}f} ({figure['min']:z.{digits}f}–{figure['max']:z.{digits}f})"


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """In markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def insert(page: Path, name: str, text: str) -> None:
    """Put the text between the marks of this name on a page of the documentation."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, mark, after = page.read_text(encoding="utf-8").partition(begin)
    if not mark or end not in after:
        raise SystemExit(
            f"expected the marks {begin} and {end} in {page.name}, got none; put them where the table goes"
        )
    page.write_text(f"{before}{begin}\n{text}\n{end}{after.partition(end)[2]}", encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
