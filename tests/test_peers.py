"""The comparison with other packages, which is made by hand."""

import json
import shutil
from pathlib import Path

from pages import ROOT
from repository_scripts import BENCHMARKS, benchmark


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    page = Path(shutil.copy(ROOT / "docs" / "peers.md", tmp_path))
    with benchmark("peers") as peers:
        peers.render(json.loads((BENCHMARKS / "results" / "peers.json").read_text("utf-8")), page)
    assert page.read_text("utf-8") == (ROOT / "docs" / "peers.md").read_text("utf-8")
