"""The example package of `examples/plugin`, as if it were installed: found, run, and held to the contract."""

import re
from pathlib import Path

import pytest

from example_packages import install, passed, run_commands
from pages import DOCS, ROOT

PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    install(PLUGIN, folder)
    return folder


def test_it_is_listed_and_runs_from_the_command_line(site: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    unlearn = ["unlearn", "noisy_fine_tune", "--forget", "random:0.1", "--set", "epochs=1", "--out", run, "--json"]
    train = ["train", "--data", "diabetes", "--out", run, "--epochs", "1"]
    methods, _, unlearned = run_commands(site, ["methods", "--json"], train, unlearn)
    listed = {method["name"]: method for method in methods}
    assert listed["noisy_fine_tune"]["needs"] == ["labels", "retain"]
    assert listed["noisy_fine_tune"]["defaults"] == {"noise": 0.6, "epochs": 3, "learning_rate": 0.05, "batch_size": 64}
    assert unlearned["method"] == "NoisyFineTune(noise=0.6, epochs=1, learning_rate=0.05, batch_size=64)"


def test_its_own_tests_pass(site: Path) -> None:
    assert passed(PLUGIN, site) == 18


def test_the_tutorial_shows_the_files_as_they_are() -> None:
    text = (DOCS / "tutorials" / "write-your-own-method.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```(?:python|toml)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    files = ["pyproject.toml", "src/obliviate_noisy/noisy_fine_tune.py", "tests/test_noisy_fine_tune.py"]
    assert [block.strip() for block in shown] == [(PLUGIN / file).read_text(encoding="utf-8").strip() for file in files]
