"""The documentation of results.json, made from its types: a page of tables, and a JSON Schema."""

from __future__ import annotations

import builtins
import json
import typing
from typing import Any

from pydantic import BaseModel

from obliviate.results.schema import SCHEMA, Results

PAGE = f"""# results.json

Schema name: `{SCHEMA}`. This page and [its JSON Schema](results.schema.json) are made from the types in
[`obliviate.results`](../src/obliviate/results/schema.py) by `python scripts/make_results_schema.py`.
`obliviate.results.file.read` reads a file and checks it; another version is refused by name.

**Units.** Accuracies, AUCs, rates, shares, gaps, differences, margins and resolutions are in **percent** (or percentage
points), times in seconds; fractions are named as such. No value is NaN. No field is ever left out: what is not known,
was not asked for or cannot be had is `null` or empty. Intervals are at `settings.confidence` unless another level is
told.

In the file one field more, `sha256`, is the hash of all others, by which every reader tells whether it was changed.
"""


def json_schema() -> str:
    """The JSON Schema of results.json (draft 2020-12)."""
    return json.dumps(Results.model_json_schema(by_alias=True), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """The page that explains every field, a table for each type, in the order in which they first occur."""
    parts = [PAGE]
    for cls in _types(Results):
        parts.append(f"## {cls.__name__}\n\n{(cls.__doc__ or '').partition('>>>')[0].strip()}\n")
        lines = ["| field | kind | content |", "|---|---|---|"]
        for name, field in cls.model_fields.items():
            content = " ".join((field.description or "").split()).replace("|", "\\|")
            lines.append(f"| `{field.alias or name}` | {_kind(field.annotation)} | {content} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _types(cls: type[BaseModel]) -> list[type[BaseModel]]:
    """A type and all that its fields are made of, each once, breadth first."""
    types = [cls]
    for outer in types:
        for field in outer.model_fields.values():
            types += [inner for inner in _models(field.annotation) if inner not in types]
    return types


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = [cls for argument in typing.get_args(annotation) for cls in _models(argument)]
    return list(dict.fromkeys(inner))


def _kind(annotation: Any) -> str:
    """The kind of a field in words, with links to the types that it is made of.

    >>> _kind(dict[str, float]), _kind(int | None)
    ('number by name', 'whole number or null')
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if annotation in words:
        return words[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    match origin:
        case typing.Literal:
            kind = "text"
        case typing.Annotated:
            kind = _kind(arguments[0])
        case builtins.tuple:
            kind = f"list of {_kind(arguments[0])}"
        case builtins.dict:
            kind = f"{_kind(arguments[1])} by name"
        case _:
            kind = " or ".join(_kind(argument) for argument in arguments) or "value"
    return kind
