from typing import Any

import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.precision import Precision
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, torch.float32),
        ({"architecture": "aarch64"}, torch.float32),
    ],
)
def test_auto_follows_the_processor(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], dtype: torch.dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert Precision.choose("auto", CPU).dtype is dtype
    assert Precision.choose("float32", CPU).dtype is torch.float32
    assert Precision.choose("bfloat16", CPU).dtype is torch.bfloat16


def test_auto_is_float32_where_torch_cannot_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert Precision.choose("auto", CPU).dtype is torch.float32
    assert Precision.choose("auto", torch.device("meta")).dtype is torch.float32


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16), ((12, 0), torch.bfloat16)],
)
def test_auto_follows_the_graphics_processor(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert Precision.choose("auto", GPU).dtype is dtype


@pytest.mark.parametrize("name", ["float16", "fp32", "Tensor", ""])
def test_an_unknown_precision_is_refused(name: str):
    with pytest.raises(RecipeError, match=rf"^expected a precision of auto, bfloat16, float32, got '{name}'; "):
        Precision.choose(name, CPU)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_forward_passes_run_in_the_chosen_format_and_only_there(name: str):
    precision = Precision.choose(name, CPU)
    layer, x = nn.Linear(2, 2), torch.rand(1, 2)
    with precision.autocast():
        assert layer(x).dtype is precision.dtype
    assert layer(x).dtype is torch.float32


def test_images_and_convolutions_go_to_channels_last_and_keep_their_values():
    precision = Precision.choose("float32", CPU)
    conv = nn.Conv2d(2, 3, 3)
    model = nn.Sequential(conv, nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    x = torch.rand(5, 2, 6, 6)
    before = model(x)
    placed = precision.prepare(model)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert precision.inputs(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(precision.inputs(x), x)
    torch.testing.assert_close(placed(precision.inputs(x)), before)
    rows = torch.rand(5, 2)
    assert precision.inputs(rows) is rows


def test_models_of_volumes_are_taken_too():
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
    x = torch.rand(2, 1, 4, 4, 4)
    precision = Precision.choose("float32", CPU)
    assert precision.prepare(model)(precision.inputs(x)).shape == (2, 2, 2, 2, 2)


def test_bfloat16_trains_about_as_well_as_float32(few: Samples, task: Classification):
    data = few.select(few.ids[:500])
    losses: dict[str, float] = {}
    for name in ("float32", "bfloat16"):
        recipe = Recipe(epochs=3, precision=name, model_options={"width": 8, "hidden": 64})
        model = Run(task, recipe=recipe, precision=name).train(data)
        assert all(weight.dtype is torch.float32 for weight in model.parameters())
        logits = outputs(model, data)
        assert logits.dtype is torch.float32
        losses[name] = nn.functional.cross_entropy(logits, data.everything().y).item()
    assert losses["float32"] < 1.3
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)
