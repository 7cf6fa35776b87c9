"""Which training samples are forgotten, which are kept, and which unseen ones may serve as a baseline."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from obliviate.data.erased import erased_ids
from obliviate.data.ids import as_ids, common, naturally_alike, shown
from obliviate.data.rules import Among, Forget, Table, choose, columns_of
from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.types import Ids

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Split:
    """The forget set D_F, the retain set D_R (None where it is not available) and the unseen holdout set D_V.

    It holds no test data: a method cannot see what the audit uses.

    Raises DataError for sets that are not apart from each other, or not of one shape.

    >>> import torch
    >>> train = Samples.from_tensors(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), ids=list("abcd"))
    >>> split = Split.of(train, forget=["b"])
    >>> len(split.forget), len(split.kept)
    (1, 3)
    """

    forget: Samples
    retain: Samples | None
    holdout: Samples | None = None

    def __post_init__(self) -> None:
        if self.retain is not None:
            refuse_other_shape(self.retain, self.forget, what="retain set")
            if len(shared := common(self.forget.ids, self.retain.ids)):
                raise DataError(
                    f"expected a retain set without the samples to forget, got {shown(shared)} in both; use `Split.of`"
                )
        if self.holdout is not None:
            refuse_other_shape(self.holdout, self.forget, what="holdout set")
            for trained in (self.forget, self.retain):
                if trained is not None:
                    refuse_shared(self.holdout, trained)

    @classmethod
    def of(
        cls,
        train: Samples,
        *,
        forget: Forget,
        holdout: Samples | None = None,
        metadata: Table | None = None,
        owner: str | None = None,
        classes: Sequence[str] = (),
        seed: int = 0,
    ) -> Split:
        """Split training samples by what to forget: ids, a rule, or the text of a rule (docs/forget.md).

        `metadata` are columns with an entry for each of the training samples, for rules that read them: a mapping, or
        a DataFrame, whose rows are in the order of the samples. `owner` names the column that tells whom a sample is
        about, `classes` are the names of the classes in order, and `seed` is that of a random choice.

        Raises DataError for unknown or duplicate ids, a rule that cannot be followed, an empty forget set, a forget set
        that is everything, or a holdout set that shares ids with the training samples.

        >>> import torch
        >>> train = Samples.from_tensors(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), ids=list("abcd"))
        >>> Split.of(train, forget="where:age < 30", metadata={"age": [20, 30, 25, 90]}).forget.ids.tolist()
        ['a', 'c']
        """
        chosen_by = choose(forget, Among(train, columns_of(metadata), owner, seed, classes))
        ids = as_ids(chosen_by.ids, what="ids to forget")
        if len(ids) == 0:
            raise DataError("expected at least one id to forget, got none; name ids, or a share of the training set")
        chosen = train.select(ids)
        if len(ids) == len(train):
            raise DataError(
                f"expected a forget set smaller than the training set, got all {len(train)} samples; "
                "to forget everything, delete the model"
            )
        return cls(forget=chosen, retain=train.without(ids), holdout=holdout)

    @property
    def kept(self) -> Samples:
        """The retain set, for code that has checked that there is one; raises DataError where there is none."""
        if self.retain is None:
            raise DataError("expected a retain set, got none; give the samples to keep, or use a method without them")
        return self.retain

    @property
    def known(self) -> Samples:
        """Samples that the model was trained on: those to forget, or the retained ones where rows of these are gone."""
        return self.kept if len(erased_ids(self.forget)) else self.forget

    @property
    def known_name(self) -> str:
        """What `known` holds, in words."""
        return "the retained samples" if len(erased_ids(self.forget)) else "the samples to forget"

    @property
    def copies(self) -> Ids:
        """The ids of retained samples that are copies of samples to forget under other names: they stay trained on.

        Copies have the same input, bit for bit, whatever their labels. Raises DataError without a retain set.

        >>> import torch
        >>> x = torch.tensor([[1.0], [2.0], [1.0], [3.0]])
        >>> train = Samples.from_tensors(x, torch.tensor([0, 1, 0, 1]), ids=list("abcd"))
        >>> Split.of(train, forget=["a"]).copies.tolist()
        ['c']
        """
        return self.kept.copies_of(self.forget)

    def without_retain(self) -> Split:
        """The same request where the retained samples are not available."""
        return replace(self, retain=None)


def refuse_other_shape(samples: Samples, others: Samples, *, what: str) -> None:
    """Refuse samples of another shape than others; raises DataError."""
    if samples.shape != others.shape:
        raise DataError(
            f"expected samples of one shape, got {others.shape} and {samples.shape} in the {what}; resize them"
        )


def refuse_shared(holdout: Samples | None, train: Samples) -> None:
    """Refuse holdout samples that were trained on; raises DataError."""
    if holdout is not None and len(shared := common(holdout.ids, train.ids)):
        raise DataError(
            f"expected a holdout set that was never trained on, got {shown(shared)} of the training set; "
            "use samples that the model has not seen"
        )


def refuse_copies(unseen: Samples, *trained: Samples, what: str = "unseen samples") -> None:
    """Refuse unseen samples whose input was trained on under another name; raises DataError.

    Where more than one in twenty of either have an equal one among themselves (`ids.naturally_alike`), an equal input
    is no sign of a copy: it is told in the log of `obliviate`, and let pass.
    """
    hashes = np.concatenate([samples.inputs for samples in trained])
    copies = unseen.ids[np.isin(unseen.inputs, hashes)]
    if not len(copies):
        return
    if naturally_alike(hashes) or naturally_alike(unseen.inputs):
        logger.warning(
            "%d of %d %s have the input of a training sample; equal inputs are common in these data", len(copies),
            len(unseen), what,
        )  # fmt: skip
        return
    raise DataError(
        f"expected {what} that were never trained on, got {len(copies)} that are copies of training samples (first: "
        f"{str(copies[0])!r}); remove them"
    )
