from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.run import Run
from obliviate.training.update import Update
from small_runs import linear, output, rows, run


@pytest.mark.parametrize("clip_norm", [None, 1.0, 5.0, 100.0])
def test_clipping_bounds_the_norm_of_the_gradient(clip_norm: float | None):
    model = linear([1.0, 2.0])
    training_run = run()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    mean = training_run.fit(
        model, training_run.batches(rows([6.0, 8.0]), 1, 0), output, optimizer, update=Update(clip_norm=clip_norm)
    )
    step = torch.tensor([1.0, 2.0]) - model.weight.detach()[0]
    expected = min(10.0, clip_norm or 10.0)
    torch.testing.assert_close(step, torch.tensor([0.6, 0.8]) * expected)
    assert mean == 22.0


def test_clipping_sees_only_the_weights_that_may_change():
    model = linear([0.0, 0.0])
    training_run = run()
    mask = {"weight": torch.tensor([[True, False]])}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    training_run.fit(
        model,
        training_run.batches(rows([3.0, 400.0]), 1, 0),
        output,
        optimizer,
        update=Update(clip_norm=5.0, mask=mask),
    )
    assert model.weight.tolist() == [[-3.0, 0.0]]


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
}


def fit_once(
    training_run: Run,
    model: nn.Module,
    samples: Samples,
    task: Classification,
    optimizer: torch.optim.Optimizer,
    mask: dict[str, torch.Tensor] | None = None,
) -> None:
    """One pass in batches of 16, under a mask if one is given."""
    training_run.fit(model, training_run.batches(samples, 16, 0), task.loss, optimizer, update=Update(mask=mask))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_outside_the_mask_weights_stay_bit_identical(tiny: Samples, three_classes: Classification, name: str):
    model, training_run = two_layers(), run()
    optimizer = OPTIMIZERS[name](model.parameters())
    fit_once(training_run, model, tiny, three_classes, optimizer)  # momentum for every weight
    generator = torch.Generator().manual_seed(3)
    mask = {key: torch.rand(value.shape, generator=generator) < 0.5 for key, value in model.named_parameters()}
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for epoch in (1, 2):
        training_run.fit(
            model, training_run.batches(tiny, 16, epoch), three_classes.loss, optimizer, update=Update(mask=mask)
        )
    for key, value in model.named_parameters():
        assert torch.equal(value[~mask[key]], before[key][~mask[key]])
        assert (value[mask[key]] != before[key][mask[key]]).all()


def test_inside_the_mask_weights_move_as_if_the_others_were_constants(tiny: Samples, three_classes: Classification):
    masked, reference, training_run = two_layers(), two_layers(), run()
    mask = {key: torch.full(value.shape, key == "2.weight") for key, value in masked.named_parameters()}
    fit_once(training_run, masked, tiny, three_classes, OPTIMIZERS["sgd"](masked.parameters()), mask)
    optimizer = OPTIMIZERS["sgd"]([reference.get_parameter("2.weight")])
    fit_once(training_run, reference, tiny, three_classes, optimizer)
    assert torch.equal(masked.get_parameter("2.weight"), reference.get_parameter("2.weight"))


def test_a_full_mask_changes_nothing(tiny: Samples, three_classes: Classification):
    models = two_layers(), two_layers()
    for model, masked in zip(models, (True, False), strict=True):
        mask = {key: torch.ones_like(value, dtype=torch.bool) for key, value in model.named_parameters()}
        training_run = run()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        fit_once(training_run, model, tiny, three_classes, optimizer, mask if masked else None)
    assert weights_sha256(models[0]) == weights_sha256(models[1])


def test_parameters_without_gradients_need_no_mask(tiny: Samples, three_classes: Classification):
    model, training_run = two_layers(), run()
    model[0].requires_grad_(False)
    before = model.get_parameter("0.weight").clone()
    mask = {key: torch.ones_like(value, dtype=torch.bool) for key, value in model[2].named_parameters(prefix="2")}
    fit_once(training_run, model, tiny, three_classes, OPTIMIZERS["sgd"](model.parameters()), mask)
    assert torch.equal(model.get_parameter("0.weight"), before)
