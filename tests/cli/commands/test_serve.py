"""The commands of the service."""

import json
from pathlib import Path

import pytest

from command_line import Cli, refused
from obliviate.project import Project
from obliviate.service.tokens import Tokens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Project.create(tmp_path / "project", source="digits").folder


def test_a_token_is_shown_once_listed_and_revoked(folder: Path, cli: Cli) -> None:
    at = ("--project", folder)
    assert cli("tokens", *at)[1] == "no tokens\n"
    code, text, _ = cli("tokens", "--create", "officer", "--scope", "read", "--scope", "submit", *at)
    assert code == 0
    token = Tokens(folder / "keys").find(text.strip())
    assert token is not None
    assert token.scopes == ("read", "submit")
    listed = cli("tokens", *at)[1]
    assert listed.startswith("officer: read, submit, made ")
    assert text.strip() not in listed
    assert json.loads(cli("tokens", "--json", *at)[1]) == [{"name": "officer", "scopes": ["read", "submit"]}]
    assert cli("tokens", "--revoke", "officer", *at)[1] == "revoked: officer\n"
    assert ", revoked " in cli("tokens", *at)[1]
    assert Tokens(folder / "keys").find(text.strip()) is None
    created = json.loads(cli("tokens", "--create", "x", "--scope", "admin", "--json", *at)[1])
    assert Tokens(folder / "keys").find(created["token"]) is not None


def test_what_cannot_be_is_refused_before_anything_is_made(folder: Path, cli: Cli) -> None:
    at = ("--project", folder)
    refused(cli("tokens", "--create", "x", *at), "scopes of read, submit, admin", "--scope")
    refused(cli("tokens", "--create", "x", "--revoke", "y", *at), "--create or --revoke")
    refused(cli("tokens", "--scope", "read", *at), "--scope with --create")
    refused(cli("tokens", "--revoke", "x", *at), "the name of a token")
    refused(cli("serve", "--host", "0.0.0.0", *at), "a token before others", "obliviate tokens")
    refused(cli("serve", "--port", "70000", *at), "a port")
    refused(cli("serve", "--project", folder / "nothing"), "a project")
    assert not (folder / "keys" / "tokens.json").exists()


def test_the_secrets_of_webhooks_are_made_once(folder: Path, cli: Cli) -> None:
    first = json.loads(cli("webhooks", "--json", "--project", folder)[1])
    assert first["incoming"] != first["outgoing"]
    assert all(secret.startswith("whsec_") for secret in first.values())
    text = cli("webhooks", "--project", folder)[1]
    assert first["incoming"] in text
    assert first["outgoing"] in text
