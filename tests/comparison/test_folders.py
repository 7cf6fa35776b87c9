"""Several audits together: figures against the audits they are made of, and folders that cannot be compared."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.cli import main
from obliviate.comparison import Compared, Comparison, Figure, compare
from obliviate.data.samples import Samples
from obliviate.errors import ResultsError, WorkspaceError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.metrics.bootstrap import hierarchical_bootstrap
from obliviate.metrics.intervals import auc
from obliviate.requests import RequestFolder, Requests
from obliviate.training.recipe import Recipe
from obliviate.workspace import ReportSettings, Workspace, auditing, scores
from user_files import write_rows

SETS = ([f"s{i:02d}" for i in range(0, 20)], [f"s{i:02d}" for i in range(15, 35)])


@pytest.fixture(scope="module")
def audited(tiny: Samples, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two training seeds, with the same two forget sets each."""
    root = tmp_path_factory.mktemp("audits")
    data = write_rows(root / "rows.npz", tiny)
    folders = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "write_report", lambda folder, request: folder / "report.html")
        for seed in (0, 1):
            for place, forget in enumerate(SETS):
                work = Workspace.create(root / f"{seed}-{place}", source=str(data), recipe=tiny_recipe, seed=seed)
                if place:  # references do not depend on the forget set
                    shutil.copytree(folders[-1] / "references", work.folder / "references")
                work.choose(forget)
                work.unlearn(GradientAscent(learning_rate=0.01))
                work.audit(references=4, retrained=2, workers=0, report=ReportSettings(pictures=False))
                folders.append(work.folder)
    return folders


@pytest.fixture
def folders(audited: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of what a comparison reads of them, to be spoilt."""
    ignored = shutil.ignore_patterns("references", "*.safetensors")
    return [Path(shutil.copytree(folder, tmp_path / folder.name, ignore=ignored)) for folder in audited]


def place(where: Path) -> RequestFolder:
    return Requests(where).at(1)


def results(where: Path) -> dict[str, Any]:
    return read_sealed_json(place(where).results)


def model(where: Path, name: str) -> dict[str, Any]:
    (chosen,) = [row for row in results(where)["models"] if row["name"] == name]
    return chosen


def changed(where: Path, file: str = "requests/0001/results.json", **values: Any) -> None:
    write_sealed_json(where / file, read_sealed_json(where / file) | values)


def test_kept_scores_are_those_of_the_audit(audited: list[Path]) -> None:
    for where in audited:
        kept = scores.read(place(where).scores)
        assert kept is not None
        assert sorted(kept.forget) == sorted(json.loads(place(where).request.read_text("utf-8"))["ids"])
        for row in results(where)["models"]:
            assert 100 * auc(*kept.of[row["weights_sha256"]]) == pytest.approx(row["attacks"]["rmia"]["ft"]["value"])


def test_figures_are_means_over_seeds_of_means_over_forget_sets(audited: list[Path]) -> None:
    comparison = compare(audited)
    assert (comparison.seeds, comparison.audits) == ((0, 1), 4)
    assert [(model.name, model.role, model.audits, model.seeds) for model in comparison.models] == [
        ("original", "original", 4, 2),
        ("retrained", "retrained", 4, 2),
        ("gradient_ascent", "unlearned", 4, 2),
    ]
    for compared in comparison.models:
        rows = [[m for m in results(where)["models"] if compared.name in (m["name"], m["role"])] for where in audited]
        aucs = [np.mean([m["attacks"]["rmia"]["ft"]["value"] for m in row]) for row in rows]
        assert compared.ft_auc is not None
        assert compared.ft_auc.value == pytest.approx(np.mean(aucs))
        tests = [np.mean([m["test_accuracy_difference"]["value"] for m in row]) for row in rows]
        seeds = [np.mean(tests[:2]), np.mean(tests[2:])]
        half = student.ppf(0.975, 1) * np.std(seeds, ddof=1) / np.sqrt(2)
        figure = compared.test_accuracy_difference
        assert figure is not None
        expected = (np.mean(seeds), np.mean(seeds) - half, np.mean(seeds) + half)
        assert (figure.value, figure.low, figure.high) == pytest.approx(expected)
        assert compared.average_gap is not None
        gaps = [np.mean([m["average_gap"] for m in row]) for row in rows]
        assert compared.average_gap.value == pytest.approx(np.mean(gaps))
        assert compared.ft_auc.over == ("seeds" if compared.role == "retrained" else "samples")
    assert "With 2 training seeds intervals are coarse" in " ".join(comparison.notes)


def pair(where: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The scores of one model, by the names of the samples."""
    kept = scores.read(place(where).scores)
    assert kept is not None
    forget, unseen = kept.of[model(where, name)["weights_sha256"]]
    return forget[np.argsort(kept.forget)], unseen[np.argsort(kept.unseen)]


def test_forget_sets_that_all_seeds_share_are_drawn_once_for_all(audited: list[Path]) -> None:
    shuffled = [audited[number] for number in (3, 0, 2, 1)]
    figure = {model.name: model.ft_auc for model in compare(shuffled).models}["gradient_ascent"]
    pairs = [[pair(audited[2 * seed + place], "gradient_ascent") for place in (0, 1)] for seed in (0, 1)]
    expected = hierarchical_bootstrap(pairs, crossed=True)
    limits = (100 * expected.value, 100 * expected.low, 100 * expected.high)
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == pytest.approx(limits)
    uneven = {model.name: model.ft_auc for model in compare(audited[:3]).models}["gradient_ascent"]
    expected = hierarchical_bootstrap([pairs[0], pairs[1][:1]])
    assert uneven is not None
    assert (uneven.low, uneven.high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_one_seed_has_no_interval_over_seeds(audited: list[Path]) -> None:
    comparison = compare(audited[:2])
    for compared in comparison.models:
        figure = compared.test_accuracy_difference
        assert figure is not None
        assert figure.low is figure.high is figure.over is None
    assert comparison.notes == ("All audits are of the training seed 0: intervals say nothing of other seeds.",)


def test_without_scores_intervals_are_over_seeds_alone(folders: list[Path]) -> None:
    place(folders[1]).scores.unlink()
    comparison = compare(folders)
    assert {model.ft_auc and model.ft_auc.over for model in comparison.models} == {"seeds"}
    assert any(f"{folders[1]} was audited before scores were kept" in note for note in comparison.notes)


def test_a_method_that_is_missing_somewhere_is_told(folders: list[Path]) -> None:
    values = results(folders[0])
    changed(folders[0], models=[model for model in values["models"] if model["role"] != "unlearned"])
    comparison = compare(folders)
    assert {model.name: model.audits for model in comparison.models} == {
        "original": 4,
        "retrained": 4,
        "gradient_ascent": 3,
    }
    assert "gradient_ascent is in 3 of the 4 audits." in comparison.notes


def test_what_cannot_be_compared_is_refused(folders: list[Path]) -> None:
    first, second, third, _ = folders
    with pytest.raises(WorkspaceError, match="expected 2 audited folders or more, got 1"):
        compare([first])
    with pytest.raises(WorkspaceError, match=r"expected JSON in .*none/workspace.json, got No such file"):
        compare([first, first.parent / "none"])
    results_of_third = place(third).results.rename(third / "kept.json")
    with pytest.raises(WorkspaceError, match=r"expected an audited folder, got .* without .*results.json; run `obl"):
        compare([first, third])
    results_of_third.rename(place(third).results)
    with pytest.raises(WorkspaceError, match=r"expected a request of .*, from 1 to 1, got 2; name one of them"):
        compare([first, third], request=2)
    with pytest.raises(WorkspaceError, match=r"expected every training seed with a forget set once, got .* the same"):
        compare([first, second, first])
    recipe = results(second)["recipe"]
    changed(second, recipe=recipe | {"epochs": 9})
    with pytest.raises(WorkspaceError, match=r"got .* with another recipe than .*; compare folders that differ in"):
        compare([first, second])
    changed(second, recipe=recipe, data_sha256="0" * 64)
    changed(second, "workspace.json", coins=10)
    with pytest.raises(WorkspaceError, match="with another data_sha256, coins than "):
        compare([first, second])
    changed(third, schema="other/1")
    with pytest.raises(ResultsError, match="other/1"):
        compare([first, third])


def test_a_method_that_was_set_in_two_ways_is_refused(folders: list[Path]) -> None:
    (path,) = place(folders[0]).models.glob("1-gradient_ascent-*.json")
    settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
    settings["method"] = settings["method"] | {"epochs": 99}
    changed(path.parent, path.name, settings=settings)
    with pytest.raises(WorkspaceError, match=r"expected gradient_ascent with the same settings everywhere, got .*99"):
        compare(folders)


def test_damaged_scores_are_refused(folders: list[Path]) -> None:
    path = place(folders[0]).scores
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        WorkspaceError, match=r"expected contents with the hash at their end, got others in .*npz; .* is damaged: run"
    ):
        compare(folders)


def test_the_command_prints_a_table_or_json(audited: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", *map(str, audited)]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--json"])
    comparison = json.loads(capsys.readouterr().out)
    assert comparison == json.loads(json.dumps(compare(audited).to_dict()))
    assert comparison["schema"] == "obliviate.comparison/2"
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    text = capsys.readouterr().out
    assert "4 audits, training seeds 0, 1" in text
    for compared in comparison["models"]:
        assert compared["name"] in text
        assert (
            f"{compared['ft_auc']['value']:.1f} ({compared['ft_auc']['low']:.1f} to {compared['ft_auc']['high']:.1f})"
            in text
        )
    with pytest.raises(SystemExit, match="1"):
        main(["compare"])
    assert "error: expected 2 audited folders or more, got 0" in capsys.readouterr().err


def test_a_comparison_shows_itself_in_a_few_lines_and_as_a_frame() -> None:
    with_limits = Figure(value=57.25, low=55.0, high=59.5, over="samples")
    alone = Figure(value=-1.25, low=None, high=None, over=None)
    models = (
        Compared(
            name="amun",
            role="unlearned",
            audits=4,
            seeds=2,
            ft_auc=with_limits,
            average_gap=None,
            forget_accuracy=None,
            retain_accuracy=None,
            test_accuracy=None,
            test_accuracy_difference=alone,
            seconds=None,
            cost=None,
            verdicts={"leaks": 4},
        ),
    )
    comparison = Comparison(seeds=(0, 1), audits=4, models=models, notes=("Intervals are coarse.",))
    assert repr(comparison) == "Comparison(4 audits, seeds 0, 1: amun)"
    assert str(comparison).splitlines() == [
        "model  audits  seeds               FT-AUC  gap  test difference  cost %  verdicts",
        "amun        4      2  57.2 (55.0 to 59.5)                  −1.2          4 × leaks",
        "",
        "Intervals are coarse.",
    ]
    assert "<td" in comparison._repr_html_()
    (row,) = comparison.to_frame().to_dict("records")
    assert (row["ft_auc"], row["ft_auc_low"], row["ft_auc_high"]) == (57.25, 55.0, 59.5)
    assert row["average_gap"] is None or row["average_gap"] != row["average_gap"]
    assert comparison.figures()["amun/test_accuracy_difference"] == -1.25
