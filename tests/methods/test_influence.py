import copy
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.influence import Influence, conjugate_gradients, curvature, gradient
from obliviate.models.mlp import MLP
from obliviate.task import Classification, Task
from obliviate.training.run import Run
from obliviate.types import Batch

RIDGE = 0.05


class Squares(Task):
    """Half the squared error of a linear model: every objective here has its minimum in closed form."""

    kind: ClassVar[str] = "squares"

    def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (output[:, 0] - y) ** 2

    def correct(self, output: Tensor, y: Tensor) -> Tensor:
        return output[:, 0] == y


class Linear(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


def ridge(samples: Samples) -> Tensor:
    """The minimum of mean ½(w·x − y)² + ½·RIDGE·‖w‖²."""
    batch = samples.everything()
    x, y = batch.x.double(), batch.y.double()
    left = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
    return torch.linalg.solve(left, x.T @ y / len(x))[None].float()


@pytest.fixture
def rows() -> Samples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 0.5 * torch.randn(50, generator=generator)
    return Samples.from_tensors(x, y, ids=[f"s{i}" for i in range(50)])


@pytest.mark.parametrize("forget", [1, 5, 20])
def test_ridge_regression_is_retrained_exactly(rows: Samples, forget: int) -> None:
    split = Split.of(rows, forget=rows.ids[:forget])
    before, expected = ridge(rows), ridge(split.kept)
    method = Influence(alpha=1.0, damping=RIDGE, steps=30, samples=1000, radius=2.0)
    after = method(Linear(before), split, Run(Squares(), precision="float32", device="cpu")).get_parameter("weight")
    assert (before - expected).norm() > 1e-3
    torch.testing.assert_close(after.detach(), expected, rtol=1e-4, atol=1e-5)


def test_alpha_scales_the_step(rows: Samples) -> None:
    split = Split.of(rows, forget=rows.ids[:5])
    before, expected = ridge(rows), ridge(split.kept)
    method = Influence(alpha=0.25, damping=RIDGE, steps=30, samples=1000, radius=2.0)
    after = method(Linear(before), split, Run(Squares(), precision="float32", device="cpu")).get_parameter("weight")
    torch.testing.assert_close(after.detach(), before + 0.25 * (expected - before), rtol=1e-4, atol=1e-5)


def logistic(samples: Samples, start: Tensor, newton_steps: int) -> Tensor:
    """Newton's method, in float64 with an explicit Hessian, on mean CE + ½·RIDGE·‖θ‖² of a linear softmax model."""
    batch = samples.everything()
    x, theta = batch.x.double(), start.double().flatten()

    def objective(theta: Tensor) -> Tensor:
        return F.cross_entropy(x @ theta.view(3, -1).T, batch.y) + 0.5 * RIDGE * theta.square().sum()

    for _ in range(newton_steps):
        slope = torch.autograd.functional.jacobian(objective, theta)
        hessian = torch.autograd.functional.hessian(objective, theta)
        assert isinstance(slope, Tensor)
        assert isinstance(hessian, Tensor)
        theta = theta - torch.linalg.solve(hessian, slope)
    return theta.view(3, -1).float()


def test_logistic_regression_takes_the_newton_step_and_comes_close_to_retraining(
    tiny: Samples, three_classes: Classification
) -> None:
    split = Split.of(tiny, forget=tiny.ids[:9])
    before = logistic(tiny, torch.zeros(3, 6), 20)
    run = Run(three_classes, precision="float32", device="cpu")
    method = Influence(alpha=1.0, damping=RIDGE, steps=100, samples=1000, radius=2.0)
    after = method(Linear(before), split, run).get_parameter("weight").detach()
    torch.testing.assert_close(after, logistic(split.kept, before, 1), rtol=1e-3, atol=1e-4)
    retrained = logistic(split.kept, torch.zeros(3, 6), 20)
    assert (after - retrained).norm() < 0.1 * (before - retrained).norm()


def test_the_loss_of_the_forget_set_rises_most(tiny: Samples, three_classes: Classification) -> None:
    split = Split.of(tiny, forget=tiny.ids[:9])
    model = Linear(logistic(tiny, torch.zeros(3, 6), 20))

    def losses(model: nn.Module) -> list[float]:
        return [float(three_classes.loss(model, part.everything()).detach()) for part in (split.forget, split.kept)]

    before = losses(model)
    after = losses(
        Influence(alpha=1.0, damping=RIDGE, steps=100, radius=2.0)(
            model, split, Run(three_classes, precision="float32")
        )
    )
    assert after[0] > before[0] + 0.001
    assert after[0] - before[0] > after[1] - before[1]


def test_the_hessian_and_the_gradient_are_those_of_the_mean_loss(tiny: Samples, three_classes: Classification) -> None:
    torch.manual_seed(0)
    model = MLP(features=6, classes=3, hidden=(4,))
    flat = nn.utils.parameters_to_vector(model.parameters()).detach()
    batch = tiny.everything()

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([weight.numel() for weight in model.parameters()])
        named = zip(model.named_parameters(), parts, strict=True)
        values = {name: part.view_as(weight) for (name, weight), part in named}
        return F.cross_entropy(torch.func.functional_call(model, values, (batch.x,)), batch.y)

    hessian = torch.autograd.functional.hessian(loss, flat)
    slope = torch.autograd.functional.jacobian(loss, flat)
    assert isinstance(hessian, Tensor)
    vector = torch.randn(len(flat), generator=torch.Generator().manual_seed(1))
    halves = [tiny.take(torch.arange(0, 13)), tiny.take(torch.arange(13, 60))]
    torch.testing.assert_close(curvature(model, halves, three_classes, vector), hessian @ vector, rtol=1e-3, atol=1e-5)
    run = Run(three_classes, precision="float32", device="cpu")
    torch.testing.assert_close(gradient(model, tiny, run), slope, rtol=1e-4, atol=1e-6)


def test_conjugate_gradients_solve_and_stop_at_negative_curvature() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator)
    matrix, target = root @ root.T + torch.eye(12), torch.randn(12, generator=generator)
    solution, residual, steps = conjugate_gradients(lambda v: matrix @ v, target, steps=100)
    torch.testing.assert_close(solution, torch.linalg.solve(matrix, target), rtol=1e-3, atol=1e-4)
    assert residual < 1e-5
    assert steps < 60

    signs = torch.tensor([1.0, -1.0])
    solution, _, steps = conjugate_gradients(lambda v: signs * v, torch.tensor([1.0, 0.5]), steps=10)
    assert steps == 1
    assert solution.equal(torch.tensor([1.0, 0.5]) * 1.25 / 0.75)

    flat = torch.tensor([1.0, 0.01])
    solution, _, steps = conjugate_gradients(lambda v: flat * v, torch.tensor([0.0, 1.0]), steps=10, least=0.05)
    assert steps == 0
    assert not solution.any()


def test_no_positive_curvature_at_all_is_an_error(rows: Samples) -> None:
    class Hill(Squares):
        def losses(self, model: nn.Module, batch: Batch) -> Tensor:
            return -super().losses(model, batch)

    split = Split.of(rows, forget=rows.ids[:5])
    with pytest.raises(MethodError, match=r"expected the damped Hessian to curve up by 0\.005 at least, got less"):
        Influence(damping=0.01)(Linear(ridge(rows)), split, Run(Hill(), precision="float32"))


def test_the_hessian_is_taken_over_at_most_so_many_retained_samples(rows: Samples) -> None:
    """With fewer samples the solution differs with the seed; with all of them it does not."""
    split = Split.of(rows, forget=rows.ids[:5])

    def moved(samples: int, seed: int) -> Tensor:
        run = Run(Squares(), seed=seed, precision="float32", device="cpu")
        method = Influence(alpha=1.0, damping=RIDGE, steps=30, samples=samples, radius=2.0)
        return method(copy.deepcopy(Linear(ridge(rows))), split, run).get_parameter("weight").detach()

    assert not torch.allclose(moved(8, 0), moved(8, 1), rtol=1e-2)
    torch.testing.assert_close(moved(45, 0), moved(45, 1), rtol=1e-3, atol=1e-4)


def test_the_step_is_no_longer_than_the_radius(rows: Samples) -> None:
    split = Split.of(rows, forget=rows.ids[:5])
    before, run = ridge(rows), Run(Squares(), precision="float32", device="cpu")

    def step(radius: float) -> Tensor:
        method = Influence(alpha=1.0, damping=RIDGE, steps=30, radius=radius)
        return method(Linear(before), split, run).get_parameter("weight").detach() - before

    free, bound = step(2.0), step(0.001)
    assert run.notes["alpha"] < 1
    torch.testing.assert_close(float(bound.norm()), 0.001 * float(before.norm()), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(bound / bound.norm(), free / free.norm(), rtol=1e-3, atol=1e-3)
