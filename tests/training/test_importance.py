import torch
import torch.nn.functional as F
from torch import nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.importance import importances
from obliviate.training.run import Run


def test_single_samples_give_the_diagonal_of_the_fisher_information(
    tiny: Samples, three_classes: Classification
) -> None:
    torch.manual_seed(0)
    model, batch = nn.Linear(6, 3), tiny.everything()
    squares = torch.zeros(3, 6)
    for x, y in zip(batch.x, batch.y, strict=True):
        model.zero_grad()
        F.cross_entropy(model(x[None]), y[None]).backward()
        assert model.weight.grad is not None
        squares += model.weight.grad**2
    means = importances(model, tiny, Run(three_classes), 1)
    torch.testing.assert_close(means["weight"], squares / len(tiny))


def test_a_smaller_last_batch_counts_by_its_size_and_frozen_weights_not_at_all(
    tiny: Samples, three_classes: Classification
) -> None:
    torch.manual_seed(0)
    model, run = nn.Linear(6, 3), Run(three_classes)
    model.bias.requires_grad_(False)
    expected = torch.zeros(3, 6)
    for batch in run.batches(tiny, 25, 0):
        model.zero_grad()
        F.cross_entropy(model(batch.x), batch.y).backward()
        assert model.weight.grad is not None
        expected += len(batch) / len(tiny) * model.weight.grad**2
    means = importances(model, tiny, run, 25)
    assert list(means) == ["weight"]
    torch.testing.assert_close(means["weight"], expected)
