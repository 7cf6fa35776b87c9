"""Costs of single runs are what a folder has measured; what it has not is named as the package's."""

from pathlib import Path

import pytest

from kept_models import keep
from obliviate._util.files import write_sealed_json
from obliviate.advice import read_cells
from obliviate.errors import ProjectError
from obliviate.methods import BUILT_IN
from obliviate.project.units import HALF, TAUGHT, Unit, Units
from obliviate.requests import Request, Requests

RECIPE = {"epochs": 7}
IDS = [f"id-{place}" for place in range(10)]


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A folder after a training of 10 s, amun in 1 s and in 3, and four references of 4 s."""
    keep(tmp_path, "original", None, seconds=10.0, ids=IDS, recipe=RECIPE)
    Requests(tmp_path).ask(Request(1, "ids", ["id-0", "id-1"]))
    for name, seconds in (("amun-1", 1.0), ("amun-2", 3.0)):
        keep(tmp_path, name, 1, seconds=seconds, ids=IDS[:8], recipe=RECIPE)
    for member in range(4):
        path = tmp_path / "references" / "a1b2" / f"member-{member:03d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed_json(path, {"seconds": 4.0})
    return tmp_path


def test_runs_of_a_folder_are_measured_against_its_training(used: Path) -> None:
    units = Units.measured(used)
    assert (units.samples, units.seconds, units.epochs) == (10, 10.0, 7)
    assert units.measured_on == "1 original, trained on 10 samples"
    assert units.methods["amun"] == Unit(share=0.2, measured_on="2 models, for 2 samples")
    assert units.member == Unit(share=0.4, measured_on="4 references that are there")
    keep(used, "retrain-1", 1, seconds=8.0, ids=IDS[:8], recipe=RECIPE)
    units = Units.measured(used)
    assert (units.samples, units.seconds, units.methods["amun"].share) == (8, 8.0, 0.25)
    assert "amun" in units.methods
    assert "retrain" not in units.methods


def test_what_was_not_measured_is_named_as_the_packages(used: Path) -> None:
    units, shipped = Units.measured(used), Units.shipped(samples=10)
    assert units.methods["scrub"] == shipped.methods["scrub"]
    assert "that the package ships" in units.methods["scrub"].measured_on
    assert (shipped.seconds, shipped.member) == (None, HALF)
    names = {cell.method for cell in read_cells()}
    assert set(shipped.methods) <= names - {"original"}


def test_a_training_takes_as_long_as_it_has_samples(used: Path) -> None:
    units = Units.measured(used, samples=1000)
    assert (units.samples, units.seconds) == (1000, 1000.0)
    assert units.measured_on.endswith("; scaled")


def test_where_nothing_was_trained_the_number_of_samples_must_be_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="say how many training samples there are with --samples"):
        Units.measured(tmp_path)
    assert Units.measured(tmp_path, samples=70) == Units.shipped(samples=70)
    with pytest.raises(ProjectError, match="1 training sample or more"):
        Units.shipped(samples=0)


def test_methods_that_learn_from_teachers_are_those_of_the_registry() -> None:
    """The list is without torch, which the methods need."""
    assert {cls.name for cls in BUILT_IN if "teachers" in cls().needs} == TAUGHT
