"""Webhooks: what ended is told once it is so, signed, in order, again and again until it has arrived."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from obliviate._util.locks import locked
from obliviate.errors import ProjectError
from obliviate.ledger import Outcome
from obliviate.project import Project, webhooks
from obliviate.project.webhooks import OUTGOING, Secret, deliver, send
from service_support import begin

ADDRESS = "https://privacy.example.org/hook"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = begin(tmp_path / "project", more=f'[service]\nnotify = ["{ADDRESS}"]\n')
    Secret.create(project.keys / OUTGOING)
    return project


class Platform:
    """Takes messages, checks them, and answers with a status that tests choose."""

    def __init__(self, project: Project) -> None:
        self.secret, self.now = Secret.read(project.keys / OUTGOING), 1_000_000.0
        self.status, self.calls = 204, 0
        self.messages: list[dict[str, object]] = []
        self.ids: list[str] = []

    def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert address == ADDRESS
        assert self.secret.is_signed(body, headers, now=self.now)
        self.calls += 1
        if self.status == 0:
            raise TimeoutError
        if self.status < 300:
            self.messages.append(json.loads(body))
            self.ids.append(headers["webhook-id"])
        return self.status

    def deliver(self, project: Project) -> int:
        return deliver(project, post=self.post, now=lambda: self.now)


def end(project: Project, name: str, outcome: Outcome) -> None:
    project.submit([name])
    lease = project.ledger.claim()
    assert lease is not None
    project.ledger.finish(lease, {lease.requests[0].number: outcome})


def test_what_ends_is_told_in_order_and_once(project: Project) -> None:
    platform = Platform(project)
    end(project, "id-1", Outcome("done"))
    assert platform.deliver(project) == 0  # it ended before the address was first seen
    end(project, "id-2", Outcome("done", {"certificate_sha256": "a" * 64}))
    end(project, "id-3", Outcome("failed", {"reason": "DataError"}))
    project.submit(["id-4"])
    assert platform.deliver(project) == 2
    assert platform.deliver(project) == 0
    assert [message["type"] for message in platform.messages] == ["request.done", "request.failed"]
    data = platform.messages[0]["data"]
    assert isinstance(data, dict)
    assert (data["request"], data["certificate_sha256"]) == (2, "a" * 64)
    assert len(set(platform.ids)) == 2
    assert "id-" not in json.dumps(platform.messages)


@pytest.mark.parametrize("status", [0, 301, 404, 500])
def test_what_does_not_arrive_is_sent_again_after_a_longer_and_longer_wait(project: Project, status: int) -> None:
    platform = Platform(project)
    platform.deliver(project)
    end(project, "id-1", Outcome("done"))
    end(project, "id-2", Outcome("done"))
    platform.status = status
    for attempt in range(14):
        wait = min(10.0 * 2**attempt, 6 * 3600.0)
        assert platform.deliver(project) == 0
        assert platform.calls == attempt + 1
        platform.now += wait - 1
        platform.deliver(project)
        assert platform.calls == attempt + 1
        platform.now += 1
    assert platform.messages == []
    platform.status = 200
    assert platform.deliver(project) == 2
    assert [message["data"]["request"] for message in platform.messages] == [1, 2]  # pyright: ignore[reportIndexIssue]


def test_while_another_process_tells_nothing_is_told_twice(project: Project) -> None:
    platform = Platform(project)
    platform.deliver(project)
    end(project, "id-1", Outcome("done"))
    with locked(project.folder / "webhooks"):
        assert platform.deliver(project) == 0
    assert platform.deliver(project) == 1


def test_without_a_secret_or_an_address_nothing_is_told(project: Project, tmp_path: Path) -> None:
    (project.keys / OUTGOING).unlink()
    with pytest.raises(ProjectError, match="make it with `obliviate webhooks`"):
        deliver(project)
    silent = begin(tmp_path / "silent", more="")
    assert deliver(silent) == 0
    assert not (silent.folder / webhooks.FOLDER).exists()


def test_a_secret_is_the_users_alone_and_refused_where_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    secret = Secret.create(path)
    assert path.stat().st_mode & 0o077 == 0
    assert Secret.create(path) == secret
    assert str(secret) not in repr(secret)
    for text in ("", "whsec_", "whsec_AAAA", "AAAA", "whsec_ä"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ProjectError, match="restore it"):
            Secret.read(path)


def test_a_signature_is_of_the_id_the_time_and_the_body(tmp_path: Path) -> None:
    secret = Secret(bytes(range(32)))
    headers = secret.sign("msg-1", b"body", at=1000.7)
    assert secret.is_signed(b"body", headers, now=1300)
    for name, value in (("webhook-id", "msg-2"), ("webhook-timestamp", "1001"), ("webhook-signature", "v1,AAAA")):
        assert not secret.is_signed(b"body", headers | {name: value}, now=1000)
        assert not secret.is_signed(b"body", {key: text for key, text in headers.items() if key != name}, now=1000)
    assert not secret.is_signed(b"body", headers, now=1301)
    several = headers | {"webhook-signature": "v1,AAAA " + headers["webhook-signature"]}
    assert secret.is_signed(b"body", several, now=1000)
    # By the definition, https://www.standardwebhooks.com.
    digest = hmac.new(bytes(range(32)), b"msg-1.1000.body", hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_a_message_arrives_as_it_was_signed_and_redirects_are_not_followed() -> None:
    arrived: list[tuple[str, bytes]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert send(f"http://127.0.0.1:{server.server_port}/hook?a=b", b"{}", {"x": "y"}) == 302
        server.shutdown()
        thread.join()
    assert arrived == [("/hook?a=b", b"{}")]
    with pytest.raises(OSError, match="refused"):
        send(f"http://127.0.0.1:{server.server_port}/", b"", {})
