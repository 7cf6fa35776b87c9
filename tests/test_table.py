"""The tables of papers: their plans, a small one that is made, resumed and made again, and the pages."""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repository_scripts import BENCHMARKS, benchmark

NAMES = sorted(path.stem for path in (BENCHMARKS / "tables").glob("*.toml"))
SMALL = """\
[table]
title = "Small"
source = "nobody"
columns = ["forget", "forgotten", "others", "ft_auc", "average_gap", "cost"]
reading = "It agrees."

[table.paper."class:3"]
"retrained" = { forgotten = 0, average_gap = 0.5 }

[tiers.tiny]
seeds = [0, 1]
references = 4
retrained = 2

[tiers.tiny.data]
source = "digits"
train_size = 120

[tiers.tiny.recipe]
epochs = 1

[[forget]]
rule = "class:3"

[[method]]
name = "ssd"
"""


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[Any, Any]]:
    """`benchmarks/table.py` and `benchmarks/evidence.py`."""
    with benchmark("table") as table, benchmark("evidence") as evidence:
        yield table, evidence


@pytest.mark.parametrize("name", NAMES)
def test_every_tier_of_every_table_is_a_plan_and_the_papers_rows_are_in_it(
    modules: tuple[Any, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, evidence = modules
    values = table.described(name)
    assert values["table"]["reading"].strip()
    assert set(values["table"]["columns"]) <= set(evidence.HEADS)
    first, *others = values["tiers"]
    plans = [table.plan_of(name, first, Path("data"))]
    monkeypatch.setattr(
        table, "described", lambda _: values | {"method": values["method"][:1], "tiers": {**values["tiers"]}}
    )
    plans += [table.plan_of(name, tier, Path("data")) for tier in others]
    monkeypatch.undo()
    labels = {"original", "retrained", *table.labels_of(name)}
    titles = {sets.title() for plan in plans for sets in plan.forget}
    for rule, rows in values["table"].get("paper", {}).items():
        assert rule in titles
        assert set(rows) <= labels
        assert {column for row in rows.values() for column in row} <= set(values["table"]["columns"])


def test_a_tier_with_data_of_the_readers_asks_for_them(modules: tuple[Any, Any]) -> None:
    with pytest.raises(SystemExit, match="expected --data FOLDER with cifar10 in it"):
        modules[0].plan_of("amun", "cpu", None)
    with pytest.raises(SystemExit, match=r"expected a table of adult, .* got 'amum'"):
        modules[0].plan_of("amum", "cpu", None)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_says_what_is_recorded(modules: tuple[Any, Any], name: str) -> None:
    _, evidence = modules
    page = (evidence.PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page == evidence.page(name), f"run `python benchmarks/table.py {name} --render`"


def test_the_index_says_what_is_recorded(modules: tuple[Any, Any]) -> None:
    _, evidence = modules
    page = (evidence.PAGES / "README.md").read_text(encoding="utf-8")
    assert page == evidence.index(), "run `python benchmarks/evidence.py`"


@pytest.fixture(scope="module")
def small(modules: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Namespace]]:
    """A table of two cells, made once."""
    table, evidence = modules
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "tables").mkdir()
    (folder / "tables" / "small.toml").write_text(SMALL, encoding="utf-8")
    options: dict[str, Any] = {"data": None, "executor": None, "cell": [], "list": False, "workers": 0}
    arguments = Namespace(name="small", tier="tiny", out=folder / "runs", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "HERE", folder)
        for module in modules:
            patch.setattr(module, "RESULTS", folder / "results")
        patch.setattr(evidence, "PAGES", folder)
        table.make(arguments)
        yield table, evidence, arguments


def test_every_cell_is_recorded_with_what_it_takes_to_believe_it(small: tuple[Any, Any, Namespace]) -> None:
    table, _, _ = small
    record = table.recorded(table.record_of("small", "tiny"))
    assert {key: record[key] for key in ("table", "tier", "seeds", "references", "retrained", "train")} == {
        "table": "small", "tier": "tiny", "seeds": [0, 1], "references": 4, "retrained": 2, "train": 120,
    }  # fmt: skip
    assert len(record["data_sha256"]) == 64
    assert sorted((cell["label"], cell["seed"]) for cell in record["cells"].values()) == [
        ("", 0), ("", 1), ("ssd", 0), ("ssd", 1),
    ]  # fmt: skip
    for cell in record["cells"].values():
        assert cell["commit"]
        assert {"obliviate", "torch", "cpu"} <= set(cell["made_by"])
        assert [model["role"] for model in cell["models"]] == (
            ["unlearned"] if cell["label"] else ["original", "retrained", "retrained"]
        )
        for model in cell["models"]:
            value, low, high = model["figures"]["forget"]
            assert low <= value <= high
            assert {"forgotten", "others", "ft_auc", "average_gap"} <= set(model["figures"])
            assert len(model["weights_sha256"]) == 64
    text = table.record_of("small", "tiny").read_text(encoding="utf-8")
    assert all(text.count(id_) == 1 for id_ in record["cells"])
    assert len([line for line in text.splitlines() if '"label"' in line]) == 4


def test_a_cell_that_is_made_again_is_the_same_and_stays_as_recorded(
    small: tuple[Any, Any, Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    table, _, arguments = small
    before = table.record_of("small", "tiny").read_bytes()
    name = next(id_ for id_, cell in table.recorded(table.record_of("small", "tiny"))["cells"].items() if cell["label"])
    capsys.readouterr()
    table.make(Namespace(**vars(arguments) | {"cell": [name], "out": arguments.out / "again"}))
    shown = json.loads(capsys.readouterr().out.rpartition("}")[0] + "}")
    (recorded,), (again,) = shown["recorded"]["models"], shown["made now"]["models"]
    times = {"seconds", "cost"}
    assert recorded["weights_sha256"] == again["weights_sha256"]
    assert {key: value for key, value in recorded["figures"].items() if key not in times} == {
        key: value for key, value in again["figures"].items() if key not in times
    }
    assert table.record_of("small", "tiny").read_bytes() == before


def test_what_an_interrupted_run_left_is_recorded_as_of_its_commit(small: tuple[Any, Any, Namespace]) -> None:
    table, _, arguments = small
    path = table.record_of("small", "tiny")
    before = path.read_text(encoding="utf-8")
    content = table.recorded(path)
    name = next(id_ for id_, cell in content["cells"].items() if cell["label"])
    del content["cells"][name]
    table.write_record(path, content)
    origin = arguments.out / "small" / "tiny" / "origin.json"
    origin.write_text(json.dumps({"commit": "of then"}), encoding="utf-8")
    table.make(arguments)
    assert table.recorded(path)["cells"][name]["commit"] == "of then"
    path.write_text(before, encoding="utf-8")


def test_a_page_has_means_with_intervals_the_papers_figures_and_what_is_missing(
    small: tuple[Any, Any, Namespace],
) -> None:
    table, evidence, _ = small
    page = evidence.page("small")
    assert "All 2 cells" in page
    record = table.recorded(table.record_of("small", "tiny"))
    gaps = [model["figures"]["average_gap"][0] for cell in record["cells"].values() for model in cell["models"]
            if model["role"] == "unlearned"]  # fmt: skip
    half = 12.706 * abs(gaps[0] - gaps[1]) / 2  # Student's quantile of one degree of freedom
    row = next(line for line in page.splitlines() if line.startswith("| `ssd`"))
    assert f"| {sum(gaps) / 2:.1f} ± {half:.1f} |" in row
    retrained = next(line for line in page.splitlines() if line.startswith("| retrained"))
    assert " (0) |" in retrained
    assert " (0.5) |" in retrained
    assert [path.suffix for path in evidence.render("small")] == [".md", ".svg"]
    assert "<td>ssd</td>" in evidence.html("small").replace("`", "")
    del record["cells"][next(id_ for id_, cell in record["cells"].items() if cell["label"])]
    table.write_record(table.record_of("small", "tiny"), record)
    assert "1 of 2 cells" in evidence.page("small")


def test_the_attacks_of_papers_are_figures_too(small: tuple[Any, Any, Namespace]) -> None:
    table, _, arguments = small
    path = next((arguments.out / "small" / "tiny" / "cells").glob("ssd-*.json"))
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    balanced = {"value": 52.0, "low": 50.0, "high": 54.0}
    row["model"]["cheap_attacks"] = {"mia_loss": balanced, "asr": balanced}
    figures = table.model_of(row, {3})["figures"]
    assert figures["mia_loss"] == figures["asr"] == [52.0, 50.0, 54.0]
    classes = dict(enumerate(row["classes"]))
    assert figures["forgotten"] == [pytest.approx(classes.pop(3), abs=1e-4)]
    assert figures["others"] == [pytest.approx(sum(classes.values()) / 9, abs=1e-4)]
