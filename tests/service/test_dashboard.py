"""The dashboard without a browser: who sees what, forms that must be ours, and nobody's name."""

import re

import pytest
from starlette.testclient import TestClient

from obliviate.certificate import SigningKey
from obliviate.project import Project
from obliviate.service.dashboard import STOP_POLLING, router
from obliviate.service.sessions import COOKIE
from service_support import NAMES

PAGES = {
    "/": "read", "/parts/overview": "read", "/requests/1": "read", "/parts/requests/1": "read", "/serving": "read",
    "/integrity": "read", "/parts/integrity": "read", "/requests/1/certificate": "read", "/requests/1/report": "read",
    "/requests/1/certificate.json": "read", "/submit": "submit",
}  # fmt: skip
FORMS = {"/submit": "submit", "/retry": "admin"}
MISSING = {"/requests/1/certificate", "/requests/1/report", "/requests/1/certificate.json"}
CALLERS = ("none", "unknown", "revoked", "read", "submit", "admin")


def sign_in(client: TestClient, token: str) -> None:
    client.cookies.clear()
    client.post("/signin", data={"token": token})


def csrf(client: TestClient) -> str:
    match = re.search(r'name="csrf" value="(\w+)"', client.get("/submit").text + client.get("/").text)
    return match[1] if match else ""


@pytest.mark.parametrize("caller", CALLERS)
def test_every_page_is_open_to_whom_it_is_for(client: TestClient, tokens: dict[str, str], caller: str) -> None:
    sign_in(client, tokens[caller])
    for path, scope in PAGES.items():
        status = client.get(path).status_code
        if caller not in {"read", "submit", "admin"}:
            assert status == 303, path
        elif caller in {scope, "admin"}:
            assert status == (404 if path in MISSING else STOP_POLLING if path == "/parts/requests/1" else 200), path
        else:
            assert status == 403, path


@pytest.mark.parametrize("caller", CALLERS)
def test_every_form_is_taken_from_whom_it_is_for(client: TestClient, tokens: dict[str, str], caller: str) -> None:
    sign_in(client, tokens[caller])
    form = {"csrf": csrf(client), "kind": "ids", "what": "id-9"}
    for path, scope in FORMS.items():
        status = client.post(path, data=form).status_code
        if caller not in {"read", "submit", "admin"}:
            assert status == 303, path
        else:
            assert status == ((201 if path == "/submit" else 303) if caller in {scope, "admin"} else 403), path


def test_the_tables_have_every_page_and_form(client: TestClient) -> None:
    expected = {path.replace("/1", "/{number}") for path in PAGES} | {"/signin", "/static/{name}"}
    routes = [(route.path, route.methods) for route in router.routes]  # pyright: ignore[reportAttributeAccessIssue]
    assert {path for path, methods in routes if "GET" in methods} == expected
    assert {path for path, methods in routes if "POST" in methods} == {*FORMS, "/signin", "/signout"}


def test_a_session_ends_with_its_token(client: TestClient, project: Project, tokens: dict[str, str]) -> None:
    from obliviate.service.tokens import Tokens

    sign_in(client, tokens["read"])
    assert client.get("/").status_code == 200
    Tokens(project.keys).revoke("read")
    assert client.get("/").status_code == 303
    answer = client.get("/parts/overview", headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/signin")


def test_a_form_that_is_not_of_this_session_is_refused(
    client: TestClient, project: Project, tokens: dict[str, str]
) -> None:
    sign_in(client, tokens["read"])
    others = csrf(client)
    sign_in(client, tokens["admin"])
    before = project.ledger.head
    for value in ("", others, "0" * 64, "ä"):
        for path in (*FORMS, "/signout"):
            answer = client.post(path, data={"csrf": value, "kind": "ids", "what": "id-9"})
            assert answer.status_code == 403, (path, value)
    mine = {"csrf": csrf(client), "kind": "ids", "what": "id-9", "token": tokens["admin"]}
    for path in (*FORMS, "/signout", "/signin"):
        for site in ("cross-site", "same-site", "none"):
            assert client.post(path, data=mine, headers={"sec-fetch-site": site}).status_code == 403, (path, site)
    assert project.ledger.head == before


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient, tokens: dict[str, str]) -> None:
    for base, secure in (("http://testserver", False), ("https://testserver", True)):
        answer = client.post(f"{base}/signin", data={"token": tokens["read"]})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert ("secure" in cookie) is secure
        assert tokens["read"] not in cookie
    assert client.post("/signin", data={"token": "x"}).status_code == 422
    sign_in(client, tokens["read"])
    assert client.post("/signout", data={"csrf": csrf(client)}).status_code == 303
    assert COOKIE not in client.cookies


def test_what_was_typed_is_on_no_page(client: TestClient, tokens: dict[str, str]) -> None:
    sign_in(client, tokens["admin"])
    for what in ("ann\neve", "ann"):
        answer = client.post("/submit", data={"csrf": csrf(client), "kind": "owners", "what": what})
        assert answer.status_code == (422 if "eve" in what else 201)
        assert not re.search(rf"\b({'|'.join(NAMES)})\b", answer.text)
    assert "Entered as request 5" in answer.text
    for path in ("/", "/requests/5"):
        assert not re.search(rf"\b({'|'.join(NAMES)})\b", client.get(path).text)


@pytest.mark.parametrize(
    "form", [{}, {"kind": "file"}, {"kind": "rule", "what": "owner:@/etc/passwd"}, {"kind": "ids"}]
)
def test_a_form_that_asks_for_nothing_is_refused(
    client: TestClient, tokens: dict[str, str], form: dict[str, str]
) -> None:
    sign_in(client, tokens["submit"])
    answer = client.post("/submit", data={"csrf": csrf(client)} | form)
    assert answer.status_code == 422
    assert "Nothing was entered" in answer.text


def test_a_certificate_is_shown_only_as_it_was_signed(
    client: TestClient, project: Project, tokens: dict[str, str]
) -> None:
    from obliviate.certificate import issue
    from obliviate.certificate.statement import Asked, Judgement, Position, State, Statement

    state = State("1" * 64, "2" * 64, 3, "4" * 64, {"obliviate": "0"})
    statement = Statement(
        file="m.safetensors", file_sha256="5" * 64, request=Asked(1, "ids", "2026", [], [], {}),
        method="Retrain()", before=state, after=state,
        judgement=Judgement("leaks", "It leaks.", False, None, None, (), (), None),
        ledger=Position(1, "6" * 64, "2026"), tried=(),
    )  # fmt: skip
    path = project.certificate(1)
    issue(path, statement, SigningKey.read(project.keys))
    sign_in(client, tokens["read"])
    answer = client.get("/requests/1/certificate")
    assert answer.status_code == 200
    assert "It leaks." in answer.text
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert client.get("/requests/1/certificate.json").content == path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"sig"', b'"gis"'))
    assert client.get("/requests/1/certificate").status_code == 503
