"""Which methods come first for a request."""

import re
from dataclasses import replace

import pytest

from obliviate.advice import Cell, advise
from obliviate.errors import ReportError

BASE = Cell(
    method="good", retain_set=True, ground="one", task="images", samples=6000, epochs=40, request="random",
    share=0.1, seed=1, gap=1.0, floor=1.0, cost=20.0, verdict="consistent with retraining", commit="1a2b3c4d5e6f",
)  # fmt: skip


def cell(method: str, ground: str = "one", gap: float = 1.0, **others: object) -> Cell:
    return replace(BASE, method=method, ground=ground, gap=gap, **others)  # pyright: ignore[reportArgumentType]


def names(cells: list[Cell], **asked: object) -> list[str]:
    advice = advise(cells=cells, **asked)  # pyright: ignore[reportArgumentType]
    return [standing.method for standing in advice.standings]


def test_methods_are_in_the_order_of_the_geometric_mean_over_grounds() -> None:
    cells = [cell("even", "one", 3.0), cell("even", "two", 3.0), cell("uneven", "one", 1.0), cell("uneven", "two", 8.0)]
    advice = advise(cells=cells)
    assert [standing.method for standing in advice.standings] == ["uneven", "even"]  # √8 < 3
    first = advice.first
    assert first is not None
    assert first.distance == pytest.approx(8**0.5)
    assert (first.nearest, first.farthest) == (1.0, 8.0)


def test_many_cells_on_one_ground_count_as_one_ground() -> None:
    cells = [cell("a", "one", 4.0, seed=seed) for seed in range(9)] + [cell("a", "two", 1.0)]
    assert advise(cells=cells).standings[0].distance == pytest.approx(2.0)


def test_what_lost_the_utility_on_half_of_its_cells_is_left_out_with_the_reason() -> None:
    cells = [cell("lossy", verdict="utility lost"), cell("lossy", seed=2), cell("good", gap=5.0)]
    advice = advise(cells=cells)
    assert [standing.method for standing in advice.standings] == ["good"]
    assert "utility lost" in advice.passed_over["lossy"]
    assert "Left out: lossy (utility lost" in str(advice)


def test_what_was_measured_on_few_grounds_is_left_out() -> None:
    cells = [cell("everywhere", ground, 4.0) for ground in "abc"] + [cell("once", "a")]
    assert names(cells) == ["everywhere"]


def test_a_budget_leaves_out_what_is_too_dear() -> None:
    cells = [cell("dear", cost=60.0), cell("cheap", gap=3.0, cost=10.0), cell("unknown", cost=None)]
    assert names(cells) == ["dear", "unknown", "cheap"]
    assert names(cells, budget=0.3) == ["cheap"]
    advice = advise(cells=cells, budget=0.05)
    assert advice.first is None
    assert "No approximate method can be recommended: use `--method retrain`" in str(advice)


def test_of_requests_at_random_the_nearest_share_counts() -> None:
    cells = [cell("small", share=0.01), cell("large", share=0.5)]
    assert names(cells, share=0.02) == ["small"]
    assert names(cells, share=0.3) == ["large"]


def test_requests_tasks_and_retain_sets_are_told_apart() -> None:
    cells = [
        cell("a"), cell("b", request="class"), cell("c", task="texts"), cell("d", retain_set=False), cell("original"),
    ]  # fmt: skip
    assert names(cells) == ["a", "c"]
    assert names(cells, request="class") == ["b"]
    assert names(cells, task="texts") == ["c"]
    assert names(cells, retain_set=False) == ["d"]
    assert "obliviate unlearn --method d --no-retain" in str(advise(cells=cells, retain_set=False))


def test_the_strongest_attack_may_order_otherwise() -> None:
    cells = [cell("near", u_lira_auc=60.0), cell("far", gap=3.0, u_lira_auc=48.0), cell("untold")]
    assert names(cells) == ["near", "untold", "far"]
    assert names(cells, by="u-lira") == ["far", "near"]


def test_the_best_is_warned_of_where_it_was_not_near() -> None:
    assert "Where it came least near it was 5.0 times as far" in str(advise(cells=[cell("a", gap=5.0)]))
    assert "least near" not in str(advise(cells=[cell("a", gap=1.5)]))


def test_tuned_settings_are_asked_for_by_tune() -> None:
    assert "obliviate unlearn --method amun --tune" in str(advise(cells=[cell("amun (tuned)")]))


def test_the_frame_has_the_figures_of_every_method() -> None:
    records = advise(cells=[cell("a"), cell("a", "two", 4.0, verdict="leaks")]).records()
    assert records == [
        {"method": "a", "distance": 2.0, "nearest": 1.0, "farthest": 4.0, "grounds": 2, "cells": 2, "cost": 20.0,
         "consistent": 1, "utility_lost": 0},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"request": "people"}, "expected request of random, memorised, owner, class, got 'people'"),
        ({"task": "sounds"}, "expected task of images, table, texts, got 'sounds'"),
        ({"by": "eye"}, "expected by of gap, margins, u-lira, got 'eye'"),
        ({"share": 10}, "expected a share between 0 and 1, got 10"),
        ({"share": float("nan")}, "expected a share between 0 and 1"),
        ({"budget": 0}, "expected a budget above 0, got 0"),
        ({"task": "table"}, "expected something that was measured for a request of kind random on table by gap"),
    ],
)
def test_what_cannot_be_answered_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ReportError, match=re.escape(message)):
        advise(cells=[BASE], **asked)  # pyright: ignore[reportArgumentType]
