import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.sfron import SFRon, adaptive
from obliviate.task import Classification
from obliviate.training.importance import importances
from obliviate.training.run import Run
from same_weights import assert_same_weights

SETTINGS = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant"}


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    """With a γ at which every weight is salient, and gradients that are clipped."""
    run = Run(three_classes, seed=3, precision="float32")
    method = SFRon(
        epochs=2,
        alpha=3.0,
        every=2,
        lambda_=0.5,
        gamma=1e-12,
        clip_norm=0.5,
        learning_rate=0.05,
        batch_size=16,
        **SETTINGS,
    )
    unlearned = method(copy.deepcopy(model), split, run)

    expected, done, climbs = copy.deepcopy(model), 0, 0
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for forget, retain in run.paired(split.forget, split.kept, 16, epoch, steps="longest"):
            if done % 2 == 0:
                losses = F.cross_entropy(expected(forget.x), forget.y, reduction="none")
                counts = losses.detach() ** -0.5
                alpha = 3.0 * 0.5 * (1 + math.cos(math.pi * done / 6))
                optimizer.zero_grad()
                (-alpha * (counts / counts.sum() * losses).sum()).backward()
                nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
                optimizer.step()
                climbs += 1
            optimizer.zero_grad()
            F.cross_entropy(expected(retain.x), retain.y).backward()
            optimizer.step()
            done += 1
    assert (done, climbs) == (6, 3)
    assert_same_weights(unlearned, expected, atol=1e-5, rtol=1e-4)


def test_only_weights_that_matter_more_to_the_forget_set_climb(
    model: nn.Module, split: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the retain set has no gradients, what has changed is what the climb has changed."""
    run = Run(three_classes, seed=1, precision="float32")

    def squares(samples: Samples) -> dict[str, Tensor]:
        probe = copy.deepcopy(model)
        sums = {name: torch.zeros_like(weight) for name, weight in probe.named_parameters()}
        for batch in run.batches(samples, 12, 0):
            probe.zero_grad()
            F.cross_entropy(probe(batch.x), batch.y).backward()
            for name, weight in probe.named_parameters():
                assert weight.grad is not None
                sums[name] += weight.grad**2 * len(batch) / len(samples)
        return sums

    forget, retain = squares(split.forget), squares(split.kept)
    monkeypatch.setattr(Classification, "loss", lambda _, model, batch: 0 * model(batch.x).sum())
    monkeypatch.setattr(
        "obliviate.methods.sfron.importances", lambda _, samples, *rest: forget if samples is split.forget else retain
    )
    settings: dict[str, Any] = SETTINGS | {"momentum": 0.0}
    method = SFRon(epochs=1, every=100, gamma=1.5, clip_norm=1e6, learning_rate=0.05, batch_size=12, **settings)
    unlearned = method(copy.deepcopy(model), split, run)
    for (name, after), before in zip(unlearned.named_parameters(), model.parameters(), strict=True):
        salient = forget[name] >= 1.5 * retain[name]
        assert not (after != before)[~salient].any(), name
        assert ((after != before) == salient)[forget[name] > 0].all(), name
    assert any(bool((forget[name] >= 1.5 * retain[name]).any()) for name in forget)


def test_importances_are_those_of_both_sets_in_batches_of_the_smaller_size(
    model: nn.Module, split: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def watching(model: nn.Module, samples: Samples, run: Run, size: int) -> dict[str, Tensor]:
        asked.append((len(samples), size))
        return importances(model, samples, run, size)

    monkeypatch.setattr("obliviate.methods.sfron.importances", watching)
    SFRon(epochs=1, learning_rate=0.05, batch_size=16, **SETTINGS)(copy.deepcopy(model), split, Run(three_classes))
    assert asked == [(12, 12), (48, 12)]


def test_what_is_forgotten_already_counts_less() -> None:
    losses = torch.tensor([0.5, 8.0], requires_grad=True)
    for power, weights in ((0.0, (0.5, 0.5)), (1.0, (16 / 17, 1 / 17))):
        losses.grad = None
        adaptive(losses, power).backward()
        assert losses.grad is not None
        assert losses.grad.tolist() == pytest.approx(weights)


def test_settings_out_of_range_and_a_gamma_that_nothing_reaches_are_refused(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    with pytest.raises(MethodError, match="expected every above 0, got 0; correct the setting of sfron"):
        SFRon(every=0)
    with pytest.raises(MethodError, match="expected lambda_ of 0 or more, got -1"):
        SFRon(lambda_=-1)
    with pytest.raises(MethodError, match=r"expected weights with F_F of .* or more, got none; lower gamma"):
        SFRon(epochs=1, gamma=1e30, batch_size=8)(model, split, Run(three_classes))
