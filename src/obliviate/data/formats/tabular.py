"""From tables and what their columns are to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

from obliviate._util.seeds import derive
from obliviate.data.features import Targets
from obliviate.data.formats.base import Arrays, Contents
from obliviate.data.formats.delimited import read_table
from obliviate.data.formats.description import Description
from obliviate.data.owners import draw_note, drawn_whole, inseparable
from obliviate.data.tables import Fitting, Table, TableEncoder, number
from obliviate.errors import DataError
from obliviate.types import Ids

ZERO_ONE: Final = {"0": 0.0, "1": 1.0}


def read_parts(description: Description, seed: int) -> tuple[Table, Table, tuple[str, ...]]:
    """Read the training and the test rows, or draw the latter from all rows, by owner if they have owners.

    Returns notes on the draw beside them.
    """
    how = {"columns": description.columns, "delimiter": description.delimiter}
    train = read_table(description.path, **how)
    if description.test is not None:
        return train, read_table(description.test, **how), ()
    whose = None if description.owner is None else train.column(description.owner)
    kept, drawn = held_out(len(train), description.test_share, seed, owners=whose)
    notes = () if whose is None else (draw_note("test", whose[kept], whose[drawn], inseparable(whose)),)
    return train.take(kept), train.take(drawn), notes


def held_out(
    n: int, share: float, seed: int, *, owners: Shaped[np.ndarray, " n"] | None = None
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " drawn"]]:
    """Draw a share of n things, and return the places of the others and theirs; a function of the seed.

    With `owners` whole owners are drawn, about that share, unless they are `inseparable`.

    >>> [len(places) for places in held_out(10, 0.2, seed=0)]
    [8, 2]
    """
    count = round(share * n)
    if not 1 <= count < n:
        raise DataError(
            f"expected a share of {n} rows that is one row or more and not all, got {share}; change test_share"
        )
    generator = np.random.default_rng(derive(seed, "test"))
    if owners is not None and inseparable(owners) is None:
        drawn = drawn_whole(owners, count, generator)
        return np.setdiff1d(np.arange(n), drawn), drawn
    order = generator.permutation(n)
    return np.sort(order[count:]), np.sort(order[:count])


def read_by_fitting(description: Description, fitting: Fitting) -> Contents:
    """Read the rows that are left of a table by a fitting of before: all to train on, unless there are two tables.

    Raises DataError for cells that the fitting does not know.
    """
    how = {"columns": description.columns, "delimiter": description.delimiter}
    parts = {"train": read_table(description.path, **how)}
    if description.test is not None:
        parts["test"] = read_table(description.test, **how)
    arrays, targets = _encoded_targets(parts, description, fitting.targets)
    encoder = fitting.encoder
    arrays |= {f"{part}_x": encoder.encode(_inputs(table, description)) for part, table in parts.items()}
    return _contents(arrays, parts["train"], description, Fitting(encoder, targets))


def table_contents(train: Table, test: Table, description: Description) -> Contents:
    """Encode the inputs by what the training rows hold, and the targets by the kind of the task."""
    inputs = _inputs(train, description)
    encoder = TableEncoder.fit(
        inputs,
        categorical=description.categorical,
        missing=description.missing,
        unseen_categories=description.unseen_categories,
    )
    arrays, targets = targets_of(train, test, description)
    arrays |= {"train_x": encoder.encode(inputs), "test_x": encoder.encode(_inputs(test, description))}
    return _contents(arrays, train, description, Fitting(encoder, targets))


def _contents(arrays: Arrays, train: Table, description: Description, fitting: Fitting) -> Contents:
    return Contents(
        arrays,
        kind=description.kind,
        classes=len(fitting.targets.names),
        metadata=metadata_of(train, description),
        owner=description.owner,
        features=fitting.encoder.features,
        targets=fitting.targets,
        notes=fitting.encoder.notes,
        cells=train.columns,
        fitting=fitting,
    )


def _inputs(table: Table, description: Description) -> Table:
    others = (description.id, description.owner)
    table = table.with_points() if description.decimal == "," else table
    return table.without([*description.target, *description.drop, *(name for name in others if name is not None)])


def metadata_of(train: Table, description: Description) -> dict[str, Shaped[np.ndarray, " _"]]:
    """The columns that stay beside the samples."""
    names = dict.fromkeys(name for name in (description.owner, *description.metadata) if name is not None)
    return {name: train.column(name).astype(np.str_) for name in names}


def ids_of(table: Table, description: Description) -> Ids:
    """The ids that the user gave, or the hashes of the rows."""
    return table.ids() if description.id is None else table.column(description.id).astype(np.str_)


def targets_of(train: Table, test: Table, description: Description) -> tuple[Arrays, Targets]:
    """The arrays of targets and ids, and what the targets are called; raises DataError for cells that do not fit."""
    return _encoded_targets({"train": train, "test": test}, description, None)


def _encoded_targets(
    parts: Mapping[str, Table], description: Description, known: Targets | None
) -> tuple[Arrays, Targets]:
    """The same of some parts, by targets that are known already or by those of the training rows."""
    names, missing, train = description.target, description.missing, parts["train"]
    most = {"classification": 1, "causal-lm": 0}.get(description.kind)
    if not names or (most is not None and len(names) > most):
        wanted = "one target column" if most == 1 else "target columns"
        raise DataError(f"expected {wanted} for {description.kind}, got {', '.join(names) or 'none'}; correct `target`")
    for table in parts.values():
        for name in names:
            if len(gaps := np.flatnonzero(np.isin(table.column(name), missing))):
                raise DataError(
                    f"expected a target in every row, got none in column {name!r}, line {table.lines[gaps[0]]} of "
                    f"{table.name}; complete or remove the row"
                )
    arrays: Arrays = {f"{part}_ids": ids_of(table, description) for part, table in parts.items()}
    if description.owner is not None:
        for part, table in parts.items():
            if part != "train" and description.owner in table.columns:
                arrays[f"{part}_owner"] = table.column(description.owner).astype(np.str_)
    if description.kind == "classification":
        classes = _classes(train, names[0]) if known is None else known.names
        arrays |= {f"{part}_y": _labels(table, names[0], classes) for part, table in parts.items()}
        return arrays, Targets(classes)
    if description.kind == "multi-label":
        arrays |= {f"{part}_y": _marks(table, names) for part, table in parts.items()}
        return arrays, Targets(names)
    if description.decimal == ",":
        parts = {part: table.with_points() for part, table in parts.items()}
    values = {part: _numbers(table, names) for part, table in parts.items()}
    mean, std = (
        (values["train"].mean(0), values["train"].std(0))
        if known is None
        else (np.array(known.mean), np.array(known.std))
    )
    if not std.all():
        raise DataError(
            f"expected targets that differ, got the same {names[int(std.argmin())]!r} in all training rows; "
            "name another column"
        )
    arrays |= {f"{part}_y": ((numbers - mean) / std).astype(np.float32) for part, numbers in values.items()}
    return arrays, Targets(names, tuple(mean.tolist()), tuple(std.tolist()))


def _classes(train: Table, name: str) -> tuple[str, ...]:
    """The classes in the order of their numbers if all are integers, and of the alphabet if not."""
    cells = set(train.column(name))
    if len(cells) < 2:
        raise DataError(f"expected two classes or more in column {name!r} of {train.name}, got {len(cells)}; check it")
    integers = all(cell.removeprefix("-").isdecimal() for cell in cells)
    return tuple(sorted(cells, key=int if integers else str))


def _labels(table: Table, name: str, classes: Sequence[str]) -> Int[np.ndarray, " n"]:
    places = {label: place for place, label in enumerate(classes)}
    labels = np.array([places.get(cell, -1) for cell in table.column(name)])
    if len(unseen := np.flatnonzero(labels < 0)):
        row = int(unseen[0])
        raise DataError(
            f"expected a class of {name!r} that a training row has, got {table.column(name)[row]!r} in line "
            f"{table.lines[row]} of {table.name}; correct it, or add training rows"
        )
    return labels


def _marks(table: Table, names: Sequence[str]) -> Float[np.ndarray, "n labels"]:
    marks = np.zeros((len(table), len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        for row, cell in enumerate(table.column(name)):
            if cell not in ZERO_ONE:
                raise DataError(
                    f"expected 0 or 1 in column {name!r}, got {cell!r} in line {table.lines[row]} of {table.name}; "
                    "give each label a column of its own"
                )
            marks[row, place] = ZERO_ONE[cell]
    return marks


def _numbers(table: Table, names: Sequence[str]) -> Float[np.ndarray, "n outputs"]:
    values = np.zeros((len(table), len(names)))
    for place, name in enumerate(names):
        for row, cell in enumerate(table.column(name)):
            values[row, place] = number(cell, column=name, line=int(table.lines[row]), where=table.name)
    return values
