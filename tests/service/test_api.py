"""The API: who may call what, and what is answered."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from obliviate.project import Project
from obliviate.project.webhooks import INCOMING, Secret
from obliviate.service.app import create_app
from service_support import NAMES, bearing

V1 = "/api/v1"
READ, SUBMIT, ADMIN = ("read", "admin"), ("submit", "admin"), ("admin",)
ANYBODY = ("none", "unknown", "revoked", "read", "submit", "admin")
MATRIX: dict[tuple[str, str], tuple[tuple[str, ...], int, dict[str, Any]]] = {
    ("GET", f"{V1}/requests"): (READ, 200, {}),
    ("POST", f"{V1}/requests"): (SUBMIT, 201, {"json": {"ids": ["id-5"]}}),
    ("GET", f"{V1}/requests/{{number}}"): (READ, 200, {}),
    ("GET", f"{V1}/requests/{{number}}/certificate"): (READ, 404, {}),
    ("GET", f"{V1}/requests/{{number}}/report"): (READ, 404, {}),
    ("GET", f"{V1}/due"): (READ, 200, {}),
    ("GET", f"{V1}/status"): (READ, 200, {}),
    ("GET", f"{V1}/serving"): (READ, 200, {}),
    ("GET", f"{V1}/integrity"): (READ, 200, {}),
    ("GET", f"{V1}/metrics"): (READ, 200, {}),
    ("POST", f"{V1}/retry"): (ADMIN, 200, {}),
    ("GET", f"{V1}/tokens"): (ADMIN, 200, {}),
    ("DELETE", f"{V1}/tokens/{{name}}"): (ADMIN, 200, {}),
    ("POST", f"{V1}/webhooks/requests"): ((), 0, {"json": {"type": "request.created", "data": {"ids": ["id-5"]}}}),
    ("GET", "/health"): (ANYBODY, 200, {}),
}
"""Of every route: who may call it, what then is answered, and what is sent. Whoever may not is refused."""


@pytest.mark.parametrize("route", MATRIX, ids=" ".join)
def test_every_route_is_open_to_whom_the_matrix_says(
    client: TestClient, tokens: dict[str, str], route: tuple[str, str]
) -> None:
    (method, path), (allowed, success, sent) = route, MATRIX[route]
    for caller in ANYBODY:
        answer = client.request(method, path.format(number=1, name="read"), headers=bearing(tokens[caller]), **sent)
        if caller in allowed:
            # The second who submits the same is given the request of the first.
            assert answer.status_code in {success, 200 if success == 201 else success}, caller
        else:
            signed_in = caller in {"read", "submit", "admin"} and allowed
            assert answer.status_code == (403 if signed_in else 401), caller
            assert set(answer.json()) == {"detail"}
            assert answer.json()["detail"].startswith("expected a ")


def test_the_matrix_has_every_route_of_the_description(client: TestClient) -> None:
    paths = client.get(f"{V1}/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(MATRIX)


def test_a_token_that_is_revoked_opens_nothing_from_the_next_call_on(
    client: TestClient, tokens: dict[str, str]
) -> None:
    assert client.get(f"{V1}/status", headers=bearing(tokens["read"])).status_code == 200
    assert client.delete(f"{V1}/tokens/read", headers=bearing(tokens["admin"])).json()["revoked"] is not None
    assert client.get(f"{V1}/status", headers=bearing(tokens["read"])).status_code == 401
    assert client.delete(f"{V1}/tokens/read", headers=bearing(tokens["admin"])).status_code == 404


def test_a_request_is_entered_once_however_often_it_is_sent(client: TestClient, tokens: dict[str, str]) -> None:
    headers = bearing(tokens["submit"]) | {"idempotency-key": "ticket-17"}
    first = client.post(f"{V1}/requests", json={"ids": ["id-7", "nobody"], "unknown": "skip"}, headers=headers)
    assert (first.status_code, first.json()) == (
        201,
        {
            "request": 5, "state": "pending", "new": True, "forgotten": False,
            "counts": {"asked": 2, "found": 1, "unknown": 1},
        },
    )  # fmt: skip
    again = client.post(f"{V1}/requests", json={"ids": ["id-7", "nobody"], "unknown": "skip"}, headers=headers)
    assert (again.status_code, again.json()["request"], again.json()["new"]) == (200, 5, False)
    other = client.post(f"{V1}/requests", json={"ids": ["id-8"]}, headers=headers)
    assert other.status_code == 409
    assert "choose another key" in other.json()["detail"]


def test_what_is_forgotten_already_is_answered_with_the_request_that_did_it(
    client: TestClient, tokens: dict[str, str]
) -> None:
    answer = client.post(
        f"{V1}/requests", json={"ids": ["id-1"]}, headers=bearing(tokens["submit"]) | {"idempotency-key": "2"}
    )
    assert (answer.status_code, answer.json()["request"], answer.json()["forgotten"]) == (200, 1, True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": ["id-1"], "owners": ["ann"]},
        {"rule": "@/etc/passwd"},
        {"rule": "owner:@/etc/passwd"},
        {"ids": ["id-1"], "file": "x"},
        {"ids": ["nobody"]},
        {"owners": ["eve"]},
        {"ids": [3]},
        {"ids": ["\ud800"]},
        [],
        None,
    ],
    ids=str,
)
def test_what_is_not_as_described_is_refused_and_nothing_is_entered(
    client: TestClient, project: Project, tokens: dict[str, str], body: Any
) -> None:
    before = project.ledger.head
    headers = bearing(tokens["submit"]) | {"content-type": "application/json"}
    answer = client.post(f"{V1}/requests", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("expected ")
    assert project.ledger.head == before


def test_names_are_never_taken_for_names_of_files(client: TestClient, tokens: dict[str, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("id-9\n", encoding="utf-8")
    for kind in ("ids", "owners"):
        for name in (f"@{secret}", "@../obliviate.toml", "owner:ann"):
            answer = client.post(f"{V1}/requests", json={kind: [name]}, headers=bearing(tokens["submit"]))
            assert answer.status_code == 422
            assert "id-9" not in answer.text


def test_requests_come_in_pages_of_which_none_is_missed(client: TestClient, tokens: dict[str, str]) -> None:
    headers, numbers, before = bearing(tokens["read"]), list[int](), None
    while True:
        query = {"limit": 3} | ({} if before is None else {"before": before})
        page = client.get(f"{V1}/requests", params=query, headers=headers).json()
        numbers += [entry["number"] for entry in page["requests"]]
        before = page["next"]
        if before is None:
            break
    assert numbers == [4, 3, 2, 1]
    failed = client.get(f"{V1}/requests", params={"state": "failed"}, headers=headers).json()
    assert [entry["number"] for entry in failed["requests"]] == [2]
    for query in ({"limit": 0}, {"limit": 201}, {"before": 0}, {"state": "lost"}, {"limit": "x"}):
        assert client.get(f"{V1}/requests", params=query, headers=headers).status_code == 422


def test_a_request_is_shown_with_its_history(client: TestClient, tokens: dict[str, str]) -> None:
    shown = client.get(f"{V1}/requests/2", headers=bearing(tokens["read"])).json()
    assert (shown["state"], shown["reason"], shown["certificate"], shown["report"]) == (
        "failed", "DataError", False, False
    )  # fmt: skip
    assert [step["kind"] for step in shown["history"]] == ["submitted", "started", "failed"]
    assert client.get(f"{V1}/requests/5", headers=bearing(tokens["read"])).status_code == 404


def test_what_failed_is_tried_again_by_an_administrator(client: TestClient, tokens: dict[str, str]) -> None:
    assert client.post(f"{V1}/retry", headers=bearing(tokens["admin"])).json() == {"requests": [2]}
    assert client.post(f"{V1}/retry", headers=bearing(tokens["admin"])).json() == {"requests": []}


def test_what_serves_is_told_with_what_served(client: TestClient, tokens: dict[str, str]) -> None:
    serving = client.get(f"{V1}/serving", headers=bearing(tokens["read"])).json()
    assert serving["served"]["model"] == "1-amun"
    assert [model["model"] for model in serving["before"]] == ["original"]
    assert serving["unserved"] == []


def test_a_changed_ledger_is_told_without_places_of_the_machine(
    client: TestClient, project: Project, tokens: dict[str, str]
) -> None:
    import sqlite3

    with sqlite3.connect(project.ledger_file) as connection:
        connection.execute("UPDATE requests SET due = due + 1 WHERE number = 4")
    connection.close()
    answer = client.get(f"{V1}/integrity", headers=bearing(tokens["read"])).json()
    assert answer["intact"] is False
    assert answer["problem"].startswith("expected ")
    assert str(project.folder) not in answer["problem"]


def test_figures_for_monitors_say_how_many_requests_and_calls_there_are(
    client: TestClient, tokens: dict[str, str]
) -> None:
    client.get(f"{V1}/requests/99", headers=bearing(tokens["read"]))
    text = client.get(f"{V1}/metrics", headers=bearing(tokens["read"])).text
    assert 'obliviate_requests{state="pending"} 1' in text
    assert f'obliviate_calls_total{{method="GET",route="{V1}/requests/{{number}}",status="404"}} 1' in text


def test_no_answer_names_anybody(client: TestClient, tokens: dict[str, str]) -> None:
    client.post(f"{V1}/requests", json={"owners": ["ann"]}, headers=bearing(tokens["admin"]))
    for (method, path), (_, _, _) in MATRIX.items():
        if method == "GET":
            text = client.get(path.format(number=4), headers=bearing(tokens["admin"])).text
            assert not any(f'"{name}"' in text for name in NAMES)


# ------------------------------------------------------------------------------------------- webhooks

Send = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def send(client: TestClient, project: Project) -> Send:
    """Send a signed message; what is signed, when and by which secret may be another."""
    right = Secret.create(project.keys / INCOMING)

    def call(
        body: bytes, *, id_: str = "msg-1", age: float = 0, secret: Secret = right, sent: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = secret.sign(id_, body, at=time.time() - age)
        answer = client.post(f"{V1}/webhooks/requests", content=body if sent is None else sent, headers=headers)
        return answer.status_code, answer.json()

    return call


NOTICE = json.dumps({"type": "request.created", "data": {"owners": ["ann"]}}).encode()


def test_a_platform_files_a_request_that_may_come_twice(send: Send, project: Project) -> None:
    status, receipt = send(NOTICE)
    assert (status, receipt["request"], receipt["new"]) == (201, 5, True)
    assert send(NOTICE)[0] == 200
    assert send(json.dumps({"type": "request.created", "data": {"ids": ["id-9"]}}).encode())[0] == 409
    assert project.ledger.totals["pending"] == 2


def test_a_message_that_is_not_signed_by_the_secret_is_refused(send: Send, project: Project) -> None:
    before = project.ledger.head
    assert send(NOTICE, secret=Secret(bytes(32)))[0] == 401
    assert send(NOTICE, sent=NOTICE.replace(b"ann", b"bob"))[0] == 401
    assert send(NOTICE, age=301)[0] == 401
    assert send(NOTICE, age=-301)[0] == 401
    assert project.ledger.head == before


def test_without_a_secret_no_message_is_taken(client: TestClient, project: Project) -> None:
    assert not (project.keys / INCOMING).exists()
    headers = Secret(bytes(32)).sign("msg-1", NOTICE, at=time.time())
    assert client.post(f"{V1}/webhooks/requests", content=NOTICE, headers=headers).status_code == 401


def test_a_signed_message_that_is_not_as_described_is_refused(send: Send) -> None:
    for body in (b"", b"{", b"[]", b'{"type": "request.deleted", "data": {"ids": ["id-9"]}}', base64.b64decode("//8=")):
        status, answer = send(body)
        assert status == 422
        assert answer["detail"].startswith("expected what the OpenAPI description says")


def test_guessing_of_tokens_and_signatures_is_slowed_down(project: Project, tokens: dict[str, str]) -> None:
    client = TestClient(create_app(project.folder))
    statuses = [client.get(f"{V1}/status").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert client.get(f"{V1}/status", headers=bearing(tokens["read"])).status_code == 200
