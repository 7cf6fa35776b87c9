"""What the demonstration asks of a folder; `make demo` is the thing itself, and takes minutes."""

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from obliviate import demo
from obliviate.training.progress import silent
from obliviate.training.recipe import Recipe
from pages import ROOT
from repository_scripts import BENCHMARKS, benchmark


@pytest.mark.usefixtures("unchecked")
def test_the_whole_path_is_gone_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder: Any = Mock()
    monkeypatch.setattr(demo, "Workspace", folder)
    results = demo.demo(tmp_path, seed=3)
    workspace = folder.create.return_value
    assert results is workspace.audit.return_value
    assert folder.create.call_args == call(
        tmp_path, source="fashion_mnist_5k", recipe=Recipe(), seed=3, progress=silent
    )
    names = [name for name, _, _ in workspace.method_calls]
    assert names == ["choose", "train", "retrained", *["unlearn"] * 8, "audit"]  # retrained first, for what they cost
    asked = [(made.args[0].name, made.kwargs.get("retain", True)) for made in workspace.unlearn.call_args_list]
    with_retain = ["fine_tune", "gradient_ascent", "amun", "mixunlearn", "nabla_tau", "never_seen"]
    assert asked == [(name, True) for name in with_retain] + [("amun", False), ("never_seen", False)]
    assert workspace.audit.call_args.kwargs["report"].command == "obliviate demo --seed 3"


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    page = Path(shutil.copy(ROOT / "docs" / "demo.md", tmp_path))
    with benchmark("demo") as seeds:
        seeds.render(json.loads((BENCHMARKS / "results" / "demo.json").read_text("utf-8")), page)
    assert page.read_text("utf-8") == (ROOT / "docs" / "demo.md").read_text("utf-8")
