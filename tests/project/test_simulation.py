"""A simulated year: runs by policy, costs by formulas that are known in closed form, and as a real sequence goes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from obliviate.data.samples import Samples
from obliviate.errors import ProjectError
from obliviate.project import Project
from obliviate.project.costs import method_of
from obliviate.project.simulation import Asked, Simulation, Year, simulate
from obliviate.project.units import Unit, Units
from obliviate.requests import Requests
from obliviate.training.slicing import expected_repetition
from obliviate.worker import work
from user_files import write_rows
from worker_support import begin

UNITS = Units(
    samples=1000,
    seconds=100.0,
    measured_on="1 original",
    methods={"amun": Unit(share=0.1, measured_on="here"), "never_seen": Unit(share=0.2, measured_on="here")},
    member=Unit(share=0.4, measured_on="here"),
)
PROMOTE = '"not resolvable" = "promote"'
WEEKLY = [Asked(7.0 * week, 10) for week in range(1, 9)]


def year(**values: object) -> Simulation:
    return simulate(UNITS, Year(**values), requests=WEEKLY)  # pyright: ignore[reportArgumentType]


def test_retraining_at_once_is_a_training_of_what_is_left_for_every_request() -> None:
    way = year().of("retrain")
    assert (way.runs, way.trainings, way.longest_wait, way.pays_after) == (8, 8, 0.0, None)
    assert way.cost == pytest.approx(sum(1 - 0.01 * number for number in range(1, 9)))
    assert year().seconds(way) == pytest.approx(100 * way.cost)


def test_a_batch_begins_when_it_is_full_or_its_first_request_is_due() -> None:
    full = year(batch=3, days=1000).of("retrain", "in batches")
    assert [day for day, _ in full.spent] == [21.0, 42.0, 49.0 + 1000]
    assert [cost for _, cost in full.spent] == pytest.approx([0.97, 0.94, 0.92])
    due = year(batch=100, days=20).of("retrain", "in batches")
    assert [day for day, _ in due.spent] == [27.0, 48.0, 69.0]  # of weeks 1 to 3, 4 to 6, 7 and 8
    assert due.longest_wait == 20.0
    alone = year(batch=1).of("retrain", "in batches")
    assert alone.spent == year().of("retrain").spent


def test_teachers_are_paid_first_and_pay_off_after_as_many_requests_as_the_formula_says() -> None:
    no_fewer = simulate(replace(UNITS, samples=10**8), Year(teachers=4), requests=WEEKLY)
    way = no_fewer.of("never_seen")
    assert way.trainings == 4
    assert way.cost == pytest.approx(4 * 0.4 + 8 * 0.2)
    assert way.pays_after == int(4 * 0.4 / (1 - 0.2)) + 1  # n with 4 m + n u < n
    assert no_fewer.of("amun").pays_after == 1
    dear = simulate(UNITS, Year(teachers=20), requests=WEEKLY).of("never_seen")
    assert dear.pays_after is None


def test_teachers_may_be_trained_anew() -> None:
    way = year(teachers=4, renew=1).of("never_seen")
    assert way.trainings == 8  # in the beginning, and a month later
    assert [cost > 1 for _, cost in way.spent] == [True, *[False] * 4, True, False, False]


def test_audits_add_references_once_and_retrained_models_for_every_run() -> None:
    way = year(references=16, retrained=3).of("amun")
    assert way.trainings == 16 + 3 * 8
    scales = [1 - 0.01 * number for number in range(1, 9)]
    assert way.cost == pytest.approx(scales[0] * 16 * 0.4 + sum((0.1 + 3) * scale for scale in scales))
    assert year(references=16, retrained=3).of("retrain").trainings == 8  # which is exact


def test_a_growing_training_set_makes_later_runs_dearer() -> None:
    way = year(growth=0.5).of("amun")
    assert [cost for _, cost in way.spent][-1] == pytest.approx(0.1 * (1.5 - 0.08))


@pytest.mark.parametrize(("shards", "slices", "forget"), [(5, 1, 1), (5, 10, 1), (4, 3, 6), (1, 8, 2)])
def test_sisa_repeats_as_much_on_average_as_its_formula_says(shards: int, slices: int, forget: int) -> None:
    units = replace(UNITS, samples=10_000_000)
    asked = [Asked(1.0, forget)] * 3000
    way = simulate(units, Year(shards=shards, slices=slices), requests=asked).of("sisa")
    share, touched = expected_repetition(forget, shards=shards, slices=slices, epochs=20)
    costs = np.array([cost for _, cost in way.spent])
    assert abs(costs.mean() - share) < 4 * costs.std() / len(costs) ** 0.5 + 1e-3
    assert way.slices / len(asked) == pytest.approx(touched, rel=0.05)
    assert way.trainings == 0


def test_requests_are_a_function_of_the_seed_and_come_as_often_as_asked() -> None:
    drawn = Year(rate=50, months=24, sizes=(1, 9), seed=1)
    assert drawn.requests() == drawn.requests() != replace(drawn, seed=2).requests()
    requests = drawn.requests()
    assert abs(len(requests) - 1200) < 4 * 1200**0.5
    assert {asked.samples for asked in requests} == {1, 9}
    assert all(0 < asked.day < 720 for asked in requests)
    first, second = (simulate(UNITS, Year(rate=5, seed=3)) for _ in range(2))
    assert first == second
    assert first.to_svg() == second.to_svg()


def test_it_is_shown_as_a_table_a_file_and_a_picture() -> None:
    simulation = year()
    heads, *_ = str(simulation).splitlines()
    assert heads.split()[:4] == ["way", "runs", "trainings", "time"]
    assert len(simulation.to_csv().splitlines()) == 1 + 8
    assert simulation.records()[0]["share_of_retraining_at_once"] == 1.0
    assert simulation.to_svg().count("never_seen") == 2
    unmeasured = simulate(replace(UNITS, seconds=None), Year(), requests=WEEKLY)
    assert "costs are in retrainings" in str(unmeasured)
    assert {row["seconds"] for row in unmeasured.records()} == {None}


def test_a_year_without_requests_costs_nothing() -> None:
    simulation = simulate(UNITS, Year(), requests=[])
    assert {(way.runs, way.cost, way.pays_after) for way in simulation.ways} == {(0, 0.0, None)}
    assert "0 requests" in str(simulation)
    assert simulation.to_svg().startswith("<svg")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 0.0}, "rate above 0"),
        ({"rate": float("nan")}, "rate above 0"),
        ({"months": 0}, "months of 1 or more"),
        ({"sizes": ()}, "sizes of 1 sample"),
        ({"sizes": (0,)}, "sizes of 1 sample"),
        ({"growth": -0.1}, "growth of 0 or more"),
        ({"teachers": 2}, "teachers of 4 or more"),
        ({"rate": 1e6}, "100,000 requests or fewer"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        Year(**values)  # pyright: ignore[reportArgumentType]


def test_methods_without_a_cost_and_requests_for_everything_are_refused() -> None:
    with pytest.raises(ProjectError, match="got scrub; run each once"):
        simulate(UNITS, Year(), methods=["scrub"])
    with pytest.raises(ProjectError, match="got requests for 1,000 of 1,000 by day 1"):
        simulate(UNITS, Year(), requests=[Asked(1.0, 1000)])
    with pytest.raises(ProjectError, match="in the order of their days"):
        simulate(UNITS, Year(), requests=[Asked(2.0, 1), Asked(1.0, 1)])
    with pytest.raises(ProjectError, match="expected fewer than 1,000,000,000 training samples"):
        simulate(replace(UNITS, samples=5 * 10**8), Year(growth=1.0), requests=WEEKLY)


@pytest.fixture(scope="module")
def rows(tiny: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file: 40 rows to train on, and 20 to test on."""
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.npz", tiny)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_real_sequence_has_as_many_runs_and_takes_about_as_long(batch: int, rows: Path, tmp_path: Path) -> None:
    """Three requests to a project that tries a method, and to one that retrains, after each was measured by one."""
    for name in ("gradient_ascent", "retrain"):
        project = begin(tmp_path / name, rows, methods=f'"{name}"', policy=PROMOTE, batch=batch, references=0)
        project.submit(["s00"])
        work(project)
        units = Units.measured(project.workspace)
        methods = [] if name == "retrain" else [name]
        asked = [Asked(1.0, 1), Asked(1.1, 1), Asked(1.2, 1)]
        simulation = simulate(units, Year(batch=batch), methods=methods, requests=asked)
        expected = simulation.of(name, "in batches")
        before = runs_in(project)
        for request in ("s01", "s02", "s03"):
            project.submit([request])
        work(project)
        after = runs_in(project)
        assert after[name] - before[name] == expected.runs == {1: 3, 2: 2}[batch]
        assert after["retrain"] - before["retrain"] == (expected.trainings if name == "retrain" else 0)
        took = sum(seconds_of(project, name)[before[name] :])
        predicted = simulation.seconds(expected)
        assert predicted is not None
        assert predicted / 10 < took < 10 * predicted


def runs_in(project: Project) -> Counter[str]:
    return Counter(method_of(model) for model in Requests(project.workspace).models())


def seconds_of(project: Project, name: str) -> list[float]:
    return [model.manifest.seconds for model in Requests(project.workspace).models() if method_of(model) == name]
