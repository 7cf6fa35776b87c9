"""An exchange: where machines that share no folder read a job and leave what they made, as fsspec names such places.

The job and its samples lie in a folder of the job's own at a URL (S3 and its like, SSH, …) as long as it is worked on.
What is made comes home in small files, whose hashes are checked here.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from obliviate._util.files import WORK, check_sha256
from obliviate.errors import AuditError
from obliviate.references.executors import by_name
from obliviate.references.executors.protocol import Executor, Pending
from obliviate.references.jobs import JOB, Job, make_elsewhere
from obliviate.references.logits import REMEDY
from obliviate.references.records import ModelRecord, logits_file, read_record, record_file, weights_file

LOOK: Final = 5.0  # seconds between two looks whether the job is still wanted
OF_ONE_PROCESS: Final = ("memory",)


@dataclass(frozen=True)
class Exchanging:
    """An executor whose machines share no folder with this one: they meet at `url`.

    `url` is a folder as fsspec names it ("s3://bucket/folder"), which all machines can read and write by what their
    environment says. Raises AuditError where it cannot be written to from here.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
    ...     Exchanging(executor, f"file://{folder}").submit(sum, [1, 2]).result()
    3
    """

    executor: Executor
    url: str

    def __post_init__(self) -> None:
        files, place = reached(self.url)
        if files.protocol in OF_ONE_PROCESS or set(OF_ONE_PROCESS) & set(files.protocol):
            raise AuditError(f"expected a place that other machines reach, got {self.url!r}; name one on S3, say")
        trial = f"{place}/obliviate-trial"
        try:
            files.makedirs(place, exist_ok=True)
            files.pipe_file(trial, b"")
            files.rm_file(trial)
        except Exception as error:  # every kind of storage raises errors of its own
            raise AuditError(
                f"expected an exchange that can be written to, got a failure of {self.url} ({type(error).__name__}: "
                f"{' '.join(str(error).split())}); correct the URL, or the credentials in the environment"
            ) from error

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending:
        """Give a call to the executor."""
        return self.executor.submit(fn, *args)


@contextmanager
def opened(name: str | None, url: str | None) -> Iterator[Executor | None]:
    """Open the executor of a name (`executors.by_name.opened`), whose machines meet this one at a URL if there is one.

    Raises AuditError for a URL without an executor elsewhere, and as `by_name.opened` and `Exchanging` do.
    """
    with by_name.opened(name) as executor:
        if url is None:
            yield executor
            return
        if executor is None:
            raise AuditError(f"expected an executor for the exchange {url}, got local processes; name one")
        yield Exchanging(executor, url)


def reached(url: str) -> tuple[Any, str]:
    """The file system of a URL and the place there; raises AuditError for a URL of no kind that is installed."""
    if find_spec("fsspec") is None:
        raise AuditError("expected the package fsspec for an exchange, got none; pip install 'obliviate[exchange]'")
    from fsspec.core import url_to_fs

    try:
        files, place = url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise AuditError(
            f"expected the URL of a folder such as s3://bucket/folder, got {url!r} ({error}); correct it, or install "
            "what it needs"
        ) from error
    return files, str(place).rstrip("/")


@dataclass(frozen=True)
class Exchange:
    """The folder at a URL that a job has while it is worked on."""

    job: Job
    folder: Path
    url: str

    @classmethod
    @contextmanager
    def of(cls, job: Job, folder: Path, sha256: str, url: str) -> Iterator[Exchange]:
        """Copy a job that was written in `folder` to the exchange, and remove it there in the end."""
        exchange = cls(job, folder, f"{url.rstrip('/')}/{sha256[:16]}")
        files, place = reached(exchange.url)
        try:
            files.makedirs(place, exist_ok=True)
            for path in [*folder.glob("samples-*.pt"), folder / JOB]:
                files.put_file(str(path), f"{place}/{path.name}")
            yield exchange
        finally:
            if files.exists(place):
                files.rm(place, recursive=True)

    def submit(self, executor: Executor, sha256: str, member: int) -> Pending:
        """Give a member to an executor."""
        return executor.submit(make_by_exchange, self.url, self.folder.name, sha256, member)

    def call_off(self) -> None:
        """Take the job away, which stops those that are at work on it."""
        files, place = reached(self.url)
        if files.exists(f"{place}/{JOB}"):
            files.rm_file(f"{place}/{JOB}")

    def bring_home(self, member: int) -> None:
        """Fetch what was made of a member, check it, and put it where it belongs; raises AuditError for damage."""
        files, place = reached(self.url)
        work = self.folder / WORK / f"{self.job.kind}-{member:03d}"
        work.mkdir(parents=True, exist_ok=True)
        fetch = partial(_fetch, files, place)
        fetch(path := record_file(work, self.job.kind, member))
        record = read_record(work, self.job.kind, member, self.job.fingerprints[0])
        for output, sha256 in reversed(_made(work, self.job.kind, record)):
            if sha256 is not None:
                fetch(output)
                check_sha256(output, sha256, remedy=REMEDY, error=AuditError)
                output.replace(self.folder / output.name)
        path.replace(self.folder / path.name)
        shutil.rmtree(work)


def make_by_exchange(url: str, name: str, sha256: str, member: int) -> None:
    """Make one model of the job at a URL, in a folder of this machine's own that is removed: what an executor is given.

    `name` is that of the job's folder. It stops where it is, within seconds, when the job is taken away.
    """
    files, place = reached(url)
    with tempfile.TemporaryDirectory(prefix="obliviate-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        for path in files.ls(place, detail=False):
            if (file := Path(path).name).startswith("samples-") or file == JOB:
                files.get_file(path, str(folder / file))
        with _stopped_with(files, f"{place}/{JOB}", folder / JOB):
            make_elsewhere(str(folder), sha256, member)
        job, _ = Job.read(folder, sha256)
        record = read_record(folder, job.kind, member, job.fingerprints[0])
        for output, digest in reversed(_made(folder, job.kind, record)):
            if digest is not None:
                files.put_file(str(output), f"{place}/{output.name}")
        done = record_file(folder, job.kind, member)
        files.put_file(str(done), f"{place}/{done.name}")  # last: whoever sees it finds the others


def _made(folder: Path, kind: str, record: ModelRecord) -> list[tuple[Path, str | None]]:
    """The files of a model besides its record, each with its hash, None for one that was not kept."""
    return [
        (logits_file(folder, kind, record.member), record.logits_sha256),
        (weights_file(folder, kind, record.member), record.weights_sha256),
    ]


def _fetch(files: Any, place: str, path: Path) -> None:
    files.get_file(f"{place}/{path.name}", str(path))


@contextmanager
def _stopped_with(files: Any, wanted: str, local: Path) -> Iterator[None]:
    """Take the local copy of a job away when it is no longer wanted."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK):
            if not files.exists(wanted):
                local.unlink(missing_ok=True)
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
