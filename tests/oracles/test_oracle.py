"""An oracle says what an audit of the folder says that it was made of, and is of nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from obliviate.errors import AuditError, MethodError, WorkspaceError
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.never_seen import NeverSeen
from obliviate.methods.retrain import Retrain
from obliviate.oracles import Oracle, build_oracle
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel
from obliviate.workspace import Canaries, Workspace

METHOD = FineTune(epochs=2)
CONDEMNED = {"leaks", "over-unlearned", "utility lost"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with random classes: all that a model knows of it, it has learned by heart."""
    generator = np.random.default_rng(0)
    x, y = generator.random((260, 24), np.float32), generator.integers(0, 3, 260)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, train_x=x[:140], train_y=y[:140], test_x=x[140:], test_y=y[140:])
    return path


RECIPE = Recipe(
    model="mlp", model_options={"features": 24, "classes": 3, "hidden": (64,)}, epochs=30, batch_size=20,
    weight_decay=0.0, precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("oracles") / "run"
    workspace = Workspace.create(folder, source=str(rows), recipe=RECIPE, seed=0)
    workspace.choose("random:0.3")
    return workspace


@pytest.fixture(scope="module")
def path(workspace: Workspace) -> Path:
    """The oracle of the folder, which trains what is missing: six references and three retrained models."""
    path = workspace.folder.parent / "whole.safetensors"
    build_oracle(path, workspace, references=6, retrained=3, workers=0)
    return path


@pytest.fixture(scope="module")
def oracle(path: Path) -> Oracle:
    return Oracle.load(path)


@pytest.fixture(scope="module")
def audited(path: Path, workspace: Workspace) -> Results:
    """The ordinary audit of the folder, with a method in it."""
    workspace.unlearn(METHOD)
    return workspace.audit(references=6, retrained=3, workers=0)


def head_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def figures(model: ModelResult) -> dict[str, object]:
    """All that is said of a model, without times, which are another machine's."""
    return model.model_dump(exclude={"seconds", "share_of_retraining"})


def test_what_it_says_is_what_the_audit_of_its_folder_says(oracle: Oracle, audited: Results) -> None:
    judged = oracle.judge(METHOD)
    assert {model.name: figures(model) for model in judged.models} == {
        model.name: figures(model) for model in audited.models
    }
    assert judged.findings.controls == audited.controls
    assert [model.share_of_retraining for model in judged.models] == [None] * 5


def test_the_original_leaks_and_an_independent_retraining_is_not_rejected(oracle: Oracle) -> None:
    original, retrained, *_ = oracle.judge(Retrain(), seed=77).models
    assert original.verdict == "leaks"
    assert (retrained.name, retrained.role) == ("retrain", "unlearned")
    assert retrained.verdict not in CONDEMNED
    assert abs(retrained.attacks["rmia"].ft.value - 50) < 15 < original.attacks["rmia"].ft.value - 50


def test_half_the_size_gives_the_same_verdicts(oracle: Oracle, path: Path, workspace: Workspace) -> None:
    half = build_oracle(path.with_name("half.safetensors"), workspace, references=6, retrained=3, half=True, workers=0)
    assert half.path.stat().st_size < 0.75 * path.stat().st_size
    whole, rough = oracle.judge(METHOD), half.judge(METHOD)
    assert [model.verdict for model in whole.models] == [model.verdict for model in rough.models]
    for exact, near in zip(whole.models, rough.models, strict=True):
        assert abs(exact.attacks["rmia"].ft.value - near.attacks["rmia"].ft.value) < 0.3


def test_the_same_folder_gives_the_same_content(path: Path, workspace: Workspace) -> None:
    again = path.with_name("again.safetensors")
    build_oracle(again, workspace, references=6, retrained=3, workers=0)
    assert head_of(again) == head_of(path)  # with the hash of all tensors


def test_models_from_elsewhere_are_judged(oracle: Oracle) -> None:
    model = TrainedModel.given(oracle.original.model, oracle.experiment.task, role="unlearned", name="unchanged")
    original, unchanged, *_ = oracle.audit([model]).models
    assert (unchanged.name, unchanged.verdict) == ("unchanged", "leaks")
    assert unchanged.attacks["rmia"].ft == original.attacks["rmia"].ft
    with pytest.raises(AuditError, match="expected models that were unlearned, got unchanged"):
        oracle.audit([replace(model, role="retrained")])


def test_a_method_that_needs_more_is_refused(oracle: Oracle) -> None:
    with pytest.raises(MethodError, match="teachers"):
        oracle.judge(NeverSeen())


def test_a_model_that_learned_from_the_references_is_refused(oracle: Oracle) -> None:
    model = TrainedModel.given(oracle.original.model, oracle.experiment.task, role="unlearned")
    with pytest.raises(AuditError, match="references that no model has learned from"):
        oracle.audit([replace(model, teachers=oracle.pool.fingerprint)])


@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_file_that_was_changed_is_refused(place: float, path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(content)
    with pytest.raises(AuditError, match="damaged: get the file again"):
        Oracle.load(tmp_path / "changed.safetensors")


def test_facts_that_were_edited_are_refused(path: Path, tmp_path: Path) -> None:
    head = head_of(path)
    facts = json.loads(head["facts"]) | {"forget": []}
    edited = tmp_path / "edited.safetensors"
    save_file(load_file(path), edited, {**head, "facts": json.dumps(facts, sort_keys=True)})
    with pytest.raises(AuditError, match="the file is damaged"):
        Oracle.load(edited)
    with pytest.raises(AuditError, match=r"expected tensors in .*nothing"):
        Oracle.load(tmp_path / "nothing")


@pytest.mark.parametrize("scale", [255.0, 1.0], ids=["another scale", "other samples"])
def test_other_data_and_other_scales_are_refused(scale: float, path: Path, rows: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(rows))
    changed = {name: values * np.float32(scale) if name.endswith("x") else values for name, values in arrays.items()}
    if scale == 1:
        changed["test_y"] = (changed["test_y"] + 1) % 3
    np.savez(tmp_path / "others.npz", **changed)
    with pytest.raises(AuditError, match="other samples, or the same on another scale"):
        Oracle.load(path, data=str(tmp_path / "others.npz"))


def test_the_data_may_lie_elsewhere(path: Path, rows: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.npz"
    moved.write_bytes(rows.read_bytes())
    assert len(Oracle.load(path, data=str(moved)).pool) == 6
    with pytest.raises(AuditError, match="say where they are with --data"):
        Oracle.load(path, data=str(tmp_path / "gone.npz"))


def test_a_model_that_answers_otherwise_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a version of its code that reads inputs in another way, with the same weights."""
    from obliviate.models.mlp import MLP

    forward = MLP.forward
    monkeypatch.setattr(MLP, "forward", lambda self, x: forward(self, x / 2))
    with pytest.raises(AuditError, match="to answer as it did"):
        Oracle.load(path)


def test_what_others_cannot_judge_by_is_refused_before_any_work(rows: Path, tmp_path: Path) -> None:
    planned = Workspace.create(tmp_path / "coins", source=str(rows), recipe=RECIPE, seed=0, canaries=Canaries(coins=20))
    planned.choose("random:0.3")
    with pytest.raises(AuditError, match="planned coins or noise"):
        build_oracle(tmp_path / "o.safetensors", planned, workers=0)
    assert not planned.models()
    assert not (tmp_path / "o.safetensors").exists()


def test_nobodys_code_is_imported_without_trust(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from obliviate.oracles.archive import Archive

    archive = Archive.read(path)
    recipe = {**archive.facts["recipe"], "model": "theirs:build"}
    replace(archive, facts={**archive.facts, "recipe": recipe}).write(tmp_path / "theirs.safetensors")
    with pytest.raises(WorkspaceError, match="expected a model of this package, got 'theirs:build'"):
        Oracle.load(tmp_path / "theirs.safetensors")


def test_the_shipped_oracle_tells_the_original_from_a_retraining() -> None:
    """Without any training: the file has what a verdict on these needs."""
    oracle = Oracle.load(Path(__file__).parents[2] / "benchmarks" / "oracles" / "fashion_mnist_2k.safetensors")
    assert (len(oracle.pool), len(oracle.retrained), len(oracle.split.forget)) == (16, 3, 200)
    original, *retrained = oracle.audit([]).models
    assert original.verdict == "leaks"
    assert not CONDEMNED & {model.verdict for model in retrained}
