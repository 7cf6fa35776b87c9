"""Results come back as they were written, and what is no results.json of this version is refused with its path."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from obliviate._util.files import write_sealed_json
from obliviate.errors import ResultsError, WorkspaceError
from obliviate.results import file
from obliviate.results.schema import Results


def test_what_is_written_is_read_back(results: Results, tmp_path: Path) -> None:
    file.write(tmp_path / "results.json", results)
    assert file.read(tmp_path / "results.json") == results


def test_a_file_that_was_edited_is_refused(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    file.write(path, results)
    path.write_text(path.read_text("utf-8").replace('"leaks"', '"consistent with retraining"'), "utf-8")
    with pytest.raises(WorkspaceError, match="expected contents with sha256"):
        file.read(path)


@pytest.mark.parametrize("schema", [None, "obliviate.results/4", 1])
def test_another_version_is_refused_by_name(results: Results, tmp_path: Path, schema: object) -> None:
    path = tmp_path / "results.json"
    write_sealed_json(path, results.to_dict() | {"schema": schema})
    message = f"expected schema obliviate.results/5, got {schema!r} in {path}; another version of obliviate wrote it: "
    with pytest.raises(ResultsError, match=re.escape(message)):
        file.read(path)


def changed(results: Results, path: str, value: object) -> dict[str, Any]:
    """The content of the file with another value at a path, or without it where the value is ...."""
    content = copy.deepcopy(results.to_dict())
    owner: Any = content
    *parents, last = path.split(".")
    for key in parents:
        owner = owner[int(key) if key.isdigit() else key]
    if value is ...:
        del owner[last]
    else:
        owner[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data_sha256", ..., "expected data_sha256, got none"),
        ("models.0.margin", ..., r"expected models\[0\].margin, got none"),
        ("models.0.attacks.rmia.ft.low", ..., r"expected models\[0\].attacks.rmia.ft.low, got none"),
        ("models.0.role", "teacher", r"expected models\[0\].role to be 'original', .*, got 'teacher'"),
        ("models.0.margin", float("nan"), r"expected models\[0\].margin to be a finite number, got nan"),
        ("baseline", "hope", "expected baseline to be 'retrained' or 'references', got 'hope'"),
        ("models.0.hope", 1, r"expected no field models\[0\].hope, got one"),
        ("models", [], "expected models to be .*at least 1 item"),
        ("margin_bins", [0.0, 1.0, 2.0], "expected a density for each of the margin_bins, got others of fine_tune"),
        ("attacks", [], "expected an attack that verdicts rest on, got none"),
        ("models.0.attacks", {}, "expected rmia on every model, got fine_tune without"),
        ("models.0.curves.roc_ft.fpr", [0.0], r"curves.roc_ft with as many fpr as tpr, got 1 and 2"),
        ("pictures", {"s0": "http://example.org/a.png"}, "expected pictures.s0 to be"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(results: Results, path: str, value: object, message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        file.parse(changed(results, path, value))


def test_results_cannot_be_changed(results: Results) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        results.seed = 1  # pyright: ignore[reportAttributeAccessIssue]
