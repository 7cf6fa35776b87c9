"""Whoever looks at a model in evaluation mode gives every part of it its own mode back."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate._util.modes import evaluating
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.amun import adversarial_examples
from obliviate.methods.boundary_shrink import nearest_labels
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.rum import memorisation
from obliviate.methods.ssd import importances
from obliviate.task import Classification, InputSpace
from obliviate.training.features import feature_layer
from obliviate.training.inference import mean_loss, outputs
from obliviate.training.run import Run
from obliviate.training.saliency import saliency_mask

TASK = Classification(classes=3)


@pytest.fixture
def images() -> Samples:
    generator = torch.Generator().manual_seed(0)
    return Samples.from_tensors(torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 3)


@pytest.fixture
def frozen() -> nn.Sequential:
    """A model in training mode whose batch norm is frozen, and moves its statistics if it is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    model[1].eval()
    return model


USERS: dict[str, Callable[[nn.Module, Samples], Any]] = {
    "check_model": TASK.check_model,
    "outputs": outputs,
    "mean_loss": lambda model, samples: mean_loss(model, samples, TASK),
    "saliency_mask": lambda model, samples: saliency_mask(model, samples, TASK),
    "feature_layer": lambda model, samples: feature_layer(model, samples.everything().x),
    "adversarial_examples": lambda model, samples: adversarial_examples(model, samples, Run(TASK)),
    "nearest_labels": lambda model, samples: nearest_labels(
        model, samples.everything().x, samples.everything().y, InputSpace(0, 1), bound=0.1
    ),
    "importances": lambda model, samples: importances(model, samples, Run(TASK), 4),
    "memorisation": lambda model, samples: memorisation(model, samples, Run(TASK)),
    "unlearn": lambda model, samples: workflow.unlearn(
        workflow.TrainedModel.given(model, TASK),
        Split.of(samples, forget=samples.ids[:2]),
        GradientAscent(epochs=1, optimizer="sgd", learning_rate=0.01, weight_decay=0.0, batch_size=64),
    ),
}


@pytest.mark.parametrize("name", USERS)
def test_frozen_parts_stay_frozen_and_the_others_in_training(name: str, frozen: nn.Sequential, images: Samples) -> None:
    before = copy.deepcopy(frozen.state_dict())
    USERS[name](frozen, images)
    assert [module.training for module in frozen.modules()] == [True, True, False, True, True, True]
    assert all(value.equal(before[key]) for key, value in frozen.state_dict().items())


def test_modes_come_back_after_an_error(frozen: nn.Sequential) -> None:
    def fail() -> None:
        with evaluating(frozen):
            assert not any(module.training for module in frozen.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [module.training for module in frozen.modules()] == [True, True, False, True, True, True]


def asked_cudnn(model: nn.Module, seen: list[bool]) -> nn.Module:
    """Write down, at every call of the recurrent layer, whether cuDNN may be used."""
    model.get_submodule("0").register_forward_pre_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    return model


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_recurrent_layers_in_evaluation_mode_are_not_asked_of_cudnn(training: bool):
    class Last(nn.Module):
        def forward(self, states: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            return states[0][:, -1]

    task, seen = Classification(classes=2), list[bool]()
    model = asked_cudnn(nn.Sequential(nn.GRU(3, 2, batch_first=True), Last()), seen)
    samples = Samples.from_tensors(torch.rand(4, 5, 3), torch.arange(4) % 2)
    run = Run(task, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.fit(model, run.batches(samples, 4, 0), task.loss, optimizer, training=training)
    importances(model, samples, run, 4)
    saliency_mask(model, samples, task)
    assert seen == [training, False, False]
    assert torch.backends.cudnn.enabled
