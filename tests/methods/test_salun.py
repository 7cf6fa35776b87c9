import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.random_label import RandomLabel
from obliviate.methods.salun import SalUn
from obliviate.task import Classification
from obliviate.training.run import Run

SAME: dict[str, Any] = {"optimizer": "sgd", "epochs": 2, "learning_rate": 0.05, "batch_size": 8, "weight_decay": 5e-4}


def with_changes(**settings: Any) -> dict[str, Any]:
    return SAME | settings


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def salient(model: nn.Module, split: Split, task: Classification, share: float) -> Tensor:
    """The weights of the largest summed gradients, found by sorting."""
    net = copy.deepcopy(model)
    task.losses(net, split.forget.everything()).sum().backward()
    size = torch.cat([weight.grad.abs().flatten() for weight in net.parameters() if weight.grad is not None])
    ranked = size.argsort(descending=True)
    chosen = torch.zeros(len(size), dtype=torch.bool)
    chosen[ranked[: round(share * len(size))]] = True
    return chosen


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_only_weights_that_the_forget_set_depends_on_change_and_the_rest_is_bit_identical(
    share: float, model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, precision="float32")
    unlearned = SalUn(saliency=share, momentum=0.9, **with_changes(weight_decay=0.1))(copy.deepcopy(model), split, run)
    free = salient(model, split, three_classes, share)
    changed = flat(unlearned) != flat(model)
    assert not bool((changed & ~free).any())
    assert float(changed[free].float().mean()) > 0.95


def test_with_every_weight_free_it_is_random_labels(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    models = [
        method(copy.deepcopy(model), split, Run(three_classes, precision="float32"))
        for method in (SalUn(saliency=1.0, **SAME), RandomLabel(**SAME))
    ]
    torch.testing.assert_close(flat(models[0]), flat(models[1]))
    half = SalUn(saliency=0.5, **SAME)(copy.deepcopy(model), split, Run(three_classes, precision="float32"))
    assert not flat(half).allclose(flat(models[1]))


def test_the_mask_of_a_resumed_run_is_the_original_models(
    model: nn.Module, split: Split, three_classes: Classification, tmp_path: Path
) -> None:
    method = SalUn(saliency=0.5, **with_changes(epochs=3))

    def dying(stage: str, done: float, total: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method(copy.deepcopy(model), split, Run(three_classes, folder=tmp_path, save_every=0.0, progress=dying))
    resumed = method(copy.deepcopy(model), split, Run(three_classes, folder=tmp_path, save_every=0.0))
    assert flat(resumed).equal(flat(method(copy.deepcopy(model), split, Run(three_classes))))
    frozen = ~salient(model, split, three_classes, 0.5)
    assert flat(resumed)[frozen].equal(flat(model)[frozen])


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(
    share: float, model: nn.Module, split: Split, three_classes: Classification
) -> None:
    with pytest.raises(MethodError, match=rf"expected a?.*saliency.*, got {share}"):
        SalUn(saliency=share, **SAME)(copy.deepcopy(model), split, Run(three_classes))
