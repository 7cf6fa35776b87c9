"""Files that are either whole or absent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from obliviate.errors import WorkspaceError

LOCK: Final = "lock"
TEMPORARY: Final = re.compile(r"\..+\.[a-z0-9_]{8}")  # the names that `write_atomically` gives


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    A crash or an interrupt at any moment leaves either the old file or the new one, never a part.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON, atomically; NaN and Infinity are refused, as JSON has neither."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises WorkspaceError for a file that holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"expected JSON in {path}, got {error}; the file is damaged") from error
    if not isinstance(values, dict):
        raise WorkspaceError(f"expected a JSON object in {path}, got {type(values).__name__}; the file is foreign")
    return values


def sha256_of(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def writable_folder(path: Path) -> Path:
    """Create `path` if it is absent and make sure that files can be created in it.

    Raises WorkspaceError where that is impossible, before any other work has begun.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise WorkspaceError(
            f"expected a folder that can be written to, got {path} ({error.strerror or error}); "
            "choose another with --out"
        ) from error
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`, where no other process may be writing."""
    for one in folder.iterdir():
        if TEMPORARY.fullmatch(one.name) and one.is_file():
            one.unlink()


@contextmanager
def locked(folder: Path, *, patience: float = 10.0) -> Iterator[int]:
    """Hold `folder` for this process, and for the processes that inherit the file descriptor that is yielded.

    The lock ends with the last of them, however they end. Others wait for `patience` seconds, in which what a killed
    process left running stops by itself, and are then refused with WorkspaceError.
    """
    path, since = folder / LOCK, time.monotonic()
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break  # the file that was locked is still the one that others find
        except BlockingIOError as error:
            if time.monotonic() - since > patience:
                os.close(descriptor)
                raise WorkspaceError(
                    f"expected a folder that no other process works in, got {folder} in use; wait until it is done"
                ) from error
            time.sleep(0.1)
        os.close(descriptor)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
