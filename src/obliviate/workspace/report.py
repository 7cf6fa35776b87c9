"""The report of a request."""

from __future__ import annotations

from pathlib import Path

from obliviate._util.files import read_sealed_json, write_atomically
from obliviate.errors import WorkspaceError
from obliviate.report import record
from obliviate.requests import Requests
from obliviate.results.file import read
from obliviate.results.record import RecordAudit


def write_report(folder: Path, request: int | None = None) -> Path:
    """Render `report.html` from the `results.json` of a request of a folder, the last if left out.

    Raises WorkspaceError, where it has not been audited too, or ResultsError.
    """
    from obliviate.report import html  # and its plots, for which commands that draw none would wait

    if not folder.is_dir():
        raise WorkspaceError(f"expected a folder, got no {folder}; name the one that was audited")
    requests = Requests(folder)
    number = requests.numbered(request).number
    place, again = requests.at(number), f"`obliviate audit --out {folder} --request {number}`"
    if place.record.exists():
        audited = RecordAudit.from_dict(read_sealed_json(place.record, remedy=f"run {again} again"))
        return _write(requests, place.report, record.render(audited))
    if not place.results.exists():
        raise WorkspaceError(f"expected {place.results}, got none; run {again} first")
    text = html.render(read(place.results, remedy=f"run {again} again"))
    return _write(requests, place.report, text)


def _write(requests: Requests, path: Path, text: str) -> Path:
    with requests.held():
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path
