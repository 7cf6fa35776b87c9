"""Folders of which the source has lost rows since: who asks to be forgotten has often been deleted already."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate.data.samples import Samples
from obliviate.errors import AuditError, DataError, MethodError, WorkspaceError
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.retrain import Retrain
from obliviate.methods.sisa import SISA
from obliviate.training import checkpoint
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel
from obliviate.workspace import Canaries, NewRequest, Portion, Workspace
from user_files import write_rows

GONE = ["s03", "s17"]


@pytest.fixture
def source(tiny: Samples, tmp_path: Path) -> Path:
    """Rows of numbers with names and owners: 40 to train on, 20 to test on."""
    return write_rows(tmp_path / "rows.npz", tiny)


@pytest.fixture
def begun(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> Workspace:
    work = Workspace.create(tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0)
    work.train()
    return work


def erase(source: Path, *names: str, **changed: np.ndarray) -> None:
    """Take rows out of the arrays of a file, training and test rows alike."""
    with np.load(source) as file:
        arrays: dict[str, Any] = dict(file) | changed
    for part in ("train", "test"):
        left = ~np.isin(arrays[f"{part}_ids"], names)
        arrays |= {name: array[left] for name, array in arrays.items() if name.startswith(part)}
    np.savez(source, **arrays)


def weights(model: TrainedModel) -> str:
    return checkpoint.weights_sha256(model.model)


@pytest.mark.parametrize("forget", [GONE, "s03,s17", "erased", "s03,s17,s20"])
def test_a_retraining_without_erased_rows_is_the_one_with_them_there(
    forget: Any, begun: Workspace, source: Path, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    other = Workspace.create(tmp_path / "whole", source=str(source), recipe=tiny_recipe, seed=0)
    asked = GONE if forget == "erased" else forget
    whole = other.unlearn(Retrain(), request=NewRequest(forget=asked))
    erase(source, *GONE)

    left = Workspace.open(begun.folder)
    assert (left.data.erased.ids.tolist(), len(left.data.train)) == (GONE, 38)
    assert any("no longer in the source: 2 train samples" in note for note in left.data.notes)
    retrained = left.unlearn(Retrain(), request=NewRequest(forget=forget))

    assert weights(retrained) == weights(whole)
    assert retrained.effect is not None
    assert sorted(retrained.effect.parts) == ["retain", "unseen"]
    assert sorted(left.requests[0].ids) == sorted(other.requests[0].ids)


def test_sisa_goes_on_from_its_checkpoints(source: Path, tmp_path: Path) -> None:
    options = {"features": 6, "classes": 3, "hidden": (8,)}
    recipe = Recipe(model="mlp", model_options=options, epochs=2, batch_size=8, shards=2, slices=2)
    folders = [Workspace.create(tmp_path / name, source=str(source), recipe=recipe, seed=0) for name in ("a", "b")]
    for work in folders:
        work.train()
    whole = folders[0].unlearn(SISA(), request=NewRequest(forget=GONE))
    erase(source, *GONE)
    left = Workspace.open(folders[1].folder).unlearn(SISA(), request=NewRequest(forget=GONE))
    assert weights(left) == weights(whole)
    assert left.notes["slices_retrained"] == whole.notes["slices_retrained"]


@pytest.mark.parametrize("method", [AMUN(), GradientAscent(learning_rate=0.01), FineTune()], ids=attrgetter("name"))
def test_a_method_that_needs_the_rows_is_refused_by_name_before_any_work(
    method: Any, begun: Workspace, source: Path
) -> None:
    erase(source, *GONE)
    work, before = Workspace.open(begun.folder), set(begun.folder.rglob("*"))
    words = rf"for {method.name}, got 2 of 2 that were erased .*first: 's03'.*retrain and sisa do without them"
    with pytest.raises(MethodError, match=words):
        work.preview(method, request=NewRequest(forget=GONE))
    with pytest.raises(MethodError, match=words):
        work.unlearn(method, request=NewRequest(forget=GONE))
    assert not work.requests  # it came to nothing, and its number is free
    assert set(begun.folder.rglob("*")) - before <= {begun.folder / "events.jsonl"}


def test_after_the_erased_rows_are_forgotten_other_requests_go_on_as_ever(begun: Workspace, source: Path) -> None:
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    first = work.unlearn(Retrain(), request=NewRequest(forget="erased"))
    second = work.unlearn(GradientAscent(learning_rate=0.01), request=NewRequest(forget=["s05", "s06"], after=first.id))
    assert not set(work.split_of(2).kept.ids) & {*GONE, "s05", "s06"}
    assert weights(second) != weights(first)
    with pytest.raises(DataError, match="source that holds all that are not forgotten"):
        work.choose("erased", after=second.id)


def test_a_request_that_would_retain_erased_rows_is_refused(begun: Workspace, source: Path) -> None:
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    with pytest.raises(DataError, match=r"retains 1 of them \(first: 's17'\).*--forget erased"):
        work.choose(["s03"])
    assert not work.requests


def test_names_of_erased_rows_are_found_as_erased(begun: Workspace, source: Path, tmp_path: Path) -> None:
    erase(source, *GONE)
    listed = tmp_path / "list.txt"
    listed.write_text("s17\ns03\ns04\nnobody\n", encoding="utf-8")
    work = Workspace.open(begun.folder)
    outline = work.preview(Retrain(), request=NewRequest(forget=f"@{listed}", unknown="skip"))
    assert [entry["status"] for entry in outline["asked"]] == ["erased", "erased", "found", "unknown"]
    assert (outline["forget"], outline["train"]) == (3, 40)
    assert [sample["class"] for sample in outline["samples"]] == ["(erased)", "(erased)", "1"]


def test_an_audit_says_which_figures_cannot_be_made(begun: Workspace, source: Path) -> None:
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    work.unlearn(Retrain(), request=NewRequest(forget="erased"))
    with pytest.raises(AuditError, match=r"got 2 of 2 that were erased .*attacks, the accuracy on the forget set"):
        work.audit(references=6, retrained=2, workers=0)
    with pytest.raises(AuditError, match="verdict and exposed samples"):
        work.inspect(retrained=0)
    assert not (work.folder / "references").exists()


def test_what_tries_a_method_out_needs_the_rows(begun: Workspace, source: Path) -> None:
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    with pytest.raises(MethodError, match="leave out --tune and --budget"):
        work.unlearn(Retrain(), request=NewRequest(forget="erased"), budget=0.5)


def changed_label(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    y = arrays["train_y"].copy()
    y[0] = (y[0] + 1) % 3
    return {"train_y": y}


def changed_input(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"test_x": arrays["test_x"] + np.float32(1e-3)}


def renamed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"train_ids": np.array([f"t{place}" for place in range(40)])}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed_label, "got 1 with another content"),
        (changed_input, "got 20 with another content"),
        (renamed, "got 40 more"),
    ],
)
@pytest.mark.parametrize("names", [[], GONE])
def test_other_data_stay_refused(
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
    words: str,
    names: list[str],
    begun: Workspace,
    source: Path,
) -> None:
    with np.load(source) as file:
        arrays = change(dict(file))
    erase(source, *names, **arrays)
    with pytest.raises(DataError, match=f"expected the data that .*(?:{words}|more).*begin in a new folder"):
        Workspace.open(begun.folder)


def test_an_original_is_not_trained_without_some_of_its_rows(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    work = Workspace.create(tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0)
    erase(source, *GONE)
    with pytest.raises(WorkspaceError, match="got 2 erased since; begin in a new folder"):
        Workspace.open(work.folder).train()


def test_planned_canaries_need_every_row(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    begun = Workspace.create(
        tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0, canaries=Canaries(coins=8)
    )
    begun.train()
    erase(source, *GONE)
    with pytest.raises(DataError, match="planned before training needs every row"):
        Workspace.open(begun.folder)


def test_test_rows_of_the_same_person_may_be_gone_too(begun: Workspace, source: Path) -> None:
    erase(source, *GONE, "s55")
    work = Workspace.open(begun.folder)
    assert (len(work.data.test), work.data.erased.ids.tolist()) == (19, GONE)
    assert work.unlearn(Retrain(), request=NewRequest(forget="erased")).role == "retrained"


def test_draws_are_those_of_before(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    portion = Portion(train_size=25, holdout_size=5)
    begun = Workspace.create(tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0, portion=portion)
    begun.train()
    used, held_out = begun.data.train.ids.tolist(), begun.data.holdout
    assert held_out is not None
    erase(source, used[3], used[9])
    left = Workspace.open(begun.folder)
    assert left.data.train.ids.tolist() == [name for name in used if name not in {used[3], used[9]}]
    assert left.data.holdout is not None
    assert left.data.holdout.sha256 == held_out.sha256


def test_pseudonymous_folders_know_erased_rows_by_keyed_hashes(
    source: Path, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    key = tmp_path / "key"
    begun = Workspace.create(tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0, pseudonyms=key)
    begun.train()
    erase(source, *GONE)
    work = Workspace.open(begun.folder, pseudonyms=key)
    work.unlearn(Retrain(), request=NewRequest(forget="erased"))
    for path in begun.folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not any(f'"{name}"' in text for name in GONE), path
    assert len(work.requests[0].ids) == 2


def test_copies_of_erased_rows_are_told_and_taken_along(source: Path, tmp_path: Path, tiny_recipe: Recipe) -> None:
    with np.load(source) as file:
        arrays = dict(file)
    arrays["train_x"][20] = arrays["train_x"][3]
    np.savez(source, **arrays)
    begun = Workspace.create(tmp_path / "run", source=str(source), recipe=tiny_recipe, seed=0)
    begun.train()
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    assert work.preview(Retrain(), request=NewRequest(forget="erased"))["copies"] == ["s20"]
    assert sorted(work.choose("erased", with_copies=True).forget.ids.tolist()) == ["s03", "s17", "s20"]


def test_later_requests_are_audited_by_references_without_the_erased_rows(begun: Workspace, source: Path) -> None:
    erase(source, *GONE)
    work = Workspace.open(begun.folder)
    first = work.unlearn(Retrain(), request=NewRequest(forget="erased"))
    work.unlearn(GradientAscent(learning_rate=0.01), request=NewRequest(forget="random:0.25", after=first.id))
    results = work.audit(references=8, retrained=0, workers=0)
    assert (results.data.forget, results.data.train) == (10, 38)
    assert not set(work.references(8).ids) & set(GONE)
