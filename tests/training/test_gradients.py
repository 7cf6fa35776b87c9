import pytest
import torch
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.gradients import gradients
from obliviate.types import Batch


@pytest.mark.parametrize("size", [7, 60])
def test_gradients_of_batches_add_up_to_that_of_the_whole_set(size: int, tiny: Samples, three_classes: Classification):
    model, whole = nn.Sequential(nn.Linear(6, 3), nn.Dropout()).train(), tiny.everything()
    total = torch.zeros(3, 6)

    def summed(model: nn.Module, batch: Batch) -> Tensor:
        return three_classes.losses(model, batch).sum()

    for batch, gradient in gradients(model, Batches(tiny, size), summed):
        assert not model.training
        assert len(batch) <= size
        total += gradient["0.weight"]
    assert model.training
    loss = three_classes.losses(model.eval(), whole).sum()
    (wanted,) = torch.autograd.grad(loss, [model.get_parameter("0.weight")])
    torch.testing.assert_close(total, wanted)


def test_frozen_weights_and_those_that_the_loss_does_not_depend_on_are_left_out(
    tiny: Samples, three_classes: Classification
):
    model = nn.Linear(6, 3)
    model.bias.requires_grad_(False)
    model.register_parameter("idle", nn.Parameter(torch.zeros(2)))
    (_, gradient), *_ = gradients(model, Batches(tiny, 60), three_classes.loss)
    assert set(gradient) == {"weight"}
