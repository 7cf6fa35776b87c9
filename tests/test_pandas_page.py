"""The examples of docs/pandas.md run as they stand, and say what they say there."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "pandas.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys: pytest.CaptureFixture[str], unchecked: None) -> None:
    names: dict[str, Any] = {"__name__": "docs.pandas"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "docs/pandas.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        said = re.findall(r"^print\(.*?  # (.*)$", block, flags=re.MULTILINE)
        assert [line for line in printed if line in said] == said
