import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_example_of_a_description_runs_as_written(capsys: pytest.CaptureFixture[str]):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "data.toml" in block)
    exec(compile(example, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "classification ('high', 'low') ('age', 'town=Oslo', 'town=Rome')",
        "32 8 5",
    ]


def test_the_page_names_every_setting_and_set():
    import dataclasses

    from obliviate.data.formats.description import Description
    from obliviate.data.sources import BUILT_IN

    text = PAGE.read_text(encoding="utf-8")
    names = [field.name for field in dataclasses.fields(Description)]
    assert [name for name in (*names, *BUILT_IN) if f"`{name}`" not in text] == []
