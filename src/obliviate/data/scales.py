"""On what scale inputs are: parts of data of which some are 0 … 1 and others 0 … 255 are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped

from obliviate.data.samples import Samples
from obliviate.errors import DataError

APART: Final = 20  # times that the numbers of one part may be larger than those of another
SEVERAL: Final = 10  # samples that tell how large numbers are
SOME: Final = 1000  # samples that are looked at


def check_scales(inputs: Mapping[str, np.ndarray]) -> None:
    """Refuse bytes, which are scaled to [0, 1], beside parts of other numbers that reach beyond; raises DataError.

    Parts whose numbers are `APART` times as large as those of another are refused too.

    >>> check_scales({"train_x": np.ones((20, 3)), "test_x": np.full((20, 3), 2.0)})
    """
    taken = {name: x for name, x in inputs.items() if x.dtype != np.uint8}
    if 0 < len(taken) < len(inputs):
        for name, x in taken.items():
            if (largest := np.max(x, where=np.isfinite(x), initial=0)) > 1:
                scaled = next(other for other in inputs if other not in taken)
                raise DataError(
                    f"expected inputs on one scale, got {x.dtype} up to {largest:g} in {name}, which are taken as they "
                    f"are, and bytes in {scaled}, which are scaled to [0, 1]; give all parts in one type"
                )
    _refuse_apart({name: _size(x) for name, x in inputs.items() if len(x) >= SEVERAL})


def refuse_other_scale(samples: Samples, others: Samples, *, what: str) -> None:
    """Refuse samples whose numbers are `APART` times as large, or as small, as those of others; raises DataError.

    Whole numbers beside fractions are refused too. Whole numbers alone, as tokens are, are on no scale; nor are fewer
    than ten samples.

    >>> x = torch.rand(20, 3)
    >>> train, test = (Samples.from_tensors(part, torch.zeros(20)) for part in (x, 1 - x))
    >>> refuse_other_scale(test, train, what="test set")
    """
    parts = {what: samples, "training set": others}
    if samples is others or min(map(len, parts.values())) < SEVERAL:
        return
    looked_at = {
        name: part.take(torch.arange(0, len(part), max(1, len(part) // SOME))).x.cpu() for name, part in parts.items()
    }
    kinds = {name: x.is_floating_point() for name, x in looked_at.items()}
    if len(set(kinds.values())) > 1:
        types = " and ".join(f"{str(x.dtype).removeprefix('torch.')} in the {name}" for name, x in looked_at.items())
        raise DataError(f"expected inputs on one scale, got {types}; give all parts in one type")
    if all(kinds.values()):
        _refuse_apart({name: _size(x.float().numpy()) for name, x in looked_at.items()})


def _refuse_apart(sizes: Mapping[str, float]) -> None:
    if not sizes:
        return
    (small, least), (large, most) = (end(sizes.items(), key=lambda item: item[1]) for end in (min, max))
    if most > APART * least > 0:
        raise DataError(
            f"expected inputs on one scale, got numbers about {most:.3g} in {large} and about {least:.3g} in {small}; "
            "scale both in the same way"
        )


def _size(x: Shaped[np.ndarray, " n ..."]) -> float:
    """The root mean square of the numbers that a model receives."""
    some = x[:: max(1, len(x) // SOME)].astype(np.float64) / (255 if x.dtype == np.uint8 else 1)
    finite = some[np.isfinite(some)]
    return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
