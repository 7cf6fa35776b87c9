import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.task import Classification
from obliviate.training.saliency import saliency_mask

TASK = Classification(classes=3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))


def brute_force(model: nn.Module, samples: Samples) -> dict[str, Tensor]:
    """|Σ ∇ℓ|, one sample at a time."""
    model.eval()
    batch = samples.everything()
    sums = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for i in range(len(batch)):
        model.zero_grad()
        F.cross_entropy(model(batch.x[i : i + 1]), batch.y[i : i + 1]).backward()
        for name, weight in model.named_parameters():
            assert weight.grad is not None
            sums[name] += weight.grad
    model.zero_grad()
    return {name: gradient.abs() for name, gradient in sums.items()}


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_the_mask_is_the_largest_summed_gradients(tiny: Samples, share: float, batch_size: int):
    model, forget = network(), tiny.select(tiny.ids[:20])
    expected = brute_force(model, forget)
    mask = saliency_mask(model, forget, TASK, share=share, batch_size=batch_size)
    assert list(mask) == list(expected)
    assert all(mask[name].shape == gradient.shape for name, gradient in expected.items())
    sizes = torch.cat([gradient.flatten() for gradient in expected.values()])
    chosen = torch.cat([part.flatten() for part in mask.values()])
    count = math.ceil(share * len(sizes))
    assert int(chosen.sum()) == count
    torch.testing.assert_close(sizes[chosen].sort(descending=True).values, sizes.topk(count).values)


def test_weights_without_gradients_are_the_last_to_be_chosen_and_those_not_used_are_not_counted():
    """The first input is always 0, and an unused layer has no gradient at all."""

    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.used = nn.Linear(2, 2, bias=False), nn.Linear(2, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    samples = Samples.from_tensors(torch.tensor([[0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    mask = saliency_mask(Partly(), samples, TASK, share=0.5)
    assert mask["used.weight"].tolist() == [[False, True]] * 3
    assert not mask["unused.weight"].any()


def test_frozen_weights_are_not_in_the_mask(tiny: Samples):
    model = network()
    model[0].requires_grad_(False)
    mask = saliency_mask(model, tiny, TASK, share=0.5)
    assert set(mask) == {"1.weight", "1.bias", "4.weight", "4.bias"}
    assert sum(int(part.sum()) for part in mask.values()) == math.ceil((8 + 8 + 24 + 3) / 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(tiny: Samples, training: bool):
    model = network().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    saliency_mask(model, tiny, TASK)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, math.nan])
def test_a_share_outside_the_unit_interval_is_refused(tiny: Samples, share: float):
    with pytest.raises(MethodError, match=r"^expected a saliency share in \(0, 1\], got .*; "):
        saliency_mask(network(), tiny, TASK, share=share)
