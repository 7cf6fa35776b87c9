"""The table of docs/forget.md names every rule; its examples are run in `test_pages.py`."""

import re
from pathlib import Path

from obliviate.data.rules import TEXTS
from obliviate.workspace.forget import RULES

PAGE = (Path(__file__).parents[1] / "docs" / "forget.md").read_text(encoding="utf-8")


def test_every_rule_is_in_the_table() -> None:
    first = "\n".join(re.findall(r"^\| (.*?) \|", PAGE, flags=re.MULTILINE))
    for begins in TEXTS | RULES:
        assert re.search(rf"`{re.escape(begins)}", first)
