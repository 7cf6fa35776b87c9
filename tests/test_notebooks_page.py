"""The examples of docs/notebooks.md run as they stand, and what they print is short."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "notebooks.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys: pytest.CaptureFixture[str], unchecked: None) -> None:
    names: dict[str, Any] = {"__name__": "docs.notebooks"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    printed = []
    for block in blocks:
        exec(compile(block, "docs/notebooks.md", "exec"), names)
        printed.append(capsys.readouterr())
    first, second, third = printed
    assert [line.partition(":")[0] for line in first.err.splitlines()][:2] == ["train", "fine_tune"]
    assert len(first.out) < 3000
    assert "FineTune" in first.out
    assert second.out == "finished: fine_tune\n"
    assert third.out.startswith("['FineTune/forget_accuracy'")
    assert {"progress/fine_tune", "FineTune/forget/accuracy/before"} <= {
        name for _, figures in names["lines"] for name in figures
    }
    for result in (names["unlearned"], names["result"]):
        assert result._repr_html_().startswith("<table><thead>")
        assert len(repr(result)) < 300
