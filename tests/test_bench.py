"""The benchmark suite at toy size: what it times is done right, its figures add up, and its page is that of them."""

import json
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from pages import DOCS
from repository_scripts import BENCHMARKS, benchmark
from type_checks import unchecked

PAGE = DOCS / "performance.md"
DEAR = ("systems", "without-retain", "commands")
"""Parts that train many models or start many processes."""


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    """The benchmark; run-time checks of types are off, which would be timed too."""
    with unchecked(), benchmark("bench") as module:
        yield module


def sound(row: Any) -> None:
    """A row says what it is, was held against the slow way, and kept to what a machine can do."""
    assert row.name
    assert 0 < row.seconds.min <= row.seconds.median <= row.seconds.max < math.inf
    assert row.reached.min <= row.reached.median <= row.reached.max < math.inf
    assert row.share is None or 0 < row.share < 1.5
    assert len(row.cells()) == 7


@pytest.fixture(scope="module")
def measured(bench: ModuleType) -> dict[str, Any]:
    """Limits and rows of the parts that are cheap."""
    return {part: bench.measure(bench.TOY, part) for part in bench.PARTS if part not in DEAR}


def test_every_cheap_part_measures_pairs_and_holds_them_against_the_slow_way(measured: dict[str, Any]) -> None:
    assert {part: len(rows) for part, (_, rows) in measured.items()} == {
        "search": 1, "rmia": 2, "pool": 1, "audit": 1, "training": 1,
    }  # fmt: skip
    for limits, rows in measured.values():
        assert min(vars(limits).values()) > 1e8
        for row in rows:
            sound(row)
            assert row.check
            assert row.limit
    (search,) = measured["search"][1]
    assert search.reached.median > 1
    assert "100 % flipped (100)" in search.check


@pytest.mark.slow
@pytest.mark.parametrize("part", DEAR)
def test_every_dear_part_measures_as_well(bench: ModuleType, part: str) -> None:
    _, rows = bench.measure(bench.TOY, part)
    assert len(rows) == {"systems": 3, "without-retain": 2, "commands": 4}[part]
    for row in rows:
        sound(row)


def test_rows_are_read_back_as_they_were_kept(bench: ModuleType, measured: dict[str, Any]) -> None:
    for limits, rows in measured.values():
        kept = json.loads(json.dumps(bench.content(limits, rows)))
        assert list(bench.rows_of(kept)) == rows


def test_the_page_is_that_of_the_figures_and_says_what_was_missed(bench: ModuleType) -> None:
    parts = json.loads((BENCHMARKS / "results" / "bench.json").read_text(encoding="utf-8"))
    assert set(parts) == set(bench.PARTS)
    text = PAGE.read_text(encoding="utf-8")
    assert f"<!-- bench -->\n{bench.page(parts)}\n<!-- end of bench -->" in text
    rows = [row for part in parts.values() for row in part["rows"]]
    assert {row["target"]["bound"] for row in rows} == {15, 100, 3, 2.5, 30, 8, 0.05, 1.05, 1.2, 0.3, 0.5}
    assert text.count("**missed**") == sum(not row["met"] for row in rows)


def test_a_worse_result_than_the_slow_ways_ends_the_command(bench: ModuleType) -> None:
    whole = bench.Bench(bench.TOY, bench.Limits(1.0, 1.0, 1.0))
    assert whole.hold("search", condition=True, text="all flipped") == "all flipped"
    with pytest.raises(SystemExit, match="expected a result as good as the slow way's in 'search', got 3 % flipped"):
        whole.hold("search", condition=False, text="3 % flipped")


def test_targets_are_bounds_of_the_median(bench: ModuleType) -> None:
    reached = bench.Range.of([1.0, 9.0, 2.0])
    assert (reached.min, reached.median, reached.max) == (1.0, 2.0, 9.0)
    assert bench.Target(2).met(reached)
    assert not bench.Target(2.1).met(reached)
    assert bench.Target(2, at_least=False).met(reached)
    assert not bench.Target(1.9, at_least=False).met(reached)


def test_ways_take_turns_and_ratios_are_of_neighbours(bench: ModuleType) -> None:
    now, turns = [0.0], list[tuple[str, int]]()

    def way(name: str, seconds: float) -> Any:
        def work(number: int) -> str:
            turns.append((name, number))
            now[0] += seconds * (1 + number)  # the machine grows slower
            return name

        return work

    timed = bench.alternate({"fast": way("fast", 1), "slow": way("slow", 3)}, 2, clock=lambda: now[0])
    assert turns == [("fast", 0), ("slow", 0)] * 2 + [("fast", 1), ("slow", 1)]  # the first two are not counted
    assert timed.seconds == {"fast": [1, 2], "slow": [3, 6]}
    assert timed.times("slow", "fast") == bench.Range(3, 3, 3)
    assert timed.results == {"fast": "fast", "slow": "slow"}


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_slopes_are_powers_of_the_size(bench: ModuleType, power: float) -> None:
    sizes = [10, 30, 900]
    assert bench.slope(sizes, [2 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_operations_are_those_of_the_products_and_their_gradients(bench: ModuleType) -> None:
    x, layer = torch.randn(8, 16), nn.Linear(16, 4)
    assert bench.operations(lambda: layer(x)) == 2 * 8 * 16 * 4
    assert bench.operations(lambda: layer(x).sum().backward()) == 2 * 2 * 8 * 16 * 4  # the input needs none


def test_the_plain_search_stops_right_behind_a_linear_boundary(bench: ModuleType) -> None:
    weight = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    layer, x = nn.Linear(4, 2, bias=False), torch.full((1, 1, 2, 2), 0.3)
    with torch.no_grad():
        layer.weight.copy_(weight)
    model = nn.Sequential(nn.Flatten(), layer)
    x[0, 0, 0, 0] = 0.7
    stopped = bench.pgd_l2(model, x, torch.tensor([0]))
    exact, step = 0.4 / math.sqrt(2), 0.32 / 10
    assert exact < float((stopped - x).norm()) <= exact + step
    assert int(model(stopped).argmax(1)) == 1
