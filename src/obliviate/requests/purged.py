"""Which files were removed from a folder because they carried forgotten samples: so that nobody looks for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import WorkspaceError

FORMAT: Final = "obliviate.purged/1"
FILE: Final = "purged.json"


def read(folder: Path) -> dict[str, str]:
    """When which files were purged from a folder (ISO 8601, UTC), by their places in it; nothing where none were.

    >>> read(Path("nowhere"))
    {}
    """
    if not (folder / FILE).exists():
        return {}
    return dict(read_sealed_json(folder / FILE, FORMAT, remedy="restore it")["files"])


def note(folder: Path, places: Iterable[str]) -> None:
    """Say that these files are removed now, beside those that were removed before."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    files = read(folder) | dict.fromkeys(places, now)
    write_sealed_json(folder / FILE, {"format": FORMAT, "files": files})


def refuse(folder: Path, path: Path) -> None:
    """Refuse to look for a file that was purged and is not there; raises WorkspaceError."""
    if path.exists():
        return
    place = path.relative_to(folder).as_posix()
    if (when := read(folder).get(place)) is not None:
        raise WorkspaceError(
            f"expected {path}, got none: it was purged at {when}, for it carried forgotten samples; work on a later "
            "request, or begin in a new folder, without them"
        )
