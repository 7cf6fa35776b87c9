"""Files that are either whole or absent, and whose readers notice every bit that has changed since.

A JSON document of ours is sealed: its field "sha256" is the hash of all other fields. A large file is hashed by a
sealed document beside it. One that is overwritten again and again ends with its own hash, so that both change at once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from obliviate.errors import ObliviateError, WorkspaceError

LOG: Final = logging.getLogger("obliviate")
WORK: Final = "work"
"""The folder of what is not finished yet, beside what it will become."""
SEAL: Final = "sha256"
TEMPORARY: Final = re.compile(r"\..+\.[a-z0-9_]{8}")  # the names that `write_atomically` gives
SETTLED: Final = 10**9  # nanoseconds after a change, in which a file may change again and keep its times
_hashed: Final[dict[Path, tuple[tuple[int, ...], str]]] = {}


def _remedy(error: OSError) -> str:
    """What to do where a file could not be written."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "make its folder"
    return (
        "choose another place"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR)
        else "make room for it"
    )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    A crash or an interrupt at any moment leaves either the old file or the new one, never a part; so does a loss of
    power, for the contents are on the disk before they have their name, and the name is when this returns. Raises
    WorkspaceError where the file cannot be written: the disk is full, say, or a folder is in its place.
    """
    try:
        _in_one_step(path, write)
    except OSError as error:
        if isinstance(error, ObliviateError):
            raise
        raise WorkspaceError(
            f"expected to write {path}, got {error.strerror or error}; {_remedy(error)}, and run the same command again"
        ) from error


def _in_one_step(path: Path, write: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        _flush(temporary, os.O_RDWR)
        temporary.replace(path)
        _flush(path.parent, os.O_RDONLY)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path, mode: int) -> None:
    """Have what is in a file, or the names that are in a folder, on the disk."""
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON, atomically; NaN and Infinity are refused, as JSON has neither."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(
    path: Path, *, remedy: str = "restore it", error: type[ObliviateError] = WorkspaceError
) -> dict[str, Any]:
    """Read a JSON object; raises `error`, which ends in `remedy`, for a missing or damaged file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"expected JSON in {path}, got {reason}; the file is missing or damaged: {remedy}") from problem
    if not isinstance(values, dict):
        raise error(f"expected a JSON object in {path}, got {type(values).__name__}; the file is foreign: {remedy}")
    return values


def write_sealed_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as `write_json` does, with a seal that `read_sealed_json` checks.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_sealed_json(Path(folder) / "a.json", {"format": "example/1", "ids": ["s1"]})
    ...     read_sealed_json(Path(folder) / "a.json", "example/1")
    {'format': 'example/1', 'ids': ['s1']}
    """
    assert SEAL not in values
    values = json.loads(json.dumps(values, allow_nan=False))  # as a reader will see them
    write_json(path, {**values, SEAL: _seal(values)})


def read_sealed_json(
    path: Path,
    format: str | None = None,
    *,
    remedy: str = "restore it",
    error: type[ObliviateError] = WorkspaceError,
) -> dict[str, Any]:
    """Read what `write_sealed_json` wrote, without the seal.

    Raises `error`, which ends in `remedy`, for a file that is missing, damaged or edited, or of another `format`.
    """
    values = read_json(path, remedy=remedy, error=error)
    if format is not None and values.get("format") != format:
        raise error(
            f"expected format {format}, got {values.get('format')!r:.60} in {path}; another version or program wrote "
            f"it, or it is damaged: {remedy}"
        )
    sealed = values.pop(SEAL, None)
    if not isinstance(sealed, str):
        raise error(f"expected the hash of the contents in {path}, got none; it was damaged or edited: {remedy}")
    try:
        digest = _seal(values)
    except RecursionError as problem:
        raise error(f"expected JSON in {path}, got {problem}; the file is damaged: {remedy}") from problem
    if digest != sealed:
        wanted, got = shortened_apart(sealed, digest)
        raise error(
            f"expected contents with sha256 {wanted}, got {got} in {path}; the file was damaged or edited: {remedy}"
        )
    return values


def write_hashed(path: Path, content: bytes) -> None:
    """Write bytes with their hash at the end, atomically."""
    whole = content + hashlib.sha256(content).digest()
    write_atomically(path, lambda temporary: temporary.write_bytes(whole))


def read_hashed(path: Path, *, remedy: str = "restore it") -> bytes:
    """Read what `write_hashed` wrote; raises WorkspaceError for a missing or damaged file."""
    try:
        whole = path.read_bytes()
    except OSError as problem:
        raise WorkspaceError(f"expected a file, got {problem.strerror} in {path}; {remedy}") from problem
    size = hashlib.sha256().digest_size
    content, digest = whole[:-size], whole[-size:]
    if hashlib.sha256(content).digest() != digest:
        raise WorkspaceError(
            f"expected contents with the hash at their end, got others in {path}; the file is damaged: {remedy}"
        )
    return content


def start_over(path: Path, problem: Exception) -> None:
    """Remove a saved state that cannot be read, and say in the log that what it belongs to starts over."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    LOG.warning("the saved state %s was damaged; that stage starts over (%s)", path, problem)


def sha256_of(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, wanted: str, *, remedy: str, error: type[ObliviateError] = WorkspaceError) -> None:
    """Refuse a file with other bytes; raises `error`, which ends in `remedy`.

    A file is read for that once in a process, as long as its place on the disk, its size and its times stay the same.
    """
    try:
        digest = _known_sha256(path)
    except OSError as problem:
        raise error(f"expected a file at {path}, got none that can be read ({problem.strerror}); {remedy}") from problem
    if digest != wanted:
        expected, got = shortened_apart(wanted, digest)
        raise error(f"expected sha256 {expected}, got {got} in {path}; the file was damaged or replaced: {remedy}")


def shortened_apart(wanted: str, got: str) -> tuple[str, str]:
    """Shorten two hashes to digits that differ.

    >>> shortened_apart("0123456789abcdef00", "0123456789abcdee00")
    ('0123456789abcdef…', '0123456789abcdee…')
    """
    same = next((place for place, pair in enumerate(zip(wanted, got, strict=False)) if len(set(pair)) > 1), 0)
    length = max(12, same + 1)

    def shortened(text: str) -> str:
        return text if len(text) <= length else f"{text[:length]}…"

    return shortened(wanted), shortened(got)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not JSON")


def _seal(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _known_sha256(path: Path) -> str:
    with path.open("rb") as file:
        at = os.fstat(file.fileno())
        state = at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns
        hashed = _hashed.get(path)
        if hashed is not None and hashed[0] == state:
            return hashed[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(at.st_mtime_ns, at.st_ctime_ns) > SETTLED:
        _hashed[path] = state, digest
    return digest


def writable_folder(path: Path) -> Path:
    """Create `path` if it is absent and make sure that files can be created in it.

    Raises WorkspaceError where that is impossible, before any other work has begun.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        raise WorkspaceError(
            f"expected a folder that can be written to, got {str(path)!r:.300} ({getattr(error, 'strerror', error)}); "
            "choose another with --out"
        ) from error
    return path


def memory() -> int:
    """How many bytes of memory the machine has: what is larger cannot be read as a whole."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`, where no other process may be writing."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()
