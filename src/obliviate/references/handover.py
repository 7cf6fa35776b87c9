"""How a job is handed to other processes: a small file, which names the samples that it is about.

Samples that are read on demand are named as they are: other processes read the same data set. Those that are in memory
alone are written once, to a file beside the job that is called by its content, and every process maps it.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import UInt64

from obliviate._util.files import check_sha256, sha256_of, write_atomically
from obliviate.data.content import as_array, input_hashes
from obliviate.data.samples import Samples
from obliviate.data.stores import JoinedStore, Store, TensorStore, TransformedStore
from obliviate.errors import AuditError, DataError

SAMPLES: Final = r"samples-[0-9a-f]{16}\.pt"
"""The names of the files that samples are written to."""
SHARE: Final = 0.1
SMALL: Final = 2**16
"""What describes a data set has at most so many bytes, or this share of the samples' own."""
COMPARED: Final = 8
"""Samples of a data set that are read again where it is used."""


def write_value(path: Path, value: object) -> str:
    """Write a value for other processes, with its samples in files beside it, and return the hash of its own file.

    Raises WorkspaceError where that cannot be written.
    """
    content = io.BytesIO()
    _Naming(content, path.parent).dump(value)
    write_atomically(path, lambda temporary: temporary.write_bytes(content.getvalue()))
    return sha256_of(path)


def read_value(path: Path) -> Any:
    """Read what `write_value` wrote, of which the reader knows the hash; raises AuditError for samples of others."""
    return _Finding(io.BytesIO(path.read_bytes()), path.parent).load()


def remove_samples(folder: Path) -> None:
    """Remove the files of samples that `write_value` wrote in a folder."""
    for path in folder.glob("samples-*.pt"):
        path.unlink()


class _Naming(pickle.Pickler):
    """Samples in memory are written to files, and named by these."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self.folder, self.names = folder, dict[int, tuple[str, str]]()

    def persistent_id(self, obj: Any) -> tuple[str, str] | None:
        if not isinstance(obj, TensorStore):
            return None
        if id(obj) not in self.names:
            content = obj.x.cpu().contiguous(), obj.y.cpu().contiguous()
            digest = hashlib.sha256()
            for array, kind in map(as_array, content):
                digest.update(f"{kind}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            path = self.folder / f"samples-{digest.hexdigest()[:16]}.pt"
            write_atomically(path, lambda temporary: torch.save(content, temporary))
            self.names[id(obj)] = path.name, sha256_of(path)
        return self.names[id(obj)]


class _Finding(pickle.Unpickler):
    """Samples that were named are mapped from their files."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self.folder = folder

    def persistent_load(self, pid: tuple[str, str]) -> TensorStore:
        name, sha256 = pid
        check_sha256(self.folder / name, sha256, remedy="begin again", error=AuditError)
        x, y = torch.load(self.folder / name, weights_only=True, mmap=True)
        return TensorStore(x, y)


# ------------------------------------------------------------------------------------------- data sets


def portable(samples: Samples) -> Samples:
    """The same samples as other processes can have them: as they are, or read into memory.

    What is read on demand stays so if other processes can read it too, by a description that is small beside it.
    """
    store = samples.store
    if _in_memory(store) or not _described(samples):
        batch = samples.everything()
        store = TensorStore(batch.x.cpu().contiguous(), batch.y.cpu().contiguous())
        return Samples(store, samples.ids, torch.arange(len(samples)))
    return Samples(store, samples.ids, samples.rows)


def fingerprints(samples: Samples) -> UInt64[np.ndarray, " c"]:
    """Hashes of a few inputs, from the first to the last, by which samples are known again elsewhere.

    >>> samples = Samples.from_tensors(torch.zeros(20, 2), torch.zeros(20), ids=[str(row) for row in range(20)])
    >>> len(fingerprints(samples))
    8
    """
    places = np.unique(np.linspace(0, len(samples) - 1, COMPARED).astype(int))
    return input_hashes(samples.take(torch.from_numpy(places)).x)


def check_same(samples: Samples, wanted: UInt64[np.ndarray, " c"]) -> None:
    """Refuse samples that are others in this process than where the job was begun; raises AuditError."""
    remedy = "name the data by a path that all machines see, and begin again"
    try:
        same = np.array_equal(fingerprints(samples), wanted)
    except (OSError, LookupError, DataError) as error:  # as data sets say that a file is not there
        raise AuditError(
            f"expected the data set of the job, got a failure ({type(error).__name__}: {error}); {remedy}"
        ) from error
    if not same:
        raise AuditError(f"expected the samples of the job in its data set, got others; {remedy}")


def _described(samples: Samples) -> bool:
    try:
        description = pickle.dumps(samples.store)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    most = max(SMALL, SHARE * len(samples.store) * samples.input_bytes)
    return len(description) <= most and b"__main__" not in description


def _in_memory(store: Store) -> bool:
    match store:
        case TensorStore():
            return True
        case TransformedStore():
            return _in_memory(store.store)
        case JoinedStore():
            return any(_in_memory(part) for part in store.stores)
        case _:
            return False
