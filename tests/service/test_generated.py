"""Calls that are made of the OpenAPI description: whatever is sent, the answer is one of those described."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from obliviate.project.webhooks import INCOMING, Secret
from obliviate.service.app import create_app
from service_support import bearing, begin, in_all_states, make_tokens


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    project = begin(tmp_path_factory.mktemp("generated") / "project")
    in_all_states(project)
    Secret.create(project.keys / INCOMING)
    return create_app(project.folder), make_tokens(project)


def try_out(app: tuple[Any, dict[str, str]], calls: int) -> int:
    """Make calls of the description, as many of every route as make up so many; returns how many were made."""
    from schemathesis import openapi  # a second, for which no process that only collects tests need wait

    service, tokens = app
    schema = openapi.from_asgi("/api/v1/openapi.json", service)
    operations = [result.ok() for result in list[Any](schema.get_all_operations())]
    tried = 0
    for operation in operations:
        # Who revokes tokens would end by revoking itself.
        headers = bearing(tokens["submit" if operation.path == "/api/v1/tokens/{name}" else "admin"])
        tried += try_route(operation, headers, -(-calls // len(operations)))
    return tried


def try_route(operation: Any, headers: dict[str, str], calls: int) -> int:
    """Make calls of one route, some as described and some not; returns how many were made."""
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    tried = 0

    @settings(
        max_examples=calls, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    def is_answered_as_described(case: Any) -> None:
        nonlocal tried
        tried += 1
        checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
        case.call_and_validate(headers=headers, checks=checks)

    is_answered_as_described()
    return tried


def test_a_few_hundred_calls_are_answered_as_described(app: tuple[Any, dict[str, str]]) -> None:
    assert try_out(app, 300) >= 200


@pytest.mark.slow
def test_ten_thousand_calls_are_answered_as_described(app: tuple[Any, dict[str, str]]) -> None:
    assert try_out(app, 12_000) >= 10_000


PATHS = st.text(st.characters(codec="utf-8"), max_size=30).map(lambda text: "/" + text.lstrip("/"))
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])


@settings(max_examples=100)
@given(
    method=METHODS,
    path=st.one_of(PATHS, st.sampled_from(["/", "/submit", "/signin", "/retry", "/requests/1", "/parts/overview"])),
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(
            ["cookie", "authorization", "content-type", "hx-request", "sec-fetch-site", "content-encoding"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
        max_size=3,
    ),
    query=st.text(st.characters(codec="ascii", min_codepoint=33), max_size=30),
)
def test_whatever_a_browser_or_a_stranger_sends_is_answered(
    app: tuple[Any, dict[str, str]], method: str, path: str, body: bytes, headers: dict[str, str], query: str
) -> None:
    client = TestClient(app[0], follow_redirects=False)
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = client.request(method, quote(path), params=query, content=body, headers=raw)
    assert answer.status_code < 500
    assert "Traceback" not in answer.text


def test_the_description_can_be_had_by_anybody_and_is_of_this_version(app: tuple[Any, dict[str, str]]) -> None:
    from obliviate import __version__

    description = TestClient(app[0]).get("/api/v1/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert description["info"]["version"] == __version__
    assert Path(description["paths"].popitem()[0]).is_absolute()
