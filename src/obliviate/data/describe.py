"""What data were understood to be, in a few lines, before anything is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from obliviate.data.features import Features, Limits

if TYPE_CHECKING:
    from obliviate.data.sources import Data

COLOURS: Final = {1: "grey", 3: "RGB", 4: "RGBA"}
NAMED: Final = 4  # classes or columns that are all named; of more, the first and the last


def described(data: Data) -> str:
    """Say how many samples there are and of what inputs, what is predicted, and what lies beside them.

    >>> from obliviate.data.sources import load_data
    >>> print(described(load_data("diabetes")))
    354 rows of 11 inputs: 9 numeric columns, 1 categorical; 1 number (progression)
    88 test samples beside them
    """
    lines = [f"{len(data.train):,} {_inputs(data)}{_separator(data)}{_targets(data)}", _beside(data)]
    if data.owner is not None:
        whose = np.unique(data.metadata[data.owner])
        lines.append(f"about {len(whose):,} owners, by {data.owner!r}")
    return "\n".join(lines)


def _separator(data: Data) -> str:
    return "; " if data.features is not None else ", "


def _inputs(data: Data) -> str:
    shape = data.train.shape
    if data.vocabulary is not None:
        what = "windows of text" if data.kind == "causal-lm" else "texts"
        return f"{what} of {shape[0]:,} tokens, vocabulary of {len(data.vocabulary):,}"
    if data.features is not None:
        return f"rows of {len(data.features):,} inputs: {_columns(data, data.features)}"
    if len(shape) == 3:
        what = f"images of {shape[0]:,} channels and {shape[1]}×{shape[2]} pixels"
        if shape[0] in COLOURS:
            what = f"{COLOURS[shape[0]]} images of {shape[1]}×{shape[2]}"
    elif len(shape) == 2 and shape[0] > shape[1]:
        what = f"arrays of {shape[0]:,}×{shape[1]} numbers"  # steps before channels, as recurrent networks take them
    elif len(shape) == 2:
        what = f"sequences of {shape[0]} channels, {shape[1]:,} long,"
    else:
        what = f"rows of {shape[0]:,} numbers" if len(shape) == 1 else f"samples of {'×'.join(map(str, shape))} numbers"
    return f"{what}{_range(data.input_range)}"


def _columns(data: Data, features: Features) -> str:
    """How many columns of a table there are of each kind, and which are no inputs."""
    numeric = int(features.continuous.sum())
    pairs = zip(features.names, features.continuous, strict=True)
    categorical = {name.partition("=")[0] for name, free in pairs if not free}
    unused = sorted(set(data.cells) - categorical - set(features.names) - set(_target_names(data)))
    kinds = [f"{numeric:,} numeric column{'s' * (numeric > 1)}"] if numeric else []
    kinds += [f"{len(categorical):,} categorical"] if categorical else []
    kinds += [f"{len(unused):,} not among the inputs ({_some(unused)})"] if unused else []
    return ", ".join(kinds)


def _range(limits: Limits | None) -> str:
    if limits is None:
        return ""
    low, high = limits
    if isinstance(low, tuple) or isinstance(high, tuple):
        return ", each channel in a range of its own"
    return f" in [{low:.4g}, {high:.4g}]"


def _target_names(data: Data) -> tuple[str, ...]:
    """The columns of a table that hold targets: of a classification, those cells that are its classes."""
    if data.targets is None:
        return ()
    if data.kind != "classification":
        return data.targets.names
    classes = set(data.targets.names)
    return tuple(name for name, cells in data.cells.items() if set(cells) <= classes and name != data.owner)


def _targets(data: Data) -> str:
    names = () if data.targets is None else data.targets.names
    if data.kind == "causal-lm":
        return "the next token of each"
    if data.kind == "classification":
        return f"{data.classes:,} classes ({_some(names or tuple(map(str, range(data.classes))))})"
    what = "labels" if data.kind == "multi-label" else "numbers"
    what = what if data.classes > 1 else what.removesuffix("s")
    return f"{data.classes:,} {what}" + (f" ({_some(names)})" if names else "")


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} … {names[-1]}"


def _beside(data: Data) -> str:
    holdout = "" if data.holdout is None else f"{len(data.holdout):,} holdout and "
    return f"{holdout}{len(data.test):,} test samples beside them"
