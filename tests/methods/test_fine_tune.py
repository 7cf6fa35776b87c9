import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[3:60:5])


@pytest.fixture(scope="module")
def model(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> nn.Module:
    return workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model


def test_it_is_training_on_the_retain_set_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    steps = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "learning_rate": 0.05}
    tuned = FineTune(epochs=2, batch_size=16, schedule="constant", **steps)(copy.deepcopy(model), split, run)

    expected = copy.deepcopy(model)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for epoch in range(2):
        for batch in run.batches(split.kept, 16, epoch):
            optimizer.zero_grad()
            F.cross_entropy(expected(batch.x), batch.y).backward()
            optimizer.step()
    for weight, other in zip(tuned.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight, other, atol=1e-5, rtol=1e-4)
