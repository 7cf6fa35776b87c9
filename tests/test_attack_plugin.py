"""The example package of `examples/attack-plugin`, as if it were installed: found, run, and held to the contract."""

import re
from pathlib import Path

import pytest

from example_packages import install, passed, run_commands
from pages import DOCS, ROOT

PLUGIN = ROOT / "examples" / "attack-plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    install(PLUGIN, folder)
    return folder


def test_it_is_listed_and_attacks_where_it_is_named(site: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    train = ["train", "--data", "diabetes", "--out", run, "--epochs", "1"]
    unlearn = ["unlearn", "gradient_ascent", "--forget", "random:0.2", "--out", run]
    audit = ["audit", "--out", run, "--references", "4", "--retrained", "0", "--workers", "0", "--json"]
    attacks, _, _, usual, named = run_commands(
        site, ["attacks", "--json"], train, unlearn, audit, [*audit, "--attack", "calibrated_loss"]
    )
    listed = {attack["name"]: attack for attack in attacks}
    assert listed["calibrated_loss"]["needs"] == ["references"]
    assert listed["calibrated_loss"]["defaults"] == {"share": 1.0}
    before, after = (results["models"][0] for results in (usual, named))
    assert "calibrated_loss" not in before["attacks"]
    assert after["attacks"]["calibrated_loss"]["ft"]["value"] > 0
    del after["attacks"]["calibrated_loss"]
    assert before == after
    page = (tmp_path / "run" / "requests" / "0001" / "report.html").read_text(encoding="utf-8")
    assert "calibrated loss (Watson et al., ICLR 2022, arXiv 2111.08440)" in page


def test_its_own_tests_pass(site: Path) -> None:
    assert passed(PLUGIN, site) == 7


def test_the_page_shows_the_attack_as_it_is() -> None:
    text = (DOCS / "attacks.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    attack = (PLUGIN / "src" / "obliviate_calibrated" / "calibrated_loss.py").read_text(encoding="utf-8")
    assert attack.strip() in [block.strip() for block in shown]
