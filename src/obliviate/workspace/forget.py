"""What `--forget` texts mean in a folder: the rules of `data.rules`, and those that need what the folder holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.amounts import read_amount
from obliviate.data.lookup import Unknown
from obliviate.data.rules import Among, Chosen, Forget, Rule, and_copies
from obliviate.data.rules import choose as follow
from obliviate.errors import DataError, WorkspaceError
from obliviate.references.pool import ReferencePool, pools_in
from obliviate.types import Ids
from obliviate.workspace.origin import Origin


@dataclass(frozen=True, eq=False)
class Context:
    """The folder, what it was made from, and what requests before that of this number have forgotten.

    `unknown` says what becomes of names that the training set does not have (`lookup.Unknown`).
    """

    folder: Path
    origin: Origin
    number: int = 1
    forgotten: Ids = field(default_factory=lambda: np.array([], dtype=np.str_))
    unknown: Unknown = "refuse"

    @property
    def among(self) -> Among:
        """What rules choose from."""
        seed = self.origin.seed if self.number == 1 else derive(self.origin.seed, "request", self.number)
        return self.origin.data.among(seed=seed, forgotten=self.forgotten, unknown=self.unknown)

    @property
    def named_among(self) -> Among:
        """The same by the names that people ask by, where others are written."""
        pseudonyms = self.origin.pseudonyms
        assert pseudonyms is not None
        data = pseudonyms.unveiled(self.origin.data)
        return data.among(seed=self.among.seed, forgotten=pseudonyms.own(self.forgotten), unknown=self.unknown)

    @property
    def references(self) -> Path:
        """Where references are."""
        return self.folder / "references"

    def pool(self) -> ReferencePool:
        """Open the references that are there; raises WorkspaceError where there are none, with how to get some."""
        if not any(pool.members for pool in pools_in(self.references)):
            raise WorkspaceError(
                f"expected references in {self.folder} to rank samples by, got none; "
                f"run `obliviate references --out {self.folder}` first"
            )
        return workflow.load_references(self.origin.experiment, folder=self.references)


def choose(forget: Forget, context: Context, *, with_copies: bool = False) -> Chosen:
    """Choose by ids, a rule, or its text: one of `RULES` or `data.rules.TEXTS`; and their copies, if these are wanted.

    The ids are not looked up here: `Split.of` refuses those that are unknown. Raises DataError for a rule that cannot
    be followed, WorkspaceError for one that needs what the folder does not hold.
    """
    among, pseudonyms = context.among, context.origin.pseudonyms
    by_name = not (isinstance(forget, str) and forget.startswith(tuple(RULES)))
    if pseudonyms is not None and by_name:
        among = context.named_among
        if not isinstance(forget, str | Rule):
            forget = pseudonyms.own(forget)
    chosen = follow(forget, among, {begins: partial(rule, context) for begins, rule in RULES.items()})
    if with_copies:
        whole = context.origin.data.erased.but(context.forgotten).joined_to(among.train)
        chosen = and_copies(chosen, Among(whole))
    if pseudonyms is None or not by_name:
        return chosen
    text = forget if isinstance(forget, str) else forget.text if isinstance(forget, Rule) else "ids:"
    return pseudonyms.veiled(chosen, text=text)


def _erased(context: Context, _: str) -> Rule:
    def chosen(_: Among) -> Chosen:
        gone = context.origin.data.erased.ids
        gone = gone[~np.isin(gone, context.forgotten)]
        if not len(gone):
            raise DataError(
                "expected samples that the source no longer holds, got a source that holds all that are not forgotten "
                "yet; name ids instead"
            )
        return Chosen(gone.tolist(), f"{len(gone):,} samples erased from the source")

    return Rule("erased", chosen)


def _coins(context: Context, _: str) -> Rule:
    def chosen(_: Among) -> Chosen:
        if (coins := context.origin.plan.tossed) is None:
            raise DataError(
                f"expected a folder with coins to forget the heads of, got {context.folder} without; "
                "train with `obliviate train --coins 1000` in a new one"
            )
        heads = coins.heads.tolist()
        return Chosen(heads, f"the {len(heads)} heads of {len(coins)} coins")

    return Rule("coins", chosen)


def _noise(context: Context, _: str) -> Rule:
    def chosen(_: Among) -> Chosen:
        if (noise := context.origin.plan.planted) is None:
            raise DataError(
                f"expected a folder with noise to forget the samples of, got {context.folder} without; "
                "train with `obliviate train --noise 500` in a new one"
            )
        ids = noise.clean.ids.tolist()
        return Chosen(ids, f"noise planted in {len(ids)} samples")

    return Rule("noise", chosen)


def _memorised(context: Context, amount: str) -> Rule:
    return workflow.memorised(read_amount(amount, rule="memorised"), context.pool, context.origin.task)


def _mislabelled(context: Context, amount: str) -> Rule:
    return workflow.mislabelled(read_amount(amount, rule="mislabelled"), context.pool, context.origin.task)


RULES: Final[dict[str, Callable[[Context, str], Rule]]] = {
    "coins": _coins,
    "erased": _erased,
    "noise": _noise,
    "mislabelled:": _mislabelled,
    "memorised:": _memorised,
}
"""Rules of a folder by how their text begins; a plain word is a rule only if it is the whole text."""
