"""What was asked, as a file."""

from pathlib import Path

import pytest

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import WorkspaceError
from obliviate.requests import Parent, Request

FIRST = Request(1, "class 3", ["a", "b"], references=16, grouped=True)
SECOND = Request(2, "ids", ["c"], Parent("1-amun-0123", "amun", "5f" * 32))


def test_a_request_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "1" / "request.json", [])
    SECOND.write(tmp_path / "2" / "request.json", [FIRST])
    assert Request.read(tmp_path / "1" / "request.json", []) == FIRST
    assert Request.read(tmp_path / "2" / "request.json", [FIRST]) == SECOND


def test_a_request_holds_the_hash_of_those_before(tmp_path: Path) -> None:
    SECOND.write(tmp_path / "request.json", [FIRST])
    with pytest.raises(WorkspaceError, match="expected a request that follows those before it, got one after others"):
        Request.read(tmp_path / "request.json", [Request(1, "ids", ["a"])])


@pytest.mark.parametrize("name", ["rule", "ids", "before_sha256", "after"])
def test_a_request_without_one_of_its_parts_is_foreign(tmp_path: Path, name: str) -> None:
    path = tmp_path / "request.json"
    SECOND.write(path, [FIRST])
    values = read_sealed_json(path)
    del values[name]
    write_sealed_json(path, values)
    with pytest.raises(WorkspaceError, match=rf"expected a request with its rule, .* without \('{name}'\);"):
        Request.read(path, [FIRST])
