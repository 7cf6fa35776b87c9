"""The examples of docs/forget.md run as they stand, and its table names every rule."""

import re
from pathlib import Path

from obliviate.data.rules import TEXTS
from obliviate.workspace.forget import RULES

PAGE = (Path(__file__).parents[1] / "docs" / "forget.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        assert "assert" in block
        exec(compile(block, "docs/forget.md", "exec"), names)


def test_every_rule_is_in_the_table() -> None:
    first = "\n".join(re.findall(r"^\| (.*?) \|", PAGE, flags=re.MULTILINE))
    for begins in TEXTS | RULES:
        assert re.search(rf"`{re.escape(begins)}", first)
