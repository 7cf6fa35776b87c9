"""Teachers: models of the same recipe, of which some never saw a sample and can say what a retrained one would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from obliviate.data.samples import Samples

Answer = tuple[Float[Tensor, "n classes"], Bool[Tensor, " n"]]
"""One teacher's outputs for samples, and which of these it was not trained on."""


@runtime_checkable
class Teachers(Protocol):
    """What several models say of samples, and which samples each was trained on (`references.teachers`).

    `fingerprint` says which models they are: an audit refuses to rest on these. `len` tells how many there are.
    """

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def answers(self, samples: Samples) -> Iterator[Answer]:
        """Yield each teacher's outputs for the samples, on the processor, one teacher after the other."""
        ...
