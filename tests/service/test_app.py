"""What surrounds every call: limits, headers, errors, and several services of one project."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from obliviate.errors import LedgerError, ProjectError
from obliviate.project import Project
from obliviate.service.app import create_app
from service_support import bearing, begin, make_tokens, running

TRAVERSALS = (
    "../keys/signing.pem", "..%2f..%2fkeys%2fsigning.pem", "%2e%2e/%2e%2e/obliviate.toml", "....//keys", "/etc/passwd",
    "..\\keys", "%00", "1%00", "1/../../keys", "٣", "1e3", "-1", "0", "99999999999999999999999", "%ff%fe",
)  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [
        "/static/{}", "/requests/{}", "/requests/{}/certificate", "/requests/{}/certificate.json",
        "/requests/{}/report", "/parts/requests/{}", "/api/v1/requests/{}", "/api/v1/requests/{}/certificate",
        "/api/v1/requests/{}/report", "/{}",
    ],
)  # fmt: skip
def test_no_name_in_a_path_leads_to_a_file(
    client: TestClient, project: Project, tokens: dict[str, str], place: str
) -> None:
    client.post("/signin", data={"token": tokens["admin"]})
    for name in TRAVERSALS:
        answer = client.get(place.format(name), headers=bearing(tokens["admin"]))
        assert answer.status_code in {400, 404, 422}, name
        for secret in ("PRIVATE KEY", "[data]", str(project.folder)):
            assert secret not in answer.text, name


@pytest.mark.parametrize("path", ["/api/v1/requests", "/api/v1/webhooks/requests", "/signin", "/submit", "/nowhere"])
def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(
    client: TestClient, tokens: dict[str, str], path: str
) -> None:
    headers = bearing(tokens["admin"])
    assert client.post(path, content=b"x" * 4097, headers=headers).status_code == 413
    assert client.post(path, content=iter([b"x" * 4000] * 3), headers=headers).status_code == 413
    for length in ("999999999999999999999999", "-1", "x"):
        assert client.post(path, content=b"{}", headers=headers | {"content-length": length}).status_code == 413


def test_a_token_calls_no_more_often_than_the_project_says(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", more="[service]\nrate = 5\n")
    texts = make_tokens(project)
    client = TestClient(create_app(project.folder))
    answers = [client.get("/api/v1/status", headers=bearing(texts["read"])) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 13
    assert client.get("/api/v1/status", headers=bearing(texts["admin"])).status_code == 200
    assert [client.get("/health").status_code for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.parametrize("path", ["/", "/signin", "/health", "/api/v1/status", "/static/style.css", "/nowhere"])
def test_every_answer_says_what_browsers_may_do_with_it(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_a_ledger_that_fails_is_told_as_such(client: TestClient, project: Project, tokens: dict[str, str]) -> None:
    project.ledger_file.write_bytes(b"not a database" * 1000)
    answer = client.get("/api/v1/status", headers=bearing(tokens["read"]))
    assert answer.status_code == 503
    assert str(project.folder) not in answer.text
    assert answer.json()["detail"].startswith("expected ")


def test_what_is_no_project_is_refused(tmp_path: Path, project: Project) -> None:
    with pytest.raises(ProjectError, match="expected a project"):
        create_app(tmp_path)
    project.ledger_file.unlink()
    with pytest.raises(LedgerError, match="expected a ledger, got no file"):
        create_app(project.folder)


def test_without_the_key_of_the_pseudonyms_all_but_submitting_goes_on(
    client: TestClient, project: Project, tokens: dict[str, str]
) -> None:
    (project.keys / "pseudonyms.key").unlink()
    headers = bearing(tokens["admin"])
    assert client.get("/api/v1/status", headers=headers).status_code == 200
    answer = client.post("/api/v1/requests", json={"ids": ["id-9"]}, headers=headers)
    assert answer.status_code == 409
    assert "nobody can be found in this ledger any more" in answer.json()["detail"]


def test_the_process_of_the_service_never_imports_torch(project: Project, tokens: dict[str, str]) -> None:
    code = f"""
import sys
from starlette.testclient import TestClient
from obliviate.service.app import create_app
client = TestClient(create_app({str(project.folder)!r}))
headers = {bearing(tokens["admin"])!r}
for path in ("status", "requests", "requests/1", "requests/1/report", "integrity", "serving", "metrics", "due"):
    assert client.get("/api/v1/" + path, headers=headers).status_code in (200, 404)
assert client.post("/api/v1/requests", json={{"rule": "class:3"}}, headers=headers).status_code == 201
client.post("/signin", data={{"token": {tokens["admin"]!r}}})
assert client.get("/").status_code == 200
import obliviate.report.html
assert "torch" not in sys.modules
"""
    code = code.replace(f"create_app({str(project.folder)!r})", f"create_app(Path({str(project.folder)!r}))")
    subprocess.run([sys.executable, "-c", "from pathlib import Path\n" + code], check=True)


def test_two_services_of_one_project_answer_as_one(tmp_path: Path) -> None:
    project = begin(tmp_path / "project")
    texts = make_tokens(project)
    with running(project.folder) as first, running(project.folder) as second:

        def submit(place: int) -> tuple[int, int]:
            answer = (first, second)[place % 2].post(
                "/api/v1/requests",
                json={"ids": [f"id-{1 + place // 4}"]},
                headers=bearing(texts["submit"]) | {"idempotency-key": f"key-{place // 4}"},
            )
            return answer.status_code, answer.json()["request"]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(submit, range(40)))
        assert sorted(status for status, _ in answers) == [200] * 30 + [201] * 10
        assert sorted({number for _, number in answers}) == list(range(1, 11))
        assert first.post("/signin", data={"token": texts["read"]}).status_code == 303
        second.cookies.update(first.cookies)
        assert second.get("/").status_code == 200
        assert first.delete("/api/v1/tokens/read", headers=bearing(texts["admin"])).status_code == 200
        assert second.get("/api/v1/status", headers=bearing(texts["read"])).status_code == 401
        assert second.get("/").status_code == 303
        for path in ("/", "/nowhere", "/api/v1/status"):
            assert not re.search("uvicorn|Traceback", first.get(path).text + str(first.get(path).headers))
    assert project.ledger.verify().requests == 10
