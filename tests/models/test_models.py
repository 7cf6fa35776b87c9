from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate.models import ARCHITECTURES
from obliviate.models.mlp import MLP
from obliviate.models.resnet import BasicBlock, resnet8
from obliviate.models.vgg import vgg11
from obliviate.training.precision import Precision

DEEP = tuple(name for name in ARCHITECTURES if name.startswith(("resnet", "vgg")))
SMALL = {name: {"width": 4} if name in DEEP else {} for name in (*DEEP, "mlp", "small_cnn")}  # what takes images


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("mlp", {}, (1, 28, 28)),
        ("mlp", {"features": 5, "hidden": [3]}, (5,)),
        ("mlp", {"features": 5, "hidden": ()}, (5,)),
        ("small_cnn", {}, (1, 28, 28)),
        ("small_cnn", {"channels": 3, "size": 32, "width": 4, "hidden": 8}, (3, 32, 32)),
        *[("small_cnn", {"size": size, "width": 2, "hidden": 4}, (1, size, size)) for size in range(3, 10)],
        ("small_cnn", {"size": (6, 11), "width": 2, "hidden": 4}, (1, 6, 11)),
        *[(name, {"width": 4}, (3, 32, 32)) for name in DEEP],
        *[(name, {"width": 2, "channels": 1}, (1, 28, 28)) for name in DEEP],
        *[(name, {"width": 2}, (3, size, size + 1)) for name in ("resnet8", "vgg11") for size in range(1, 8)],
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
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("small_cnn", 0.409),
        ("resnet8", 0.078),
        ("resnet18", 11.174),
        ("resnet20", 0.272),
        ("resnet56", 0.856),
        ("vgg11", 9.228),
        ("vgg16", 14.724),
        ("vgg19", 20.035),
    ],
)
def test_an_architecture_has_the_published_size(name: str, millions: float):
    with torch.device("meta"):
        assert round(parameters(ARCHITECTURES[name]()) / 1e6, 3) == millions


@pytest.mark.parametrize(("name", "layers"), [(name, int("".join(filter(str.isdigit, name)))) for name in DEEP])
def test_a_deep_network_has_as_many_layers_as_its_name_says(name: str, layers: int):
    """Shortcuts are not counted, as in the paper."""
    model = ARCHITECTURES[name](width=2)
    shortcuts = {
        layer for block in model.modules() if isinstance(block, BasicBlock) for layer in block.shortcut.modules()
    }
    counted = [
        layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer not in shortcuts
    ]
    # Configuration D of the paper has three linear layers, of which two are left out for small images.
    assert len(counted) == (layers - 2 if name.startswith("vgg") else layers)


def test_mlp_is_matrix_products_with_relu_between():
    model = MLP(features=4, classes=3, hidden=(5, 6))
    x = torch.rand(2, 2, 2)
    weights = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in weights] == [(5, 4), (6, 5), (3, 6)]
    hidden = x.reshape(2, 4)
    for layer in weights[:-1]:
        hidden = F.relu(hidden @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(x), hidden @ weights[-1].weight.T + weights[-1].bias)


def test_a_block_whose_last_norm_is_zero_passes_its_input_on():
    block = BasicBlock(3, 3, stride=1)
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("name", ["resnet8", "vgg11"])
def test_the_last_stage_sees_images_of_the_published_size(name: str):
    """ResNets of three stages end at 8×8 for 32×32 inputs; VGG's last convolution works on 2×2."""
    model, seen = ARCHITECTURES[name](width=2), []
    last = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)][-1]
    last.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[2:])))
    model(torch.rand(2, 3, 32, 32))
    assert seen == [{"resnet8": (8, 8), "vgg11": (2, 2)}[name]]


@pytest.mark.parametrize("make", [resnet8, vgg11])
def test_convolutions_begin_with_the_variance_of_kaiming(make: Any):
    torch.manual_seed(0)
    convolutions = [layer for layer in make().modules() if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 4000]
    assert len(convolutions) >= 4
    for layer in convolutions:
        fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
        assert float(layer.weight.detach().var()) == pytest.approx(2 / fan_out, rel=0.1)


@pytest.mark.parametrize("name", DEEP)
def test_training_in_bfloat16_and_channels_last_gives_nearly_the_same_outputs(name: str):
    torch.manual_seed(0)
    model = ARCHITECTURES[name](width=4)
    x = torch.rand(8, 3, 32, 32)
    expected = model(x)
    precision = Precision.choose("bfloat16", torch.device("cpu"))
    with precision.autocast():
        output = precision.prepare(model)(precision.inputs(x))
    assert output.dtype == torch.bfloat16
    assert F.cosine_similarity(output.float().flatten(), expected.flatten(), dim=0) > 0.98
    output.float().logsumexp(1).sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_each_sample_is_processed_alone(name: str):
    """Without this, one sample's output would depend on its batch, and audits on the batch size."""
    torch.manual_seed(0)
    model = ARCHITECTURES[name](**SMALL[name]).double().eval()
    x = torch.rand(4, *((3, 32, 32) if name in DEEP else (1, 28, 28))).double()
    torch.testing.assert_close(model(x), torch.cat([model(row[None]) for row in x]))
