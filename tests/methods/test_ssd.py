import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.ssd import SSD, importances
from obliviate.models.mlp import MLP
from obliviate.task import Classification
from obliviate.training.run import Run


@pytest.fixture
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[:7])


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return MLP(features=6, classes=3, hidden=())


def run_on(three_classes: Classification, folder: Path | None = None, seed: int = 0) -> Run:
    return Run(three_classes, seed=seed, precision="float32", device="cpu", folder=folder)


def squared(model: nn.Module, samples: Samples, size: int) -> dict[str, Tensor]:
    """Mean squared gradients of a linear softmax model in closed form, in the samples' order: ∂CE/∂W = (p − y) xᵀ."""
    batch = samples.everything()
    weight, bias = model.get_parameter("layers.1.weight"), model.get_parameter("layers.1.bias")
    error = (batch.x @ weight.T + bias).softmax(1) - nn.functional.one_hot(batch.y, 3)
    sums = {"layers.1.weight": torch.zeros(3, 6), "layers.1.bias": torch.zeros(3)}
    for rows in torch.arange(len(samples)).split(size):
        share = len(rows) / len(samples)
        of_weight = torch.stack([torch.outer(error[i], batch.x[i]) for i in rows]).mean(0)
        sums["layers.1.weight"] += share * of_weight.detach() ** 2
        sums["layers.1.bias"] += share * error[rows].mean(0).detach() ** 2
    return sums


def test_importances_of_single_samples_are_the_closed_form(
    linear: nn.Module, split: Split, three_classes: Classification
) -> None:
    means = importances(linear, split.kept, run_on(three_classes), 1)
    expected = squared(linear, split.kept, 1)
    assert set(means) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(means[name], value)


def test_importances_of_batches_square_the_mean_gradient_and_count_by_size(
    linear: nn.Module, split: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "batches", lambda _, samples, size, epoch: Batches(samples, size))
    means = importances(linear, split.kept, run_on(three_classes), 8)  # 53 samples: six batches of 8 and one of 5
    for name, value in squared(linear, split.kept, 8).items():
        torch.testing.assert_close(means[name], value)


@pytest.mark.parametrize(("alpha", "dampening"), [(1.0, 1.0), (1.2, 1.0), (1.1, 0.3), (0.9, 5.0)])
def test_weights_are_damped_by_the_formula_and_others_stay_bit_identical(
    linear: nn.Module, split: Split, three_classes: Classification, alpha: float, dampening: float
) -> None:
    f, r = squared(linear, split.forget, 1), squared(linear, split.kept, 1)
    before = {name: weight.detach().clone() for name, weight in linear.named_parameters()}
    SSD(alpha=alpha, dampening=dampening, batch_size=1)(linear, split, run_on(three_classes))
    chosen = 0
    for name, weight in linear.named_parameters():
        d = (7 * f[name] + 53 * r[name]) / 60
        for place in range(weight.numel()):
            was, now = before[name].flatten()[place], weight.detach().flatten()[place]
            ff, dd = float(f[name].flatten()[place]), float(d.flatten()[place])
            if ff > alpha * dd:
                chosen += 1
                assert float(now) == pytest.approx(float(was) * min(dampening * dd / ff, 1), rel=1e-4)
            else:
                assert now.equal(was)
    assert 0 < chosen < 21


def test_importances_are_computed_once_and_read_back(
    linear: nn.Module, split: Split, three_classes: Classification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SSD(alpha=1.2, batch_size=1)(copy.deepcopy(linear), split, run_on(three_classes, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "importance_forget.safetensors",
        "importance_retain.safetensors",
    }
    monkeypatch.setattr(three_classes.__class__, "losses", lambda *_: pytest.fail("computed again"))
    again = SSD(alpha=1.2, batch_size=1)(copy.deepcopy(linear), split, run_on(three_classes, tmp_path))
    for weight, same in zip(first.parameters(), again.parameters(), strict=True):
        assert weight.equal(same)


def test_an_alpha_that_no_weight_can_reach_is_refused(
    linear: nn.Module, split: Split, three_classes: Classification
) -> None:
    with pytest.raises(MethodError, match=r"F_F above 9\.0·F_D, got none of 21; .+ = 8\.571"):
        SSD(alpha=9.0, batch_size=1)(linear, split, run_on(three_classes))


def test_a_forget_set_smaller_than_a_batch_is_measured_on_the_same_scale(
    linear: nn.Module, tiny: Samples, three_classes: Classification
) -> None:
    """With batches of 64 against one sample, every squared gradient of D would be about 64 times too small."""
    split = Split.of(tiny, forget=tiny.ids[:1])
    run = run_on(three_classes)
    SSD(batch_size=64)(linear, split, run)
    share = run.notes["dampened_share"]
    torch.manual_seed(0)
    again, other = MLP(features=6, classes=3, hidden=()), run_on(three_classes)
    SSD(batch_size=1)(again, split, other)
    assert share == other.notes["dampened_share"] < 1
