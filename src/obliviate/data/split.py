"""Which training samples are forgotten, which are kept, and which unseen ones may serve as a yardstick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from obliviate.data.ids import as_ids, shown
from obliviate.data.samples import CHUNK, Samples
from obliviate.errors import DataError
from obliviate.seeds import derive
from obliviate.types import Ids, SampleId

SHOWN: Final = 20  # classes that an error lists


@dataclass(frozen=True, eq=False)
class Split:
    """The forget set D_F, the retain set D_R (None where it is not available) and the unseen reference set D_V.

    It holds no test data: a method cannot see what the audit uses.

    >>> import torch
    >>> train = Samples.from_tensors(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), ids=list("abcd"))
    >>> split = Split.of(train, forget=["b"])
    >>> len(split.forget), len(split.kept)
    (1, 3)
    """

    forget: Samples
    retain: Samples | None
    reference: Samples | None = None

    @classmethod
    def of(cls, train: Samples, *, forget: Iterable[SampleId] | Ids, reference: Samples | None = None) -> Split:
        """Split training samples by the ids to forget.

        Raises DataError for unknown or duplicate ids, an empty forget set, a forget set that is everything, or a
        reference set that shares ids with the training samples.
        """
        ids = as_ids(forget, what="ids to forget")
        if len(ids) == 0:
            raise DataError("expected at least one id to forget, got none; name ids, or a share of the training set")
        refuse_shared(reference, train)
        chosen = train.select(ids)
        if len(ids) == len(train):
            raise DataError(
                f"expected a forget set smaller than the training set, got all {len(train)} samples; "
                "to forget everything, delete the model"
            )
        return cls(forget=chosen, retain=train.without(ids), reference=reference)

    @property
    def kept(self) -> Samples:
        """The retain set, for code that has checked that there is one; raises DataError where there is none."""
        if self.retain is None:
            raise DataError("expected a retain set, got none; give the samples to keep, or use a method without them")
        return self.retain

    def without_retain(self) -> Split:
        """The same request where the retained samples are not available."""
        return replace(self, retain=None)


def refuse_shared(reference: Samples | None, train: Samples) -> None:
    """Refuse reference samples that were trained on; raises DataError."""
    if reference is not None and len(shared := np.intersect1d(reference.ids, train.ids)):
        raise DataError(
            f"expected a reference set that was never trained on, got {shown(shared)} of the training set; "
            "use samples that the model has not seen"
        )


def random_ids(train: Samples, share: float, *, seed: int) -> Ids:
    """Choose a random share of the training samples, in (0, 1); the count is rounded to the nearest.

    >>> import torch
    >>> train = Samples.from_tensors(torch.zeros(10, 2), torch.zeros(10))
    >>> len(random_ids(train, 0.3, seed=0))
    3
    """
    if not (0 < share < 1) or math.isnan(share):
        raise DataError(f"expected a share of the training set in (0, 1), got {share}; ten per cent is 0.1")
    count = max(1, round(share * len(train)))
    generator = np.random.default_rng(derive(seed, "forget"))
    return train.ids[np.sort(generator.choice(len(train), size=count, replace=False))]


def class_ids(train: Samples, label: int | str) -> Ids:
    """Choose every training sample of one class; raises DataError for a class that does not exist.

    >>> import torch
    >>> train = Samples.from_tensors(torch.zeros(3, 2), torch.tensor([0, 1, 0]), ids=list("abc"))
    >>> class_ids(train, 0).tolist()
    ['a', 'c']
    """
    labels = torch.cat([train.take(places).y.cpu() for places in torch.arange(len(train)).split(CHUNK)])
    if labels.ndim != 1 or labels.is_floating_point():
        raise DataError(
            f"expected one integer label per sample, got {labels.dtype} labels of shape {tuple(labels.shape)}; name ids"
        )
    known = dict(zip(*(one.tolist() for one in labels.unique(return_counts=True)), strict=True))
    chosen = next((one for one in known if str(one) == str(label)), None)
    if chosen is None:
        (first, count), *others = known.items()
        listed = [f"{first} with {count} samples", *(f"{one} with {n}" for one, n in others)][:SHOWN]
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        raise DataError(
            f"expected a class of the training set ({', '.join(listed)}{more}), got {label!r}; name one of them"
        )
    return train.ids[(labels == chosen).numpy()]
