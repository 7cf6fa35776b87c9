import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obliviate._util.files import (
    check_sha256,
    read_hashed,
    read_sealed_json,
    remove_leftovers,
    sha256_of,
    shortened_apart,
    writable_folder,
    write_atomically,
    write_hashed,
    write_json,
    write_sealed_json,
)
from obliviate.errors import AuditError, WorkspaceError


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
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("old", "whole")]


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
    for path in kept:
        path.touch()
    names: list[str] = []

    def write(temporary: Path) -> None:
        names.append(temporary.name)
        (tmp_path / f"{temporary.name[:-8]}abc_0123").touch()  # as if an earlier writer had been killed

    write_atomically(tmp_path / "member-001.safetensors", write)
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in kept} | {"member-001.safetensors"}


# ------------------------------------------------------------------------------------------- seals and hashes


def test_a_sealed_document_comes_back_without_its_seal(tmp_path: Path):
    value = {"format": "example/1", "a": [1, 2.5, None, True], "é": {"b": "\ud800"}, "pair": (1, 2)}
    write_sealed_json(tmp_path / "x.json", value)
    assert read_sealed_json(tmp_path / "x.json", "example/1") == value | {"pair": [1, 2]}
    assert "sha256" in json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))


def test_a_sealed_document_may_be_laid_out_in_another_way(tmp_path: Path):
    path = tmp_path / "x.json"
    write_sealed_json(path, {"b": 1, "a": 0.1})
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(sorted(values.items())), indent=4), encoding="utf-8")
    assert read_sealed_json(path) == {"a": 0.1, "b": 1}


def test_every_flipped_bit_of_a_sealed_document_is_found_or_is_of_no_effect(
    tmp_path: Path, flip_bits: Callable[[Path], Iterator[int]]
):
    path = tmp_path / "x.json"
    value = {"format": "example/1", "ids": ["s1", "é"], "rate": 0.1, "more": {"on": True, "off": None}}
    write_sealed_json(path, value)
    size = path.stat().st_size
    refused = 0
    for _ in flip_bits(path):
        try:
            assert read_sealed_json(path, "example/1") == value
        except WorkspaceError:
            refused += 1
    assert refused > 7.9 * size


DAMAGED = {
    "missing": (None, r"expected JSON in .*, got No such file"),
    "folder": ("folder", r"expected JSON in .*, got Is a directory"),
    "empty": ("", "expected JSON in"),
    "nested without end": ("[" * 100_000, "expected JSON in"),
    "nested deeply": (
        '{"format": "example/1", "sha256": "", "a": ' + "[" * 900 + "]" * 900 + "}",
        "expected (JSON in|contents with)",
    ),
    "no text": (b"\xff\xfe", "expected JSON in"),
    "not a number": ('{"a": NaN}', "expected JSON in .*NaN, which is not JSON"),
    "digits without end": ('{"a": ' + "9" * 5000 + "}", "expected JSON in"),
    "list": ("[1]", "expected a JSON object in .*, got list"),
    "another format": ('{"format": "example/2"}', "expected format example/1, got 'example/2'"),
    "format of another type": ('{"format": {}}', "expected format example/1, got {}"),
    "no seal": ('{"format": "example/1"}', "expected the hash of the contents in .*, got none"),
    "seal of another type": ('{"format": "example/1", "sha256": [1]}', "expected the hash of the contents in"),
    "another seal": ('{"format": "example/1", "sha256": "ab"}', "expected contents with sha256 ab, got "),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_document_is_refused_with_the_remedy(tmp_path: Path, name: str):
    content, message = DAMAGED[name]
    path = tmp_path / "x.json"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AuditError, match=rf"(?s)^{message}.*: audit again$") as info:
        read_sealed_json(path, "example/1", remedy="audit again", error=AuditError)
    assert str(path) in str(info.value)


def test_hashes_in_a_message_are_told_apart():
    wanted = "37e9d1689fd4" + "0" * 52
    for other in (wanted[:20] + "1" + wanted[21:], wanted[:-1] + "1", "f" + wanted[1:], wanted + "0"):
        first, second = shortened_apart(wanted, other)
        assert first.rstrip("…") != second.rstrip("…") or len(other) > 64
        assert (first.rstrip("…"), second.rstrip("…")) == (
            wanted[: len(first.rstrip("…"))],
            other[: len(second.rstrip("…"))],
        )


def test_bytes_come_back_and_every_flipped_bit_of_them_is_found(tmp_path: Path):
    path, content = tmp_path / "x", bytes(range(50))
    write_hashed(path, content)
    assert read_hashed(path) == content
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(WorkspaceError, match=r"expected contents with the hash .* in .*: again"):
            read_hashed(path, remedy="again")
    for spoilt in (b"", whole[:-1], whole[:20], whole + b"\0"):
        path.write_bytes(spoilt)
        with pytest.raises(WorkspaceError, match="expected contents with the hash"):
            read_hashed(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(WorkspaceError, match="expected a file, got Is a directory"):
        read_hashed(path)


def test_a_file_with_other_bytes_is_refused_even_when_its_times_are_put_back(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    wanted = sha256_of(path)
    check_sha256(path, wanted, remedy="again")
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WorkspaceError, match=rf"expected sha256 {wanted[:12]}…, got .*damaged or replaced: again"):
        check_sha256(path, wanted, remedy="again")
    path.unlink()
    with pytest.raises(WorkspaceError, match=r"expected a file at .*, got none that can be read .*; again"):
        check_sha256(path, wanted, remedy="again")
