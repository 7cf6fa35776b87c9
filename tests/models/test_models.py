from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate.models import ARCHITECTURES
from obliviate.models.mlp import MLP
from obliviate.models.small_cnn import SmallCNN


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("mlp", {}, (1, 28, 28)),
        ("mlp", {"features": 5, "hidden": [3]}, (5,)),
        ("mlp", {"features": 5, "hidden": ()}, (5,)),
        ("small_cnn", {}, (1, 28, 28)),
        ("small_cnn", {"channels": 3, "size": 32, "width": 4, "hidden": 8}, (3, 32, 32)),
        *[("small_cnn", {"size": size, "width": 2, "hidden": 4}, (1, size, size)) for size in range(3, 10)],
    ],
)
@pytest.mark.parametrize("classes", [2, 10])
def test_every_architecture_gives_one_output_per_class_and_learns(
    name: str, options: dict[str, Any], shape: tuple[int, ...], classes: int
):
    model = ARCHITECTURES[name](classes=classes, **options)
    output = model(torch.rand(3, *shape))
    assert output.shape == (3, classes)
    output.square().sum().backward()
    assert all(one.grad is not None for one in model.parameters())


def test_small_cnn_has_the_size_that_it_claims():
    assert round(sum(one.numel() for one in SmallCNN().parameters()), -3) == 409_000


def test_mlp_is_matrix_products_with_relu_between():
    model = MLP(features=4, classes=3, hidden=(5, 6))
    x = torch.rand(2, 2, 2)
    weights = [one for one in model.modules() if isinstance(one, nn.Linear)]
    assert [tuple(one.weight.shape) for one in weights] == [(5, 4), (6, 5), (3, 6)]
    hidden = x.reshape(2, 4)
    for one in weights[:-1]:
        hidden = F.relu(hidden @ one.weight.T + one.bias)
    torch.testing.assert_close(model(x), hidden @ weights[-1].weight.T + weights[-1].bias)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_sample_is_processed_alone(name: str):
    """Without this, one sample's output would depend on its batch, and audits on the batch size."""
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(model(x), torch.cat([model(one[None]) for one in x]))
