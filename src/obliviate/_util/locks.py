"""One process at a time works in a folder; whoever comes second is told who was first."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from obliviate.errors import WorkspaceError

LOG: Final = logging.getLogger("obliviate")
LOCK: Final = "lock"
_depths: Final[dict[tuple[int, int, Path], int]] = {}  # depth, by process, thread and folder


@dataclass(frozen=True)
class Holder:
    """Who works in a folder: process and machine, since when (ISO 8601, UTC), and by which command."""

    pid: int
    host: str
    since: str
    command: str

    @classmethod
    def here(cls) -> Holder:
        """This process, and the command that it was started by, without its options."""
        words = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else ["python"]
        options = (place for place, word in enumerate(words) if word.startswith("-"))
        command = shlex.join(words[: next(options, len(words))]) or "python"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), platform.node(), now, command)

    @classmethod
    def of(cls, folder: Path) -> Holder | None:
        """Who a folder's lock file names; None without a lock file, or where it cannot be read."""
        try:
            return cls(**json.loads((folder / LOCK).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # it is being written, or removed, just now
            return None

    @property
    def alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be told, on another machine."""
        if self.host != platform.node():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it runs, under another user
            return True
        stat = Path(f"/proc/{self.pid}/stat")
        return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")

    def __str__(self) -> str:
        """Name the process, its command and when it began, as messages do."""
        where = "" if self.host == platform.node() else f" on {self.host}"
        return f"process {self.pid}{where} ({self.command}, since {self.since})"


@contextmanager
def locked(
    folder: Path, *, patience: float = 10.0, on_takeover: Callable[[Holder], object] | None = None
) -> Iterator[int]:
    """Hold `folder` for this process, and for the processes that inherit the file descriptor that is yielded.

    The lock ends with the last of them, however they end. While the process that took it runs, others are refused at
    once, with WorkspaceError. Where it has ended, they wait for `patience` seconds, in which what it left running stops
    by itself. `on_takeover` is called with the holder that ended without giving the lock back, if there was one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
    ...     Holder.of(Path(folder)).pid == os.getpid()
    True
    """
    path, since = folder / LOCK, time.monotonic()
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break  # the file that was locked is still the one that others find
        except BlockingIOError as error:
            holder = Holder.of(folder)
            if (holder is not None and holder.alive) or time.monotonic() - since > patience:
                os.close(descriptor)
                raise _refusal(folder, holder) from error
            time.sleep(0.1)
        os.close(descriptor)
    try:
        if on_takeover is not None and (before := Holder.of(folder)) is not None:
            on_takeover(before)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(Holder.here())).encode(), 0)
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold `folder` as `locked` does, or go on holding it where this thread does already; yields whether it is new.

    A lock that is taken over from a process that ended without giving it back is told in the log `obliviate`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held(Path(folder)) as outer, held(Path(folder)) as inner:
    ...     outer, inner
    (True, False)
    """
    key = os.getpid(), threading.get_ident(), folder.resolve()
    if key in _depths:
        _depths[key] += 1
        try:
            yield False
        finally:
            _depths[key] -= 1
        return
    with locked(folder, on_takeover=_say_takeover):
        _depths[key] = 1
        try:
            yield True
        finally:
            del _depths[key]


@contextmanager
def lent(folder: Path) -> Iterator[None]:
    """Work in a folder that another process holds, which has asked for this and waits: `held` goes on holding it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, lent(Path(folder)), held(Path(folder)) as new:
    ...     new
    False
    """
    key = os.getpid(), threading.get_ident(), folder.resolve()
    _depths[key] = _depths.get(key, 0) + 1
    try:
        yield
    finally:
        _depths[key] -= 1
        if not _depths[key]:
            del _depths[key]


@contextmanager
def claimed(path: Path, *, patience: float = 60.0) -> Iterator[None]:
    """Hold what a file stands for, which is made if it is not there; whoever comes second waits for the first.

    Raises WorkspaceError where that takes longer than `patience` seconds.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, claimed(Path(folder) / "a.lock"):
    ...     (Path(folder) / "a.lock").exists()
    True
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, since = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), time.monotonic()
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() - since > patience:
                    raise WorkspaceError(
                        f"expected {path} to be free within {patience:g} seconds, got it in use; another process is at "
                        "the same work, wait until it is done"
                    ) from error
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _say_takeover(holder: Holder) -> None:
    LOG.warning("the lock of %s was taken over: it ended without giving it back", holder)


def _refusal(folder: Path, holder: Holder | None) -> WorkspaceError:
    if holder is None:
        by, remedy = "another process", "wait until it is done"
    elif holder.alive is False:
        by, remedy = f"what {holder}, which has ended, left running", "wait until it has stopped, or stop it"
    else:
        by, remedy = str(holder), "wait until it is done, or stop it"
    return WorkspaceError(f"expected a folder that no other process works in, got {folder} in use by {by}; {remedy}")
