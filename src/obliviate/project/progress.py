"""How far the work on a project is, for whoever looks from another process: `progress.json`, by the worker."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from obliviate._util.files import read_json, write_json
from obliviate.errors import WorkspaceError

FILE: Final = "progress.json"
EVERY: Final = 1.0  # seconds between two writings


@dataclass(frozen=True)
class Stage:
    """A stage of the work: its name, how much of how much is done, and when that was so, in seconds since 1970."""

    stage: str
    done: float
    total: float
    time: float

    @property
    def percent(self) -> int:
        """How much is done, 0 … 100.

        >>> Stage("training", 3, 12, 0.0).percent
        25
        """
        return round(100 * min(1.0, max(0.0, self.done / self.total))) if self.total > 0 else 0


class Written:
    """A progress that is also written to the project's folder, at most once a second.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Written(Path(folder))("training", 1, 4)
    ...     read(Path(folder)).percent
    25
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._written = float("-inf")

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Report that so much of a stage is done."""
        now = time.monotonic()
        if now - self._written >= EVERY:
            self._written = now
            write_json(self._path, asdict(Stage(stage, float(done), float(total), time.time())))


def read(folder: Path) -> Stage | None:
    """What was reported last; None where nothing was, or the file is not one of ours."""
    try:
        values = read_json(folder / FILE)
        return Stage(str(values["stage"]), float(values["done"]), float(values["total"]), float(values["time"]))
    except (WorkspaceError, KeyError, TypeError, ValueError):  # it tells of no work; the work itself does not read it
        return None
