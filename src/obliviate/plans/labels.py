"""What a plan does by class before anything is trained: labels made wrong, and parts of classes to forget."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from obliviate._util.seeds import derive
from obliviate.data.rules import Among
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.errors import DataError
from obliviate.plans.plan import WrongLabels
from obliviate.types import Ids


def mislabelled(data: Data, wrong: WrongLabels, *, seed: int) -> tuple[Data, tuple[str, ...]]:
    """Give a share of the training samples of each class a wrong label; return the data, and the ids of these samples.

    The label is drawn evenly among the other classes; ids, and all other parts, stay as they are.
    Raises DataError for data without classes, and for classes that no training sample has.

    >>> from obliviate.data.sources import load_data
    >>> data = load_data("digits", train_size=100)
    >>> spoilt, ids = mislabelled(data, WrongLabels(share=0.5, classes=(3,)), seed=0)
    >>> before, after = (of.train.select(ids).targets for of in (data, spoilt))
    >>> bool((before == 3).all()), bool((after != 3).all()), spoilt.train.ids.tolist() == data.train.ids.tolist()
    (True, True, True)
    """
    if data.kind != "classification":
        raise DataError(f"expected data with classes to make labels wrong, got {data.kind}; leave out wrong_labels")
    train, y = data.train, data.train.targets.clone()
    classes = wrong.classes or tuple(y.unique().tolist())
    ids = _drawn(train, classes, wrong.share, seed=derive(seed, "wrong labels"))
    places = train.places(ids)
    shift = np.random.default_rng(derive(seed, "which wrong label")).integers(1, data.classes, len(ids))
    y[places] = (y[places] + torch.from_numpy(shift)) % data.classes
    spoilt = Samples.from_tensors(train.everything().x, y, ids=train.ids.tolist())
    parts = [spoilt, *([] if data.holdout is None else [data.holdout]), data.test]
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    return replace(data, train=spoilt, sha256=digest), tuple(ids.tolist())


def of_classes(among: Among, classes: Sequence[int], share: float) -> list[str]:
    """The ids of a random share of each of these classes, a function of the seed; raises DataError for no such class.

    >>> from obliviate.data.sources import load_data
    >>> data = load_data("digits", train_size=100)
    >>> ids = of_classes(data.among(seed=0), (5, 6), 0.4)
    >>> data.train.select(ids).targets.unique().tolist()
    [5, 6]
    """
    return _drawn(among.train, classes, share, seed=derive(among.seed, "share of classes")).tolist()


def _drawn(train: Samples, classes: Sequence[int], share: float, *, seed: int) -> Ids:
    """A random share of the samples of each of these classes, at least one of each, in the order of the samples."""
    if not 0 < share < 1:
        raise DataError(f"expected a share of each class in (0, 1), got {share}; ten per cent is 0.1")
    targets = train.targets
    if targets.ndim != 1 or targets.is_floating_point():
        raise DataError(f"expected one class a sample, got {targets.dtype} of shape {tuple(targets.shape)}; name ids")
    labels, random = targets.numpy(), np.random.default_rng(seed)
    chosen = []
    for label in classes:
        places = random.permutation(np.flatnonzero(labels == label))
        if not len(places):
            raise DataError(
                f"expected classes of the training set ({', '.join(map(str, np.unique(labels)))}), got {label}; "
                "name those"
            )
        chosen.append(places[: max(1, round(share * len(places)))])
    return train.ids[np.sort(np.concatenate(chosen))]
