import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.trew import TREW, similarities
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from same_weights import assert_same_weights

SETTINGS = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant"}


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[1:60:3])  # class 1


def test_similarities_are_cosines_that_ignore_what_all_classes_share() -> None:
    layer = nn.Linear(5, 4)
    expected = similarities(layer, 4)
    vectors = layer.weight.detach() - layer.weight.detach().mean(0)
    for row in range(4):
        for column in range(4):
            cosine = vectors[row] @ vectors[column] / (vectors[row].norm() * vectors[column].norm())
            assert float(expected[row, column]) == pytest.approx(float(cosine), abs=1e-5)
    with torch.no_grad():
        layer.weight += torch.arange(5.0)  # changes no probability
    torch.testing.assert_close(similarities(layer, 4), expected, atol=1e-5, rtol=1e-4)


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    unlearned = TREW(epochs=2, beta=3.0, learning_rate=0.05, batch_size=16, **SETTINGS)(
        copy.deepcopy(model), split, run
    )

    expected, data = copy.deepcopy(model), split.forget.joined(split.kept)
    similar = similarities(model, 3)[1]
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for batch in run.batches(data, 16, epoch):
            tilted = F.softmax(model(batch.x), 1).detach() * (3.0 * similar).exp()
            tilted[:, 1] = 0
            tilted /= tilted.sum(1, keepdim=True)
            aims = torch.where((batch.y == 1)[:, None], tilted, F.one_hot(batch.y, 3))
            optimizer.zero_grad()
            (-(aims * F.log_softmax(expected(batch.x), 1)).sum(1).mean()).backward()
            optimizer.step()
    assert_same_weights(unlearned, expected, atol=1e-5, rtol=1e-4)


def test_a_class_is_forgotten_and_the_others_are_known_still(
    original: nn.Module, few: Samples, task: Classification, recipe: Recipe
) -> None:
    split = Split.of(few, forget="class:7")
    unlearned = workflow.unlearn(workflow.TrainedModel.given(original, task, recipe=recipe), split, TREW()).model
    forget, kept = split.forget.everything(), split.kept.everything()
    assert float((unlearned(forget.x).argmax(1) == 7).float().mean()) < 0.05
    before, after = (float((net(kept.x).argmax(1) == kept.y).float().mean()) for net in (original, unlearned))
    assert after > before - 0.03


def test_a_part_of_a_class_is_refused_before_any_training(
    model: nn.Module, tiny: Samples, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    split = Split.of(tiny, forget=[*tiny.ids[1:60:3], tiny.ids[2]])
    with pytest.raises(
        MethodError, match=r"expected classes that are forgotten as a whole for trew, got .* of class 2;"
    ):
        TREW(epochs=1, batch_size=8)(model, split, Run(three_classes))


def test_a_model_without_a_vector_for_each_class_is_refused() -> None:
    with pytest.raises(MethodError, match="expected a model with a linear layer of 4 outputs for trew, got Linear"):
        similarities(nn.Linear(5, 3), 4)
