import copy

import torch
import torch.nn.functional as F
from torch import nn

from obliviate.data.split import Split
from obliviate.methods.fine_tune import FineTune
from obliviate.task import Classification
from obliviate.training.run import Run
from same_weights import assert_same_weights


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
    assert_same_weights(tuned, expected, atol=1e-5, rtol=1e-4)
