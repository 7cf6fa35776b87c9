import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from small_runs import noisy, run


def test_samples_are_copied_to_the_device_once_for_all_epochs_and_give_the_same_batches(images: Samples):
    before, here = run(recipe=noisy()), run(recipe=noisy())
    source = here.augmented(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.data.stores._same", lambda *_: False)  # a move is from the processor to itself
        stores = {id(here.batches(source, 32, epoch).samples.store) for epoch in range(3)}
        paired = here.paired(source, source, 32, 0)
        stores |= {id(paired.forget.store), id(paired.retain.store)}
    assert len(stores) == 1
    assert stores != {id(source.store)}
    torch.manual_seed(0)
    wanted = [batch.x for batch in before.batches(before.augmented(images), 32, 1)]
    torch.manual_seed(0)
    batches = list(here.batches(source, 32, 1))
    assert all(torch.equal(x, batch.x) for x, batch in zip(wanted, batches, strict=True))


def test_samples_are_placed_once_and_what_is_derived_of_them_is_there(tiny: Samples, tiny_recipe: Recipe):
    run = Run(Classification(classes=3), recipe=tiny_recipe, device="cpu")
    split = Split.of(tiny, forget=tiny.ids[:10])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.data.stores._same", lambda *_: False)  # a move is from the processor to itself
        placed = run.place(split)
        again = run.place(split)
    assert placed.holdout is None
    assert placed.forget is again.forget is not split.forget
    assert placed.retain is again.retain is not split.retain
    assert run.augmented(placed.forget).joined(run.augmented(placed.kept)).ids.tolist() == tiny.ids.tolist()
    assert run.place(placed.kept) is placed.kept
