import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.l1_sparse import L1Sparse, l1_norm
from obliviate.task import Classification
from obliviate.training.run import Run
from same_weights import assert_same_weights

SGD: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "schedule": "constant"}


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    method = L1Sparse(epochs=4, gamma=0.02, learning_rate=0.05, batch_size=16, **SGD)
    unlearned = method(copy.deepcopy(model), split, run)

    expected = copy.deepcopy(model)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for epoch, gamma in enumerate((0.02, 0.015, 0.01, 0.005)):
        for batch in run.batches(split.kept, 16, epoch):
            optimizer.zero_grad()
            F.cross_entropy(expected(batch.x), batch.y).backward()
            for weight in expected.parameters():
                assert weight.grad is not None
                weight.grad += gamma * weight.detach().sign()
            optimizer.step()
    assert_same_weights(unlearned, expected, atol=1e-5, rtol=1e-4)


def test_a_larger_gamma_leaves_smaller_weights(model: nn.Module, split: Split, three_classes: Classification) -> None:
    def norm(gamma: float) -> float:
        unlearned = workflow.unlearn(
            workflow.TrainedModel.given(model, three_classes), split, L1Sparse(gamma=gamma)
        ).model
        return float(l1_norm(unlearned).detach())

    norms = [norm(gamma) for gamma in (1e-6, 1e-3, 1e-2)]
    assert norms[0] > norms[1] > norms[2]


def test_gamma_must_be_positive() -> None:
    with pytest.raises(MethodError, match="expected gamma above 0, got 0; correct the setting of l1_sparse"):
        L1Sparse(gamma=0)
