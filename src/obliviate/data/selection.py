"""Which samples of a source are used: a random part of the training samples, a holdout set, and no copies across."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Int, Shaped

from obliviate._util.seeds import derive
from obliviate.data.arrays import is_mapped, let_go
from obliviate.data.formats.base import Arrays
from obliviate.data.owners import draw_note, groups, inseparable
from obliviate.data.stores import CHUNK
from obliviate.errors import DataError
from obliviate.types import Ids

PARTS: Final = ("train", "holdout", "test")
AXES: Final = ("x", "y", "ids", "owner")


@dataclass(frozen=True, eq=False)
class Selection:
    """The arrays of the samples to use, the columns of those to train on, and notes on what was left out.

    Inputs that are mapped, and their targets, are whole: `rows` says which of each part are used.
    """

    arrays: Arrays
    rows: Mapping[str, Int[np.ndarray, " _"]]
    metadata: Mapping[Any, np.ndarray]
    notes: tuple[str, ...]


def select(
    arrays: Arrays,
    *,
    train_size: int | None,
    holdout_size: int | None,
    seed: int,
    metadata: Mapping[Any, np.ndarray] | None = None,
) -> Selection:
    """Choose the samples to use.

    The holdout samples are drawn first, from the training samples that have no copy anywhere, so that their number
    is exact and does not depend on `train_size`; a larger training set contains a smaller one. Where `train_owner` is
    among the arrays, nobody is both in a drawn holdout set and trained on, unless owners are few
    (`owners.inseparable`), which a note tells. What is kept stays in the order of the source. Of test samples that are
    copies of training samples, and of given holdout samples that are copies of either, none is kept: they are not
    unseen.

    `metadata` are columns of the training samples. Raises DataError where there are too few samples.
    """
    contents = {part: hashes(arrays[f"{part}_x"]) for part in PARTS if f"{part}_x" in arrays}
    rows = {part: np.arange(len(digests)) for part, digests in contents.items()}
    arrays = dict(arrays)
    notes: list[str] = []
    if train_size is not None or holdout_size is not None:
        order = np.random.default_rng(derive(seed, "selection")).permutation(len(rows["train"]))
        if holdout_size is not None:
            held_out, order = _held_out(contents, order, holdout_size, arrays.get("train_owner"), seed, notes)
            arrays |= {f"holdout_{axis}": arrays[f"train_{axis}"] for axis in AXES if f"train_{axis}" in arrays}
            contents["holdout"], rows["holdout"] = contents["train"], np.sort(held_out)
        rows["train"] = np.sort(order[: _size(train_size, len(order), "train_size")])
    seen = contents["train"][rows["train"]]
    if copies := len(seen) - len(np.unique(seen)):
        notes.append(f"train: {copies} of {len(seen)} inputs are exact copies of others; forgetting one keeps the rest")
    for part in ("test", "holdout"):
        if part in rows:
            content = contents[part][rows[part]]
            unseen = ~np.isin(content, seen)
            if dropped := int((~unseen).sum()):
                earlier = "training" if part == "test" else "training or test"
                notes.append(f"{part}: {dropped} of {len(content)} samples left out, copies of {earlier} samples")
            if not unseen.any():
                raise DataError(
                    f"expected {part} samples that are not among the others, got only copies; give unseen samples"
                )
            rows[part] = rows[part][unseen]
            seen = np.concatenate([seen, content])
    chosen: Arrays = {}
    for part, places in rows.items():
        whole = AXES[:2] if is_mapped(arrays[f"{part}_x"]) else ()
        for axis in AXES:
            if (array := arrays.get(name := f"{part}_{axis}")) is not None:
                chosen[name] = array if axis in whole or len(places) == len(array) else array[places]
    columns = {name: column[rows["train"]] for name, column in (metadata or {}).items()}
    return Selection(chosen, rows, columns, tuple(notes))


def hashes(x: Shaped[np.ndarray, " n ..."]) -> Ids:
    """Hash each input by what a model receives: two inputs are copies if they are equal, whatever their labels.

    >>> first, second, copy = hashes(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> bool(first == copy), bool(first == second)
    (True, False)
    """
    digests: list[str] = []
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        whole = part if x.dtype == np.uint8 else part.astype(np.float32)  # exact for tokens too: they are below 2²⁴
        digests.extend(hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in whole)
        let_go(x)
    return np.array(digests, dtype=np.str_)


def _held_out(
    contents: dict[str, Ids],
    order: Int[np.ndarray, " n"],
    size: int,
    owners: Shaped[np.ndarray, " n"] | None,
    seed: int,
    notes: list[str],
) -> tuple[Int[np.ndarray, " chosen"], Int[np.ndarray, " left"]]:
    """The first `size` training samples, in this order, that have no copy anywhere, and those that may be trained on.

    With owners they are the first in a random order of owners, of whom nothing is trained on; the notes tell.
    """
    if "holdout" in contents:
        raise DataError(
            f"expected data without a holdout set, to draw {size} samples for one, got {len(contents['holdout'])} "
            "holdout samples; leave out holdout_size"
        )
    content = contents["train"]
    names, inverse, counts = np.unique(content, return_inverse=True, return_counts=True)
    single = (counts == 1) & ~np.isin(names, contents["test"])
    reason = None if owners is None else inseparable(owners)
    if owners is None or reason is not None:
        candidates = order[single[inverse][order]]
        most = min(len(candidates), len(content) - 1)  # one sample at least is left to train on
        chosen = candidates[: _size(size, most, "holdout_size")]
        left = order[~np.isin(order, chosen)]
    else:
        whose = groups(owners)
        rank = np.random.default_rng(derive(seed, "owners")).permutation(whose.max() + 1)
        of_owners = order[np.argsort(rank[whose[order]], kind="stable")]
        candidates = of_owners[single[inverse][of_owners]]
        candidates = candidates[whose[candidates] != whose[of_owners[-1]]]  # one owner at least is left to train on
        chosen = candidates[: _size(size, len(candidates), "holdout_size")]
        left = order[~np.isin(whose[order], whose[chosen])]
        if more := len(order) - len(left) - len(chosen):
            notes.append(f"holdout: {more} more samples of the owners drawn are left out")
    if owners is not None:
        notes.append(draw_note("holdout", owners[left], owners[chosen], reason))
    return chosen, left


def _size(size: int | None, most: int, name: str) -> int:
    if size is None:
        return most
    if not 1 <= size <= most:
        raise DataError(f"expected {name} in 1 … {most}, as many as there are to choose from, got {size}; change it")
    return size
