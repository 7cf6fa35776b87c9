"""Remove from a folder what still carries samples that were forgotten, and leave what is needed to keep them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from obliviate.errors import WorkspaceError
from obliviate.requests import purged
from obliviate.results import file as results_file
from obliviate.traces.inventory import Kind, Trace, Traces

PURGED: Final[tuple[Kind, ...]] = ("original", "models", "checkpoints", "references", "teachers", "work", "pictures")
"""The kinds of files that are removed where they hold or know forgotten samples; pictures are taken out of theirs."""
CONSEQUENCES: Final = {
    "original": "the first request can be repeated, audited and inspected no more",
    "references": "another audit trains references again, for which it needs all rows, the forgotten ones too",
    "teachers": "methods that learn from teachers train these again, likewise",
    "checkpoints": "sisa cannot go on from models that need them",
}


@dataclass(frozen=True, kw_only=True)
class Purge:
    """What is to be removed, or was: the traces, and in sentences what can be done no more without them."""

    removed: tuple[Trace, ...]
    consequences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """In JSON values."""
        return {"removed": [trace.to_dict() for trace in self.removed], "consequences": list(self.consequences)}


def purgeable(folder: Path | str, *, request: int | None = None, keep: Sequence[str] = ()) -> Purge:
    """List what `purge` would remove, and change nothing.

    Raises WorkspaceError for a folder that is none of ours, one without requests, and kinds that there are not.
    """
    return _purgeable(Traces.of(Path(folder), request), keep)


def purge(folder: Path | str, *, request: int | None = None, keep: Sequence[str] = ()) -> Purge:
    """Remove what holds or knows samples that were to be forgotten up to a request, the last if left out.

    These are weights that were trained on them (models, references, teachers, slice checkpoints), outputs for them, the
    state of unfinished work, and pictures of them in results and reports. What only names them stays, for it keeps them
    out: requests, manifests, the log. So does the model that serves, and every model that has seen none of them.
    `keep` names kinds that stay as well, of `PURGED`. Files go one by one, and are noted in `purged.json` before, so
    that an interrupted purge is finished by the next; a second one finds nothing to do.

    Raises WorkspaceError as `purgeable` does, and where another process is at work in the folder.
    """
    folder = Path(folder)
    requests = Traces.of(folder, request).requests
    with requests.held():
        planned = _purgeable(Traces.of(folder, request), keep)
        if not planned.removed:
            return planned
        purged.note(folder, [trace.path for trace in planned.removed if trace.kind != "pictures"])
        for trace in planned.removed:
            if trace.kind == "pictures":
                continue
            (folder / trace.path).unlink()
        for place in sorted({(folder / trace.path).parent for trace in planned.removed}, reverse=True):
            _remove_empty(place, folder)
        for trace in planned.removed:
            if trace.kind == "pictures" and trace.path.endswith("results.json"):
                _without_pictures(folder, folder / trace.path)
        requests.log.append(
            "purged", files=len(planned.removed), kinds=sorted({trace.kind for trace in planned.removed})
        )
    return planned


def _purgeable(traces: Traces, keep: Sequence[str]) -> Purge:
    if strange := [kind for kind in keep if kind not in PURGED]:
        raise WorkspaceError(
            f"expected kinds of files to keep among {', '.join(PURGED)}, got {strange[0]!r}; name one of them"
        )
    assert set(PURGED) <= set(get_args(Kind))
    if not traces.asked:
        raise WorkspaceError(
            f"expected a request in {traces.folder} whose samples are to be purged, got none; forget something first"
        )
    removed = tuple(
        trace
        for trace in traces.of_folder()
        if trace.carries in {"holds", "knows"} and trace.kind in PURGED and trace.kind not in keep
    )
    kinds = {trace.kind for trace in removed}
    return Purge(removed=removed, consequences=tuple(text for kind, text in CONSEQUENCES.items() if kind in kinds))


def _remove_empty(place: Path, folder: Path) -> None:
    """Remove a folder that is empty now, and those above it that are."""
    while place != folder and place.is_dir() and not any(place.iterdir()):
        place.rmdir()
        place = place.parent


def _without_pictures(folder: Path, path: Path) -> None:
    """Take the pictures out of results, and write the report anew, if there is one."""
    from obliviate.workspace.report import write_report

    results = results_file.read(path)
    results_file.write(path, results.model_copy(update={"pictures": {}}))
    if path.with_name("report.html").exists():
        write_report(folder, int(path.parent.name))
