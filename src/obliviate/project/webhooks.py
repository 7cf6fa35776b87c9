"""Webhooks: messages between this project and other systems, signed as https://www.standardwebhooks.com says.

A platform for requests of data subjects files requests (`verify`); addresses that `obliviate.toml` names are told what
became of them (`deliver`). The ledger is the list of what is to be told: of every address it is kept up to which entry
it was, so that nothing is lost and nothing is told before it is so. A message may come twice; its id tells.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from obliviate._util.files import LOG, read_sealed_json, write_sealed_json
from obliviate._util.locks import locked
from obliviate.errors import ProjectError, WorkspaceError

if TYPE_CHECKING:
    from obliviate.ledger.chain import Event
    from obliviate.project.project import Project

INCOMING: Final = "webhooks-in.key"
OUTGOING: Final = "webhooks-out.key"
FOLDER: Final = "webhooks"
FORMAT: Final = "obliviate.webhooks/1"
PREFIX: Final = "whsec_"
TOLERANCE: Final = 300  # seconds that a message may be old, or from the future
PATIENCE: Final = 10.0  # seconds in which an address must answer
FIRST_WAIT, LONGEST_WAIT = 10.0, 6 * 3600.0
ENDED: Final = ("done", "failed")

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends a body with headers to an address; returns the status of the answer, or raises OSError."""


@dataclass(frozen=True)
class Secret:
    """What both sides sign by: 32 bytes, written as "whsec_" and base64.

    >>> secret = Secret(bytes(32))
    >>> headers = secret.sign("msg-1", b"{}", at=1000)
    >>> secret.is_signed(b"{}", headers, now=1010), secret.is_signed(b"[]", headers, now=1010)
    (True, False)
    """

    key: bytes = field(repr=False)

    @classmethod
    def create(cls, path: Path) -> Secret:
        """Make a secret that only this user can read, or read the one that is there."""
        if not path.exists():
            text = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() + "\n"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Secret:
        """Read what `create` wrote; raises ProjectError where it is gone, or is no secret."""
        try:
            text = path.read_text(encoding="ascii").strip()
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except OSError as error:
            raise ProjectError(
                f"expected a secret of webhooks in {path}, got {error.strerror}; make it with `obliviate webhooks`"
            ) from error
        except ValueError as error:
            raise ProjectError(f"expected a secret of webhooks in {path}, got another text; restore it") from error
        if not text.startswith(PREFIX) or len(key) != 32:
            raise ProjectError(f"expected {PREFIX} and 32 bytes in base64 in {path}, got another text; restore it")
        return cls(key)

    def __str__(self) -> str:
        """The secret as the other side is given it."""
        return PREFIX + base64.b64encode(self.key).decode()

    def sign(self, id_: str, body: bytes, *, at: float) -> dict[str, str]:
        """The headers that vouch for a message: its id, its time in seconds since 1970, and the signature."""
        moment = str(int(at))
        return {"webhook-id": id_, "webhook-timestamp": moment, "webhook-signature": self._signature(id_, moment, body)}

    def is_signed(self, body: bytes, headers: Mapping[str, str], *, now: float) -> bool:
        """Whether a message is by who has the secret, and not older than five minutes."""
        id_, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not id_ or not (moment.isascii() and moment.isdecimal()) or len(moment) > 12:
            return False
        expected = self._signature(id_, moment, body).encode()
        given = headers.get("webhook-signature", "").split(" ")[:8]  # several while a secret is changed
        fits = [hmac.compare_digest(expected, text.encode("utf-8", "replace")) for text in given]
        return any(fits) and abs(now - int(moment)) <= TOLERANCE

    def _signature(self, id_: str, moment: str, body: bytes) -> str:
        signed = f"{id_}.{moment}.".encode("utf-8", "replace") + body
        return "v1," + base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()


def deliver(project: Project, *, post: Post | None = None, now: Callable[[], float] = time.time) -> int:
    """Tell every address what ended since it was told last; returns how many messages arrived.

    An address that does not answer with 2xx is tried again, after a wait that doubles from ten seconds to six hours,
    and what comes later waits behind what it was not told. Where another process is telling, nothing is done. Raises
    ProjectError without the secret of outgoing webhooks.
    """
    addresses = project.config.notify
    if not addresses:
        return 0
    secret = Secret.read(project.keys / OUTGOING)
    folder = project.folder / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        with locked(folder, patience=0.0):
            return sum(_tell(project, address, secret, post or send, now) for address in addresses)
    except WorkspaceError as error:
        if isinstance(error.__cause__, BlockingIOError):  # another process is telling
            return 0
        raise


def _tell(project: Project, address: str, secret: Secret, post: Post, now: Callable[[], float]) -> int:
    """Tell one address; where it stands is written after every message."""
    path = project.folder / FOLDER / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
    state = {"format": FORMAT, "told": project.ledger.head.events, "attempts": 0, "next": 0.0}
    if path.exists():
        state = read_sealed_json(path, FORMAT, remedy="remove it, and what ends from now on is told")
    else:  # whoever is named from now on is told what ends from now on
        write_sealed_json(path, state)
    if now() < state["next"]:
        return 0
    arrived = 0
    for event in project.ledger.events(after=state["told"]):
        if event.kind not in ENDED or event.request is None:
            continue
        body = json.dumps(message(event), separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **secret.sign(f"{event.sha256[:32]}", body, at=now())}
        try:
            status = post(address, body, headers)
            problem = "" if 200 <= status < 300 else f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            problem = type(error).__name__
        if problem:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(state["attempts"], 20))
            state = state | {"attempts": state["attempts"] + 1, "next": now() + wait}
            write_sealed_json(path, state)
            where = urlsplit(address).netloc  # without the path, which may hold a secret
            LOG.warning("%s was not told of request %d (%s); again in %.0f s", where, event.request, problem, wait)
            return arrived
        arrived += 1
        state = {"format": FORMAT, "told": event.number, "attempts": 0, "next": 0.0}
        write_sealed_json(path, state)
    return arrived


def message(event: Event) -> dict[str, Any]:
    """What is told of a request that ended, without anybody's name."""
    facts = {key: event.facts[key] for key in ("certificate_sha256", "reason", "already") if key in event.facts}
    return {
        "type": f"request.{event.kind}",
        "timestamp": int(event.time),
        "data": {"request": event.request, "entry": event.number, "entry_sha256": event.sha256, **facts},
    }


def send(address: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Send a message over HTTPS, or HTTP on this machine; redirects are not followed. Returns the answer's status."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=PATIENCE, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body=body, headers=dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()
