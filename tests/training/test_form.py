"""Models are given back as they came."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from obliviate import Classification
from obliviate.training.form import Form, prepared, released

TASK = Classification(classes=2)


def mixed() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).train()
    model.get_submodule("1").eval()
    model.get_submodule("0").requires_grad_(False)
    return model.to(torch.float64)


def test_device_type_memory_order_modes_and_what_trains_are_restored():
    model = mixed()
    form = Form.of(model)
    other = copy.deepcopy(model).float().eval().requires_grad_(True)
    other.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    form.restored(other)
    for (name, wanted), (_, got) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert (got.dtype, got.stride()) == (wanted.dtype, wanted.stride()), name
        assert got.requires_grad == wanted.requires_grad, name
    assert [module.training for module in other.modules()] == [module.training for module in model.modules()]


def test_a_model_in_channels_last_order_stays_so():
    model = mixed().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    form = Form.of(model)
    restored = form.restored(copy.deepcopy(model))
    assert restored.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, track_running_stats=False)
        self.linear = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"hidden": x, "logits": self.linear(self.norm(x))}


def test_a_prepared_model_answers_with_what_the_task_reads_and_its_copies_too():
    model = prepared(Named(), TASK)
    for asked in (model, copy.deepcopy(model)):
        for training in (True, False):
            asked.train(training)
            assert asked(torch.rand(1, 3, dtype=torch.float64)).shape == (1, 2)


def test_a_released_model_is_what_it_was():
    model = Named()
    x = torch.rand(5, 3)
    before = model(x)["logits"]
    released(prepared(model, TASK))
    assert torch.equal(model(x)["logits"], before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_learn_in_float32_and_are_given_back_as_halves(dtype: torch.dtype):
    model = nn.Linear(2, 2).to(dtype)
    form = Form.of(model)
    private = prepared(copy.deepcopy(model), TASK)
    assert private.weight.dtype == torch.float32
    assert torch.equal(form.restored(released(private)).get_parameter("weight"), model.weight)
