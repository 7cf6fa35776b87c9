"""The files that the service is deployed by name what is there, and commands that are taken."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from obliviate.cli import app
from obliviate.project import Config

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [line.split(" ", 1) for line in DOCKERFILE.splitlines() if re.match("[A-Z]+ ", line)]


def test_what_the_image_is_made_of_is_there_and_is_sent_to_the_build() -> None:
    copied = [word for kind, rest in STEPS if kind == "COPY" for word in rest.split()[:-1]]
    assert {"src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} == set(copied)
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert sent[0] == "*"
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in sent


def test_the_image_runs_as_a_user_without_rights() -> None:
    kinds = [kind for kind, _ in STEPS]
    assert kinds[0] == "FROM"
    assert kinds.index("USER") > max(place for place, kind in enumerate(kinds) if kind == "RUN")
    assert dict(STEPS)["USER"] == "obliviate"


def test_the_extras_that_are_installed_are_ours() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (named,) = re.findall(r'"\.\[(.*?)\]"', DOCKERFILE)
    assert set(named.split(",")) <= set(extras)


@pytest.mark.parametrize(
    "command",
    [json.loads(dict(STEPS)["CMD"]), *(COMPOSE["services"][name]["command"] for name in ("service", "worker"))],
    ids=" ".join,
)
def test_every_command_has_the_options_that_it_is_given(command: list[str]) -> None:
    function, bound, _ = app.parse_args(command, print_error=False, exit_on_error=False)
    assert function.__name__ == command[0]
    assert set(bound.arguments) <= {"host", "port", "forever"}


def test_what_a_container_refers_to_is_defined() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"], name
        assert service.get("build") == "." or re.fullmatch(r"\w+:\d+[\w.-]*", service["image"]), name
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:"), name
        for secret in re.findall(r"/run/secrets/(\w+)", str(service.get("environment", {}))):
            assert secret in service["secrets"], name


def test_the_ledger_that_the_page_names_is_the_one_of_the_containers() -> None:
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    (url,) = re.findall(r'url = "(postgresql://\S+)"', page)
    assert Config.parse(f'[data]\nsource = "digits"\n[ledger]\nurl = "{url}"').url == url
    ledger = COMPOSE["services"]["ledger"]["environment"]
    assert url == f"postgresql://{ledger['POSTGRES_USER']}@ledger/{ledger['POSTGRES_DB']}"
