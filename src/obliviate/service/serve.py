"""The service as a process: where it listens, and a worker beside it."""

from __future__ import annotations

import ipaddress
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from obliviate._util.files import LOG
from obliviate.errors import ProjectError
from obliviate.project import Project
from obliviate.service.tokens import Tokens

PATIENCE = 30.0  # seconds in which a worker that is stopped ends


def check(folder: Path, host: str, port: int) -> int:
    """Refuse what cannot be served, before anything is begun; returns how many tokens open the service.

    Raises ProjectError where the packages of the extra are missing, for a port that is none, and for an address that
    others reach while there is no token.
    """
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ProjectError(
            f"expected the packages of the service, got none of {', '.join(missing)}; pip install 'obliviate[service]'"
        )
    if not 0 <= port < 2**16:
        raise ProjectError(f"expected a port of 0 to 65,535, got {port}; choose another --port")
    tokens = len(Tokens(Project.open(folder).keys).usable)
    if not tokens and not is_loopback(host):
        raise ProjectError(
            f"expected a token before others can reach the service at {host!r:.80}, got none; make one with "
            "`obliviate tokens --create NAME --scope read`, or leave out --host"
        )
    return tokens


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; a name is taken for one that others reach.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(folder: Path, *, host: str = "127.0.0.1", port: int = 8000, with_worker: bool = False) -> None:
    """Serve a project until interrupted; `with_worker` has a worker run beside it, which ends with it.

    Raises ProjectError and LedgerError for what cannot be served.
    """
    check(folder, host, port)
    import uvicorn

    from obliviate.service.app import create_app

    app = create_app(folder)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30,
        limit_concurrency=200, h11_max_incomplete_event_size=64 * 1024, forwarded_allow_ips="127.0.0.1",
    )  # fmt: skip
    # uvicorn ends by the signal that it was sent; what is left to do here is done before that.
    signal.signal(signal.SIGTERM, _end)
    # The worker is ended by an interrupt, which a background shell makes its children ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _worker(folder) if with_worker else nullcontext():
        uvicorn.Server(config).run()


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _worker(folder: Path) -> Iterator[None]:
    """A worker in a process of its own, so that torch is not in this one; it is interrupted in the end."""
    command = [sys.executable, "-m", "obliviate", "work", "--forever", "--project", str(folder)]
    process = subprocess.Popen(command)  # noqa: S603 - this very program
    try:
        yield
    finally:
        if process.poll() is not None:
            LOG.warning("the worker had ended with exit code %d; see what it wrote", process.returncode)
        process.send_signal(signal.SIGINT)  # by which it gives its batch back
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
