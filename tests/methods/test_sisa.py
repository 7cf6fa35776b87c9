import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.data.stores import Store
from obliviate.errors import CheckpointError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.retrain import Retrain
from obliviate.methods.sisa import SISA
from obliviate.models.ensemble import Ensemble
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.shards import plan
from obliviate.training.slicing import assign, slice_epochs

SHARDS, SLICES, SEED = 3, 3, 4


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, epochs=4, batch_size=4, shards=SHARDS, slices=SLICES)


@pytest.fixture(scope="module")
def trained(
    tiny: Samples, three_classes: Classification, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ensemble, Path]:
    root = tmp_path_factory.mktemp("trained")
    model = workflow.train(Experiment(three_classes, recipe, tiny, seed=SEED), checkpoints=root).model
    assert isinstance(model, Ensemble)
    return model, root


@pytest.fixture
def model(trained: tuple[Ensemble, Path]) -> Ensemble:
    return trained[0]


@pytest.fixture
def root(trained: tuple[Ensemble, Path], tmp_path: Path) -> Path:
    """A copy of the original's checkpoints."""
    return Path(shutil.copytree(trained[1], tmp_path / "checkpoints"))


@pytest.fixture
def forget(three_classes: Classification, recipe: Recipe, root: Path) -> Callable[..., Any]:
    def forget(model: nn.Module, split: Split, **options: Any) -> Any:
        settings: dict[str, Any] = {"recipe": recipe, "checkpoints": root}
        settings |= {name: options.pop(name) for name in settings if name in options}
        original = workflow.TrainedModel.given(model, three_classes, **settings)
        options.setdefault("seed", SEED)
        return workflow.unlearn(original, split, SISA(), **options).model

    return forget


def ids_at(samples: Samples, shard: int, part: int) -> np.ndarray:
    shards, slices = assign(samples.ids, shards=SHARDS, slices=SLICES, seed=SEED)
    return samples.ids[(shards == shard) & (slices == part)]


class Recording:
    """A store that remembers which rows were read, and how often."""

    def __init__(self, store: Store) -> None:
        self.store, self.read = store, set[int]()

    def __len__(self) -> int:
        return len(self.store)

    def shape(self) -> tuple[int, ...]:
        return self.store.shape()

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.read |= set(rows.tolist())
        return self.store.take(rows)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The ids of every batch that a step is taken on."""
    taken: list[set[str]] = []
    fit = Run.fit

    def watched(self: Run, model: nn.Module, batches: Any, *rest: Any, **options: Any) -> float:
        batches = list(batches)
        taken.extend(set(batch.ids.tolist()) for batch in batches)
        return fit(self, model, batches, *rest, **options)

    monkeypatch.setattr(Run, "fit", watched)
    return taken


# ------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("name", [f"s{i:02d}" for i in (0, 22, 59)])
def test_weights_are_bit_equal_to_training_on_the_retained_samples_from_scratch(
    name: str, tiny: Samples, three_classes: Classification, recipe: Recipe, model: Ensemble, forget: Callable[..., Any]
) -> None:
    unlearned = forget(model, Split.of(tiny, forget=[name]))
    scratch = workflow.train(Experiment(three_classes, recipe, tiny.without([name]), seed=SEED)).model
    assert weights_sha256(unlearned) == weights_sha256(scratch)
    assert weights_sha256(unlearned) != weights_sha256(model)


def test_retrain_gives_the_same_model(
    tiny: Samples, three_classes: Classification, recipe: Recipe, model: Ensemble, forget: Callable[..., Any]
) -> None:
    split = Split.of(tiny, forget=tiny.ids[3:9])
    retrained = workflow.unlearn(
        workflow.TrainedModel.given(model, three_classes, recipe=recipe), split, Retrain(), seed=SEED
    )
    assert weights_sha256(forget(model, split)) == weights_sha256(retrained.model)


def test_shards_without_forgotten_samples_are_bit_identical_to_before(
    tiny: Samples, model: Ensemble, forget: Callable[..., Any]
) -> None:
    unlearned = forget(model, Split.of(tiny, forget=ids_at(tiny, 1, 2)[:2]))
    same = [
        weights_sha256(constituent) == weights_sha256(before)
        for constituent, before in zip(unlearned.constituents, model.constituents, strict=True)
    ]
    assert same == [True, False, True]


def test_only_the_slices_from_the_first_affected_one_are_trained_again(
    tiny: Samples, model: Ensemble, recipe: Recipe, forget: Callable[..., Any], steps: list[set[str]]
) -> None:
    gone = [ids_at(tiny, 0, 2)[0], ids_at(tiny, 2, 1)[0]]
    split = Split.of(tiny, forget=gone)
    forget(model, split)
    stages = plan(split.kept, recipe, seed=SEED)
    retrained = [stages[0][2], stages[2][1], stages[2][2]]
    epochs = slice_epochs(recipe.epochs, SLICES)
    assert len(steps) == sum(epochs[stage.slice] * -(-len(stage.samples) // recipe.batch_size) for stage in retrained)
    assert set.union(*steps) == {str(name) for stage in retrained for name in stage.samples.ids}


def test_notes_say_what_was_trained_again(
    tiny: Samples, three_classes: Classification, model: Ensemble, recipe: Recipe, root: Path, steps: list[set[str]]
) -> None:
    split = Split.of(tiny, forget=ids_at(tiny, 0, 1)[:1])
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(model, three_classes, recipe=recipe, checkpoints=root), split, SISA(), seed=SEED
    )
    whole = sum(stage.visits for row in plan(split.kept, recipe, seed=SEED) for stage in row)
    assert unlearned.notes == {"slices_retrained": 2, "visits_share": sum(map(len, steps)) / whole}


def test_another_seed_retrains_the_affected_slices_at_random_and_leaves_the_others(
    tiny: Samples, model: Ensemble, forget: Callable[..., Any]
) -> None:
    split = Split.of(tiny, forget=ids_at(tiny, 1, 1)[:1])
    unlearned, other = forget(model, split), forget(model, split, seed=SEED + 1)
    same = [
        weights_sha256(constituent) == weights_sha256(twin)
        for constituent, twin in zip(unlearned.constituents, other.constituents, strict=True)
    ]
    assert same == [True, False, True]


# ------------------------------------------------------------------------------------------- request after request


def test_forgotten_samples_are_never_read_again_over_three_requests(
    tiny: Samples, three_classes: Classification, recipe: Recipe, model: Ensemble, root: Path, steps: list[set[str]]
) -> None:
    store = Recording(tiny.store)
    left = Samples(store, tiny.ids, tiny.rows)
    current: nn.Module = model
    gone: set[str] = set()
    for request in (["s05"], ["s17", "s18", "s40"], ["s00", "s33"]):
        split = Split.of(left, forget=request)
        gone |= set(request)
        steps.clear()
        store.read.clear()
        run = Run(three_classes, seed=SEED, recipe=recipe, checkpoints=root)
        current = SISA()(copy.deepcopy(current), split, run)
        assert steps
        assert not set.union(*steps) & gone
        assert not {str(tiny.ids[row]) for row in store.read} & gone
        left = split.kept
        scratch = workflow.train(Experiment(three_classes, recipe, tiny.without(sorted(gone)), seed=SEED)).model
        assert weights_sha256(current) == weights_sha256(scratch)
    assert len(list(root.iterdir())) == 4


def test_a_later_request_begins_from_what_the_first_left(
    tiny: Samples, model: Ensemble, recipe: Recipe, forget: Callable[..., Any], steps: list[set[str]], root: Path
) -> None:
    first = Split.of(tiny, forget=ids_at(tiny, 0, 0)[:1])
    unlearned = forget(model, first)
    (before,) = (
        folder for folder in root.iterdir() if len(json.loads((folder / "slices.json").read_text())["ids"]) == 60
    )
    shutil.rmtree(before)  # as a purge would
    steps.clear()
    second = Split.of(first.kept, forget=ids_at(tiny, 0, 2)[:1])
    forget(unlearned, second)
    last = plan(second.kept, recipe, seed=SEED)[0][2]
    assert len(steps) == last.epochs * -(-len(last.samples) // recipe.batch_size)


@pytest.mark.parametrize("where", ["retain", "forget"])
def test_ids_that_were_forgotten_before_are_refused_by_name(
    where: str, tiny: Samples, model: Ensemble, forget: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearned = forget(model, Split.of(tiny, forget=["s05"]))
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    message = rf"expected samples that the model was trained on, got 's05' in the {where} set; they were forgotten"
    with pytest.raises(MethodError, match=message):
        forget(unlearned, Split.of(tiny, forget=["s06"] if where == "retain" else ["s05", "s06"]))


def test_a_shard_that_would_be_empty_is_refused_before_any_work(
    tiny: Samples, model: Ensemble, forget: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = np.concatenate([ids_at(tiny, 1, part) for part in range(SLICES)])
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(ValueError, match=r"expected samples in each of 3 shards, got none in shard 1 of \d+ samples"):
        forget(model, Split.of(tiny, forget=gone))


def test_a_slice_that_is_emptied_is_no_obstacle(
    tiny: Samples, three_classes: Classification, recipe: Recipe, model: Ensemble, forget: Callable[..., Any]
) -> None:
    gone = np.concatenate([ids_at(tiny, 1, 0), ids_at(tiny, 2, 1)])
    unlearned = forget(model, Split.of(tiny, forget=gone))
    scratch = workflow.train(Experiment(three_classes, recipe, tiny.without(gone), seed=SEED)).model
    assert weights_sha256(unlearned) == weights_sha256(scratch)


# ------------------------------------------------------------------------------------------- interruptions


class Killed(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("folder", [True, False], ids=["with a folder", "without"])
def test_killed_after_every_epoch_and_resumed_is_bit_equal_and_keeps_finished_slices(
    folder: bool,
    tiny: Samples,
    three_classes: Classification,
    recipe: Recipe,
    model: Ensemble,
    forget: Callable[..., Any],
    root: Path,
    tmp_path: Path,
    steps: list[set[str]],
) -> None:
    split = Split.of(tiny, forget=[ids_at(tiny, 0, 0)[0], ids_at(tiny, 1, 1)[0]])
    whole = weights_sha256(workflow.train(Experiment(three_classes, recipe, split.kept, seed=SEED)).model)
    steps.clear()
    work = tmp_path / "work"
    work.mkdir()

    class Power:
        def __init__(self, left: int) -> None:
            self.left = left

        def __call__(self, stage: str, done: float, total: float) -> None:
            if self.left == 0:
                raise Killed
            self.left -= 1

    finished = None
    for attempt in range(3, 40):
        # Epochs of a slice that was not finished are done again without a folder, so there must be room for a slice.
        try:
            run = Run(
                three_classes,
                seed=SEED,
                recipe=recipe,
                checkpoints=root,
                folder=work if folder else None,
                progress=Power(3 if folder else attempt),
                save_every=0.0,
            )
            finished = SISA()(copy.deepcopy(model), split, run)
            break
        except Killed:
            assert len(list(root.iterdir())) == 2
            assert len(list(root.glob("*/slices.json"))) == 1  # what is not finished is not taken for a model's
    assert finished is not None
    assert weights_sha256(finished) == whole
    before = len(steps)
    assert weights_sha256(forget(model, split)) == whole
    assert len(steps) == before  # the very same request is not done again


def test_interrupted_training_in_shards_goes_on_at_the_slice(
    tiny: Samples, three_classes: Classification, recipe: Recipe, tmp_path: Path, steps: list[set[str]]
) -> None:
    whole = weights_sha256(workflow.train(Experiment(three_classes, recipe, tiny, seed=SEED)).model)
    count = len(steps)
    steps.clear()
    first = plan(tiny, recipe, seed=SEED)[0][0]

    def dying(stage: str, done: float, total: float) -> None:
        if done == 4:  # the second slice of the first shard is trained, but not yet kept
            raise Killed

    with pytest.raises(Killed):
        workflow.train(Experiment(three_classes, recipe, tiny, seed=SEED), folder=tmp_path, progress=dying)
    steps.clear()
    trained = workflow.train(Experiment(three_classes, recipe, tiny, seed=SEED), folder=tmp_path)
    assert weights_sha256(trained.model) == whole
    assert len(steps) <= count - first.epochs * -(-len(first.samples) // recipe.batch_size)


# ------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=["s05"])


def test_a_model_that_was_not_trained_in_shards_is_refused_before_any_work(
    tiny: Samples, tiny_recipe: Recipe, three_classes: Classification, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    message = r"expected a model trained in shards, got MLP; train with `obliviate train --shards 5 --slices 10`"
    with pytest.raises(MethodError, match=message):
        workflow.unlearn(workflow.TrainedModel.given(plain, three_classes, recipe=tiny_recipe), split, SISA())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"checkpoints": None}, "expected the folder where the model's training left its slice checkpoints, got none"),
        ({"recipe": Recipe()}, "expected the recipe of a training in shards, got one without; train with"),
        ({"recipe": Recipe(shards=3, slices=3)}, "expected the recipe that the model was trained by, got another"),
    ],
)
def test_what_does_not_belong_to_the_model_is_refused(
    changed: dict[str, Any], message: str, model: Ensemble, split: Split, forget: Callable[..., Any]
) -> None:
    with pytest.raises(MethodError, match=message):
        forget(model, split, **changed)


def test_checkpoints_of_another_model_are_refused(
    model: Ensemble, split: Split, forget: Callable[..., Any], tmp_path: Path
) -> None:
    other = copy.deepcopy(model)
    next(other.parameters()).data += 1e-3
    for wrong, where in ((other, {}), (model, {"checkpoints": tmp_path / "nowhere"})):
        with pytest.raises(CheckpointError, match=r"expected the slice checkpoints of the model .* got none; name"):
            forget(wrong, split, **where)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_checkpoints_are_refused(
    damage: str, tiny: Samples, model: Ensemble, forget: Callable[..., Any], root: Path
) -> None:
    (path,) = root.glob("*/shard-00-slice-00.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if damage == "changed":
        path.write_bytes(content)
    message = r"expected (sha256|a file at) .*shard-00-slice-00.*restore it, or train again"
    with pytest.raises(CheckpointError, match=message):
        forget(model, Split.of(tiny, forget=ids_at(tiny, 0, 1)[:1]))


def test_a_damaged_manifest_is_refused(model: Ensemble, split: Split, forget: Callable[..., Any], root: Path) -> None:
    (path,) = root.glob("*/slices.json")
    for text, message in (("{", "expected JSON in"), ("{}", "expected format obliviate.slices/2, got None")):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=message):
            forget(model, split)


def test_files_are_copied_where_links_cannot_be_made(
    tiny: Samples, model: Ensemble, forget: Callable[..., Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    forget(model, Split.of(tiny, forget=ids_at(tiny, 0, 1)[:1]))
    first, second = root.glob("*/shard-01-slice-02.safetensors")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_ino != second.stat().st_ino
