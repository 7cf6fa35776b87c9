import copy

import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.bad_teacher import BadTeacher
from obliviate.task import Classification
from obliviate.task.divergence import divergence
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from same_weights import assert_same_weights


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    run = Run(three_classes, seed=3, recipe=tiny_recipe, precision="float32")
    method = BadTeacher(epochs=2, learning_rate=0.01, temperature=2.0, batch_size=16)
    unlearned = method(copy.deepcopy(model), split, run)

    expected, bad = copy.deepcopy(model), tiny_recipe.build(seed=derive(3, "weights"))
    forgotten = set(split.forget.ids.tolist())
    optimizer = torch.optim.Adam(expected.parameters(), lr=0.01)
    for epoch in range(2):
        for batch in run.batches(split.forget.joined(split.kept), 16, epoch):
            total = torch.zeros(())
            for x, name in zip(batch.x, batch.ids, strict=True):
                teacher = bad if str(name) in forgotten else model
                p = (teacher(x[None]).detach() / 2).softmax(1)
                total = total + 4 * (p * (p.log() - (expected(x[None]) / 2).log_softmax(1))).sum() / len(batch)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    assert_same_weights(unlearned, expected, atol=1e-3, rtol=1e-2)


def test_predictions_go_to_the_ignorant_teachers_on_the_forget_set_and_stay_elsewhere(
    model: nn.Module, split: Split, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    method = BadTeacher(epochs=60, learning_rate=0.01, batch_size=16)
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(model, three_classes, recipe=tiny_recipe), split, method
    ).model
    bad = tiny_recipe.build(seed=derive(0, "weights"))
    forget, retain = split.forget.everything(), split.kept.everything()
    with torch.no_grad():
        before, after = (float(divergence(net(forget.x), bad(forget.x))) for net in (model, unlearned))
        lost = float(divergence(unlearned(forget.x), model(forget.x)))
        kept = float(divergence(unlearned(retain.x), model(retain.x)))
    assert after < 0.8 * before
    assert kept < lost


def test_labels_are_never_read(
    model: nn.Module, tiny: Samples, split: Split, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    batch = tiny.everything()
    other = Split.of(Samples.from_tensors(batch.x, torch.zeros_like(batch.y), ids=batch.ids), forget=split.forget.ids)
    hashes = [
        weights_sha256(
            BadTeacher(epochs=1, learning_rate=1e-3, batch_size=64)(
                copy.deepcopy(model), request, Run(three_classes, recipe=tiny_recipe)
            )
        )
        for request in (split, other)
    ]
    assert hashes[0] == hashes[1]


def test_temperature_must_be_positive() -> None:
    with pytest.raises(MethodError, match="expected temperature above 0, got 0; correct the setting of bad_teacher"):
        BadTeacher(temperature=0)
