"""What happened to requests, in order: a file that is only ever appended to, in which every line vouches for the last.

A line is a JSON object with the hash of the line before and its own, so that no line can be changed, taken out or put
between others unnoticed. A line that a crash has cut short is no event: it is dropped when the next one is written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from obliviate._util.files import LOG
from obliviate.errors import WorkspaceError

FILE: Final = "events.jsonl"
SEAL: Final = "sha256"
BEFORE: Final = "before_sha256"


@dataclass(frozen=True)
class Event:
    """What happened (`kind`: asked, refused, made, audited, inspected, purged), when (ISO 8601, UTC), and its facts."""

    time: str
    kind: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class EventLog:
    """The log at `path`. Only whoever holds the lock of the folder may append to it; anybody may read it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = EventLog(Path(folder) / "events.jsonl")
    ...     log.append("asked", request=1, samples=20)
    ...     [(event.kind, dict(event.facts)) for event in log.events]
    [('asked', {'request': 1, 'samples': 20})]
    """

    path: Path

    @property
    def events(self) -> list[Event]:
        """Every event, in order; raises WorkspaceError where a line was changed, taken out or put in."""
        lines, _ = self._read()
        return [
            Event(line["time"], line["event"], {key: line[key] for key in line if key not in {"time", "event"}})
            for line in lines
        ]

    def append(self, kind: str, **facts: Any) -> None:
        """Add an event, which is on the disk when this returns.

        Raises WorkspaceError for a damaged log.
        """
        lines, whole = self._read(seals=True)
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **facts}
        line[BEFORE] = lines[-1][SEAL] if lines else ""
        line[SEAL] = _seal(line)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if (cut := os.fstat(descriptor).st_size - len(whole)) > 0:
                LOG.warning("the last %d bytes of %s were cut short by a crash and are dropped", cut, self.path)
            os.ftruncate(descriptor, len(whole))
            os.pwrite(descriptor, (json.dumps(line, ensure_ascii=False) + "\n").encode(), len(whole))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, *, seals: bool = False) -> tuple[list[dict[str, Any]], bytes]:
        """Every line, checked, and the bytes of all whole ones."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return [], b""
        except OSError as error:
            raise WorkspaceError(f"expected a file, got {error.strerror} in {self.path}; restore it") from error
        whole = content[: content.rfind(b"\n") + 1]
        lines, before = [], ""
        for number, text in enumerate(whole.splitlines(), start=1):
            try:
                line = json.loads(text)
                sealed = line.pop(SEAL)
                if (line[BEFORE], sealed) != (before, _seal(line)):
                    raise ValueError("another hash")
                _ = line["time"], line["event"]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise WorkspaceError(
                    f"expected event {number} of {self.path} as it was written, got {error}; the log was damaged or "
                    "edited: restore it, or move it away and a new one begins"
                ) from error
            before = sealed
            lines.append(line | {SEAL: sealed} if seals else {key: line[key] for key in line if key != BEFORE})
        return lines, whole


def _seal(line: Mapping[str, Any]) -> str:
    text = json.dumps(line, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
