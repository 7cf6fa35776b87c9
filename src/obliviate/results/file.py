"""results.json: the one place where it is written, and the one where it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import ResultsError
from obliviate.results.schema import SCHEMA, Results

MOST_NAMED = 3  # problems of one file that an error names


def write(path: Path, results: Results) -> None:
    """Write results as a sealed JSON document, in one step."""
    write_sealed_json(path, results.to_dict())


def read(path: Path, *, remedy: str = "run the audit again") -> Results:
    """Read what `write` wrote.

    Raises WorkspaceError for a file that is missing, damaged or edited, and ResultsError as `parse` does.
    """
    return parse(read_sealed_json(path, remedy=remedy), where=str(path), remedy=remedy)


def parse(values: Mapping[str, Any], *, where: str = "the results", remedy: str = "run the audit again") -> Results:
    """Check the parsed content of a results.json.

    Raises ResultsError for another version of the schema, by name, and for fields that are missing, unknown or of
    another kind, each with its path.

    >>> parse({"schema": "obliviate.results/4"})
    Traceback (most recent call last):
    obliviate.errors.ResultsError: expected schema obliviate.results/5, got 'obliviate.results/4' in the results; ...
    """
    if (schema := values.get("schema")) != SCHEMA:
        raise ResultsError(
            f"expected schema {SCHEMA}, got {schema!r:.60} in {where}; another version of obliviate wrote it: {remedy}"
        )
    try:
        return Results.model_validate(values)
    except ValidationError as error:
        problems = [_in_words(problem) for problem in error.errors()]
        more = f" and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise ResultsError(
            f"expected {'; '.join(problems[:MOST_NAMED])}{more} in {where}; it was edited, or another program wrote "
            f"it: {remedy}"
        ) from error


def _in_words(problem: Any) -> str:
    """One problem that pydantic found, as "a value at its path, got something else"."""
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem["loc"]).removeprefix(".")
    match problem["type"]:
        case "missing":
            return f"{path}, got none"
        case "extra_forbidden":
            return f"no field {path}, got one"
        case "value_error":
            return f"{path + ' with ' if path else ''}{problem['ctx']['error']}"
        case _:
            wanted = problem["msg"].removeprefix("Input should be ")
            return f"{path} to be {wanted}, got {problem['input']!r:.60}"
