import torch
import torch.nn.functional as F
from torch import nn

from obliviate.models import ARCHITECTURES
from obliviate.models.ensemble import Ensemble


def test_the_output_is_the_logarithm_of_the_mean_probability() -> None:
    torch.manual_seed(0)
    parts = [nn.Linear(4, 3) for _ in range(5)]
    x = 3 * torch.randn(7, 4)
    mean = torch.stack([part(x).softmax(1) for part in parts]).mean(0)
    torch.testing.assert_close(Ensemble(parts)(x).exp(), mean)
    torch.testing.assert_close(Ensemble(parts)(x).exp().sum(1), torch.ones(7))


def test_cross_entropy_of_the_output_is_that_of_the_mean_probability() -> None:
    torch.manual_seed(0)
    parts, x, y = [nn.Linear(4, 3) for _ in range(2)], torch.randn(7, 4), torch.arange(7) % 3
    mean = torch.stack([part(x).softmax(1) for part in parts]).mean(0)
    torch.testing.assert_close(F.cross_entropy(Ensemble(parts)(x), y), F.nll_loss(mean.log(), y))


def test_probabilities_that_underflow_stay_finite() -> None:
    sure = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        sure.weight.copy_(torch.tensor([[500.0], [-500.0]]))
    output = Ensemble([sure, sure])(torch.ones(1, 1))
    assert output.isfinite().all()
    torch.testing.assert_close(output[0, 1] - output[0, 0], torch.tensor(-1000.0))


def test_bfloat16_constituents_vote_in_float32() -> None:
    model = Ensemble([ARCHITECTURES["mlp"](features=4, classes=3) for _ in range(2)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.rand(2, 4)).dtype is torch.float32
