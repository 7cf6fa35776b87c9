import hashlib
import json
import os
import signal
from pathlib import Path

import pytest

from obliviate.errors import WorkspaceError
from obliviate.files import locked, remove_leftovers, sha256_of, writable_folder, write_atomically, write_json


def fail_half_way(path: Path) -> None:
    path.write_text("half", encoding="utf-8")
    raise RuntimeError("the disk is full")


def test_a_failing_writer_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(RuntimeError, match="full"):
        write_atomically(tmp_path / "new", fail_half_way)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "old"
    path.write_text("whole", encoding="utf-8")
    with pytest.raises(RuntimeError, match="full"):
        write_atomically(path, fail_half_way)
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("old", "whole")]


def test_nothing_is_at_the_path_until_the_writer_is_done(tmp_path: Path):
    path = tmp_path / "new"

    def write(temporary: Path) -> None:
        temporary.write_text("whole", encoding="utf-8")
        assert not path.exists()
        assert temporary.parent == tmp_path  # a rename within one file system is atomic

    write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trips(tmp_path: Path):
    value = {"a": [1, 2.5, None, True], "é": {"b": "c"}}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_nan_or_infinity(tmp_path: Path, value: float):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": value})
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_that_of_the_bytes(tmp_path: Path):
    content = bytes(range(256)) * 1000
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_writable_folder_is_created_with_its_parents_and_left_empty(tmp_path: Path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert list(folder.iterdir()) == []
    assert writable_folder(folder) == folder


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WorkspaceError, match="expected a folder that can be written to, got"):
            writable_folder(path)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path):
    kept = [tmp_path / name for name in ("member-000.safetensors", ".gitignore", ".a.short", "plain")]
    for one in kept:
        one.touch()
    names: list[str] = []

    def write(temporary: Path) -> None:
        names.append(temporary.name)
        (tmp_path / f"{temporary.name[:-8]}abc_0123").touch()  # as if an earlier writer had been killed

    write_atomically(tmp_path / "member-001.safetensors", write)
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    remove_leftovers(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {one.name for one in kept} | {"member-001.safetensors"}


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path):
    with locked(tmp_path):
        refusal = pytest.raises(
            WorkspaceError, match=r"expected a folder that no other process works in, got .* in use"
        )
        with refusal, locked(tmp_path, patience=0):
            pytest.fail("two hold the folder")
    assert not list(tmp_path.iterdir())
    with locked(tmp_path, patience=0):
        pass


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_lock_of_a_killed_process_ends_with_it(tmp_path: Path):
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]
    with locked(tmp_path, patience=0):
        pass
    assert not list(tmp_path.iterdir())
