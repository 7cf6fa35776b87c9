"""The report of a folder."""

from __future__ import annotations

from pathlib import Path

from obliviate.errors import WorkspaceError
from obliviate.files import write_atomically
from obliviate.report import html
from obliviate.results.file import read


def write_report(folder: Path) -> Path:
    """Render `report.html` from the `results.json` of a folder; raises WorkspaceError or ResultsError."""
    results = folder / "results.json"
    if not results.exists():
        raise WorkspaceError(f"expected results.json in {folder}, got none; run `obliviate audit --out {folder}` first")
    text = html.render(read(results, remedy=f"run `obliviate audit --out {folder}` again"))
    target = folder / "report.html"
    write_atomically(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target
