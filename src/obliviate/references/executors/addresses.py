"""Addresses of clusters: whether anybody answers there is known in seconds, where engines try for minutes."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit

from obliviate.errors import AuditError

PATIENCE: Final = 5.0  # seconds


def is_loopback(address: str) -> bool:
    """Whether an address, HOST:PORT or SCHEME://HOST:PORT, is of this machine alone.

    >>> is_loopback("127.0.0.1:6379"), is_loopback("ray://head:10001")
    (True, False)
    """
    return _parts(address)[0] in {"127.0.0.1", "::1", "localhost"}


def check_reachable(address: str, *, engine: str) -> None:
    """Refuse an address, HOST:PORT or SCHEME://HOST:PORT, at which nobody answers; raises AuditError.

    >>> import socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     check_reachable(f"tcp://127.0.0.1:{server.getsockname()[1]}", engine="dask")
    """
    host, port = _parts(address)
    if not host or not port:
        raise AuditError(f"expected an address HOST:PORT of {engine}, got {address!r}; correct it")
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        raise AuditError(
            f"expected {engine} at {address}, got no answer ({error.strerror or error}); start it there, or "
            "correct the address"
        ) from error


def _parts(address: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        return parts.hostname, parts.port
    except ValueError:  # a port that is no number
        return None, None
