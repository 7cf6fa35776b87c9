"""The values that every layer exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from obliviate.errors import DataError

EXACT: Final = 2**24  # whole numbers up to here are themselves in float32

SampleId: TypeAlias = str
"""A stable name of one training sample: the user's key, or the hash of its content."""

Ids: TypeAlias = Shaped[np.ndarray, " n"]
"""An array of sample ids (numpy unicode)."""


@dataclass(frozen=True)
class Batch:
    """Samples that are processed together, each with its stable id.

    `x` has the shape "n ..."; `y` "n" for classification, and whatever the task defines otherwise.

    >>> import numpy as np, torch
    >>> len(Batch(torch.zeros(2, 1, 8, 8), torch.tensor([3, 1]), np.array(["a", "b"])))
    2
    """

    x: Shaped[Tensor, " n ..."]
    y: Shaped[Tensor, " n ..."]
    ids: Ids

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Batch:
        """Move inputs and targets to a device."""
        return Batch(self.x.to(device), self.y.to(device), self.ids)


@dataclass(frozen=True)
class Layout:
    """Where the named inputs of a sample stand in the one tensor that it is held as.

    Inputs of one shape and type, such as token ids and their mask, are stacked in the order of their names: a batch is
    "n names ...". Others, such as an image and some numbers, stand one after another in a row of float32: a batch is
    "n numbers"; whole numbers up to 2²⁴ are exact there. A single input is held as it is.

    >>> row = {"input_ids": [5, 3, 0], "attention_mask": [1, 1, 0]}
    >>> layout = Layout.of(row, ["input_ids", "attention_mask"])
    >>> layout.pack(row)
    tensor([[5, 3, 0],
            [1, 1, 0]])
    >>> layout.unpack(layout.pack(row)[None])["attention_mask"]
    tensor([[1, 1, 0]])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any], names: Sequence[str]) -> Layout:
        """Read from a row how its inputs of these names are held.

        Raises DataError for fields that the row does not have, or that are no numbers.
        """
        values = [as_tensor(row, name) for name in names]
        kinds = {(value.shape, value.dtype) for value in values}
        if len(kinds) == 1:
            return cls(tuple(names))
        return cls(tuple(names), tuple(map(_shape, values)), tuple(value.dtype for value in values))

    @property
    def stacked(self) -> bool:
        """Whether the inputs are of one shape and type."""
        return not self.shapes

    def pack(self, row: Mapping[str, Any]) -> Shaped[Tensor, ...]:
        """Put the inputs of a row into one tensor; raises DataError for a row of another layout."""
        values = [as_tensor(row, name) for name in self.names]
        if self.stacked:
            if len({(value.shape, value.dtype) for value in values}) > 1:
                got = ", ".join(f"{name} {_shape(value)}" for name, value in zip(self.names, values, strict=True))
                raise DataError(f"expected inputs of one shape, as in the first row, got {got}; fill them up")
            return values[0] if len(values) == 1 else torch.stack(values)
        for name, shape, dtype, value in zip(self.names, self.shapes, self.dtypes, values, strict=True):
            if (_shape(value), value.dtype) != (shape, dtype):
                raise DataError(
                    f"expected {name} of shape {shape} and type {dtype}, as in the first row, got {_shape(value)} and "
                    f"{value.dtype}; make all rows alike"
                )
            if not dtype.is_floating_point and value.numel() and int(value.abs().max()) > EXACT:
                raise DataError(
                    f"expected whole numbers up to {EXACT} in {name}, beside inputs of another kind, got "
                    f"{int(value.abs().max())}; give the model this input alone"
                )
        return torch.cat([value.flatten().float() for value in values])

    def unpack(self, x: Shaped[Tensor, " n ..."]) -> dict[str, Tensor]:
        """Take the inputs of a batch apart, by name."""
        if self.stacked:
            parts = (x,) if len(self.names) == 1 else x.unbind(1)
            return dict(zip(self.names, parts, strict=True))
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = zip(self.names, self.shapes, self.dtypes, x.split(sizes, dim=1), strict=True)
        return {
            name: part.reshape(len(x), *shape).to(dtype if not dtype.is_floating_point else part.dtype)
            for name, shape, dtype, part in parts
        }


def as_tensor(row: Mapping[str, Any], name: str) -> Tensor:
    """Read a field of a row as a tensor, bfloat16 as the float32 that it is part of.

    Raises DataError for a field that is not there, or that is no number nor made of numbers.

    >>> as_tensor({"label": 3}, "label")
    tensor(3)
    """
    if name not in row:
        raise DataError(f"expected a field {name!r}, got a row of {', '.join(map(repr, row))}; name one of these")
    value = row[name]
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(value, str):
            raise DataError(
                f"expected numbers in the field {name!r}, got the text {value[:30]!r}; make tokens or numbers of it "
                "first: with a tokenizer, or for labels with `dataset.class_encode_column(...)`"
            ) from error
        raise DataError(
            f"expected numbers in the field {name!r}, got {type(value).__name__} ({error!s:.80}); pass item=, a "
            "function that makes a pair (input, target) of a row"
        ) from error
    return widened(tensor)


def widened(value: Any) -> Any:
    """Return a bfloat16 tensor as float32, of which it is a part, and anything else as it is: numpy has no bfloat16."""
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
