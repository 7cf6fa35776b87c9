from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.errors import MethodError
from obliviate.models import ARCHITECTURES
from obliviate.training.features import (
    feature_layer,
    features,
    head_layer,
    representation,
    sequence_layer,
    with_features,
)


class Steps(nn.Module):
    """Convolutions whose outputs have the given sides, for images of 16×16."""

    def __init__(self, *sides: int, inplace: bool = False) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in sides)
        self.sides = sides
        self.relu = nn.ReLU(inplace=inplace)
        self.last = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        for side, convolution in zip(self.sides, self.convolutions, strict=True):
            x = convolution(F.adaptive_avg_pool2d(x, side))
        return self.last(self.relu(x).mean((2, 3)))


IMAGES = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("sides", "chosen"),
    [((16, 8, 7, 4), "convolutions.2"), ((16, 8, 6, 4), "convolutions.1"), ((5, 5, 3), "convolutions.1")],
)
def test_the_deepest_map_that_is_not_too_small_is_chosen(sides: tuple[int, ...], chosen: str):
    class Bare(Steps):
        def forward(self, x: Tensor) -> Tensor:
            for side, convolution in zip(self.sides, self.convolutions, strict=True):
                x = convolution(F.adaptive_avg_pool2d(x, side))
            return self.last(x.mean((2, 3)))

    assert feature_layer(Bare(*sides), IMAGES) == chosen


def test_a_resnet_18_gives_the_maps_of_its_third_stage():
    model, x = ARCHITECTURES["resnet18"](), torch.zeros(2, 3, 32, 32)
    assert with_features(model.eval(), x, feature_layer(model, x))[1].shape == (2, 256, 8, 8)


@pytest.mark.parametrize("training", [True, False])
def test_looking_for_the_layer_leaves_the_model_as_it_was(training: bool):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(392, 3)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert feature_layer(model, IMAGES) == "1"
    assert feature_layer(model, IMAGES, name="0") == "0"
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_features_and_output_are_those_of_the_model_even_where_a_layer_writes_into_its_input():
    model = Steps(8, inplace=True)
    with torch.no_grad():
        for weight in model.convolutions[0].parameters():
            weight.fill_(0.1)
        output, maps = with_features(model, IMAGES - 2.0, "convolutions.0")
        expected = model.convolutions[0](F.adaptive_avg_pool2d(IMAGES - 2.0, 8))
        assert (expected < 0).any()
        assert maps.equal(expected)
        assert output.equal(model(IMAGES - 2.0))
    assert not any(module._forward_hooks for module in model.modules())


def test_features_alone_spare_what_follows_their_layer(monkeypatch: pytest.MonkeyPatch):
    model = Steps(8, 8)
    maps = with_features(model, IMAGES, "convolutions.0")[1]
    for later in (model.convolutions[1], model.last):
        monkeypatch.setattr(later, "forward", lambda *_: pytest.fail("a later layer was computed"))
    assert features(model, IMAGES, "convolutions.0").equal(maps)
    assert not any(module._forward_hooks for module in model.modules())


def test_features_of_a_layer_that_the_model_does_not_use_are_refused():
    model = Steps(8)
    model.add_module("spare", nn.Conv2d(1, 1, 1))
    with pytest.raises(MethodError, match="expected Steps to use its layer 'spare', got an output without; name"):
        features(model, IMAGES, "spare")


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (Steps(8), "convolution.0", r"expected the name of a layer, got 'convolution\.0' of Steps; .*convolutions\.0"),
        (Steps(8), "xyz", r"expected the name of a layer, got 'xyz' of Steps; choose one of convolutions\.0, relu$"),
        (
            Steps(8),
            "last",
            r"expected a layer whose output is a feature map .*, got 'last' of Steps; .*convolutions\.0",
        ),
        (ARCHITECTURES["mlp"](features=256), None, "expected a model with feature maps .*, got MLP without; use"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(model: nn.Module, name: Any, message: str):
    with pytest.raises(MethodError, match=message):
        feature_layer(model, IMAGES, name=name)


@pytest.mark.parametrize(
    ("name", "options", "shape", "head", "features"),
    [
        ("small_cnn", {}, (1, 28, 28), "linear2", 256),
        ("mlp", {"features": 9, "hidden": (5, 4)}, (9,), "layers.5", 4),
        ("resnet8", {}, (3, 16, 16), "linear", 64),
        ("vgg11", {"width": 4}, (3, 16, 16), "linear", 32),
    ],
)
def test_the_head_turns_the_representation_into_the_output(
    name: str, options: dict[str, Any], shape: tuple[int, ...], head: str, features: int
):
    model, x = ARCHITECTURES[name](**options).eval(), torch.rand(2, *shape)
    assert head_layer(model, x) == head
    represented = representation(model, x, head)
    assert represented.shape == (2, features)
    torch.testing.assert_close(model.get_submodule(head)(represented), model(x))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_head_is_the_linear_layer_that_runs_last_wherever_it_is_defined():
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body, self.unused = nn.Linear(4, 3), nn.Linear(256, 4), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x.flatten(1)))

    assert head_layer(Crossed(), IMAGES) == "head"
    assert head_layer(Crossed(), IMAGES, name="body") == "body"


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (Steps(8), "lost", "expected a layer of Steps, got 'lost'; close names are last"),
        (Steps(8), "convolutions.0", r"expected a layer whose input is one vector .*, got 'convolutions\.0' .*last"),
        (nn.Sequential(nn.Conv2d(1, 3, 16), nn.Flatten()), None, "expected a model whose output .*Sequential; name"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(256, 3), nn.Softmax(1)),
            None,
            "expected a model whose output is that of",
        ),
    ],
)
def test_a_head_that_is_not_there_is_refused(model: nn.Module, name: Any, message: str):
    with pytest.raises(MethodError, match=message):
        head_layer(model, IMAGES, name=name)


class Tokens(nn.Module):
    """Two layers token by token, one that sees every second token, and the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(6, 6)
        self.strided, self.last = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.strided(self.third(self.second(self.first(x)))[:, ::2]).mean(1))


def test_of_the_layers_with_a_position_for_each_token_the_middle_one_is_chosen():
    texts = torch.rand(2, 7, 4)
    assert sequence_layer(Tokens(), texts) == "second"
    assert sequence_layer(Tokens(), texts, name="third") == "third"
    assert with_features(Tokens(), texts, "second")[1].shape == (2, 7, 6)
    assert sequence_layer(nn.Sequential(nn.Flatten(), nn.Linear(28, 3)), texts) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strided", "expected a layer whose output is a position for each token .*, got 'strided' of Tokens; .*third"),
        ("fourth", "expected the name of a layer, got 'fourth' of Tokens; choose one of first"),
    ],
)
def test_a_layer_without_a_position_for_each_token_is_refused(name: str, message: str):
    with pytest.raises(MethodError, match=message):
        sequence_layer(Tokens(), torch.rand(2, 7, 4), name=name)
