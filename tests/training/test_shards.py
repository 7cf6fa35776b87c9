from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.errors import RecipeError
from obliviate.experiment import Experiment
from obliviate.models.ensemble import Ensemble
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.shards import plan
from obliviate.training.slicing import assign, slice_epochs


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, shards=3, slices=2, batch_size=4)


def test_stages_hold_the_union_of_the_slices_of_their_shard(tiny: Samples, recipe: Recipe) -> None:
    shard, part = assign(tiny.ids, shards=3, slices=2, seed=5)
    for stages in plan(tiny, recipe, seed=5):
        for stage in stages:
            assert set(stage.samples.ids) == set(tiny.ids[(shard == stage.shard) & (part <= stage.slice)])


def test_the_plan_is_a_function_of_the_set_and_its_digests_tell_what_was_seen(tiny: Samples, recipe: Recipe) -> None:
    def digests(samples: Samples) -> list[list[str]]:
        return [[stage.digest for stage in row] for row in plan(samples, recipe, seed=0)]

    whole = plan(tiny, recipe, seed=0)
    assert digests(tiny.select(tiny.ids[::-1])) == digests(tiny)
    gone = next(name for name in whole[1][1].samples.ids if name not in whole[1][0].samples.ids)
    less = digests(tiny.without([gone]))
    assert less[0] == digests(tiny)[0]
    assert less[2] == digests(tiny)[2]
    assert less[1][0] == digests(tiny)[1][0]
    assert less[1][1] != digests(tiny)[1][1]
    batch = tiny.everything()
    changed = batch.x.clone()
    changed[tiny.ids.tolist().index(gone)] += 0.01
    assert digests(Samples.from_tensors(changed, batch.y, ids=tiny.ids)) != digests(tiny)


def test_more_shards_than_the_samples_fill_are_refused_before_any_work(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    many = replace(tiny_recipe, shards=40)
    message = r"expected samples in each of 40 shards, got none in shard \d+ of 60 samples; train with fewer shards"
    with pytest.raises(RecipeError, match=message):
        workflow.train(Experiment(three_classes, many, tiny))
    with pytest.raises(RecipeError, match=message):
        workflow.check(Experiment(three_classes, many, tiny))


def test_each_constituent_is_trained_as_if_it_were_alone(
    tiny: Samples, three_classes: Classification, recipe: Recipe
) -> None:
    model = workflow.train(Experiment(three_classes, recipe, tiny, seed=3)).model
    assert isinstance(model, Ensemble)
    assert len(model) == 3
    shard, _ = assign(tiny.ids, shards=3, slices=2, seed=3)
    other = tiny.without(tiny.ids[shard == 1][:4])
    changed = workflow.train(Experiment(three_classes, recipe, other, seed=3)).model
    assert isinstance(changed, Ensemble)
    same = [
        weights_sha256(constituent) == weights_sha256(other)
        for constituent, other in zip(model.constituents, changed.constituents, strict=True)
    ]
    assert same == [True, False, True]
    hashes = {weights_sha256(constituent) for constituent in model.constituents}
    assert len(hashes) == 3


def test_one_shard_with_one_slice_is_the_plain_training(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    plain = workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model
    assert not isinstance(plain, Ensemble)
    assert not replace(tiny_recipe, shards=1, slices=1).sharded


def test_checkpoints_are_kept_for_every_slice_and_hold_the_weights(
    tiny: Samples, three_classes: Classification, recipe: Recipe, tmp_path: Path
) -> None:
    ensemble = workflow.train(Experiment(three_classes, recipe, tiny), checkpoints=tmp_path).model
    assert isinstance(ensemble, Ensemble)
    (folder,) = tmp_path.iterdir()
    names = sorted(path.name for path in folder.iterdir())
    assert names == [*(f"shard-0{s}-slice-0{r}.safetensors" for s in range(3) for r in range(2)), "slices.json"]
    for shard, constituent in enumerate(ensemble.constituents):
        last = load_file(folder / f"shard-0{shard}-slice-01.safetensors")
        assert all(value.equal(last[name]) for name, value in constituent.state_dict().items())
    bare = workflow.train(Experiment(three_classes, recipe, tiny)).model
    assert weights_sha256(bare) == weights_sha256(ensemble)


def test_checkpoints_of_a_training_without_shards_are_refused(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="expected a recipe with shards or slices to keep checkpoints of"):
        workflow.train(Experiment(three_classes, tiny_recipe, tiny), checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_progress_runs_once_through_the_whole_training(
    tiny: Samples, three_classes: Classification, recipe: Recipe
) -> None:
    reports: list[tuple[str, float, float]] = []

    def tell(stage: str, done: float, total: float) -> None:
        reports.append((stage, done, total))

    workflow.train(Experiment(three_classes, recipe, tiny), progress=tell)
    total = 3 * sum(slice_epochs(recipe.epochs, 2))
    assert {(name, end) for name, _, end in reports} == {("train", total)}
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    assert reports[-1][1] == total


def test_averaged_votes_are_better_than_one_constituent(few: Samples, task: Classification, data: Data) -> None:
    model = workflow.train(Experiment(task, Recipe(epochs=4, batch_size=32, shards=3), few)).model
    assert isinstance(model, Ensemble)
    y = data.test.everything().y

    def accuracy(net: torch.nn.Module) -> float:
        return 100 * float(task.correct(outputs(net, data.test), y).float().mean())

    alone = [accuracy(constituent) for constituent in model.constituents]
    assert accuracy(model) > sum(alone) / 3
    assert accuracy(model) > 50


@pytest.mark.parametrize("damage", ["flipped", "empty", "folder"])
def test_a_damaged_slice_of_an_unfinished_training_starts_over_and_it_is_said(
    damage: str,
    tiny: Samples,
    three_classes: Classification,
    recipe: Recipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = workflow.train(Experiment(three_classes, recipe, tiny), checkpoints=tmp_path).model
    (folder,) = tmp_path.iterdir()
    (folder / "slices.json").unlink()
    path = folder / "shard-01-slice-00.safetensors"
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        content[-2] ^= 4
        path.write_bytes(content if damage == "flipped" else b"")
    again = workflow.train(Experiment(three_classes, recipe, tiny), checkpoints=tmp_path).model
    assert weights_sha256(again) == weights_sha256(whole)
    (record,) = caplog.records
    assert "shard-01-slice-00.safetensors was damaged; that stage starts over" in record.getMessage()
