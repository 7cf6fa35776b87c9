"""A user's data beside a `data.toml` that says what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from obliviate.data.formats import newsgroups, plain_text
from obliviate.data.formats.base import Contents, Format
from obliviate.data.formats.description import NAME, read_description
from obliviate.data.formats.tabular import read_by_fitting, read_parts, table_contents
from obliviate.data.formats.texts import text_contents
from obliviate.data.tables import Fitting


def read(path: Path, seed: int) -> Contents:
    """Read the data that the file, or the one of this name in the folder, describes."""
    description = read_description(path if path.is_file() else path / NAME)
    if description.kind == "causal-lm":
        return plain_text.text_contents(description, seed)
    if newsgroups.is_archive(description.path) or description.path.is_dir():
        return newsgroups.read(description.path, description)
    train, test, notes = read_parts(description, seed)
    build = table_contents if description.text is None else text_contents
    contents = build(train, test, description)
    return replace(contents, notes=(*contents.notes, *notes))


def read_by(path: Path, fitting: Fitting) -> Contents:
    """Read the rows that are left of a described table by a fitting of before."""
    return read_by_fitting(read_description(path if path.is_file() else path / NAME), fitting)


DESCRIBED = Format(
    name="described data",
    looks_for=f"{NAME}, which says what your files hold",
    recognises=lambda path: (path.is_file() and path.suffix == ".toml") or (path / NAME).is_file(),
    read=read,
    read_by=read_by,
)
