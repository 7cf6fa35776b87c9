"""Tokens: made, found by their texts alone, revoked; what is kept opens nothing."""

from pathlib import Path

import pytest

from obliviate.errors import ProjectError
from obliviate.service.tokens import FILE, Tokens


def test_only_a_hash_is_kept_and_only_the_text_opens(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    text = tokens.create("officer", ["read", "submit"])
    kept = (tmp_path / FILE).read_text(encoding="utf-8")
    assert text not in kept
    assert text.rpartition("_")[2] not in kept
    token = tokens.find(text)
    assert token is not None
    assert (token.name, token.scopes) == ("officer", ("read", "submit"))
    assert [token.may("read"), token.may("submit"), token.may("admin")] == [True, True, False]
    for other in ("", text[:-1], text + "A", text.upper(), token.sha256, token.id, "obl_" + token.id + "_" + "A" * 43):
        assert tokens.find(other) is None


def test_a_revoked_name_can_be_given_again_to_another_token(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    old = tokens.create("officer", ["read"])
    with pytest.raises(ProjectError, match="expected a new name, got 'officer'"):
        tokens.create("officer", ["read"])
    tokens.revoke("officer")
    new = tokens.create("officer", ["admin"])
    assert tokens.find(old) is None
    assert tokens.find(new) is not None
    assert len(tokens.all) == 2
    with pytest.raises(ProjectError, match="those in use are: officer"):
        tokens.revoke("nobody")


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("../x", ["read"]), ("a" * 65, ["read"]), ("a", []), ("a", ["root"])], ids=str
)
def test_what_is_no_name_and_no_scope_is_refused_before_anything_is_kept(
    tmp_path: Path, name: str, scopes: list[str]
) -> None:
    with pytest.raises(ProjectError, match="expected "):
        Tokens(tmp_path).create(name, scopes)
    assert not (tmp_path / FILE).exists()


def test_a_damaged_file_opens_nothing(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    text = tokens.create("officer", ["read"])
    path = tmp_path / FILE
    path.write_text(path.read_text(encoding="utf-8").replace('"read"', '"admin"'), encoding="utf-8")
    with pytest.raises(ProjectError, match="remove it, and make new tokens"):
        tokens.find(text)
