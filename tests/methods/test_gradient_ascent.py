import copy

import torch
import torch.nn.functional as F
from torch import nn

from obliviate.data.split import Split
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.task import Classification
from obliviate.training.run import Run
from same_weights import assert_same_weights


def test_it_climbs_the_loss_of_the_forget_set_with_clipped_gradients(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    steps = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.05}
    ascended = GradientAscent(epochs=3, batch_size=4, clip_norm=0.5, **steps)(copy.deepcopy(model), split, run)

    expected = copy.deepcopy(model)
    for epoch in range(3):
        for batch in run.batches(split.forget, 4, epoch):
            expected.zero_grad()
            F.cross_entropy(expected(batch.x), batch.y).backward()
            nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
            with torch.no_grad():
                for weight in expected.parameters():
                    assert weight.grad is not None
                    weight.add_(weight.grad, alpha=0.05)
    assert_same_weights(ascended, expected, atol=1e-5, rtol=1e-4)
