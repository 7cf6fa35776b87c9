import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods import nabla_tau
from obliviate.methods.base import settle
from obliviate.methods.nabla_tau import NablaTau, decay, objective
from obliviate.task import Classification, Regression, Task
from obliviate.training.inference import mean_loss
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale

NUMBERS: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 4e-3,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "schedule": "linear_to_tenth",
    "batch_size": 64,
    "train_mode": False,
    "clip_norm": None,
    "retain_passes": 1.0,
    "least_steps": 0,
}


def in_numbers(**settings: Any) -> NablaTau:
    """The method with all its settings in numbers, whatever its defaults are."""
    return NablaTau(**(NUMBERS | settings))


@pytest.fixture(scope="module")
def parts(tiny: Samples) -> tuple[Samples, Samples]:
    """48 training samples, 12 unseen ones."""
    return tiny.select(tiny.ids[:48]), tiny.select(tiny.ids[48:])


@pytest.fixture(scope="module")
def small(parts: tuple[Samples, Samples]) -> Split:
    train, holdout = parts
    return Split.of(train, forget=train.ids[3:45:5], holdout=holdout)


@pytest.fixture(scope="module")
def model(parts: tuple[Samples, Samples], three_classes: Classification, tiny_recipe: Recipe) -> nn.Module:
    return workflow.train(Experiment(three_classes, tiny_recipe, parts[0])).model


def named(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters()}


def sized(forget: int, retain: int) -> Split:
    """A split of these sizes, without content."""
    n = forget + retain
    train = Samples.from_tensors(torch.zeros(n, 1), torch.zeros(n).long(), ids=[str(i) for i in range(n)])
    return Split.of(train, forget=train.ids[:forget])


# ------------------------------------------------------------------------------------------- the loss


@pytest.mark.parametrize(("forget", "expected", "slope"), [(0.5, 0.3 * 2.25 + 0.7, -0.9), (2.0, 0.7, 0), (3, 0.7, 0)])
def test_ascent_is_scaled_by_the_gap_and_off_from_tau_on(forget: float, expected: float, slope: float) -> None:
    loss = torch.tensor(float(forget), requires_grad=True)
    value = objective(loss, torch.tensor(1.0), tau=2.0, alpha=0.3)
    value.backward()
    assert float(value.detach()) == pytest.approx(expected)
    assert float(loss.grad) == pytest.approx(slope)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("epochs", [3, 7])
def test_training_is_that_of_the_formula_written_out(
    epochs: int, model: nn.Module, small: Split, three_classes: Classification
) -> None:
    method = in_numbers(epochs=epochs, batch_size=8, refresh=2, learning_rate=0.02)
    run = Run(three_classes, seed=5, precision="float32")
    unlearned = method(copy.deepcopy(model), small, run)

    expected = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=0.02, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=epochs)
    assert small.holdout is not None
    unseen, tau, alpha = small.holdout.everything(), 0.0, 2.5 * 9 / 48
    for i in range(epochs):
        if i % 2 == 0:
            tau = float(F.cross_entropy(expected(unseen.x), unseen.y).detach())
        for s, (forget, retain) in enumerate(run.paired(small.forget, small.kept, 8, i)):
            share = i / epochs if epochs >= 5 else (2 * i + s) / (2 * epochs)  # 9 samples are 2 batches
            gap = tau - F.cross_entropy(expected(forget.x), forget.y)
            if gap < 0:
                gap = gap * 0
            a = alpha * (1 - share)
            total = a * gap**2 + (1 - a) * F.cross_entropy(expected(retain.x), retain.y)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        scheduler.step()
    for name, weight in named(unlearned).items():
        torch.testing.assert_close(weight, named(expected)[name], atol=1e-5, rtol=1e-4)
    assert run.notes == {"tau": pytest.approx(tau, rel=1e-4), "forget_epochs": epochs}


def test_a_forget_batch_that_has_reached_tau_costs_no_backward_pass(
    model: nn.Module, small: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watching(forget: Tensor, retain: Tensor, tau: float, alpha: float) -> Tensor:
        seen.append((forget.requires_grad, float(forget.detach()) < tau))
        return objective(forget, retain, tau, alpha)

    monkeypatch.setattr(nabla_tau, "objective", watching)
    for tau in (-1.0, 0.9, 100.0):
        method = in_numbers(epochs=6, batch_size=8, tau=tau, learning_rate=0.05)
        method(copy.deepcopy(model), small, Run(three_classes))
    assert all(costs is below for costs, below in seen)
    assert {below for _, below in seen} == {True, False}
    assert not any(below for _, below in seen[:12])
    assert all(below for _, below in seen[-12:])


def test_clip_norm_bounds_the_gradient(model: nn.Module, small: Split, three_classes: Classification) -> None:
    """One step of plain gradient descent over everything, written out; the gap to τ makes the gradient long."""
    before = copy.deepcopy(model)
    forget, retain = small.forget.everything(), small.kept.everything()
    gap = 20.0 - F.cross_entropy(before(forget.x), forget.y)
    (0.5 * gap**2 + 0.5 * F.cross_entropy(before(retain.x), retain.y)).backward()
    gradient = {name: parameter.grad for name, parameter in before.named_parameters()}
    length = float(torch.cat([grad.flatten() for grad in gradient.values() if grad is not None]).norm())
    assert length > 2
    steps = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0}
    for clip_norm, factor in ((None, 1.0), (2 * length, 1.0), (1.0, 1 / length), (0.25, 0.25 / length)):
        method = in_numbers(**steps, epochs=1, tau=20.0, alpha=0.5, clip_norm=clip_norm)
        after = named(method(copy.deepcopy(model), small, Run(three_classes, precision="float32")))
        for name, grad in gradient.items():
            assert grad is not None
            expected = model.get_parameter(name).detach() - 0.01 * factor * grad
            torch.testing.assert_close(after[name], expected, atol=1e-6, rtol=1e-4)


def test_alpha_falls_by_epoch_unless_there_are_very_few() -> None:
    assert decay(0.5, 2, 8, 3) == pytest.approx([0.375] * 3)
    assert decay(0.5, 0, 1, 4) == pytest.approx([0.5, 0.375, 0.25, 0.125])
    assert decay(0.5, 3, 4, 2) == pytest.approx([0.125, 0.0625])


def test_forget_loss_rises_to_that_of_unseen_samples(
    original: nn.Module, few: Samples, data: Any, task: Classification
) -> None:
    split = Split.of(few, forget=few.ids[7:600:10], holdout=data.holdout)
    before = mean_loss(original, split.forget, task)
    method = in_numbers(learning_rate=2e-3, retain_passes=3.0, batch_size=256)
    unlearned = workflow.unlearn(workflow.TrainedModel.given(original, task), split, method).model
    after, unseen = mean_loss(unlearned, split.forget, task), mean_loss(unlearned, data.test, task)
    assert before < 0.8 * unseen
    assert abs(after - unseen) < 0.5 * abs(before - unseen)
    assert mean_loss(unlearned, split.kept, task) < before


# ------------------------------------------------------------------------------------------- what depends on the split


@pytest.mark.parametrize(
    ("forget", "retain", "alpha"), [(30, 970, 0.05), (150, 850, 0.25), (300, 700, 0.5), (900, 100, 0.9)]
)
def test_the_papers_alpha_starts_at_five_thirds_of_the_forgotten_share(forget: int, retain: int, alpha: float) -> None:
    settled = NablaTau.paper(tau=1.0).settled(sized(forget, retain))
    assert settled.alpha == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("forget", "retain", "alpha"), [(30, 970, 0.075), (150, 850, 0.375), (300, 700, 0.75), (900, 100, 0.9)]
)
def test_alpha_starts_at_two_and_a_half_times_the_forgotten_share(forget: int, retain: int, alpha: float) -> None:
    settled = in_numbers(tau=1.0).settled(sized(forget, retain))
    assert settled.alpha == pytest.approx(alpha)
    assert in_numbers(tau=1.0, alpha=0.2).settled(sized(forget, retain)).alpha == 0.2


@pytest.mark.parametrize(
    ("forget", "retain", "passes", "epochs"),
    [
        (100, 900, 3.0, 27),  # 10 and 90 batches
        (95, 905, 3.0, 27),  # 10 and 91 batches: int(6 · 91 / 20)
        (100, 900, 0.5, 4),  # the paper's rule for text: int(90 / 20)
        (10, 990, 3.0, 80),  # 297 without the cap
        (900, 100, 3.0, 1),  # 0 without the clamp
    ],
)
def test_forget_epochs_make_so_many_passes_over_the_retain_set(
    forget: int, retain: int, passes: float, epochs: int
) -> None:
    method = NablaTau(tau=1.0, batch_size=10, retain_passes=passes, least_steps=0)
    assert method.settled(sized(forget, retain)).epochs == epochs
    assert NablaTau(tau=1.0, epochs=6).settled(sized(forget, retain)).epochs == 6


@pytest.mark.parametrize(
    ("forget", "least", "epochs"),
    [
        (30, 60, 20),  # of 3 steps each, where 3 passes over 7 retain batches are 7 of them
        (30, 61, 21),  # never fewer
        (30, 15, 7),  # which are 21 steps already
        (5, 200, 80),  # within the cap
    ],
)
def test_forget_epochs_make_so_many_steps_at_least(forget: int, least: int, epochs: int) -> None:
    method = NablaTau(tau=1.0, batch_size=10, retain_passes=3.0, least_steps=least)
    assert method.settled(sized(forget, 70)).epochs == epochs


def test_defaults_are_relative_to_the_recipe() -> None:
    scale = Scale(optimizer="sgd", learning_rate=0.2, momentum=0.8, weight_decay=1e-3, batch_size=10, epochs=20)
    assert settle(NablaTau(tau=1.0), sized(100, 900), scale) == NablaTau(
        tau=1.0,
        alpha=2.5 * 100 / 1000,
        epochs=27,  # 15 % of 20 epochs are 3 passes over 90 batches, 10 in each forget-epoch
        retain_passes=3.0,
        refresh=1,
        optimizer="sgd",
        learning_rate=0.2,
        momentum=0.8,
        weight_decay=1e-3,
        schedule="cosine",
        batch_size=10,
        train_mode=True,
        clip_norm=1.0,
    )


def test_a_method_that_is_not_settled_is_refused(model: nn.Module, small: Split, three_classes: Classification) -> None:
    with pytest.raises(MethodError, match=r"expected batch_size of nabla_tau as a whole number, got None; settle the"):
        NablaTau()(copy.deepcopy(model), small, Run(three_classes))
    with pytest.raises(MethodError, match=r"expected retain_passes of nabla_tau as a number, got '15%'; settle the"):
        NablaTau(batch_size=8)(copy.deepcopy(model), small, Run(three_classes))


# ------------------------------------------------------------------------------------------- τ


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Samples]:
    asked: list[Samples] = []

    def counting(model: nn.Module, samples: Samples, task: Task) -> float:
        asked.append(samples)
        return mean_loss(model, samples, task)

    monkeypatch.setattr(nabla_tau, "mean_loss", counting)
    return asked


def test_tau_is_taken_of_the_holdout_set_at_every_fifth_forget_epoch(
    model: nn.Module, small: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = counted(monkeypatch)
    in_numbers(epochs=11, refresh=5)(copy.deepcopy(model), small, Run(three_classes))
    assert len(asked) == 3
    assert all(samples is small.holdout for samples in asked)


def test_resumption_between_two_refreshes_keeps_tau(
    model: nn.Module, small: Split, three_classes: Classification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = in_numbers(epochs=9, refresh=5)
    whole = named(method(copy.deepcopy(model), small, Run(three_classes)))

    def dying(stage: str, done: float, total: float) -> None:
        if done == 7:
            raise KeyboardInterrupt

    run = Run(three_classes, folder=tmp_path, save_every=0.0, progress=dying)
    with pytest.raises(KeyboardInterrupt):
        method(copy.deepcopy(model), small, run)
    asked = counted(monkeypatch)
    run = Run(three_classes, folder=tmp_path, save_every=0.0)
    again = named(method(copy.deepcopy(model), small, run))
    assert not asked
    assert run.notes["tau"] > 0
    assert all(weight.equal(whole[name]) for name, weight in again.items())


def test_mean_loss_is_over_all_samples_without_gradients_and_leaves_the_mode_alone(
    model: nn.Module, tiny: Samples, three_classes: Classification
) -> None:
    net = nn.Sequential(nn.Dropout(0.9), copy.deepcopy(model)).train()
    batch = tiny.everything()
    expected = float(F.cross_entropy(model(batch.x), batch.y).detach())
    assert mean_loss(net, tiny, three_classes, batch_size=7) == pytest.approx(expected, rel=1e-5)
    assert net.training
    assert all(weight.grad is None for weight in net.parameters())


@pytest.mark.parametrize(("tau", "value"), [(0.75, 0.75), (2, 2.0), ("log_classes", math.log(3))])
def test_a_given_tau_needs_no_holdout(
    tau: float | str, value: float, model: nn.Module, small: Split, three_classes: Classification
) -> None:
    split = Split(small.forget, small.kept)
    run = Run(three_classes)
    in_numbers(tau=tau, epochs=2)(copy.deepcopy(model), split, run)
    assert run.notes["tau"] == pytest.approx(value)
    assert NablaTau(tau=tau).needs == {"retain", "labels"}
    assert NablaTau().needs == {"retain", "labels", "holdout"}
    assert (
        workflow.unlearn(workflow.TrainedModel.given(model, three_classes), split, NablaTau(tau=tau, epochs=2)).role
        == "unlearned"
    )


def test_a_missing_holdout_set_is_refused_before_any_work(
    model: nn.Module, small: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("fit", "epochs", "once"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    split = Split(small.forget, small.kept, None)  # one that was trained on is refused by the split itself
    message = r"expected a holdout set for nabla_tau, got none; .+"
    with pytest.raises(MethodError, match=message):
        NablaTau()(copy.deepcopy(model), split, Run(three_classes))
    with pytest.raises(MethodError, match=message):
        workflow.unlearn(workflow.TrainedModel.given(model, three_classes), split, NablaTau())


# ------------------------------------------------------------------------------------------- models and tasks


def test_any_task_with_a_loss_can_be_forgotten(small: Split) -> None:
    def continuous(samples: Samples) -> Samples:
        batch = samples.everything()
        return Samples.from_tensors(batch.x, batch.x.sum(1) + batch.y.float(), ids=batch.ids)

    assert small.holdout is not None
    split = Split(*map(continuous, (small.forget, small.kept, small.holdout)))
    task, net = Regression(), Recipe(model="mlp", model_options={"features": 6, "classes": 1}).build(seed=0)
    before = mean_loss(net, split.kept, task)
    unlearned = workflow.unlearn(workflow.TrainedModel.given(net, task), split, NablaTau(epochs=20))
    assert mean_loss(unlearned.model, split.kept, task) < before
    with pytest.raises(MethodError, match="expected a classification task for nabla_tau, got regression"):
        workflow.unlearn(workflow.TrainedModel.given(net, task), split, NablaTau(tau="log_classes"))


@pytest.mark.parametrize(
    ("settings", "training"), [({}, True), ({"train_mode": True}, True), ({"train_mode": False}, False)]
)
def test_batch_norm_follows_the_weights_unless_training_mode_is_turned_off(
    settings: dict[str, Any], training: bool, small: Split, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))
    method = settle(NablaTau(epochs=2, **settings), small, Scale.of(tiny_recipe))
    unlearned = method(copy.deepcopy(net), small, Run(three_classes))
    statistics, weights = ("0.running_mean", "0.running_var"), ("0.weight", "1.weight")
    before, after = net.state_dict(), unlearned.state_dict()
    assert [not after[name].equal(before[name]) for name in statistics] == [training, training]
    assert not any(after[name].equal(before[name]) for name in weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, r"expected alpha in \(0, 1\), got 1.0"),
        ({"alpha": 0.0}, r"expected alpha in \(0, 1\), got 0.0"),
        ({"tau": "high"}, "expected tau to be a number or 'log_classes', got 'high'"),
        ({"tau": math.nan}, "expected a finite tau, got nan"),
        ({"schedule": "wavy"}, "expected a schedule of .*linear_to_tenth.*, got 'wavy'"),
        ({"refresh": 0}, "expected refresh above 0, got 0"),
        ({"retain_passes": -1}, "expected retain_passes above 0, got -1"),
        (
            {"retain_passes": "0%"},
            r"expected retain_passes as a number above 0 or a share of .* such as '20%', got '0%'",
        ),
        ({"clip_norm": 0.0}, "expected clip_norm above 0, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        NablaTau(**options)
