"""What the demonstration asks of a folder; `make demo` is the thing itself, and takes minutes."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from obliviate import demo
from obliviate.training.progress import silent
from obliviate.training.recipe import Recipe


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
    assert names == ["choose", "train", "retrained", *["unlearn"] * 4, "audit"]  # retrained first, for what they cost
    assert [asked.args[0].name for asked in workspace.unlearn.call_args_list] == [
        "fine_tune", "gradient_ascent", "amun", "never_seen"
    ]  # fmt: skip
    assert workspace.audit.call_args.kwargs["report"].command == "obliviate demo --seed 3"
