import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.run import Run
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
    value = run.step(model, (torch.tensor([[2.0]]),), square, optimizer, clip_norm=clip_norm)
    assert value.item() == 18.0
    assert not value.requires_grad
    assert model.weight.item() == pytest.approx(3.0 - moved, abs=1e-5)


def test_a_step_keeps_what_the_mask_keeps(run: Run):
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    run.step(model, (torch.ones(1, 2),), square, optimizer, mask={"weight": torch.tensor([[True, False]])})
    assert model.weight[0, 0].item() == pytest.approx(1 - 0.5 * (2 + 0.1))
    assert model.weight[0, 1].item() == 1.0


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
        clip_norm=1,
    )
    optimizer = torch.optim.Adam(stepped.parameters(), lr=0.01)
    for batch in run.batches(tiny, 16, 0):
        run.step(stepped, (batch,), three_classes.loss, optimizer, clip_norm=1)
    for one, two in zip(fitted.parameters(), stepped.parameters(), strict=True):
        assert one.equal(two)


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
