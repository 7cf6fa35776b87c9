"""What this process can import, processes that it starts can too; the environment is given back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from obliviate.references.executors.imports import passed_on


@pytest.mark.parametrize("before", ["/somewhere", None])
def test_a_module_of_the_current_folder_is_found_by_others(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("NAME = 'here'", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    if before is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", before)
    command = [sys.executable, "-S", "-c", "import only_here; print(only_here.NAME)"]
    with passed_on():
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "here\n"
    assert os.environ.get("PYTHONPATH") == before
