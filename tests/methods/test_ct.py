import copy

import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.ct import CT, transpose
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run


def test_square_kernels_are_transposed_and_nothing_else() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.Conv2d(3, 3, 1),
        nn.Conv2d(3, 2, (3, 1)),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    before = copy.deepcopy(model.state_dict())
    assert transpose(model) == 1
    for name, value in model.state_dict().items():
        expected = before[name]
        if name == "0.weight":
            expected = torch.stack([torch.stack([kernel.T for kernel in row]) for row in expected])
            assert not value.equal(before[name])
        assert value.equal(expected), name


def test_twice_is_the_model_again(original: nn.Module) -> None:
    model = copy.deepcopy(original)
    assert transpose(model) == transpose(model) == 2
    assert all(weight.equal(before) for weight, before in zip(model.parameters(), original.parameters(), strict=True))


def test_training_begins_from_the_transposed_kernels(
    original: nn.Module, few: Samples, task: Classification, recipe: Recipe
) -> None:
    split = Split.of(few.select(few.ids[:100]), forget=few.ids[:10])
    run = Run(task, seed=3, precision="float32")
    settings = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    method = CT(epochs=1, optimizer="sgd", learning_rate=0.01, batch_size=90, **settings)
    unlearned = method(copy.deepcopy(original), split, run)
    expected = copy.deepcopy(original)
    transpose(expected)
    task.loss(expected, next(iter(run.batches(split.kept, 90, 0)))).backward()
    for weight, before in zip(unlearned.parameters(), expected.parameters(), strict=True):
        assert before.grad is not None
        torch.testing.assert_close(weight, before - 0.01 * before.grad)
    assert run.notes["transposed_layers"] == 2


def test_a_model_without_such_convolutions_is_refused_before_any_training(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(MethodError, match=r"expected a model with square convolution kernels for ct, got .* without"):
        workflow.unlearn(
            workflow.TrainedModel.given(original, three_classes, recipe=tiny_recipe),
            Split.of(tiny, forget=tiny.ids[:5]),
            CT(),
        )
