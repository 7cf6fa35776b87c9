"""What the inputs and targets of data are called, and in what range they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32

Limits: TypeAlias = tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
"""The least and the greatest value of inputs: of all, or of each channel or column."""


@dataclass(frozen=True, eq=False)
class Features:
    """The inputs of tabular data, as a model receives them: names, kinds, and the range seen in the training rows.

    `continuous` is true for a number and false for one category of a column; only the former may be perturbed.

    >>> bound = np.ones(1, dtype=np.float32)
    >>> Features(("age",), continuous=np.array([True]), low=-bound, high=bound).to_dict()
    {'names': ['age'], 'continuous': [True], 'low': [-1.0], 'high': [1.0]}
    """

    names: tuple[str, ...]
    continuous: Bool[np.ndarray, " d"]
    low: Float32[np.ndarray, " d"]
    high: Float32[np.ndarray, " d"]

    def __len__(self) -> int:
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Describe the features in JSON values."""
        arrays = {"continuous": self.continuous, "low": self.low, "high": self.high}
        return {"names": list(self.names)} | {name: array.tolist() for name, array in arrays.items()}


@dataclass(frozen=True)
class Targets:
    """What is predicted, by name: the classes, the labels, or the outputs of a regression with their scale.

    The targets of a regression are (value − mean) / std; `mean` and `std` are empty for the other kinds.

    >>> Targets(("price",), mean=(10.0,), std=(2.0,)).to_dict()
    {'names': ['price'], 'mean': [10.0], 'std': [2.0]}
    """

    names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Describe the targets in JSON values."""
        scale = {"mean": list(self.mean), "std": list(self.std)} if self.mean else {}
        return {"names": list(self.names)} | scale

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Targets:
        """Read what `to_dict` returned.

        >>> Targets.from_dict(Targets(("price",), (10.0,), (2.0,)).to_dict())
        Targets(names=('price',), mean=(10.0,), std=(2.0,))
        """
        return cls(tuple(values["names"]), tuple(values.get("mean", ())), tuple(values.get("std", ())))
