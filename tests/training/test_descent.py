import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training import descent
from obliviate.training.optimizers import SGD
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch


def linear(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


@pytest.fixture
def run() -> Run:
    return Run(Classification(classes=2), precision="float32")


def square(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).square().sum() / 2


@pytest.mark.parametrize(("clip_norm", "moved"), [(None, 12.0), (3.0, 3.0)])
def test_a_step_follows_the_gradient_and_returns_the_loss_before_it(run: Run, clip_norm: float | None, moved: float):
    model = linear(3.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    value = run.step(model, (torch.tensor([[2.0]]),), square, optimizer, update=Update(clip_norm=clip_norm))
    assert value.item() == 18.0
    assert not value.requires_grad
    assert model.weight.item() == pytest.approx(3.0 - moved, abs=1e-5)


def test_a_step_keeps_what_the_mask_keeps(run: Run):
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    run.step(
        model, (torch.ones(1, 2),), square, optimizer, update=Update(mask={"weight": torch.tensor([[True, False]])})
    )
    assert model.weight[0, 0].item() == pytest.approx(1 - 0.5 * (2 + 0.1))
    assert model.weight[0, 1].item() == 1.0


@pytest.mark.parametrize(
    ("update", "walks"),
    [(Update(), 0), (Update(accumulate=2), 0), (Update(clip_norm=1.0), 1), (Update(gradient_scale={}), 1)],
)
def test_only_steps_that_change_gradients_or_weights_walk_the_weights(
    run: Run, monkeypatch: pytest.MonkeyPatch, update: Update, walks: int
):
    walked = list[nn.Module]()
    monkeypatch.setattr(descent, "_trained", lambda model: walked.append(model) or dict(model.named_parameters()))
    model = linear(1.0)
    run.step(model, (torch.ones(1, 1),), square, torch.optim.SGD(model.parameters(), lr=0.1), update=update)
    assert len(walked) == walks


def test_a_step_leaves_the_mode_of_the_model_alone(run: Run):
    model = linear(1.0).eval()
    run.step(model, (torch.ones(1, 1),), square, torch.optim.SGD(model.parameters(), lr=0.1))
    assert not model.training


def test_fitting_is_a_step_for_every_batch(run: Run, tiny: Samples, three_classes: Classification):
    def model() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    fitted, stepped = model(), model()
    run.fit(
        fitted,
        run.batches(tiny, 16, 0),
        three_classes.loss,
        torch.optim.Adam(fitted.parameters(), lr=0.01),
        update=Update(clip_norm=1),
    )
    optimizer = torch.optim.Adam(stepped.parameters(), lr=0.01)
    for batch in run.batches(tiny, 16, 0):
        run.step(stepped, (batch,), three_classes.loss, optimizer, update=Update(clip_norm=1))
    for weight, same in zip(fitted.parameters(), stepped.parameters(), strict=True):
        assert weight.equal(same)


def test_what_is_prepared_reaches_the_loss_and_another_model_may_step_there(run: Run, tiny: Samples):
    """Two weights that chase each other: a ← a − (a − b)/2 first, then b ← b − (b − a)/2."""
    a, b = linear(0.0), linear(8.0)
    first, second = torch.optim.SGD(a.parameters(), lr=0.5), torch.optim.SGD(b.parameters(), lr=0.5)

    def towards(model: nn.Module, aim: Tensor) -> Tensor:
        return F.mse_loss(model(torch.ones(1, 1)), aim, reduction="sum") / 2

    def prepare(forget: Batch, retain: Batch) -> tuple[Tensor]:
        assert len(forget) == len(retain) == 10
        run.step(a, (b.weight.detach().clone(),), towards, first)
        return (a.weight.detach().clone(),)

    pairs = run.paired(tiny.select(tiny.ids[:20]), tiny.select(tiny.ids[20:]), 10, 0)
    mean = run.fit(b, pairs, towards, second, prepare=prepare)
    # (0, 8) → (4, 8) → (4, 6) → (5, 6) → (5, 5.5); the losses of b are 4²/2 and 1²/2.
    assert (a.weight.item(), b.weight.item()) == (5.0, 5.5)
    assert mean == (8.0 + 0.5) / 2


def test_accumulated_batches_are_one_step_on_all_of_their_samples(
    run: Run, tiny: Samples, three_classes: Classification
):
    def trained(size: int, accumulate: int) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Linear(6, 3)
        optimizer = run.optimizer(model, SGD(learning_rate=0.5))
        run.fit(model, Batches(tiny, size), three_classes.loss, optimizer, update=Update(accumulate=accumulate))
        return model

    whole, parts = trained(24, 1), trained(8, 3)  # 24 + 24 + 12, and 3 · 8 + 3 · 8 + 8 + 4
    torch.testing.assert_close(parts.state_dict(), whole.state_dict())
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", lambda *_: steps.append(1))
        trained(8, 3)
    assert len(steps) == 3


def test_gradients_are_scaled_before_they_are_clipped(run: Run):
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = run.optimizer(model, SGD(learning_rate=1.0, momentum=0.0))
    scale = {"weight": torch.tensor([[1.0, 0.0]])}
    run.step(model, (torch.ones(1, 2),), square, optimizer, update=Update(gradient_scale=scale, clip_norm=0.5))
    torch.testing.assert_close(model.weight.detach(), torch.tensor([[0.5, 1.0]]))


def normed(*, space: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    if space:
        return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.BatchNorm1d(1), nn.Flatten(), nn.Linear(6, 3))
    return nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))


def test_a_last_batch_of_one_sample_is_normalised_by_the_statistics_so_far(
    run: Run, tiny: Samples, three_classes: Classification
):
    model, few = normed(), tiny.select(tiny.ids[:9])
    run.fit(model, Batches(few, 8), three_classes.loss, run.optimizer(model, SGD(learning_rate=0.0)))
    x = few.everything().x
    torch.testing.assert_close(model[0].running_mean, 0.1 * x[:8].mean(0))  # the ninth sample adds nothing
    assert all(part.training for part in model)
    assert not model[0]._forward_pre_hooks


def test_a_sample_with_statistics_of_its_own_keeps_them(run: Run, tiny: Samples, three_classes: Classification):
    model, alone = normed(space=True), tiny.select(tiny.ids[:1])
    run.fit(model, Batches(alone, 8), three_classes.loss, run.optimizer(model, SGD(learning_rate=0.0)))
    torch.testing.assert_close(model[1].running_mean, 0.1 * alone.everything().x.mean(1))


def test_modules_whose_weights_are_all_frozen_stay_as_they_are(run: Run, tiny: Samples, three_classes: Classification):
    model = normed()
    model[0].requires_grad_(False)
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    run.fit(model, Batches(tiny, 8), three_classes.loss, run.optimizer(model, SGD(learning_rate=0.1)))
    assert all(value.equal(before[name]) for name, value in model[0].state_dict().items())
    assert model[1].training
