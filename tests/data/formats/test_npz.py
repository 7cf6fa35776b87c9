from pathlib import Path

import numpy as np
import pytest

from obliviate.data.formats import npz
from obliviate.errors import DataError


def test_arrays_come_under_their_own_names_and_owners_beside_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_x=np.ones((2, 3)), train_owner=np.array(["ann", "bob"]))
    contents = npz.read(tmp_path / "a.npz")
    assert list(contents.arrays) == ["train_x"]
    assert contents.owner == "owner"
    assert contents.metadata["owner"].tolist() == ["ann", "bob"]


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"expected a\.npz to be a \.npz file of plain arrays, got "):
        npz.read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="the file is damaged"):
        npz.read(tmp_path / "a.npz")
