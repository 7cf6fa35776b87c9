"""The examples of docs/huggingface.md run as they stand, from first to last, and say what they say there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = (Path(__file__).parents[1] / "docs" / "huggingface.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("default")  # those of transformers, peft and Lightning are their own
@pytest.mark.usefixtures("unchecked")
def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "docs.huggingface"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    with torch.random.fork_rng():
        for block in blocks:
            exec(compile(block, "docs/huggingface.md", "exec"), names)
            printed = capsys.readouterr().out.splitlines()
            said = re.findall(r"^print\(.*?  # (.*)$", block, flags=re.MULTILINE)
            assert [line for line in printed if line in said] == said
    assert len(blocks) == 10
