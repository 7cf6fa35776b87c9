import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.msg import MSG, differences, layer_weights, redraw, smallest
from obliviate.task import Classification
from obliviate.training.run import Run

SETTINGS = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[:30])  # as many as are retained, so that all of these are compared


def test_the_differences_are_those_of_the_mean_gradients(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    measured = differences(model, split, Run(three_classes, precision="float32"), 7)
    gradients = []
    for samples in (split.kept, split.forget):
        probe, batch = copy.deepcopy(model), samples.everything()
        F.cross_entropy(probe(batch.x), batch.y).backward()
        gradients.append({name: weight.grad for name, weight in probe.named_parameters() if name.endswith("weight")})
    assert set(measured) == set(gradients[0])
    for name, value in measured.items():
        retain, forget = gradients[0][name], gradients[1][name]
        assert retain is not None
        assert forget is not None
        torch.testing.assert_close(value, (retain - forget).abs(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("share", "count"), [(0.1, 5), (0.3, 14), (1.0, 48)])
def test_exactly_the_share_with_the_smallest_differences_is_drawn_anew(share: float, count: int) -> None:
    layer = nn.Linear(6, 8)
    before, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    values = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    masks = {"weight": smallest(values, share)}
    redraw({"weight": layer.weight}, masks, seed=5)
    assert int((layer.weight != before).sum()) == int(masks["weight"].sum()) == count
    assert values[masks["weight"]].max() <= values.flatten().sort().values[count - 1]
    assert layer.bias.equal(bias)


def test_new_weights_have_the_spread_of_a_new_layer() -> None:
    weights: dict[str, torch.Tensor] = {
        "conv": nn.Parameter(torch.zeros(64, 8, 3, 3)),
        "linear": nn.Parameter(torch.zeros(40, 200)),
    }
    redraw(weights, {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()}, seed=0)
    assert float(weights["conv"].detach().std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert float(weights["linear"].detach().std()) == pytest.approx((2 / 200) ** 0.5, rel=0.05)


def test_in_the_repair_weights_that_were_kept_take_smaller_steps(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    def repaired(kept_gradient: float) -> dict[str, torch.Tensor]:
        method = MSG(share=0.5, kept_gradient=kept_gradient, epochs=1, learning_rate=0.1, batch_size=30, **SETTINGS)
        return dict(
            method(copy.deepcopy(model), split, Run(three_classes, seed=2, precision="float32")).named_parameters()
        )

    frozen, slow, free = map(repaired, (0.0, 0.25, 1.0))
    for name in layer_weights(model):
        kept = frozen[name] == dict(model.named_parameters())[name]
        assert int(kept.sum()) == kept.numel() - round(kept.numel() / 2)
        torch.testing.assert_close(slow[name][kept] - frozen[name][kept], (free[name] - frozen[name])[kept] / 4)
        assert slow[name][~kept].equal(free[name][~kept])


def test_settings_out_of_range_and_models_without_layers_are_refused() -> None:
    with pytest.raises(MethodError, match=r"expected share in \(0, 1\], got 1.5"):
        MSG(share=1.5)
    with pytest.raises(MethodError, match=r"expected kept_gradient in \[0, 1\], got 2"):
        MSG(kept_gradient=2)
    with pytest.raises(MethodError, match="expected a model with convolutions or linear layers for msg, got Embedding"):
        layer_weights(nn.Embedding(3, 2))
