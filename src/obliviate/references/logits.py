"""The outputs of many models, one file a model, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from obliviate._util.files import check_sha256, sha256_of, write_atomically
from obliviate.errors import AuditError

KEY = "logits"
REMEDY = "delete the file to train it again"


def write_logits(path: Path, logits: Float[Tensor, "n ..."]) -> str:
    """Write one model's outputs, atomically, and return the file's hash."""
    write_atomically(path, lambda temporary: save_file({KEY: logits.contiguous()}, temporary))
    return sha256_of(path)


@dataclass(frozen=True, eq=False)
class StoredLogits(Sequence[Float[np.ndarray, "n ..."]]):
    """Outputs of models, one array of float32 a model, of which at most one or two are in memory at a time.

    `shape` is (models, samples, …). `rows` is a view that selects samples. Reading raises AuditError for a file that
    is missing or has another hash than that of `sha256`, of another shape, or with values that are not finite.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder) / f"{model}.safetensors" for model in range(2)]
    ...     sha256 = [write_logits(path, torch.full((3, 2), float(model))) for model, path in enumerate(paths)]
    ...     logits = StoredLogits.open(paths, sha256, samples=3)
    ...     print(logits.shape, logits.rows(np.array([2, 0]))[1].tolist())
    (2, 3, 2) [[1.0, 1.0], [1.0, 1.0]]
    """

    paths: tuple[Path, ...]
    sha256: tuple[str, ...]
    outputs: tuple[int, ...]
    stored: int
    selected: Int[np.ndarray, " m"] | None = None

    @classmethod
    def open(cls, paths: Sequence[Path], sha256: Sequence[str], *, samples: int) -> StoredLogits:
        """Look at the head of every file, so that a missing, damaged or foreign one is named before any is needed.

        `sha256` are the hashes of the files, which are checked when they are read. Raises AuditError, as reading does.
        """
        shapes = [_shape(path) for path in paths]
        for path, shape in zip(paths, shapes, strict=True):
            if shape != (wanted := (samples, *shapes[0][1:])):
                raise AuditError(f"expected outputs of shape {wanted}, got {shape} in {path}; {REMEDY}")
        return cls(tuple(paths), tuple(sha256), shapes[0][1:], samples)

    @property
    def shape(self) -> tuple[int, ...]:
        """(models, samples, …), as of one array that held all."""
        return len(self.paths), self.stored if self.selected is None else len(self.selected), *self.outputs

    def rows(self, index: Int[np.ndarray, " m"]) -> StoredLogits:
        """Select samples by their positions, in this order, without reading anything."""
        return replace(self, selected=index if self.selected is None else self.selected[index])

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, member: int) -> Float[np.ndarray, "n ..."]: ...

    @overload
    def __getitem__(self, member: slice) -> StoredLogits: ...

    def __getitem__(self, member: int | slice) -> Float[np.ndarray, "n ..."] | StoredLogits:
        if isinstance(member, slice):
            return replace(self, paths=self.paths[member], sha256=self.sha256[member])
        path = self.paths[member]
        if (shape := _shape(path)) != (wanted := (self.stored, *self.outputs)):
            raise AuditError(f"expected outputs of shape {wanted}, got {shape} in {path}; {REMEDY}")
        check_sha256(path, self.sha256[member], remedy=REMEDY, error=AuditError)
        with safe_open(path, framework="numpy") as file:
            logits = file.get_tensor(KEY)
        if not np.isfinite(logits).all():
            raise AuditError(f"expected finite outputs, got NaN or Inf in {path}; {REMEDY}")
        return logits if self.selected is None else logits[self.selected]


@dataclass(frozen=True, eq=False)
class HeldLogits(Sequence[Float[np.ndarray, "n ..."]]):
    """Outputs of models in memory, as float16 or float32, read as `StoredLogits` are: float32, one model at a time.

    >>> held = HeldLogits(np.arange(12, dtype=np.float16).reshape(2, 3, 2))
    >>> held.rows(np.array([2, 0]))[1].tolist(), held[1:].shape
    ([[10.0, 11.0], [6.0, 7.0]], (1, 3, 2))
    """

    values: Float[np.ndarray, "models n ..."]

    @property
    def shape(self) -> tuple[int, ...]:
        """(models, samples, …)."""
        return self.values.shape

    def rows(self, index: Int[np.ndarray, " m"]) -> HeldLogits:
        """Select samples by their positions, in this order."""
        return HeldLogits(self.values[:, index])

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, member: int) -> Float[np.ndarray, "n ..."]: ...

    @overload
    def __getitem__(self, member: slice) -> HeldLogits: ...

    def __getitem__(self, member: int | slice) -> Float[np.ndarray, "n ..."] | HeldLogits:
        if isinstance(member, slice):
            return HeldLogits(self.values[member])
        return self.values[member].astype(np.float32)


def _shape(path: Path) -> tuple[int, ...]:
    try:
        with safe_open(path, framework="numpy") as file:
            stored = file.get_slice(KEY)
            if stored.get_dtype() != "F32":
                raise AuditError(f"expected outputs in float32, got {stored.get_dtype()} in {path}; {REMEDY}")
            return tuple(stored.get_shape())
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> AuditError:
    return AuditError(f"expected the outputs of a model, got {path} ({error}); {REMEDY}")
