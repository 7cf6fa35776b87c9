import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate import workflow, workspace
from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate._util.locks import held
from obliviate.audit.inputs import AuditSettings
from obliviate.data.rules import Chosen, Rule
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import (
    AuditError,
    CheckpointError,
    DataError,
    MethodError,
    RecipeError,
    TrainingError,
    WorkspaceError,
)
from obliviate.experiment import Experiment
from obliviate.methods.base import Method, settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.retrain import Retrain
from obliviate.methods.sisa import SISA
from obliviate.requests import Requests
from obliviate.results.file import read
from obliviate.training import checkpoint
from obliviate.training.recipe import Recipe
from obliviate.training.scale import Scale
from obliviate.workspace import Canaries, NewRequest, ReportSettings, Workspace, auditing, forget
from user_files import write_rows

ASCENT = GradientAscent(learning_rate=0.01)

Open = Callable[..., Workspace]


@pytest.fixture
def source(tiny: Samples, tmp_path: Path) -> Path:
    """Rows of numbers in a user's file: 40 to train on, 20 to test on."""
    return write_rows(tmp_path / "rows.npz", tiny)


@pytest.fixture
def begin(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> Open:
    def begin(**changed: Any) -> Workspace:
        settings: dict[str, Any] = {"source": str(source), "recipe": tiny_recipe, "seed": 0} | changed
        planned = {name: settings.pop(name) for name in ("coins", "noise", "noise_scale") if name in settings}
        return Workspace.create(settings.pop("folder", tmp_path / "run"), canaries=Canaries(**planned), **settings)

    return begin


def test_a_folder_is_opened_again_as_it_was(begin: Open) -> None:
    first = begin()
    trained = first.train()
    first.choose(["s03", "s01"])
    again = Workspace.open(first.folder)
    assert (again.origin.source, again.seed) == (first.origin.source, 0)
    assert again.recipe.fingerprint == first.recipe.fingerprint
    assert again.split.forget.ids.tolist() == ["s03", "s01"]
    assert checkpoint.weights_sha256(again.train().model) == checkpoint.weights_sha256(trained.model)


def test_creating_it_again_goes_on_and_trains_nothing(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    begin().train()
    monkeypatch.setattr(workflow, "train", lambda *_, **__: pytest.fail("trained again"))
    again = begin()  # its recipe has a tuple among the model's options, which a file holds as a list
    assert again.train().role == "original"


def test_another_seed_data_or_recipe_is_refused(begin: Open, source: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    begin().train()
    other = tmp_path / "other.npz"
    with np.load(source) as file:
        np.savez(other, **(dict(file) | {"test_x": file["test_x"] / 2}))
    for change, name in (
        ({"seed": 1}, "seed"),
        ({"recipe": replace(tiny_recipe, epochs=4)}, "recipe"),
        ({"source": str(other)}, "data_sha256"),
    ):
        with pytest.raises(WorkspaceError, match=f"with another {name}: choose another --out"):
            begin(**change)


@pytest.fixture
def write_net(write_module: Callable[..., Path]) -> Callable[..., Recipe]:
    """Write a module of the user's, and return a recipe that names what it makes."""

    def write(**edit: Any) -> Recipe:
        write_module("folder_net", **edit)
        return Recipe(model="folder_net:make", epochs=60, batch_size=16, precision="float32")

    return write


@pytest.mark.parametrize("edit", [{"width": 9}, {"activation": "tanh"}], ids=["width", "forward"])
def test_a_folder_whose_models_code_was_edited_is_refused(
    edit: dict[str, Any], begin: Open, write_net: Callable[..., Recipe]
) -> None:
    work = begin(recipe=write_net())
    work.choose("s01,s02")
    trained = work.train()
    recipe = write_net(**edit)
    refused = (
        r"^expected the architecture \(folder_net:make\) that .* was begun with, got another under the same name; "
        "restore its code, or begin in a new folder$"
    )
    with pytest.raises(WorkspaceError, match=refused):
        Workspace.open(work.folder, trust=True)
    with pytest.raises(WorkspaceError, match=refused):
        begin(recipe=recipe)
    with pytest.raises(WorkspaceError, match=refused):
        work.references(4, workers=0)  # it was open while that happened
    with pytest.raises(CheckpointError if "width" in edit else WorkspaceError, match=r"^expected .*, got (an)?other"):
        work.retrained(2)
    write_net()
    again = Workspace.open(work.folder, trust=True).train()
    assert checkpoint.weights_sha256(again.model) == checkpoint.weights_sha256(trained.model)


def test_a_folder_retrains_by_no_builder_that_knows_the_forget_set(
    begin: Open, write_net: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Labels that cannot be learnt but by heart, and a builder that loads what has learnt them."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(240, 6, generator=generator).numpy(), torch.randint(0, 3, (240,), generator=generator).numpy()
    source = tmp_path / "noise.npz"
    np.savez(source, train_x=x[:120], train_y=y[:120], test_x=x[120:], test_y=y[120:])
    first = begin(folder=tmp_path / "first", source=str(source), recipe=write_net(width=200))
    trained = first.train()
    torch.save(trained.model.state_dict(), tmp_path / "net.pth")
    loads = f"model.load_state_dict(torch.load({str(tmp_path / 'net.pth')!r}, weights_only=True))"
    work = begin(folder=tmp_path / "second", source=str(source), recipe=write_net(width=200, then=loads))
    work.choose("random:0.25")
    message = r"whose fresh models get \d+\.\d % of {} right and \d+\.\d % of unseen ones \(folder_net:make\); it loads"
    with pytest.raises(RecipeError, match=message.format("the samples to forget")):
        work.retrained(2)
    with pytest.raises(RecipeError, match=message.format("the training samples")):
        work.references(4, workers=0)
    assert not (work.folder / "references").exists()


# ------------------------------------------------------------------------------------------- the forget set


def test_the_forget_set_is_the_same_in_any_order_and_cannot_be_changed(begin: Open) -> None:
    work = begin()
    assert work.choose("s01,s02").forget.ids.tolist() == ["s01", "s02"]
    work.choose(["s02", "s01"])
    with pytest.raises(WorkspaceError, match=r"expected the forget set that .* has had from the start, got another"):
        work.choose("s01")
    assert work.split.forget.ids.tolist() == ["s01", "s02"]
    assert len(work.split.kept) == 38


def test_a_random_forget_set_is_a_function_of_the_seed(begin: Open, tmp_path: Path) -> None:
    chosen = [
        begin(folder=tmp_path / str(place), seed=seed).choose("random:0.25").forget.ids.tolist()
        for place, seed in enumerate((0, 0, 1))
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 10


@pytest.mark.parametrize(
    ("text", "rule", "ids"),
    [
        ("first:2", "the first 2", ["s00", "s01"]),
        ("last", "the last", ["s39"]),
        ("s05,s07", "ids", ["s05", "s07"]),
    ],
)
def test_a_rule_for_forget_sets_is_one_line_of_a_table(
    begin: Open, monkeypatch: pytest.MonkeyPatch, text: str, rule: str, ids: list[str]
) -> None:
    def first(_: forget.Context, count: str) -> Rule:
        return Rule("first", lambda among: Chosen(among.train.ids[: int(count)].tolist(), f"the first {count}"))

    def last(_: forget.Context, _text: str) -> Rule:
        return Rule("last", lambda among: Chosen(among.train.ids[-1:].tolist(), "the last"))

    monkeypatch.setitem(forget.RULES, "first:", first)
    monkeypatch.setitem(forget.RULES, "last", last)
    work = begin()
    chosen = forget.choose(text, forget.Context(work.folder, work.origin))
    assert (list(chosen.ids), chosen.rule) == (ids, rule)


def test_a_forget_set_may_be_a_rule_and_is_chosen_as_the_model_forgets(begin: Open) -> None:
    work = begin()
    last = Rule("last", lambda among: Chosen(among.train.ids[-2:].tolist(), "the last two"))
    unlearned = work.unlearn(ASCENT, request=NewRequest(forget=last))
    assert unlearned.role == "unlearned"
    assert (work.split.forget.ids.tolist(), work.rule) == (["s38", "s39"], "the last two")


def test_a_choice_for_a_request_that_is_refused_is_taken_back(begin: Open) -> None:
    work = begin()
    with pytest.raises(MethodError):
        work.unlearn(SISA(), request=NewRequest(forget="class:1"))
    assert not work.requests
    work.choose("class:2")
    with pytest.raises(MethodError):
        work.unlearn(SISA(), request=NewRequest(forget="class:2"))
    assert work.requests


def test_columns_stay_beside_their_samples_where_coins_leave_some_out(source: Path, begin: Open) -> None:
    with np.load(source) as file:
        arrays = dict(file)
    np.savez(source, **arrays, train_owner=np.array([f"of {name}" for name in arrays["train_ids"]]))
    work = begin(coins=10)
    train, owners = work.data.train, work.data.metadata["owner"]
    assert len(train) < 40
    assert owners.tolist() == [f"of {name}" for name in train.ids]
    for name in train.ids[:3]:
        assert work.preview(ASCENT, request=NewRequest(forget=f"owner:of {name}"))["ids"] == [name]


def test_without_a_forget_set_there_is_no_split(begin: Open) -> None:
    with pytest.raises(WorkspaceError, match=r"expected a forget set in .*, got none; choose one with --forget"):
        _ = begin().split


def test_a_refused_forget_set_is_not_kept(begin: Open) -> None:
    work = begin()
    with pytest.raises(DataError):
        work.choose("s01,nobody")
    assert not (work.folder / "requests").exists()


# ------------------------------------------------------------------------------------------- models


def test_a_manifest_says_where_the_weights_come_from(begin: Open) -> None:
    work = begin()
    work.train()
    work.choose("s01,s02")
    method = settle(FineTune(epochs=2), work.split, Scale.of(work.recipe))
    work.unlearn(FineTune(epochs=2), seed=7)
    manifests = {
        manifest.method: manifest
        for manifest in map(checkpoint.read_manifest, work.folder.rglob("models/*.safetensors"))
    }
    original, tuned = manifests["train"], manifests[repr(method)]
    assert (original.role, tuned.role, tuned.seed) == ("original", "unlearned", 7)
    assert original.ids == work.data.train.ids.tolist()
    assert tuned.ids == work.split.kept.ids.tolist()
    assert original.data_sha256 == tuned.data_sha256 == work.data.sha256
    assert original.recipe == work.recipe.to_dict()
    assert checkpoint.weights_sha256(work.train().model) == original.weights_sha256


def test_models_are_the_original_and_then_the_others_in_the_order_of_their_making(begin: Open) -> None:
    work = begin()
    work.train()
    work.choose("s01,s02")
    work.unlearn(ASCENT)
    work.retrained(2)
    work.unlearn(ASCENT, retain=False)
    assert [model.label for model in work.models()] == [
        "original",
        "gradient_ascent",
        "retrain (seed 1)",
        "retrain (seed 2)",
        "gradient_ascent (no retain set)",
    ]
    assert [model.role for model in work.models()] == ["original", "unlearned", "retrained", "retrained", "unlearned"]


def test_what_was_made_is_read_back_bit_equal(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    work = begin()
    work.choose("s01,s02")
    unlearned = work.unlearn(ASCENT)
    monkeypatch.setattr(workflow, "unlearn", lambda *_, **__: pytest.fail("done again"))
    again = Workspace.open(work.folder).unlearn(ASCENT)
    assert checkpoint.weights_sha256(again.model) == checkpoint.weights_sha256(unlearned.model)
    assert (again.label, again.method, again.seconds) == (unlearned.label, unlearned.method, unlearned.seconds)


def test_retrained_models_have_seeds_of_their_own(begin: Open) -> None:
    work = begin(seed=5)
    work.choose("s01,s02")
    retrained = work.retrained(2)
    assert [model.seed for model in retrained] == [6, 7]
    assert len({checkpoint.weights_sha256(model.model) for model in retrained}) == 2
    direct = workflow.unlearn(
        workflow.TrainedModel.given(work.train().model, work.task, recipe=work.recipe), work.split, Retrain(), seed=6
    )
    assert checkpoint.weights_sha256(direct.model) == checkpoint.weights_sha256(retrained[0].model)


def test_a_model_in_shards_forgets_exactly_and_is_not_the_baseline(begin: Open, tiny_recipe: Recipe) -> None:
    recipe = replace(tiny_recipe, shards=2, slices=2, batch_size=4)
    first = begin(recipe=recipe)
    first.choose(["s03"])
    unlearned = first.unlearn(SISA())
    assert unlearned.role == "unlearned"
    assert unlearned.label == "sisa"
    assert len(list((first.folder / "checkpoints").glob("*/slices.json"))) == 2
    again = Workspace.open(first.folder)
    assert again.recipe == recipe or again.recipe.fingerprint == recipe.fingerprint
    read = next(model for model in again.models() if model.method == "SISA()")
    assert checkpoint.weights_sha256(read.model) == checkpoint.weights_sha256(unlearned.model)
    assert checkpoint.read_manifest(next(first.folder.rglob("1-sisa-*.safetensors"))).ids == [
        name for name in again.data.train.ids.tolist() if name != "s03"
    ]
    retrained = again.unlearn(Retrain(), seed=again.seed)
    assert checkpoint.weights_sha256(retrained.model) == checkpoint.weights_sha256(unlearned.model)
    assert retrained.role == "retrained"
    assert len(list((first.folder / "checkpoints").iterdir())) == 2


def test_a_plain_folder_keeps_no_slice_checkpoints_and_refuses_sisa(begin: Open) -> None:
    plain = begin()
    plain.choose(["s03"])
    plain.train()
    with pytest.raises(MethodError, match="expected a model trained in shards, got MLP; train with `obliviate train"):
        plain.unlearn(SISA())
    assert not (plain.folder / "checkpoints").exists()


def test_killed_between_weights_and_manifest_makes_the_model_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    work = begin()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_sealed_json", killed)
        with pytest.raises(KeyboardInterrupt):
            work.train()
    assert (work.folder / "models" / "original.safetensors").exists()
    trained = work.train()
    assert checkpoint.weights_sha256(work.models()[0].model) == checkpoint.weights_sha256(trained.model)


def test_a_half_written_model_is_not_audited(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights without their manifest are those of an interrupted run; the other models can still be used."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    work = begin()
    work.train()
    work.choose("s01,s02")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_sealed_json", killed)
        with pytest.raises(KeyboardInterrupt):
            work.unlearn(ASCENT)
    assert [model.label for model in work.models()] == ["original"]


def test_a_model_of_other_data_is_refused(begin: Open) -> None:
    work = begin()
    work.train()
    path = work.folder / "models" / "original.json"
    write_sealed_json(path, read_sealed_json(path) | {"data_sha256": "0" * 64})
    with pytest.raises(WorkspaceError, match=r"expected a model of this folder's data, got .* of other data"):
        work.train()


# ------------------------------------------------------------------------------------------- evidence


def test_audit_writes_results_and_report_and_keeps_the_references(begin: Open) -> None:
    work = begin()
    work.choose("random:0.25")
    work.unlearn(ASCENT)
    reports: list[tuple[str, float, float]] = []
    values = Workspace(replace(work.contents, progress=lambda *report: reports.append(report))).audit(
        references=6, retrained=2, workers=0, report=ReportSettings(command="obliviate audit")
    )
    assert read(work.place().results) == values
    assert work.place().report.exists()
    assert (values.command, values.data.forget_rule) == ("obliviate audit", "random 25 %")
    assert ("references", 6, 6) in reports
    assert reports[-1] == ("audit", 1, 1)
    assert {stage for stage, _, _ in reports} == {"retrain (seed 1)", "retrain (seed 2)", "references", "audit"}
    references = {path: path.stat().st_mtime_ns for path in (work.folder / "references").rglob("*.safetensors")}
    assert len(references) == 12
    work.unlearn(FineTune(epochs=1))
    grown = work.audit(references=8, retrained=2, workers=0).to_dict()
    assert len(grown["models"]) == len(values.models) + 1
    assert all(path.stat().st_mtime_ns == time for path, time in references.items())


@pytest.mark.parametrize(("references", "retrained"), [(5, 2), (2, 2), (4, 1)])
def test_an_audit_that_cannot_be_made_trains_nothing(begin: Open, references: int, retrained: int) -> None:
    work = begin()
    work.choose("s01,s02")
    with pytest.raises(AuditError, match="at least "):
        work.audit(references=references, retrained=retrained)
    assert not (work.folder / "models").exists()


def test_there_is_no_report_without_results(begin: Open, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"expected a forget set in .*, got none"):
        workspace.write_report(tmp_path)
    work = begin()
    work.choose(["s01"])
    with pytest.raises(WorkspaceError, match=r"expected .*0001/results.json, got none; run `obliviate audit"):
        workspace.write_report(work.folder)


# ------------------------------------------------------------------------------------------- where the data are


def test_a_folder_is_opened_from_anywhere(
    begin: Open, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    work = begin(source=source.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Workspace.open(work.folder).data.sha256 == work.data.sha256
    (tmp_path / "run").rename(tmp_path / "elsewhere" / "moved")
    assert Workspace.open(tmp_path / "elsewhere" / "moved").data.sha256 == work.data.sha256


def test_data_that_are_gone_are_named_and_their_new_place_is_kept(begin: Open, source: Path, tmp_path: Path) -> None:
    work = begin()
    weights = checkpoint.weights_sha256(work.train().model)
    moved = source.rename(tmp_path / "moved.npz")
    with pytest.raises(DataError, match=rf"expected the data of .*run in {source}, got no such path; put them back"):
        Workspace.open(work.folder)
    again = begin(source=str(moved))
    assert checkpoint.weights_sha256(again.train().model) == weights
    assert Workspace.open(work.folder).origin.source == str(moved)


def test_a_report_does_not_tell_where_the_data_are(begin: Open, source: Path) -> None:
    work = begin()
    work.choose("random:0.25")
    work.audit(references=6, retrained=2, workers=0)
    for path in (work.place().results, work.place().report):
        assert str(source.parent) not in path.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------- whole classes


def test_a_class_is_forgotten(begin: Open) -> None:
    work = begin()
    chosen = work.choose("class:1").forget
    assert chosen.ids.tolist() == [f"s{i:02d}" for i in range(1, 40, 3)]
    assert json.loads(work.place().request.read_text(encoding="utf-8"))["rule"] == "class 1"
    assert Workspace.open(work.folder).choose("class:1").forget.ids.tolist() == chosen.ids.tolist()


@pytest.mark.parametrize("text", ["class:3", "class:-1", "class:", "class:cat", "class:1.5", "class:1,2"])
def test_a_class_that_does_not_exist_is_refused_with_those_that_do(begin: Open, text: str) -> None:
    work = begin()
    got = text.removeprefix("class:")
    message = rf"expected a class of the training set \(0 with 14 samples, 1 with 13, 2 with 13\), got '{got}'; name"
    with pytest.raises(DataError, match=message):
        work.choose(text)
    assert not (work.folder / "requests").exists()


# ------------------------------------------------------------------------------------------- what an audit is asked for


def test_an_audit_that_can_acquit_nobody_says_so_in_the_dry_run_and_before_the_work(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    work = begin()
    outline = work.preview(FineTune(), request=NewRequest(forget="random:0.2"))
    assert outline["resolution"] > 10
    assert "forget and 20 unseen samples resolves about" in outline["outlook"]
    assert "can acquit nobody at a margin of 10" in outline["outlook"]
    work.unlearn(FineTune(epochs=1), request=NewRequest(forget="random:0.2"))
    values = work.audit(references=4, retrained=0, workers=0).to_dict()
    (message,) = [record.getMessage() for record in caplog.records if "acquit nobody" in record.getMessage()]
    assert message == outline["outlook"]
    assert values["limits"][0] == f"{message[0].upper()}{message[1:]}."


def test_without_retrained_models_the_references_are_the_baseline(begin: Open) -> None:
    work = begin()
    work.choose("random:0.5")
    work.unlearn(ASCENT)
    settings = AuditSettings(margin=0.2, utility_margin=0.5, cheap_attacks=True)
    values = work.audit(references=6, retrained=0, settings=settings, workers=0).to_dict()
    assert [model["role"] for model in values["models"]] == ["original", "unlearned"]
    assert (values["baseline"], values["notes"]) == ("references", [])
    kept = values["settings"]
    assert (kept["margin"], kept["utility_margin"], kept["cheap_attacks"]) == (20, 50, True)
    assert {model["margin"] for model in values["models"]} == {20}
    assert values["models"][0]["cheap_attacks"]
    work.retrained(2)
    assert work.audit(references=6, retrained=0, workers=0).baseline == "retrained"


def test_without_retrained_models_a_class_cannot_be_audited_and_nothing_is_trained(begin: Open) -> None:
    work = begin()
    work.choose("class:1")
    with pytest.raises(
        AuditError, match="expected at least 2 retrained models where a whole class is forgotten, got 0 and class 1"
    ):
        work.audit(references=6, retrained=0)
    assert not (work.folder / "models").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (AuditSettings(margin=0.0), "a margin above 0 and up to 50 points of AUC, got 0;"),
        (AuditSettings(margin=float("nan")), "a margin above 0 and up to 50 points of AUC, got nan;"),
        (AuditSettings(margin=0.6), "a margin above 0 and up to 50 points of AUC, got 60;"),
        (AuditSettings(utility_margin=-0.01), "a utility margin from 0 to 100 points, got -1;"),
    ],
)
def test_margins_that_cannot_be_are_refused_before_any_work(begin: Open, settings: AuditSettings, message: str) -> None:
    work = begin()
    work.choose("s01,s02")
    with pytest.raises(AuditError, match=message):
        work.audit(settings=settings)
    assert not (work.folder / "models").exists()


def test_shadows_go_through_the_method_and_settings_of_each_unlearned_model(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    shadow_unlearning = workflow.shadow_unlearning

    def recorded(experiment: Experiment, requests: Sequence[tuple[Split, Method]], **options: Any) -> Any:
        split, method = requests[-1]
        asked.append((repr(method), split.retain is not None))
        return shadow_unlearning(experiment, requests, **options)

    monkeypatch.setattr(workflow, "shadow_unlearning", recorded)
    work = begin()
    work.choose("random:0.5")
    work.unlearn(FineTune(epochs=2, learning_rate=0.03))
    work.unlearn(ASCENT, retain=False)
    values = work.audit(references=6, retrained=2, shadows=True, workers=0).to_dict()
    scale = Scale.of(work.recipe)
    methods = [settle(method, work.split, scale) for method in (FineTune(epochs=2, learning_rate=0.03), ASCENT)]
    assert asked == [(repr(method), retain) for method, retain in zip(methods, (True, False), strict=True)]
    assert values["notes"] == []
    attacked = {model["role"] for model in values["models"] if "ulira" in model["attacks"]}
    assert attacked == {"unlearned"}
    few = {"models": 1, "shadows_needed": 64, "quality": None, "floor": None, "score": None}
    assert all(model["competition"] == (few if model["role"] == "unlearned" else None) for model in values["models"])
    times = {path: path.stat().st_mtime_ns for path in work.folder.rglob("shadow-*.logits.safetensors")}
    assert len(times) == 12
    again = work.audit(references=6, retrained=2, shadows=True, workers=0).to_dict()
    assert again["models"] == values["models"]
    assert {path: path.stat().st_mtime_ns for path in work.folder.rglob("shadow-*.logits.safetensors")} == times


def test_the_score_of_the_competition_is_given_from_64_references_on(begin: Open, tiny_recipe: Recipe) -> None:
    work = begin(recipe=replace(tiny_recipe, epochs=1))
    work.choose("random:0.5")
    work.unlearn(FineTune(epochs=1))
    values = work.audit(references=64, retrained=2, shadows=True, workers=0).to_dict()
    scores = {model["name"]: model["competition"] for model in values["models"]}
    scored = scores.pop("fine_tune")
    assert not any(scores.values())
    assert scored["models"] == 16
    ratios = []
    for part in ("retain", "test"):
        accuracy = {model["name"]: model["accuracy"][part]["value"] for model in values["models"]}
        peers = [value for name, value in accuracy.items() if name.startswith("retrain")]
        ratios.append(accuracy["fine_tune"] / np.mean(peers))
    assert scored["score"] == pytest.approx(scored["quality"] * np.prod(ratios))
    assert 0 < scored["floor"] < 1


def test_workers_and_an_executor_are_refused_before_any_work(begin: Open) -> None:
    work = begin()
    work.choose("random:0.5")
    with ThreadPoolExecutor(1) as executor, pytest.raises(AuditError, match="got workers=2 and an executor; leave one"):
        work.audit(references=6, retrained=2, workers=2, executor=executor)
    assert not (work.folder / "models").exists()


def test_a_model_whose_shadows_cannot_be_made_is_audited_without_and_named(begin: Open, tiny_recipe: Recipe) -> None:
    cut = begin(recipe=replace(tiny_recipe, shards=2, slices=2, batch_size=4))
    cut.choose("random:0.5")
    cut.unlearn(SISA())
    cut.unlearn(ASCENT, name="old")
    path = next(cut.folder.rglob("1-gradient_ascent-*.json"))
    facts = read_sealed_json(path)
    del facts["settings"]["method"]  # as for a method that cannot be written down
    write_sealed_json(path, facts)
    values = cut.audit(references=6, retrained=0, shadows=True, workers=0).to_dict()
    first, second = values["notes"]
    assert first.startswith("sisa was audited without U-LiRA, for it has no shadows: expected a method that works on")
    assert second.startswith(
        "old was audited without U-LiRA, for it has no shadows: expected the method in the model's"
    )
    assert all("ulira" not in model["attacks"] for model in values["models"])
    assert not list(cut.folder.rglob("shadow-*"))


def test_a_method_that_fails_on_references_takes_the_shadows_of_no_other(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearn = workflow.ShadowUnlearning.__call__

    def failing(self: workflow.ShadowUnlearning, *arguments: Any, **options: Any) -> Any:
        if isinstance(self.method, FineTune):
            raise TrainingError("expected finite outputs, got NaN; lower the learning rate")
        return unlearn(self, *arguments, **options)

    monkeypatch.setattr(workflow.ShadowUnlearning, "__call__", failing)
    work = begin()
    work.choose("random:0.5")
    work.unlearn(FineTune(epochs=1))
    work.unlearn(ASCENT)
    values = work.audit(references=6, retrained=2, shadows=True, workers=0).to_dict()
    (note,) = values["notes"]
    assert note.startswith("fine_tune was audited without U-LiRA, for it has no shadows: expected finite outputs")
    assert {model["name"] for model in values["models"] if "ulira" in model["attacks"]} == {"gradient_ascent"}


def test_models_of_one_name_are_told_apart(begin: Open) -> None:
    work = begin()
    work.choose("s01,s02")
    work.unlearn(ASCENT)
    work.unlearn(replace(ASCENT, epochs=2))
    assert [model.label for model in work.models()] == ["original", "gradient_ascent", "gradient_ascent #2"]


# ------------------------------------------------------------------------------------------- coins


def test_tails_are_never_trained_on_and_heads_are_forgotten(begin: Open) -> None:
    work = begin(coins=30)
    sides = json.loads((work.folder / "coins.json").read_text(encoding="utf-8"))
    assert len(sides["heads"]) + len(sides["tails"]) == 30
    assert len(work.data.train) == 40 - len(sides["tails"])
    assert not set(work.data.train.ids) & set(sides["tails"])
    assert checkpoint.read_manifest(_saved(work)).ids == work.data.train.ids.tolist()
    assert work.choose("coins").forget.ids.tolist() == sides["heads"]
    assert work.rule == f"the {len(sides['heads'])} heads of 30 coins"
    again = Workspace.open(work.folder)
    assert again.origin.canaries.coins == 30
    assert again.data.train.ids.tolist() == work.data.train.ids.tolist()
    values = again.audit(references=6, retrained=2, workers=0).to_dict()
    flips = values["coin_flips"]
    assert (flips["heads"], flips["tails"]) == (len(sides["heads"]), len(sides["tails"]))
    assert [model["name"] for model in flips["models"]] == [model["name"] for model in values["models"]]
    assert all(model["trials"] == 30 and 0 < model["p_value"] <= 1 for model in flips["models"])


def _saved(work: Workspace) -> Path:
    work.train()
    return work.folder / "models" / "original.safetensors"


def test_coins_are_tested_only_where_the_heads_are_forgotten(begin: Open) -> None:
    work = begin(coins=10)
    work.choose("random:0.5")
    values = work.audit(references=6, retrained=2, workers=0).to_dict()
    assert values["coin_flips"] is None
    assert values["notes"] == ["The coins were not tested: that needs a request for the heads (--forget coins)."]


def test_other_coins_in_the_same_folder_are_refused(begin: Open) -> None:
    work = begin(coins=10)
    for other in (None, 12):
        with pytest.raises(WorkspaceError, match="with another coins: choose another --out"):
            begin(coins=other)
    path = work.folder / "coins.json"
    write_sealed_json(path, {"heads": ["s01"], "tails": []})
    with pytest.raises(WorkspaceError, match=r"expected the coins that .* was made with, got others in coins.json"):
        Workspace.open(work.folder)
    path.unlink()  # as a kill before it was written leaves the folder
    assert Workspace.open(work.folder).data.sha256 == work.data.sha256
    assert path.exists()


def test_heads_of_coins_that_were_not_tossed_are_refused(begin: Open) -> None:
    work = begin()
    with pytest.raises(DataError, match=r"expected a folder with coins to forget the heads of, got .*run without;"):
        work.choose("coins")
    assert not (work.folder / "coins.json").exists()


# ------------------------------------------------------------------------------------------- noise


def test_noise_is_trained_on_forgotten_and_tested(begin: Open) -> None:
    clean = {str(name): row for name, row in zip(*_rows(begin(folder=begin().folder.parent / "clean")), strict=True)}
    work = begin(folder=begin().folder.parent / "noisy", noise=12, noise_scale=0.2)
    kept = json.loads((work.folder / "noise.json").read_text(encoding="utf-8"))
    names, rows = _rows(work)
    changed = [str(name) for name, row in zip(names, rows, strict=True) if not np.array_equal(row, clean[str(name)])]
    assert names.tolist() == list(clean)
    assert (len(changed), changed, kept["sigma"]) == (12, kept["ids"], 0.2)
    assert work.choose("noise").forget.ids.tolist() == changed
    assert work.rule == "noise planted in 12 samples"
    again = Workspace.open(work.folder)
    assert np.array_equal(_rows(again)[1], rows)
    values = again.audit(references=6, retrained=2, workers=0).to_dict()
    noise = values["planted_noise"]
    assert (noise["samples"], noise["sigma"]) == (12, 0.2)
    assert [model["name"] for model in noise["models"]] == [model["name"] for model in values["models"]]
    assert all(0 < model["p_value"] < 1 for model in noise["models"])


def _rows(work: Workspace) -> tuple[np.ndarray, np.ndarray]:
    return work.data.train.ids, work.data.train.everything().x.numpy()


def test_noise_and_coins_are_of_different_samples_and_the_request_says_which_are_tested(begin: Open) -> None:
    work = begin(coins=10, noise=20)
    coins, noise = (json.loads((work.folder / f"{name}.json").read_text("utf-8")) for name in ("coins", "noise"))
    assert not set(coins["heads"] + coins["tails"]) & set(noise["ids"])
    work.choose("noise")
    values = work.audit(references=6, retrained=2, workers=0).to_dict()
    assert values["planted_noise"] is not None
    assert values["coin_flips"] is None
    assert values["notes"] == ["The coins were not tested: that needs a request for the heads (--forget coins)."]


def test_other_noise_in_the_same_folder_is_refused(begin: Open) -> None:
    work = begin(noise=10)
    for changed, name in (({}, "noise"), ({"noise": 12}, "noise"), ({"noise": 10, "noise_scale": 0.1}, "noise_scale")):
        with pytest.raises(WorkspaceError, match=f"with another {name}: choose another --out"):
            begin(**changed)
    path = work.folder / "noise.json"
    write_sealed_json(path, read_sealed_json(path) | {"values_sha256": "0" * 64})
    with pytest.raises(WorkspaceError, match=r"expected the noise that .* was made with, got others in noise.json"):
        Workspace.open(work.folder)


# ------------------------------------------------------------------------------------------- a look inside


def test_an_inspection_is_written_down_and_changes_no_model(begin: Open) -> None:
    work = begin()
    work.choose("random:0.5")
    work.unlearn(ASCENT)
    inspection = work.inspect(retrained=2, epochs=2)
    models = {path: path.read_bytes() for path in work.folder.rglob("models/*")}
    assert json.loads(work.place().inspection.read_text(encoding="utf-8")) == inspection
    assert (inspection["schema"], inspection["data"]["forget"], inspection["epochs"]) == (
        "obliviate.inspection/1",
        20,
        2,
    )
    assert [model["role"] for model in inspection["models"]] == ["original", "unlearned", "retrained", "retrained"]
    assert all(len(model["relearned"]["accuracy"]) == 3 for model in inspection["models"])
    again = work.inspect(retrained=0, epochs=2)
    assert again["models"] == inspection["models"]
    assert {path: path.read_bytes() for path in work.folder.rglob("models/*")} == models
    assert not (work.folder / "references").exists()


def test_an_inspection_that_cannot_be_made_trains_nothing(begin: Open) -> None:
    work = begin()
    with pytest.raises(WorkspaceError, match="expected a forget set"):
        work.inspect()
    work.choose("s01,s02")
    with pytest.raises(AuditError, match="expected 0 or more retrained models, got -1"):
        work.inspect(retrained=-1)
    with pytest.raises(AuditError, match="expected epochs >= 1"):
        work.inspect(epochs=0)
    assert not (work.folder / "models").exists()


# ------------------------------------------------------------------------------------------- many requests


def served_twice(begin: Open) -> Workspace:
    """Two requests: ids s00 … s04, then s05 … s09 on the model that the first one left."""
    work = begin()
    work.choose([f"s{number:02d}" for number in range(5)])
    work.unlearn(ASCENT)
    work.choose([f"s{number:02d}" for number in range(5, 10)], after="1-gradient_ascent")
    work.unlearn(ASCENT)
    return work


def test_a_second_request_begins_from_the_model_that_serves_and_leaves_out_what_is_forgotten(begin: Open) -> None:
    work = served_twice(begin)
    assert [model.label for model in work.models()] == ["original", "gradient_ascent", "gradient_ascent, request 2"]
    assert [len(request.ids) for request in work.requests] == [5, 5]
    assert read_sealed_json(work.place(1).request).keys() == {"format", "rule", "ids", "before_sha256"}
    kept = json.loads(work.place(2).request.read_text("utf-8"))
    assert (kept["rule"], kept["ids"], kept["after"]["label"]) == ("ids", work.requests[1].ids, "gradient_ascent")
    _, first, second = work.models()
    split = work.split
    assert split.forget.ids.tolist() == [f"s{number:02d}" for number in range(5, 10)]
    assert split.kept.ids.tolist() == [f"s{number:02d}" for number in range(10, 40)]
    direct = workflow.unlearn(first, split, ASCENT, seed=work.seed)
    assert checkpoint.weights_sha256(direct.model) == checkpoint.weights_sha256(second.model)
    retrained = work.unlearn(Retrain(), seed=4)
    fresh = workflow.train(Experiment(work.task, work.recipe, split.kept, seed=4))
    assert checkpoint.weights_sha256(retrained.model) == checkpoint.weights_sha256(fresh.model)


def test_requests_are_read_back_and_an_earlier_one_takes_other_methods(begin: Open) -> None:
    first = served_twice(begin)
    again = Workspace.open(first.folder)
    assert again.choose([f"s{number:02d}" for number in range(5, 10)], after="1-gradient_ascent").forget.ids[0] == "s05"
    unlearned = again.unlearn(FineTune(epochs=1), request=again.following(None))
    assert unlearned.label == "fine_tune"
    assert len(again.requests) == 2
    direct = workflow.unlearn(
        workflow.TrainedModel.given(again.train().model, again.task, recipe=again.recipe),
        again.split_of(1),
        FineTune(epochs=1),
        seed=again.seed,
    )
    assert checkpoint.weights_sha256(direct.model) == checkpoint.weights_sha256(unlearned.model)


def test_a_random_second_request_is_drawn_from_what_remains(begin: Open) -> None:
    work = begin()
    first = work.choose("random:0.25").forget.ids.tolist()
    work.unlearn(ASCENT)
    second = work.choose("random:0.5", after="1-gradient_ascent").forget.ids.tolist()
    assert len(second) == 15
    assert not set(first) & set(second)
    assert work.choose("random:0.5", after="1-gradient_ascent").forget.ids.tolist() == second


def test_a_second_request_that_cannot_be_served_is_refused_and_not_kept(begin: Open) -> None:
    work = begin()
    work.choose(["s01", "s02"])
    unlearned = work.unlearn(ASCENT)
    work.unlearn(FineTune(epochs=1))
    with pytest.raises(DataError, match=r"got 's02' of request 1, which are forgotten already; leave them out"):
        work.choose(["s05", "s02"], after=unlearned.id)
    with pytest.raises(
        WorkspaceError, match=r"to go on from \(1-gradient_ascent-\w+, 1-fine_tune-\w+\), got 'original'; name"
    ):
        work.choose(["s05"], after="original")
    with pytest.raises(WorkspaceError, match=r"got 'nothing'; name one of them with --after"):
        work.following("nothing")
    assert len(work.requests) == 1
    assert not work.folder.joinpath("requests", "0002").exists()
    work.choose(["s05", "s06"], after=unlearned.id)
    with pytest.raises(WorkspaceError, match=r"to go on from 1-gradient_ascent-\w+, as it has from the start, got 1-f"):
        work.choose(["s05", "s06"], after="1-fine_tune")
    with pytest.raises(WorkspaceError, match=r"expected the forget set that request 2 of .* got another; leave out"):
        work.choose(["s07"], after=unlearned.id)
    with pytest.raises(WorkspaceError, match=r"expected a request of .*, from 1 to 2, got 3; name one of them"):
        work.unlearn(ASCENT, request=3)
    assert len(work.requests) == 2


def test_the_model_that_a_request_began_from_is_missed_where_it_is_gone(begin: Open) -> None:
    work = served_twice(begin)
    next(work.folder.rglob("1-gradient_ascent-*.json")).unlink()
    with pytest.raises(
        WorkspaceError, match=r"expected the model 1-gradient_ascent-\w+ that request 2 began from, got"
    ):
        work.unlearn(FineTune())


def test_a_damaged_request_is_refused(begin: Open) -> None:
    work = served_twice(begin)
    path = work.place(2).request
    facts = read_sealed_json(path)
    del facts["after"]
    write_sealed_json(path, facts)
    with pytest.raises(
        WorkspaceError, match=r"expected a request with its rule, its ids .* got .*0002/request.json without"
    ):
        work.unlearn(ASCENT)


def test_an_audit_is_of_one_request_and_earlier_ones_play_no_part(begin: Open) -> None:
    work = served_twice(begin)
    second = work.audit(references=8, retrained=2, workers=0).to_dict()
    roles = [(model["name"], model["role"]) for model in second["models"]]
    assert roles == [
        ("gradient_ascent", "original"),
        ("gradient_ascent, request 2", "unlearned"),
        ("retrain (seed 1), request 2", "retrained"),
        ("retrain (seed 2), request 2", "retrained"),
    ]
    assert [second["data"][part] for part in ("forget", "retain", "test")] == [5, 30, 20]
    assert second["data"]["forget_rule"] == "ids; request 2, after gradient_ascent"
    first = work.audit(references=8, retrained=2, workers=0, request=1).to_dict()
    assert [model["name"] for model in first["models"]][:2] == ["original", "gradient_ascent"]
    assert [first["data"][part] for part in ("forget", "retain", "test")] == [5, 35, 20]
    assert first["references"]["fingerprint"] == second["references"]["fingerprint"]


def test_shadows_of_a_later_request_go_through_the_requests_before(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = served_twice(begin)
    work.unlearn(FineTune(epochs=1), retain=True)
    asked: list[tuple[Any, ...]] = []
    shadow_unlearning = workflow.shadow_unlearning

    def recorded(experiment: Experiment, requests: Sequence[tuple[Split, Method]], **options: Any) -> Any:
        *before, (ids, method) = [(split.forget.ids.tolist(), repr(method)) for split, method in requests]
        asked.append((method, ids, before))
        return shadow_unlearning(experiment, requests, **options)

    monkeypatch.setattr(workflow, "shadow_unlearning", recorded)
    values = work.audit(references=16, retrained=2, shadows=True, workers=0).to_dict()
    first, second = ([f"s{number:02d}" for number in places] for places in (range(5), range(5, 10)))
    scale = Scale.of(work.recipe)
    before = [(first, repr(settle(ASCENT, work.split_of(1), scale)))]
    methods = [settle(method, work.split, scale) for method in (ASCENT, FineTune(epochs=1))]
    assert asked == [(repr(method), second, before) for method in methods]
    assert values["notes"] == []
    assert {model["role"] for model in values["models"] if "ulira" in model["attacks"]} == {"unlearned"}


def test_a_later_request_to_a_model_without_shadows_is_audited_without_u_lira(begin: Open, tiny_recipe: Recipe) -> None:
    work = begin(recipe=replace(tiny_recipe, shards=2, slices=2, batch_size=4))
    work.choose([f"s{number:02d}" for number in range(5)])
    work.unlearn(SISA())
    work.choose([f"s{number:02d}" for number in range(5, 10)], after="1-sisa")
    work.unlearn(ASCENT)
    values = work.audit(references=8, retrained=2, shadows=True, workers=0).to_dict()
    (note,) = values["notes"]
    assert note.startswith("gradient_ascent, request 2 was audited without U-LiRA, for it has no shadows: expected a")
    assert "got sisa, which begins from slice checkpoints" in note


def test_a_second_request_to_a_model_in_shards_is_exact(begin: Open, tiny_recipe: Recipe) -> None:
    work = begin(recipe=replace(tiny_recipe, shards=2, slices=2, batch_size=4))
    work.choose(["s03"])
    work.unlearn(SISA())
    work.choose(["s05"], after="1-sisa")
    unlearned = work.unlearn(SISA())
    retrained = work.unlearn(Retrain(), seed=work.seed)
    assert checkpoint.weights_sha256(retrained.model) == checkpoint.weights_sha256(unlearned.model)


# ------------------------------------------------------------------------------------------- what contradicts


def other_request(work: Workspace, ids: list[str], number: int = 1) -> None:
    """Write another request, as whoever knows how they are sealed could."""
    path = work.place(number).request
    write_sealed_json(path, read_sealed_json(path) | {"ids": ids})


def other_manifest(path: Path, **changed: Any) -> None:
    write_sealed_json(path, read_sealed_json(path) | changed)


def manifest(work: Workspace, method: str) -> Path:
    return next(work.folder.rglob(f"models/1-{method}*.json"))


def contradicted(begin: Open, method: str, **changed: Any) -> Workspace:
    """A folder with an unlearned and a retrained model, where the manifest of one says something else."""
    work = begin()
    work.choose(["s01", "s05"])
    work.unlearn(ASCENT)
    work.unlearn(Retrain(), seed=1)
    other_manifest(manifest(work, method), **changed)
    return work


@pytest.mark.parametrize("reader", ["audit", "inspect"])
def test_a_model_is_not_judged_for_a_request_that_it_was_not_made_for(begin: Open, reader: str) -> None:
    work = begin()
    work.choose(["s01", "s02", "s03"])
    work.unlearn(ASCENT)
    work.retrained(2)
    edited = work.place(1).request.read_text("utf-8").replace("s01", "s11")
    other_request(work, ["s11", "s02", "s03"])
    options: dict[str, Any] = {"references": 6, "workers": 0} if reader == "audit" else {}
    message = (
        r"expected the model gradient_ascent to be one for the samples of request 1 of .* that it was made for others;"
    )
    with pytest.raises(WorkspaceError, match=message) as info:
        getattr(Workspace.open(work.folder), reader)(retrained=0, **options)
    assert "s11" not in str(info.value)  # the message may be read by others
    work.place(1).request.write_text(edited, "utf-8")
    with pytest.raises(WorkspaceError, match=r"expected contents with sha256 .*request.json.* edited: restore"):
        getattr(Workspace.open(work.folder), reader)(retrained=2, **options)


@pytest.mark.parametrize(
    ("method", "ids", "reason"),
    [
        ("retrain", ["s00", "s05"], "it was trained on 1 of them"),
        ("gradient_ascent", ["s05"], "it was trained on 1 of them"),
    ],
)
def test_a_model_that_was_trained_on_what_it_should_forget_is_no_evidence(
    begin: Open, method: str, ids: list[str], reason: str
) -> None:
    work = contradicted(begin, method, ids=ids)
    with pytest.raises(WorkspaceError, match=rf"expected the model .* request 1 of .* that {reason}; restore"):
        work.inspect(retrained=0)


def test_an_original_that_never_saw_the_samples_is_refused(begin: Open) -> None:
    work = begin()
    work.train()
    path = work.folder / "models" / "original.json"
    other_manifest(path, ids=read_sealed_json(path)["ids"][:-3])
    with pytest.raises(WorkspaceError, match=r"expected the model original as it is asked for, got a manifest in"):
        work.train()


@pytest.mark.parametrize(("method", "role"), [("gradient_ascent", "retrained"), ("retrain", "unlearned")])
def test_a_role_that_is_not_the_methods_is_refused(begin: Open, method: str, role: str) -> None:
    work = contradicted(begin, method, role=role)
    with pytest.raises(WorkspaceError, match=rf"expected the role \w+ of a model by .*, got {role} in .*; remove"):
        work.models()


def test_a_recipe_that_the_models_were_not_trained_by_is_refused(begin: Open, tiny_recipe: Recipe) -> None:
    work = begin()
    work.train()
    path = work.folder / "workspace.json"
    content = path.read_text("utf-8")
    path.write_text(content.replace('"epochs": 3', '"epochs": 1'), "utf-8")
    with pytest.raises(WorkspaceError, match=r"expected contents with sha256 .*workspace.json.*damaged or edited"):
        Workspace.open(work.folder)
    path.write_text(content, "utf-8")
    facts = read_sealed_json(path)
    write_sealed_json(path, facts | {"recipe": facts["recipe"] | {"epochs": 1}})
    with pytest.raises(WorkspaceError, match=r"expected a model of this folder's recipe, got .*original.* of another"):
        Workspace.open(work.folder).train()


def test_a_first_request_that_was_replaced_is_refused_by_the_second(begin: Open) -> None:
    work = served_twice(begin)
    other_request(work, ["s20"])
    with pytest.raises(
        WorkspaceError, match=r"expected a request that follows those before it, .*0002/request.json; restore"
    ):
        work.unlearn(ASCENT)


def test_a_request_that_is_missing_between_others_is_named(begin: Open) -> None:
    work = served_twice(begin)
    work.place(1).request.unlink()
    with pytest.raises(WorkspaceError, match=r"expected .*0001/request.json before request 0002, got none; restore"):
        work.unlearn(ASCENT)


def test_copies_of_a_folder_list_their_models_in_the_order_of_their_making(begin: Open) -> None:
    work = begin()
    work.choose(["s01", "s05"])
    work.unlearn(Retrain(), seed=1)
    work.unlearn(FineTune(epochs=1))
    work.unlearn(ASCENT)
    work.train()
    labels = [model.label for model in work.models()]
    assert labels == ["original", "retrain (seed 1)", "fine_tune", "gradient_ascent"]
    for place, path in enumerate(sorted(work.folder.rglob("models/*"))):
        os.utime(path, (place, place))  # as a copy or an archive may leave them
    assert [model.label for model in Workspace.open(work.folder).models()] == labels


# ------------------------------------------------------------------------------------------- one life of a request


def test_an_audit_of_a_second_request_leaves_the_first_ones_results_as_they_are(begin: Open) -> None:
    work = served_twice(begin)
    first = work.audit(references=8, retrained=2, workers=0, request=1)
    files = [work.place(1).results, work.place(1).report, work.place(1).scores]
    before = [path.read_bytes() for path in files]
    second = work.audit(references=8, retrained=2, workers=0)
    assert [path.read_bytes() for path in files] == before
    assert (read(work.place(1).results), read(work.place(2).results)) == (first, second)
    audited = [event.facts for event in Requests(work.folder).log.events if event.kind == "audited"]
    assert [(facts["request"], facts["results_sha256"]) for facts in audited] == [
        (number, json.loads(work.place(number).results.read_text("utf-8"))["sha256"]) for number in (1, 2)
    ]


def test_an_audit_that_is_killed_never_leaves_scores_or_a_page_of_another_beside_its_results(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    work = begin()
    work.choose("random:0.25")
    work.audit(references=6, retrained=2, workers=0)
    for module, name, left in (
        (auditing.results_file, "write", {"results.json"}),
        (auditing, "write_report", {"results.json", "scores.npz"}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                work.audit(references=8, retrained=2, workers=0)
        assert {path.name for path in work.place().path.iterdir() if path.is_file()} == left | {"request.json"}


def test_a_refused_request_is_logged_with_the_reason(begin: Open) -> None:
    work = begin()
    with pytest.raises(DataError):
        work.choose(["s01", "nobody"])
    with pytest.raises(MethodError):
        work.unlearn(SISA(), request=NewRequest(forget="class:1"))
    with pytest.raises(DataError):
        work.preview(ASCENT, request=NewRequest(forget=["nobody"]))  # which changes nothing
    log = Requests(work.folder).log.events
    assert [(event.kind, event.facts.get("request"), event.facts.get("error")) for event in log] == [
        ("refused", None, "DataError"),
        ("asked", 1, None),
        ("made", None, None),
        ("refused", 1, "MethodError"),
    ]


def test_whoever_works_in_a_folder_is_told_to_all_others_who_would(begin: Open) -> None:
    work = begin()
    work.choose(["s01", "s02"])
    unlearned = work.unlearn(ASCENT)
    message = rf"expected a folder that no other process works in, got .* in use by process {os.getpid()} \(.*since"
    calls: list[Callable[[], object]] = [
        begin,
        lambda: work.choose(["s03"], after=unlearned.id),
        work.train,
        lambda: work.unlearn(FineTune()),
        lambda: work.references(4),
        work.teachers,
        work.audit,
        work.inspect,
    ]
    with held(work.folder), ThreadPoolExecutor(1) as other:
        for call in calls:
            with pytest.raises(WorkspaceError, match=message):
                other.submit(call).result()
        assert len(other.submit(work.models).result()) == 2  # whoever only reads need not wait
        assert other.submit(lambda: work.preview(ASCENT)).result()["forget"] == 2
    assert [model.label for model in work.models()] == ["original", "gradient_ascent"]
