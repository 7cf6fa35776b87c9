import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.neg_grad_plus import NegGradPlus
from obliviate.task import Classification
from obliviate.training.inference import mean_loss
from obliviate.training.run import Run
from same_weights import assert_same_weights

SGD: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "schedule": "constant"}


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[3:60:6])


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    method = NegGradPlus(beta=0.7, epochs=2, learning_rate=0.05, batch_size=16, **SGD)
    unlearned = method(copy.deepcopy(model), split, run)

    expected, steps = copy.deepcopy(model), 0
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for epoch in range(2):
        for forget, retain in run.paired(split.forget, split.kept, 16, epoch, steps="longest"):
            kept, lost = F.cross_entropy(expected(retain.x), retain.y), F.cross_entropy(expected(forget.x), forget.y)
            optimizer.zero_grad()
            (0.7 * kept - 0.3 * lost).backward()
            optimizer.step()
            steps += 1
    assert steps == 2 * 4  # 50 retained samples are 4 batches of 16; the one forget batch cycles
    assert_same_weights(unlearned, expected, atol=1e-6, rtol=1e-5)


def test_the_smaller_beta_the_less_is_left_of_the_forget_set(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    def forget_loss(beta: float) -> float:
        method = NegGradPlus(beta=beta, epochs=8, learning_rate=0.02)
        return mean_loss(
            workflow.unlearn(workflow.TrainedModel.given(model, three_classes), split, method).model,
            split.forget,
            three_classes,
        )

    losses = [forget_loss(beta) for beta in (0.95, 0.7, 0.4)]
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] > mean_loss(model, split.forget, three_classes)


@pytest.mark.parametrize("beta", [-0.1, 1.0])
def test_beta_without_ascent_or_with_reversed_signs_is_refused(beta: float) -> None:
    with pytest.raises(MethodError, match=rf"expected beta in \[0, 1\), got {beta}"):
        NegGradPlus(beta=beta)
