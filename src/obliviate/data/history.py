"""Which samples a model was trained on, and which of them were forgotten since, request by request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from obliviate.data.ids import as_ids, shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split, refuse_shared
from obliviate.errors import DataError
from obliviate.types import Ids, SampleId


@dataclass(frozen=True, eq=False)
class History:
    """Training samples, unseen holdout samples if there are any, and the ids of every request so far, in order.

    Samples of earlier requests may be left out of the training samples, or stand in them (`erased`).
    No split that it makes holds a sample of an earlier request: neither to forget, nor to retain.
    Raises DataError for a holdout set that shares ids with the training samples.

    >>> import torch
    >>> train = Samples.from_tensors(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), ids=list("abcd"))
    >>> history = History(train).after(["b"])
    >>> history.split(["d"]).kept.ids.tolist()
    ['a', 'c']
    """

    trained: Samples
    holdout: Samples | None = None
    requests: tuple[Shaped[np.ndarray, " _"], ...] = ()

    def __post_init__(self) -> None:
        refuse_shared(self.holdout, self.trained)

    @property
    def forgotten(self) -> Ids:
        """All ids that were forgotten, in order."""
        return np.concatenate(self.requests) if self.requests else np.array([], dtype=np.str_)

    @property
    def remaining(self) -> Samples:
        """The samples that were never asked to be forgotten."""
        present = self.forgotten[np.isin(self.forgotten, self.trained.ids)]
        return self.trained.without(present) if len(present) else self.trained

    def split(self, ids: Iterable[SampleId] | Ids) -> Split:
        """Split what remains by the ids of the next request.

        Raises DataError for ids that were forgotten before, and as `Split.of` does: for unknown or duplicate ids, none
        at all, or all that remain.
        """
        wanted = as_ids(ids, what="ids to forget")
        again = [
            f"{shown(both)} of request {number}"
            for number, forgotten in enumerate(self.requests, start=1)
            if len(both := wanted[np.isin(wanted, forgotten)])
        ]
        if again:
            raise DataError(
                f"expected samples that are still trained on, got {' and '.join(again)}, which are forgotten already; "
                "leave them out of the request"
            )
        return Split.of(self.remaining, forget=wanted, holdout=self.holdout)

    def after(self, ids: Iterable[SampleId] | Ids) -> History:
        """Add a request; raises DataError where `split` does."""
        return replace(self, requests=(*self.requests, self.split(ids).forget.ids))

    def erased(self) -> History:
        """The same history without the samples that were forgotten, of which nothing but their ids is left.

        What remains is a copy: a selection would still hold the others. The holdout set goes too.
        """
        remaining = self.remaining.everything()
        return History(Samples.from_tensors(remaining.x, remaining.y, ids=remaining.ids), None, self.requests)

    def before(self, number: int) -> History:
        """What it was before the request of this number, counted from 1."""
        return replace(self, requests=self.requests[: number - 1])
