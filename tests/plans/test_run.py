"""Plans that are run: what is shared, resumed and counted, in this process and in others."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate import workflow
from obliviate.cli import main
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, PlanError, TrainingError, WorkspaceError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.plans import Plan, outline, run_plan
from obliviate.plans.ground import Ground
from obliviate.references.exchange import Exchanging
from obliviate.requests.manifest import read_manifest
from obliviate.training.checkpoint import weights_sha256
from quick_audits import FEW_PERMUTATIONS


@pytest.fixture(scope="module")
def rows(tiny: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    batch = tiny.everything()
    x, y, ids = batch.x.numpy(), batch.y.numpy(), batch.ids
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, train_x=x[:40], train_y=y[:40], test_x=x[40:], test_y=y[40:], train_ids=ids[:40], test_ids=ids[40:])
    return path


@pytest.fixture(scope="module")
def values(rows: Path) -> dict[str, Any]:
    return {
        "seeds": [0, 1],
        "references": 4,
        "retrained": 2,
        "data": {"source": str(rows)},
        "recipe": {"epochs": 3, "batch_size": 16, "precision": "float32", "options": {"hidden": [8]}},
        "forget": [{"rule": "random:0.3", "draws": 2}],
        "method": [{"name": "gradient_ascent", "learning_rate": 0.01}],
    }


@pytest.fixture(scope="module")
def done(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans") / "run"
    run_plan(Plan.of(values), folder=folder, workers=0)
    return folder


def found(folder: Path) -> dict[str, Any]:
    """What every cell says, but for times."""
    cells = {}
    for path in sorted((folder / "cells").glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        del cell["sha256"]
        for row in cell["rows"]:
            del row["model"]["seconds"], row["model"]["share_of_retraining"]
        cells[path.name] = cell
    return cells


def weights(folder: Path) -> dict[str, str]:
    paths = sorted((folder / "models").glob("*.safetensors"))
    return {path.name: read_manifest(path).weights_sha256 for path in paths}


def test_what_runs_share_is_trained_once(done: Path, values: dict[str, Any]) -> None:
    models = [path.name.partition("-")[0] for path in (done / "models").glob("*.safetensors")]
    assert (models.count("original"), models.count("retrained")) == (2, 2 * 2 * 2)
    assert len(set(weights(done).values())) == 2 + 8  # no seed has a retrained model of another
    cells = [path.name.partition("-")[0] for path in (done / "cells").glob("*.json")]
    assert (cells.count("controls"), cells.count("gradient_ascent")) == (4, 4)
    assert not list((done / "work").iterdir())


def test_the_table_has_a_row_a_method_with_cost_and_verdicts(done: Path, values: dict[str, Any]) -> None:
    results = run_plan(Plan.of(values), folder=done, workers=0)
    (table,) = results.tables
    assert (table.title, table.audits, table.seeds) == ("random:0.3", 4, (0, 1))
    rows = {model.name: model for model in table.models}
    assert list(rows) == ["original", "retrained", "gradient_ascent"]
    assert [sum(count for name, count in row.verdicts.items() if name != "damaged") for row in rows.values()] == [
        4,
        8,
        4,
    ]
    cost = rows["gradient_ascent"].cost
    assert cost is not None
    assert cost.value > 0
    of_cells = [cell["rows"][0]["model"] for name, cell in found(done).items() if name.startswith("gradient_ascent")]
    forget = rows["gradient_ascent"].forget_accuracy
    assert forget is not None
    assert forget.value == pytest.approx(np.mean([model["accuracy"]["forget"]["value"] for model in of_cells]))
    assert json.loads((done / "table.json").read_text("utf-8")) == json.loads(json.dumps(results.to_dict()))
    assert (done / "table.csv").read_text("utf-8") == results.to_csv()
    assert results.to_csv().splitlines()[3].startswith("random:0.3,gradient_ascent,unlearned,4,2,0,")
    assert (done / "table.svg").read_text("utf-8").startswith("<svg")


def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    done: Path, values: dict[str, Any], tmp_path: Path, interrupt: Any
) -> None:
    plan, folder = Plan.of(values), tmp_path / "run"
    interrupt(2, 20, 40, 41)
    interrupted = 0
    while True:
        try:
            run_plan(plan, folder=folder, workers=0)
        except KeyboardInterrupt:
            interrupted += 1
        else:
            break
    assert interrupted == 4
    assert weights(folder) == weights(done)
    assert found(folder) == found(done)


@pytest.mark.parametrize("side_by_side", ["processes", "executor"])
def test_others_make_the_same_bits(
    done: Path, values: dict[str, Any], tmp_path: Path, side_by_side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = Plan.of(values), tmp_path / "run"
    if side_by_side == "processes":
        # References are there: processes of their own make them, which tests/references/test_processes.py has.
        shutil.copytree(done, folder, ignore=lambda _, names: {"cells", "models"} & {*names})
        (tmp_path / "sitecustomize.py").write_text(FEW_PERMUTATIONS, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        run_plan(plan, folder=folder, workers=2)
    else:
        with ThreadPoolExecutor(1) as executor:
            run_plan(plan, folder=folder, executor=executor)
    assert found(folder) == found(done)
    assert weights(folder) == weights(done)
    assert not (folder / "job.pickle").exists()


def test_a_plan_that_was_extended_makes_what_is_new(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = values | {"seeds": [0], "forget": [{"rule": "random:0.3"}]}
    run_plan(Plan.of(small), folder=tmp_path, workers=0)
    before = weights(tmp_path)
    trained: list[int] = []
    train = workflow.train

    def counted(experiment: Any, **options: Any) -> Any:
        trained.append(experiment.seed)
        return train(experiment, **options)

    monkeypatch.setattr(workflow, "train", counted)
    label = {"name": "gradient_ascent", "learning_rate": 0.01, "label": "another name"}
    wider = small | {"method": [label, {"name": "ssd"}]}
    results = run_plan(Plan.of(wider), folder=tmp_path, workers=0)
    assert trained == []
    assert weights(tmp_path) == before
    assert [model.name for model in results.tables[0].models][2:] == ["another name", "ssd"]
    assert len(list((tmp_path / "cells").glob("gradient_ascent-*"))) == 1


def test_a_method_that_fails_is_counted_and_the_others_go_on(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise TrainingError("expected a finite loss, got NaN; lower the learning rate")

    monkeypatch.setattr(GradientAscent, "__call__", fails)
    small = values | {"seeds": [0], "forget": [{"rule": "class:1"}], "method": [*values["method"], {"name": "ssd"}]}
    results = run_plan(Plan.of(small), folder=tmp_path, workers=0)
    rows = {model.name: model for model in results.tables[0].models}
    assert (results.failed, rows["gradient_ascent"].failed, rows["ssd"].failed) == (1, 1, 0)
    assert rows["gradient_ascent"].ft_auc is None
    assert rows["ssd"].ft_auc is not None
    assert any("gradient_ascent came to nothing in 1 of 1 audits: 1 × expected a finite loss" in note
               for note in results.tables[0].notes)  # fmt: skip


def test_samples_that_references_choose_are_forgotten(values: dict[str, Any], tmp_path: Path) -> None:
    small = values | {"seeds": [0], "forget": [{"rule": "memorised:10"}], "method": [{"name": "ssd"}]}
    assert outline(Plan.of(small), folder=tmp_path / "run").sets == []
    results = run_plan(Plan.of(small), folder=tmp_path / "run", workers=0)
    assert [(table.title, table.audits) for table in results.tables] == [("memorised:10", 1)]
    with pytest.raises(PlanError, match=r"forget 1.rule: expected at least 2 retrained models"):
        Plan.of(small | {"retrained": 0})


def test_an_outline_counts_and_makes_nothing(values: dict[str, Any], done: Path, tmp_path: Path) -> None:
    planned = outline(Plan.of(values), folder=tmp_path / "run")
    assert planned.counts == {
        "references": 4, "teachers": 0, "original": 2, "retrained": 8, "controls": 4, "method": 4,
    }  # fmt: skip
    assert (planned.runs, planned.done) == (4, 0)
    assert planned.seconds > 0
    assert [(rule, draw, size) for rule, draw, size in planned.sets] == [("random:0.3", 0, 12), ("random:0.3", 1, 12)]
    assert not (tmp_path / "run").exists()
    again = outline(Plan.of(values), folder=done)
    assert (again.done, again.seconds) == (18, 0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"forget": [{"rule": "class:9"}]}, "forget 1.rule: expected a class of the training set"),
        ({"data": {"source": "none.npz"}}, "data: expected"),
        ({"recipe": {"model": "small_cnn"}}, "recipe: expected"),
        ({"method": [{"name": "nabla_tau"}]}, "method 1: expected a holdout set for nabla_tau"),
        ({"method": [{"name": "sisa"}]}, "method 1: expected"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    values: dict[str, Any], tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        run_plan(Plan.of(values | changed), folder=tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_else_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"got .* that holds letter.txt; choose another --out"):
        run_plan(Plan.of(values), folder=tmp_path, workers=0)
    with pytest.raises(AuditError, match="expected workers or an executor"):
        run_plan(Plan.of(values), folder=tmp_path, workers=1, executor=ThreadPoolExecutor(1))
    with ThreadPoolExecutor(1) as threads, pytest.raises(PlanError, match="expected machines that share the folder"):
        run_plan(Plan.of(values), folder=tmp_path, executor=Exchanging(threads, f"file://{tmp_path}/jobs"))
    with pytest.raises(PlanError, match="expected 0 workers or more, got -1"):
        run_plan(Plan.of(values), folder=tmp_path / "run", workers=-1)


def test_a_cell_that_was_edited_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    small = values | {"seeds": [0], "forget": [{"rule": "class:1"}]}
    run_plan(Plan.of(small), folder=tmp_path, workers=0)
    (path,) = (tmp_path / "cells").glob("gradient_ascent-*")
    path.write_text(path.read_text("utf-8").replace('"leaks"', '"consistent with retraining"').replace("0.", "1."))
    with pytest.raises(PlanError, match=r"expected contents with sha256 .*delete it, and run the plan again"):
        run_plan(Plan.of(small), folder=tmp_path, workers=0)


def test_the_command_prints_the_tables(
    done: Path, values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        f"""
seeds = [0, 1]
references = 4
retrained = 2
[data]
source = {json.dumps(values["data"]["source"])}
[recipe]
epochs = 3
batch_size = 16
precision = "float32"
options = {{hidden = [8]}}
[[forget]]
rule = "random:0.3"
draws = 2
[[method]]
name = "gradient_ascent"
learning_rate = 0.01
""",
        encoding="utf-8",
    )
    for arguments, words in (
        (["--dry-run"], "2 original, 8 retrained, 4 controls, 4 method; 18 done already"),
        (["--workers", "0"], "random:0.3: 4 audits, training seeds 0, 1"),
    ):
        with pytest.raises(SystemExit, match="0"):
            main(["run", str(path), "--out", str(done), *arguments])
        assert words in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["run", str(path), "--out", str(done), "--json"])
    assert json.loads(capsys.readouterr().out)["schema"] == "obliviate.plan/1"
    with pytest.raises(SystemExit, match="1"):
        main(["run", str(tmp_path / "none.toml"), "--out", str(done)])
    assert "error: expected a file of TOML" in capsys.readouterr().err


@pytest.fixture(scope="module")
def wide(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Wrong labels, and requests in a row, on one seed."""
    plan = Plan.of(
        values
        | {
            "seeds": [0],
            "data": values["data"] | {"wrong_labels": 0.2},
            "forget": [{"rule": "wrong_labels"}, {"rule": "random:0.4", "steps": 2}],
        }
    )
    folder = tmp_path_factory.mktemp("plans") / "wide"
    run_plan(plan, folder=folder, workers=0)
    return plan, folder


def test_every_step_of_requests_in_a_row_is_judged_on_all_that_was_forgotten(wide: tuple[Plan, Path]) -> None:
    plan, folder = wide
    ground = Ground.of(plan)
    first, second = (sets for sets in ground.forget_sets(None) if sets.rule.startswith("random:0.4"))
    assert (first.rule, second.rule) == ("random:0.4, 1 of 2 requests", "random:0.4, 2 of 2 requests")
    assert second.requests[0] == tuple(first.chosen.ids)
    assert set(second.chosen.ids) == set(second.requests[0]) | set(second.requests[1])
    assert not set(second.requests[0]) & set(second.requests[1])
    session = workflow.Session.of(workflow.train(ground.under(0)), ground.data.train)
    for ids in second.requests:
        session = session.forget(ids, plan.trials[0].method, seed=0)
    hashes = {
        cell["rule"]: cell["rows"][0]["model"]["weights_sha256"]
        for name, cell in found(folder).items()
        if name.startswith("gradient_ascent")
    }
    assert hashes[second.rule] == weights_sha256(session.model) != hashes[first.rule]
    assert set(hashes) == {"wrong_labels", first.rule, second.rule}


def test_the_accuracies_of_classes_make_up_the_whole(wide: tuple[Plan, Path]) -> None:
    plan, folder = wide
    targets = Ground.of(plan).data.test.targets
    for cell in found(folder).values():
        for row in cell["rows"]:
            right = sum(
                share / 100 * int((targets == label).sum())
                for label, share in enumerate(row["classes"])
                if share is not None
            )
            assert right / len(targets) == pytest.approx(row["model"]["accuracy"]["test"]["value"] / 100)


def test_a_cell_alone_is_that_of_the_whole_plan(done: Path, values: dict[str, Any], tmp_path: Path) -> None:
    plan, folder = Plan.of(values), tmp_path / "run"
    name = outline(plan, folder=folder).cells[-1]
    results = run_plan(plan, folder=folder, workers=0, only=[name])
    assert found(folder) == {f"{name}.json": found(done)[f"{name}.json"]}
    assert len(weights(folder)) == 1 + 2  # the original, and the retrained models of one forget set
    assert [model.name for table in results.tables for model in table.models] == ["gradient_ascent"]
    assert not (folder / "table.json").exists()
    with pytest.raises(PlanError, match="expected cells of the plan, got amun-7; a dry run lists them"):
        run_plan(plan, folder=folder, workers=0, only=["amun-7"])
