import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate.data.formats.batch_pickle import read_pickle
from obliviate.data.sources import load_data
from obliviate.errors import DataError
from obliviate.metrics.cost import peak_rss_mb

Arrays = dict[str, np.ndarray]
Draw = Callable[..., Arrays]
TEN = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
HUNDRED = {"train": ["train"], "test": ["test"]}


def python2(content: dict[str, Any]) -> bytes:
    """What Python 2 with numpy 1 wrote: the official files, opcode by opcode."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def array(value: np.ndarray) -> bytes:
        kind = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        kind += b"(K\x03" + text(b"|") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
        new = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        shape = integer(value.shape[0]) + integer(value.shape[1]) + b"\x86"
        by_columns = not value.flags.c_contiguous
        raw = text(value.tobytes("F" if by_columns else "C"))
        return new + b"(K\x01" + shape + kind + (b"\x88" if by_columns else b"\x89") + raw + b"tb"

    stream = b"\x80\x02}("
    for key, value in content.items():
        stream += text(key.encode())
        if isinstance(value, np.ndarray):
            stream += array(value)
        elif isinstance(value, list):
            stream += b"](" + b"".join(integer(number) for number in value) + b"e"
        else:
            stream += text(value.encode())
    return stream + b"u."


def python3(content: dict[str, Any], protocol: int = 2) -> bytes:
    """What Python 3 writes, with bytes for keys as one gets them from reading the official files."""
    return pickle.dumps({key.encode(): value for key, value in content.items()}, protocol=protocol)


def latin1(content: dict[str, Any]) -> bytes:
    return pickle.dumps(content, protocol=3)


def batches(arrays: Arrays, files: dict[str, list[str]]) -> dict[str, tuple[np.ndarray, list[int]]]:
    """The rows and labels of each file."""
    result = {}
    for part, names in files.items():
        xs, ys = np.array_split(arrays[f"{part}_x"], len(names)), np.array_split(arrays[f"{part}_y"], len(names))
        for name, x, y in zip(names, xs, ys, strict=True):
            result[name] = x.reshape(len(x), -1), y.tolist()
    return result


def write_python(folder: Path, arrays: Arrays, dump: Callable[[dict[str, Any]], bytes], *, ten: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    for name, (x, y) in batches(arrays, TEN if ten else HUNDRED).items():
        labels = {"labels": y} if ten else {"coarse_labels": [0] * len(y), "fine_labels": y}
        (folder / name).write_bytes(dump({"batch_label": "a batch", "data": x} | labels))
    (folder / ("batches.meta" if ten else "meta")).write_bytes(b"not read")
    return folder


def write_binary(folder: Path, arrays: Arrays, *, ten: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    for name, (x, y) in batches(arrays, TEN if ten else HUNDRED).items():
        labels = [y] if ten else [[7] * len(y), y]
        (folder / f"{name}.bin").write_bytes(np.column_stack([*np.array(labels, dtype=np.uint8), x]).tobytes())
    return folder


def same(folder: Path, arrays: Arrays) -> bool:
    data = load_data(folder)
    return all(
        torch.equal(samples.everything().x, torch.from_numpy(arrays[f"{part}_x"]).float() / 255)
        and samples.everything().y.tolist() == arrays[f"{part}_y"].tolist()
        for part, samples in (("train", data.train), ("test", data.test))
    )


# Reading


def test_the_handmade_pickle_is_one_that_python_reads():
    x = np.arange(12, dtype=np.uint8).reshape(2, 6)
    content = pickle.loads(python2({"data": x, "labels": [3, 4], "batch_label": "a"}), encoding="bytes")
    assert (content[b"labels"], content[b"batch_label"]) == ([3, 4], b"a")
    assert np.array_equal(content[b"data"], x)


@pytest.mark.parametrize("dump", [python2, python3, latin1])
@pytest.mark.parametrize("ten", [True, False])
def test_python_batches_are_read_as_they_were_written(
    tmp_path: Path, draw: Draw, dump: Callable[[dict[str, Any]], bytes], ten: bool
):
    arrays = draw(3, 32, 32, classes=10 if ten else 100)
    assert same(write_python(tmp_path / "cifar", arrays, dump, ten=ten), arrays)


@pytest.mark.parametrize("ten", [True, False])
def test_binary_batches_are_read_as_they_were_written(tmp_path: Path, draw: Draw, ten: bool):
    arrays = draw(3, 32, 32, classes=10 if ten else 100)
    assert same(write_binary(tmp_path / "cifar", arrays, ten=ten), arrays)


def test_both_forms_are_the_same_data(tmp_path: Path, draw: Draw):
    arrays = draw(3, 32, 32)
    pickled, binary = write_python(tmp_path / "a", arrays, python2), write_binary(tmp_path / "b", arrays)
    assert load_data(pickled).sha256 == load_data(binary).sha256


@pytest.mark.parametrize("dump", [python2, python3])
def test_an_array_that_was_stored_by_columns_is_read_right(tmp_path: Path, dump: Callable[[dict[str, Any]], bytes]):
    x = np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(2, 6))
    (tmp_path / "batch").write_bytes(dump({"data": x}))
    assert np.array_equal(read_pickle(tmp_path / "batch")["data"], x)


# Pickles that would run something


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("where", ["alone", "in the list", "as the array", "beside"])
def test_a_malicious_pickle_is_refused_and_never_run(tmp_path: Path, protocol: int, where: str):
    marker = tmp_path / "ran"
    trap = Call(Path.touch, marker)
    batch: Any = {b"data": np.zeros((1, 3072), dtype=np.uint8), b"labels": [0]}
    change = {"in the list": {b"labels": [trap]}, "as the array": {b"data": trap}, "beside": {b"more": trap}}
    content = trap if where == "alone" else batch | change[where]
    (tmp_path / "batch").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(DataError, match=r"^expected a pickled dictionary .*, got a call of .*; "):
        read_pickle(tmp_path / "batch")
    assert not marker.exists()
    pickle.loads((tmp_path / "batch").read_bytes())
    assert marker.exists(), "the trap does not work, so the test shows nothing"


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\nU\x04true\x85R.",
        b"cbuiltins\neval\nU\x011\x85R.",
        b"c__builtin__\ngetattr\n.",
        b"(cposix\nsystem\nU\x04trueo.",
        b"(U\x04trueios\nsystem\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile.x\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cobliviate.data.formats.batch_pickle\nread_pickle\n.",
        b"\x80\x02\x82\x01.",
        b"Pid\n.",
        b"cnumpy\nndarray\n}(U\x01aK\x01ub.",
        b"cnumpy\nndarray\n)R.",
        b"}(U\x04datacnumpy\nndarray\nu.",
        b"]K\x01a.",
        b"}(K\x01K\x02",
        b"",
        b".",
        b"\x80\x09}.",
        b"}r\xff\xff\xff\x7f.",
        b"}p4294967295\n.",
        b"\x80\x04\x8e\xff\xff\xff\x7f\x00\x00\x00\x00x.",
        b"\x80\x05\x96\xff\xff\xff\x7f\x00\x00\x00\x00x.",
        b"\x80\x04\x95\xff\xff\xff\x7f\x00\x00\x00\x00}.",
        b"T\xff\xff\xff\x7fx.",
    ],
)
def test_names_objects_and_broken_streams_are_refused_without_taking_memory(tmp_path: Path, stream: bytes):
    (tmp_path / "batch").write_bytes(stream)
    before = peak_rss_mb()
    try:
        content = read_pickle(tmp_path / "batch")
    except DataError as error:
        assert str(error).startswith("expected a pickled dictionary of lists and byte arrays in ")  # noqa: PT017
    else:
        assert content == {"data": content["data"]}
        assert type(content["data"]) is type, "an inert class may be named, but is of no use"
    assert peak_rss_mb() - before < 100


@pytest.mark.parametrize("kind", ["O", "f4", "u2", "S1", "M8[s]"])
def test_arrays_of_anything_but_bytes_are_refused(tmp_path: Path, kind: str):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": np.zeros((2, 2), dtype=kind)}, protocol=2))
    with pytest.raises(DataError, match=r", got an array of type "):
        read_pickle(tmp_path / "batch")


def test_whatever_is_damaged_nothing_but_a_clear_error_comes_of_it(tmp_path: Path):
    content = python2({"batch_label": "a", "data": np.zeros((2, 5), dtype=np.uint8), "labels": [1, 2]})
    path, refused = tmp_path / "batch", 0
    for place in range(len(content)):
        for bit in (1, 4, 32, 128):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            try:
                assert all(isinstance(key, str) for key in read_pickle(path))
            except DataError:
                refused += 1
    assert refused > len(content)


# Batches that do not fit


@pytest.mark.parametrize("name", [*TEN["train"][1:], "test_batch"])
def test_a_missing_batch_is_named(tmp_path: Path, draw: Draw, name: str):
    arrays = draw(3, 32, 32)
    (write_python(tmp_path / "a", arrays, python2) / name).unlink()
    (write_binary(tmp_path / "b", arrays) / f"{name}.bin").unlink()
    for folder, missing in ((tmp_path / "a", name), (tmp_path / "b", f"{name}.bin")):
        with pytest.raises(DataError, match=rf"^expected CIFAR's .*, got none named {missing}; "):
            load_data(folder)


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"data": np.zeros((2, 3071), dtype=np.uint8)}, "got (2, 3071)"),
        ({"data": [1, 2]}, "got list"),
        ({"labels": [1]}, "got 1 entries"),
        ({"labels": [1, 100]}, "got 2 entries"),
        ({"labels": "ab"}, "got bytes"),
    ],
)
def test_a_foreign_batch_is_refused(tmp_path: Path, draw: Draw, changed: dict[str, Any], got: str):
    folder = write_python(tmp_path / "cifar", draw(3, 32, 32), python2)
    batch = {"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [1, 2]} | changed
    (folder / "data_batch_3").write_bytes(python2(batch))
    with pytest.raises(DataError, match=r"^expected .*data_batch_3, got .*; .") as error:
        load_data(folder)
    assert got in str(error.value)


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_a_truncated_binary_batch_is_refused(tmp_path: Path, draw: Draw, size: int):
    folder = write_binary(tmp_path / "cifar", draw(3, 32, 32))
    (folder / "data_batch_2.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"^expected rows of 3073 bytes in .*data_batch_2.bin, got {size} bytes; "):
        load_data(folder)
