"""Where data come from: the set that the package ships, and a user's files in any of the known formats."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from obliviate.data import builtin, formats
from obliviate.data.arrays import ArrayStore, is_mapped, let_go
from obliviate.data.describe import described
from obliviate.data.erased import Erased
from obliviate.data.features import Features, Limits, Targets
from obliviate.data.formats.base import Arrays, Contents
from obliviate.data.formats.npz import read_archive
from obliviate.data.lookup import Unknown
from obliviate.data.owners import NOBODY
from obliviate.data.owners import groups as numbered_owners
from obliviate.data.owners import named as named_owners
from obliviate.data.rules import Among, owner, with_value
from obliviate.data.samples import Samples
from obliviate.data.scales import check_scales
from obliviate.data.selection import PARTS, select
from obliviate.data.stores import CHUNK
from obliviate.data.tables import Fitting
from obliviate.data.vocabulary import Vocabulary
from obliviate.errors import DataError
from obliviate.types import Ids, SampleId

EMBEDDED = "fashion_mnist_5k"
TARGETS: Final = {
    "classification": np.int64,
    "multi-label": np.float32,
    "regression": np.float32,
    "causal-lm": np.int64,
}


@dataclass(frozen=True, eq=False)
class Data:
    """One data set in its three roles: training, holdout (unseen; may be None) and test.

    `kind` is "classification" (targets int64 "n"), "multi-label" (0 or 1, float32 "n classes"), "regression" (float32
    "n classes", scaled by `targets`) or "causal-lm" (int64 "n length", −100 where there is none); `classes` is the
    number of classes, of labels, of outputs, or of tokens of the vocabulary. `metadata` are columns with one entry for
    each of `train.ids`; `owner` names the one that tells whom a sample is about. `features` describes tabular inputs;
    with a `vocabulary`, inputs are tokens, int64 "n length". `owners` tells whom the samples of "test" and "holdout"
    are about, where that is known, one entry for each. `cells` are all columns of a table as they were written, for
    conditions. `notes` are sentences on what was left out, and on exact
    copies. `input_range` is the range of inputs other than features and tokens: [0, 1] of images, and where numbers
    reach beyond it that of the training samples. The hash is that of samples and ids, not of the columns.
    `source_rows` is how many samples the source has, used or not, `fitting` how a table became numbers, and `erased`
    what was trained on and is no longer in the source (`remaining.load_remaining`).
    `describe` says all of it in a few lines.
    """

    name: str
    classes: int
    train: Samples
    test: Samples
    holdout: Samples | None
    sha256: str
    notes: tuple[str, ...] = ()
    kind: str = "classification"
    metadata: Mapping[str, np.ndarray] = field(default_factory=dict)
    owner: str | None = None
    features: Features | None = None
    vocabulary: Vocabulary | None = None
    targets: Targets | None = None
    owners: Mapping[str, np.ndarray] = field(default_factory=dict)
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)
    input_range: Limits | None = None
    source_rows: int = 0
    fitting: Fitting | None = None
    erased: Erased = field(default_factory=Erased)

    @property
    def trained_ids(self) -> Ids:
        """The ids of all samples that were trained on, in order, those among them that are gone since."""
        return self.erased.trained if len(self.erased) else self.train.ids

    def describe(self) -> str:
        """Say in a few lines what the data were understood to be: samples, inputs, targets, parts.

        >>> print(load_data("fashion_mnist_5k").describe())
        5,000 grey images of 28×28 in [0, 1], 10 classes (t-shirt … ankle boot)
        500 holdout and 2,500 test samples beside them
        """
        return described(self)

    def without(self, ids: Iterable[SampleId] | Ids) -> Data:
        """Leave these training samples out, and their entries in the columns; raises DataError for unknown ids."""
        train = self.train.without(ids)
        kept = np.isin(self.train.ids, train.ids)
        columns = {name: column[kept] for name, column in self.metadata.items()}
        cells = {name: column[kept] for name, column in self.cells.items()}
        return replace(self, train=train, metadata=columns, cells=cells)

    def groups(self, part: str) -> Int[np.ndarray, " n"] | None:
        """Number what belongs together of the training samples and then of "test" or "holdout": all of one owner.

        None where the data have no owners.
        """
        if self.owner is None:
            return None
        samples = {"test": self.test, "holdout": self.holdout}[part]
        nobody = np.full(0 if samples is None else len(samples), NOBODY)
        others = named_owners(self.owners.get(part, nobody))
        return numbered_owners(np.concatenate([named_owners(self.metadata[self.owner]), others]))

    def unseen_of(self, forget: Iterable[SampleId] | Ids) -> dict[str, Shaped[np.ndarray, " _"]]:
        """Return the ids of test and holdout samples whose owners have no training samples beside those to forget.

        They are by part, "test" and "holdout"; parts without any are left out.
        """
        if self.owner is None:
            return {}
        whose, forgotten = named_owners(self.metadata[self.owner]), np.isin(self.train.ids, list(forget))
        wholly = np.setdiff1d(whose[forgotten], whose[~forgotten])
        parts = {"test": self.test, "holdout": self.holdout}
        unseen = {
            part: samples.ids[np.isin(named_owners(self.owners[part]), wholly[wholly != NOBODY])]
            for part, samples in parts.items()
            if samples is not None and part in self.owners
        }
        return {part: ids for part, ids in unseen.items() if len(ids)}

    def ids_of(self, value: str, *, column: str | None = None) -> Ids:
        """Return the ids of one owner's training samples, or of those with this value in another column.

        Raises DataError for a column that the data do not have, or a value that it does not hold.
        """
        name = self.owner if column is None else column
        if name is None or name not in self.metadata:
            got = "data without an owner" if name is None else repr(name)
            expected = (
                f"a column of {', '.join(self.metadata)}" if self.metadata else "data with columns beside the samples"
            )
            raise DataError(f"expected {expected}, got {got}; name ids instead, or see docs/data.md on owners")
        if name == self.owner:  # whose names are told to nobody
            return self.train.ids[np.isin(self.train.ids, owner(value).choose(self.among()).ids)]
        return self.train.ids[with_value(name, self.metadata[name], value)]

    def among(self, *, seed: int = 0, forgotten: Ids | None = None, unknown: Unknown = "refuse") -> Among:
        """What rules choose from: the training samples but those `forgotten`, and what is known of all others."""
        gone = self.erased.ids
        if forgotten is not None:
            gone = np.setdiff1d(gone, forgotten)
        here = np.array([], dtype=np.str_) if forgotten is None else np.intersect1d(forgotten, self.train.ids)
        part = self.without(here) if len(here) else self
        elsewhere: dict[str, Ids] = {} if self.holdout is None else {"holdout": self.holdout.ids}
        elsewhere["test"] = self.test.ids
        owners = dict(self.owners)
        if len(gone):
            elsewhere["erased"] = gone
        if forgotten is not None and len(forgotten):
            elsewhere["forgotten"] = np.asarray(forgotten)
            if self.owner is not None:
                owners["forgotten"] = named_owners(self.metadata[self.owner])
        names = self.targets.names if self.kind == "classification" and self.targets is not None else ()
        return Among(part.train, part.metadata, self.owner, seed, names, part.cells, elsewhere, owners, unknown)


def load_data(
    source: str | Path, *, train_size: int | None = None, holdout_size: int | None = None, seed: int = 0
) -> Data:
    """Load a set of `BUILT_IN` by its name, or a user's data by their path; the files there tell the format.

    A `.npz` file holds `train_x`, `train_y`, `test_x`, `test_y` and, if there are unseen samples to spare,
    `holdout_x`, `holdout_y`. Bytes are read as pixels and scaled to [0, 1]; floats are taken as they are. Images
    are "n height width" or "n channels height width". Optional `train_ids` name the training samples, `train_owner` and
    `test_owner` whom each is about. The other formats of images, tables and texts are described in docs/data.md.

    Where a source has no test part, one is drawn. `holdout_size` training samples are drawn to be the unseen
    holdout set, and then `train_size` of the rest to be trained on; all draws are functions of the seed. Where
    samples have owners, the first two draws take whole owners (docs/data.md). A test sample whose input is also trained
    on is left out.

    Raises DataError for an unknown source, a missing or damaged file, or arrays that do not fit together.

    >>> data = load_data("fashion_mnist_5k", train_size=1000)
    >>> len(data.train), len(data.test), data.classes
    (1000, 2500, 10)
    """
    name, contents = read_source(source, seed)
    return _data(name, contents, train_size, holdout_size, seed)


def read_source(source: str | Path, seed: int, fitting: Fitting | None = None) -> tuple[str, Contents]:
    """What a source is called and holds; a table is read by a `fitting` of before, if there is one.

    Raises DataError as `load_data` does.
    """
    if str(source) in BUILT_IN:
        return str(source), BUILT_IN[str(source)](seed)
    path = Path(source)
    form = formats.recognise(path)
    try:
        name = path.resolve().stem if path.is_file() else path.resolve().name
        if fitting is not None and form.read_by is not None:
            return name, form.read_by(path, fitting)
        return name, form.read(path, seed)
    except OSError as error:
        raise DataError(
            f"expected {form.name} in {path}, got {error}; check the files and their permissions"
        ) from error


def embedded() -> Data:
    """Load the 5,000 + 500 + 2,500 images of Fashion-MNIST that the package ships, checked against their checksum."""
    return load_data(EMBEDDED)


def _embedded_arrays() -> Arrays:
    folder = resources.files("obliviate.data") / "embedded"
    facts = json.loads((folder / f"{EMBEDDED}.json").read_text(encoding="utf-8"))
    with resources.as_file(folder / f"{EMBEDDED}.npz") as path:
        arrays = read_archive(path, what="the embedded data")
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    if digest.hexdigest() != facts["sha256"]:
        raise DataError(
            f"expected the embedded data with sha256 {facts['sha256'][:12]}…, got {digest.hexdigest()[:12]}…; "
            "the file is damaged: install the package again"
        )
    return arrays


BUILT_IN: Final[dict[str, Callable[[int], Contents]]] = {
    EMBEDDED: lambda _: Contents(_embedded_arrays(), targets=Targets(builtin.ITEMS)),
    "fashion_pairs": lambda _: builtin.pairs(_embedded_arrays()),
    "digits": builtin.digits,
    "diabetes": builtin.diabetes,
}


def _data(name: str, contents: Contents, train_size: int | None, holdout_size: int | None, seed: int) -> Data:
    _check(contents)
    arrays, kind = contents.arrays, contents.kind
    limits, range_notes = _range(contents)
    classes, notes = contents.classes, [*contents.notes, *range_notes]
    if classes is None and contents.targets is not None and kind == "classification":
        classes = len(contents.targets.names)
    if classes is None:
        labels = np.unique(np.concatenate([arrays[f"{part}_y"] for part in PARTS if f"{part}_y" in arrays]))
        notes.extend(_gaps(labels))
        classes = 1 + max(int(arrays[f"{part}_y"].max()) for part in PARTS if f"{part}_y" in arrays)
    if contents.owner is not None:
        arrays = arrays | {"train_owner": contents.metadata[contents.owner]}
    columns = {("metadata", name): column for name, column in contents.metadata.items()}
    columns |= {("cells", name): column for name, column in contents.cells.items()}
    chosen = select(arrays, train_size=train_size, holdout_size=holdout_size, seed=seed, metadata=columns)
    beside = {
        kind: {name: column for (of, name), column in chosen.metadata.items() if of == kind}
        for kind in ("metadata", "cells")
    }
    parts: dict[str, Samples] = {}
    for part in PARTS:
        if f"{part}_x" in chosen.arrays:
            parts[part] = samples_of(contents, chosen.arrays, part, chosen.rows[part])
    digest = hashlib.sha256("".join(parts[part].sha256 for part in PARTS if part in parts).encode())
    return Data(
        name,
        classes,
        parts["train"],
        parts["test"],
        parts.get("holdout"),
        digest.hexdigest(),
        (*notes, *chosen.notes),
        kind,
        beside["metadata"],
        contents.owner,
        contents.features,
        contents.vocabulary,
        contents.targets,
        {part: chosen.arrays[f"{part}_owner"] for part in PARTS[1:] if f"{part}_owner" in chosen.arrays},
        beside["cells"],
        limits,
        sum(len(arrays[f"{part}_x"]) for part in PARTS if f"{part}_x" in arrays),
        contents.fitting,
    )


def samples_of(contents: Contents, arrays: Arrays, part: str, rows: Int[np.ndarray, " _"] | None = None) -> Samples:
    """The samples of one part of these arrays, as a model receives them; of inputs that are mapped those in `rows`."""
    x, y, ids = arrays[f"{part}_x"], arrays[f"{part}_y"], arrays.get(f"{part}_ids")
    convert = tokens if contents.vocabulary is not None else partial(pixels, sequences=contents.sequences)
    targets, names = torch.from_numpy(y.astype(TARGETS[contents.kind])), None if ids is None else ids.astype(np.str_)
    if not is_mapped(x):
        return Samples.from_tensors(convert(x), targets, ids=names)
    places = None if rows is None else torch.from_numpy(rows)
    return Samples.of_store(ArrayStore(x, targets, convert), names, rows=places)


def tokens(array: Shaped[np.ndarray, " n ..."]) -> Shaped[Tensor, " n ..."]:
    """Turn whole numbers into int64, as models take tokens."""
    return torch.from_numpy(array.astype(np.int64))


def _range(contents: Contents) -> tuple[Limits | None, list[str]]:
    """In what range inputs lie that are neither features nor tokens, and a note where that is not [0, 1]."""
    if contents.features is not None or contents.vocabulary is not None:
        return None, []
    if contents.input_range is not None:
        return contents.input_range, []
    x = contents.arrays["train_x"]
    if x.dtype in {np.dtype(np.uint8), np.dtype(bool)}:
        return (0.0, 1.0), []
    low, high = 0.0, 1.0
    for start in range(0, len(x), CHUNK):
        some = x[start : start + CHUNK]
        finite = np.isfinite(some)
        low, high = (float(end(some, where=finite, initial=of)) for end, of in ((np.min, low), (np.max, high)))
        let_go(x)
    if (low, high) == (0.0, 1.0):
        return (0.0, 1.0), []
    # As the model receives them, and as they are compared with.
    low, high = float(np.float32(low)), float(np.float32(high))
    return (low, high), [
        f"inputs reach beyond [0, 1]: their range is that of the training samples, [{low:.4g}, {high:.4g}]; "
        "another, or one of each channel, is said by `input_range`"
    ]


def _gaps(labels: Shaped[np.ndarray, " k"]) -> list[str]:
    """Say that classes are counted from 0 to the highest label where some of these numbers never occur."""
    highest, lowest = int(labels.max()), int(labels.min())
    if len(labels) == highest + 1:
        return []
    if lowest == 1:
        return [
            "no sample has class 0: labels seem to begin at 1; classes are counted from 0, so that one of the "
            f"{highest + 1} never occurs; subtract 1 from all labels"
        ]
    return [
        f"classes are counted from 0 to {highest}, and only {len(labels)} of these {highest + 1} numbers occur; number "
        "the classes without gaps"
    ]


def _check(contents: Contents) -> None:
    """Refuse arrays that are missing, of the wrong kind, or that do not fit together."""
    arrays = contents.arrays
    used = [part for part in PARTS if part != "holdout" or {"holdout_x", "holdout_y"} & set(arrays)]
    needed = [f"{part}_{axis}" for part in used for axis in "xy"]
    if missing := [name for name in needed if name not in arrays]:
        raise DataError(f"expected arrays {', '.join(needed)}, got none named {', '.join(missing)}; add them")
    for name in needed:
        kinds, wanted = ("iu", "integer class numbers")
        if name.endswith("x") or contents.kind in {"multi-label", "regression"}:
            kinds, wanted = ("buif", "numbers")
        if arrays[name].dtype.kind not in kinds or arrays[name].ndim == 0:
            raise DataError(
                f"expected {wanted} in {name}, got {arrays[name].dtype} of shape {arrays[name].shape}; convert them"
            )
    for part in used:
        n = len(arrays[f"{part}_x"])
        if n == 0:
            raise DataError(f"expected at least one sample in {part}_x, got none; check how the data were made")
        if len(arrays[f"{part}_y"]) != n:
            got = len(arrays[f"{part}_y"])
            raise DataError(
                f"expected as many targets as inputs, got {n} inputs and {got} targets in {part}; align them"
            )
        _check_names(arrays, part, n)
    targets = {part: arrays[f"{part}_y"].shape[1:] for part in used}
    if len(set(targets.values())) != 1:
        raise DataError(f"expected targets of one shape, got {targets} behind the samples; give all parts alike")
    n = len(arrays["train_x"])
    for name, column in contents.metadata.items():
        if column.shape != (n,):
            got = f"{len(column)} entries" if column.ndim == 1 else f"entries of shape {column.shape}"
            raise DataError(f"expected one {name} per training sample, got {got} for {n} samples; align them")
    if contents.features is None and contents.vocabulary is None:
        check_scales({f"{part}_x": arrays[f"{part}_x"] for part in used})
    shapes = {part: _image_shape(arrays[f"{part}_x"], contents.sequences) for part in used}
    if len(set(shapes.values())) != 1:
        raise DataError(f"expected samples of one shape, got {shapes}; resize them")


def _check_names(arrays: Arrays, part: str, n: int) -> None:
    for axis, what in (("ids", "id"), ("owner", "owner")):
        if (names := arrays.get(f"{part}_{axis}")) is not None and names.shape != (n,):
            got = f"{len(names)} {what}s" if names.ndim == 1 else f"{what}s of shape {names.shape}"
            raise DataError(f"expected one {what} per sample, got {got} for {n} samples of {part}; align them")


def _image_shape(array: Shaped[np.ndarray, " n ..."], sequences: bool) -> tuple[int, ...]:
    return (1, *array.shape[1:]) if array.ndim == 3 and not sequences else array.shape[1:]


def pixels(array: Shaped[np.ndarray, " n ..."], *, sequences: bool = False) -> Shaped[Tensor, " n ..."]:
    """Turn bytes into floats in [0, 1], and "n height width" into "n 1 height width", unless they are `sequences`.

    >>> pixels(np.full((1, 2, 2), 255, dtype=np.uint8)).shape
    torch.Size([1, 1, 2, 2])
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))
    tensor = tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()
    return tensor[:, None] if tensor.ndim == 3 and not sequences else tensor
