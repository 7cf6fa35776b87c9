"""What a request does not reach: retained copies of its samples, and unseen samples of the people it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from obliviate.data.ids import naturally_alike
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import AuditError
from obliviate.types import Ids, SampleId


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Copies that stay trained on under other names, and test and holdout samples of owners who are forgotten.

    `alike` says that equal inputs are common in the data, and no sign of copying.
    """

    forget: int
    copies: Ids
    alike: bool
    test: int
    holdout: int

    @classmethod
    def of(cls, split: Split, data: Data, forgotten: Iterable[SampleId] | Ids) -> Elsewhere:
        """Look for them; `forgotten` are the ids of this request and of all before."""
        copies = split.copies
        alike = bool(len(copies)) and naturally_alike(np.concatenate([split.forget.inputs, split.kept.inputs]))
        unseen = data.unseen_of(forgotten)
        return cls(len(split.forget), copies, alike, *(len(unseen.get(part, ())) for part in ("test", "holdout")))

    @property
    def notes(self) -> list[str]:
        """Sentences for a person, without names; none where there is nothing elsewhere."""
        notes = []
        if n := len(self.copies):
            them = "it" if n == 1 else "them"
            have = "1 retained sample has" if n == 1 else f"{n:,} retained samples have"
            stay = "1 copy of these samples stays" if n == 1 else f"{n:,} copies of these samples stay"
            notes.append(
                f"{have} the input of a sample to forget, which may be chance: equal inputs are common in these data; "
                f"--with-copies takes {them} along"
                if self.alike
                else f"{stay} trained on under {'another name' if n == 1 else 'other names'}; --with-copies takes "
                f"{them} along"
            )
        for part, n in (("test", self.test), ("holdout", self.holdout)):
            if n:
                out = ", and left out of the audit" if part == "test" else ""
                these = "1 sample" if self.forget == 1 else f"{self.forget:,} samples"
                lie = "lies" if n == 1 else "lie"
                notes.append(
                    f"{these} to forget; {n:,} more of the same owners' {lie} in the {part} set, never trained on{out}"
                )
        return notes


def unseen_in_audit(data: Data, forgotten: Iterable[SampleId] | Ids) -> Samples:
    """The test samples but those of owners all of whose training samples are forgotten.

    What a model says of these is no baseline: they are of the people it was made to forget. Raises AuditError where
    none are left.
    """
    out = data.unseen_of(forgotten).get("test")
    if out is None:
        return data.test
    if len(out) == len(data.test):
        raise AuditError(
            f"expected test samples of other owners than those to forget, got {len(out)} of these only; give a test "
            "set of other people"
        )
    return data.test.without(out)
