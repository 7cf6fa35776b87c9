import copy
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq, minimize
from torch import Tensor, nn

from obliviate.adversarial.closest import (
    SEARCHES,
    AdversarialExamples,
    SearchName,
    boundary,
    fgsm,
    initial_radius,
    pgd,
    shortest_step,
)
from obliviate.data.samples import Samples
from obliviate.task import InputSpace
from obliviate.training.inference import outputs

WIDE = InputSpace(-100.0, 100.0)
UNIT = InputSpace(0.0, 1.0)


def options(name: SearchName, scale: float = 1.0) -> dict[str, float]:
    return {} if name == "boundary" else {"radius": scale * {"pgd": 0.5, "fgsm": 0.02}[name]}


@pytest.fixture(scope="module")
def correct(original: nn.Module, few: Samples) -> tuple[Tensor, Tensor]:
    """Sixty-four images that the model gets right."""
    batch = few.everything()
    places = (outputs(original, few).argmax(1) == batch.y).nonzero().flatten()[:64]
    return batch.x[places], batch.y[places]


@pytest.fixture(scope="module")
def ours(original: nn.Module, correct: tuple[Tensor, Tensor]) -> AdversarialExamples:
    return boundary(original, *correct, UNIT)


def linear(classes: int, features: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A linear model, points, the model's own predictions there, and the distance to the boundary of every class."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, features, generator=generator)
    x = torch.randn(40, features, generator=generator)
    logits = x @ weight.T
    y = logits.argmax(1)
    slack = logits.gather(1, y[:, None]) - logits
    distances = slack / (weight[y][:, None] - weight).norm(dim=2)
    return weight, x, y, distances.scatter(1, y[:, None], torch.inf)


# ------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("seed", range(3))
def test_boundary_finds_the_nearest_point_of_a_linear_binary_model(seed: int) -> None:
    weight, x, y, distances = linear(2, 12, seed)
    examples = boundary(lambda at: at @ weight.T, x, y, WIDE)
    assert examples.success.all()
    torch.testing.assert_close(examples.distance, distances.amin(1), rtol=0.025, atol=1e-4)
    assert (examples.distance >= distances.amin(1) * (1 - 1e-4)).all()


def test_boundary_finds_the_nearest_point_within_the_bounds_of_a_linear_binary_model() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 30, generator=generator)
    normal, bias = torch.randn(30, generator=generator), 5.0
    logits = x @ normal + bias  # the label is 0 where this is negative, 1 elsewhere
    y = (logits > 0).long()
    most = torch.where((y == 1)[:, None], -normal, normal).clamp_min(0).sum(1)
    x, y, logits = (tensor[logits.abs() < 0.9 * most] for tensor in (x, y, logits))
    assert len(x) > 20
    examples = boundary(lambda at: F.pad((at @ normal + bias)[:, None], (1, 0)), x, y, UNIT)
    assert examples.success.all()
    bounded = 0
    for row, (at, side) in enumerate(zip(x.double().numpy(), 1 - 2 * y.numpy(), strict=True)):
        outward = side * normal.double().numpy()
        step = by_bisection(at, outward, -side * float(logits[row]))
        bounded += int(np.isclose(at + step, 0).any() or np.isclose(at + step, 1).any())
        assert 0.9999 <= float(examples.distance[row]) / np.linalg.norm(step) < 1.03
    assert bounded > 20


def test_boundary_finds_the_nearest_class_of_a_linear_model() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = 2 * torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q[:5]  # all differences are equally long
    x = torch.randn(40, 12, generator=generator)
    logits = x @ weight.T
    nearest = (logits.topk(2).values[:, 0] - logits.topk(2).values[:, 1]) / 8**0.5
    examples = boundary(lambda at: at @ weight.T, x, logits.argmax(1), WIDE)
    torch.testing.assert_close(examples.distance, nearest, rtol=0.03, atol=1e-4)
    assert examples.y.equal(logits.topk(2).indices[:, 1])


@pytest.mark.parametrize("name", SEARCHES)
def test_no_search_beats_the_closed_form(name: SearchName) -> None:
    weight, x, y, distances = linear(4, 12)
    examples = SEARCHES[name](lambda at: at @ weight.T, x, y, WIDE, **options(name))
    assert examples.success.all()
    assert (examples.distance >= distances.amin(1) * (1 - 1e-4)).all()
    torch.testing.assert_close(examples.distance, (examples.x - x).norm(dim=1))


def test_pgd_flips_within_the_first_radius_of_the_doubling_that_reaches_the_boundary() -> None:
    weight, x, y, distances = linear(2, 12)
    nearest, first = distances.amin(1), 0.01
    examples = pgd(lambda at: at @ weight.T, x, y, WIDE, radius=first)
    assert (examples.distance <= examples.radius * (1 + 1e-5)).all()
    far = nearest > first
    assert far.sum() > 30
    assert (examples.radius[far] >= nearest[far]).all()
    assert (examples.radius[far] <= 2 * nearest[far]).all()
    assert (torch.log2(examples.radius / first) % 1 == 0).all()


def test_fgsm_steps_along_the_sign_with_a_length_that_doubles() -> None:
    weight, x, y, distances = linear(2, 12)
    first = 0.01
    examples = fgsm(lambda at: at @ weight.T, x, y, WIDE, radius=first)
    normal = weight[0] - weight[1]
    needed = distances.amin(1) * normal.norm() / normal.abs().sum()
    far = needed > first
    assert (examples.radius[far] >= needed[far]).all()
    assert (examples.radius[far] <= 2 * needed[far]).all()
    torch.testing.assert_close((examples.x - x).abs(), examples.radius[:, None].expand_as(x), rtol=1e-3, atol=1e-5)
    assert examples.gradients.tolist() == [1] * len(x)


# ------------------------------------------------------------------------------------------- what is not free


@pytest.mark.parametrize("seed", range(3))
def test_boundary_finds_the_nearest_point_of_a_linear_binary_model_among_those_that_change_free_values_alone(
    seed: int,
) -> None:
    weight, x, y, _ = linear(2, 12, seed)
    free = torch.arange(12) % 3 > 0
    logits = x @ weight.T
    nearest = (logits[:, 0] - logits[:, 1]).abs() / (weight[0] - weight[1])[free].norm()
    examples = boundary(lambda at: at @ weight.T, x, y, InputSpace(-100.0, 100.0, free=free))
    assert examples.success.all()
    torch.testing.assert_close(examples.distance, nearest, rtol=0.025, atol=1e-4)
    assert (examples.distance >= nearest * (1 - 1e-4)).all()


BRIEF: dict[SearchName, dict[str, Any]] = {
    "boundary": {"max_steps": 15},
    "pgd": {"radius": 0.2, "steps": 4, "doublings": 3},
    "fgsm": {"radius": 0.1, "doublings": 4},
}


@given(
    seed=st.integers(0, 2**16),
    free=arrays(np.bool_, 7),
    wide=st.booleans(),
    name=st.sampled_from(list(SEARCHES)),
)
@settings(max_examples=40, deadline=None)
def test_no_search_touches_what_is_not_free_or_leaves_the_range(
    seed: int, free: np.ndarray, wide: bool, name: SearchName
) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(7, 9, generator=generator), torch.randn(9, 3, generator=generator)
    low, high = -torch.rand(7, generator=generator), 1 + torch.rand(7, generator=generator)
    mask = torch.from_numpy(free)
    x = low + (high - low) * torch.rand(5, 7, generator=generator)
    x[:, ~mask] *= 50.0 if wide else 1.0  # what is not free may be anything
    space = InputSpace(low, high, free=mask)

    def model(at: Tensor) -> Tensor:
        return torch.tanh(at @ first) @ second

    y = torch.randint(3, (5,), generator=generator)
    examples = SEARCHES[name](model, x, y, space, **BRIEF[name])
    assert examples.x[:, ~mask].equal(x[:, ~mask])
    assert ((examples.x >= low) & (examples.x <= high))[:, mask].all()
    assert (model(examples.x).argmax(1) != y)[examples.success].all()
    if not free.any():
        assert examples.success.equal(model(x).argmax(1) != y)


@given(seed=st.integers(0, 2**16), name=st.sampled_from(list(SEARCHES)))
@settings(max_examples=25, deadline=None)
def test_no_search_puts_a_token_where_there_is_none(seed: int, name: SearchName) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 4, 3, generator=generator).clamp(-2, 2)
    present = torch.rand(5, 4, generator=generator) < 0.6
    x = x * present[..., None]
    weight = torch.randn(3, 3, generator=generator)
    space = InputSpace(-2.0, 2.0, free=torch.tensor([True, True, False]), token=3)

    def model(at: Tensor) -> Tensor:  # padding has its gradient too
        return torch.tanh(at @ weight).mean(1)

    y = torch.randint(3, (5,), generator=generator)
    examples = SEARCHES[name](model, x, y, space, **BRIEF[name])
    assert examples.x.any(2).equal(present)
    assert examples.x[..., 2].equal(x[..., 2])
    assert (examples.success | ~present.any(1) | (examples.x != x).flatten(1).any(1)).all()


# ------------------------------------------------------------------------------------------- the step


def attained(normal: np.ndarray, step: np.ndarray) -> float:
    return float(normal @ step)


def by_bisection(point: np.ndarray, normal: np.ndarray, rise: float) -> np.ndarray:
    """Solve for the multiplier of the step in double precision."""

    def step(multiplier: float) -> np.ndarray:
        return np.clip(multiplier * normal, -point, 1 - point)

    root = brentq(lambda multiplier: attained(normal, step(multiplier)) - rise, 0, 1e6, xtol=1e-12)
    assert isinstance(root, float)
    return step(root)


@given(
    point=arrays(np.float64, 3, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])),
    normal=arrays(np.float64, 3, elements=st.sampled_from([-2.0, -0.5, -0.1, 0.1, 0.7, 3.0])),
    share=st.floats(0.01, 0.98),
)
def test_shortest_step_solves_its_problem_when_three_values_may_reach_their_bounds(
    point: np.ndarray, normal: np.ndarray, share: float
) -> None:
    most = attained(normal, np.where(normal > 0, 1 - point, -point))
    if most < 1e-3:
        return
    step = shortest_step(
        torch.tensor(point[None]).float(),
        torch.tensor(normal[None]).float(),
        torch.tensor([share * most]).float(),
        UNIT,
    )[0].numpy()
    np.testing.assert_allclose(step, by_bisection(point, normal, share * most), atol=2e-5)


@given(
    point=arrays(np.float64, 40, elements=st.floats(0, 1, width=32)),
    normal=arrays(np.float64, 40, elements=st.sampled_from([-2.0, -0.5, -0.1, 0.1, 0.7, 3.0])),
    share=st.floats(0.01, 0.98),
)
def test_shortest_step_is_the_shortest_for_the_rise_that_it_attains(
    point: np.ndarray, normal: np.ndarray, share: float
) -> None:
    most = attained(normal, np.where(normal > 0, 1 - point, -point))
    if most < 1e-3:
        return
    rise = share * most
    step = shortest_step(
        torch.tensor(point[None]).float(), torch.tensor(normal[None]).float(), torch.tensor([rise]).float(), UNIT
    )[0].numpy()
    assert (point + step >= -1e-6).all()
    assert (point + step <= 1 + 1e-6).all()
    got = attained(normal, step)
    assert 0.3 * rise < got <= rise * (1 + 1e-4)
    np.testing.assert_allclose(np.linalg.norm(step), np.linalg.norm(by_bisection(point, normal, got)), rtol=1e-3)


def test_shortest_step_agrees_with_a_general_solver() -> None:
    rng = np.random.default_rng(0)
    point, normal = rng.uniform(size=6), rng.normal(size=6)
    point[:2] = 0.98, 0.03
    normal[:2] = 2.0, -2.0
    rise = 0.5 * attained(normal, np.where(normal > 0, 1 - point, -point))
    solved = minimize(
        lambda step: step @ step,
        np.zeros(6),
        jac=lambda step: 2 * step,
        bounds=list(zip(-point, 1 - point, strict=True)),
        constraints={"type": "ineq", "fun": lambda step: normal @ step - rise},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    step = shortest_step(
        torch.tensor(point[None]).float(), torch.tensor(normal[None]).float(), torch.tensor([rise]).float(), UNIT
    )[0].numpy()
    np.testing.assert_allclose(step, solved.x, atol=1e-4)
    assert np.isclose(step[0], 1 - point[0])  # the bound is active


# ------------------------------------------------------------------------------------------- a trained network


@pytest.fixture(scope="module")
def foolbox() -> Any:
    """The library of attacks that ours is compared with; it still imports from a deprecated place in scipy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("foolbox")


class Counted(nn.Module):
    """A model that counts the rows whose gradient with respect to its input is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self.count)
        return self.model(x)

    def count(self, gradient: Tensor) -> None:
        self.rows += len(gradient)


def test_the_gradients_reported_are_those_taken(original: nn.Module, correct: tuple[Tensor, Tensor]) -> None:
    x, y = correct[0][:8], correct[1][:8]
    counted = Counted(original)
    examples = boundary(counted, x, y, UNIT, batch_size=1)
    assert int(examples.gradients.sum()) == counted.rows


@pytest.mark.parametrize(
    ("attack", "options", "refinements", "factor"),
    [
        ("L2DeepFoolAttack", {"candidates": 10}, 4, 1.0),
        ("DDNAttack", {"steps": 100}, 4, 1.02),
        ("DDNAttack", {"steps": 100}, 20, 1.0),
    ],
)
def test_boundary_is_about_as_close_as_attacks_of_several_times_its_gradients(
    foolbox: Any,
    original: nn.Module,
    correct: tuple[Tensor, Tensor],
    attack: str,
    options: dict[str, int],
    refinements: int,
    factor: float,
) -> None:
    x, y = correct
    counted = Counted(copy.deepcopy(original)).eval().requires_grad_(False)
    victim = foolbox.PyTorchModel(counted, bounds=(0, 1), device="cpu")
    _, clipped, success = getattr(foolbox.attacks, attack)(**options)(victim, x, y, epsilons=None)
    theirs = torch.where(success, (clipped - x).flatten(1).norm(dim=1), torch.inf)
    ours = boundary(original, x, y, UNIT, refinements=refinements)
    assert ours.success.all()
    assert float(ours.gradients.float().mean()) < counted.rows / len(x) / 3
    assert float((ours.distance / theirs).median()) <= factor


@pytest.mark.parametrize("first", ["radius by the 95 % rule", "small radius"])
def test_boundary_is_closer_than_the_search_of_the_paper_at_a_fraction_of_the_gradients_of_a_small_radius(
    first: str, original: nn.Module, correct: tuple[Tensor, Tensor], ours: AdversarialExamples
) -> None:
    radius = 0.04 if first == "small radius" else initial_radius(original, *correct, UNIT)
    published = pgd(original, *correct, UNIT, radius=radius)
    assert published.success.all()
    assert float(ours.distance.median()) <= float(published.distance.median())
    assert float(ours.gradients.float().mean()) < 9
    if first == "small radius":
        assert float(published.gradients.float().mean()) > 100


def test_more_refinements_come_closer(
    original: nn.Module, correct: tuple[Tensor, Tensor], ours: AdversarialExamples
) -> None:
    first, twenty = (boundary(original, *correct, UNIT, refinements=count) for count in (0, 20))
    assert (ours.distance <= first.distance * (1 + 1e-4)).all()  # each search passes the point of the shorter one
    assert ours.gradients.equal(first.gradients + 2)
    assert twenty.gradients.equal(first.gradients + 20)
    assert float(ours.distance.mean()) < 0.97 * float(first.distance.mean())
    assert float(twenty.distance.mean()) < float(ours.distance.mean())


@pytest.mark.parametrize("name", SEARCHES)
def test_labels_are_mispredictions_inside_the_valid_range(
    name: SearchName, original: nn.Module, correct: tuple[Tensor, Tensor]
) -> None:
    x, y = correct
    examples = SEARCHES[name](original, x, y, UNIT, **options(name))
    assert examples.success.all()
    assert (examples.y != y).all()
    with torch.no_grad():
        assert examples.y.equal(original(examples.x).argmax(1))
    assert float(examples.x.min()) >= 0
    assert float(examples.x.max()) <= 1
    torch.testing.assert_close(examples.distance, (examples.x - x).flatten(1).norm(dim=1))


@pytest.mark.parametrize("name", SEARCHES)
def test_every_sample_is_searched_on_its_own(
    name: SearchName, original: nn.Module, correct: tuple[Tensor, Tensor]
) -> None:
    x, y = correct[0][:12], correct[1][:12]
    search: Callable[..., AdversarialExamples] = SEARCHES[name]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    large = search(original, x, y, UNIT, batch_size=64, **options(name))
    small = search(original, x, y, UNIT, batch_size=5, **options(name))
    permuted = search(original, x[order], y[order], UNIT, batch_size=5, **options(name))
    for first, second in ((large, small), (AdversarialExamples(*rows(large, order)), permuted)):
        assert first.y.equal(second.y)
        assert first.gradients.equal(second.gradients)
        torch.testing.assert_close(first.x, second.x, atol=1e-3, rtol=0)
        torch.testing.assert_close(first.radius, second.radius, equal_nan=True)


def rows(examples: AdversarialExamples, order: Tensor) -> tuple[Tensor, ...]:
    return (
        examples.x[order],
        examples.y[order],
        examples.success[order],
        examples.distance[order],
        examples.radius[order],
        examples.gradients[order],
    )


@pytest.mark.parametrize("name", SEARCHES)
def test_a_mispredicted_sample_stands_for_itself(
    name: SearchName, original: nn.Module, correct: tuple[Tensor, Tensor]
) -> None:
    x, y = correct[0][:4], correct[1][:4]
    wrong = y.clone()
    wrong[1] = (y[1] + 1) % 10
    examples = SEARCHES[name](original, x, wrong, UNIT, **options(name))
    assert examples.x[1].equal(x[1])
    assert int(examples.y[1]) == int(y[1])
    assert bool(examples.success[1])
    assert (float(examples.distance[1]), int(examples.gradients[1])) == (0.0, 0)
    assert (examples.distance[[0, 2, 3]] > 0).all()


class Constant(nn.Module):
    """Logits that have parameters but do not depend on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([1.0, 0.0, -1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), 3)


CONSTANT: dict[str, Any] = {
    "no graph": lambda x: torch.tensor([1.0, 0.0, -1.0]).expand(len(x), 3),
    "unused input": Constant(),
    "gradient of zero": lambda x: 0 * x[:, :3] + torch.tensor([1.0, 0.0, -1.0]),
}


@pytest.mark.parametrize("kind", CONSTANT)
@pytest.mark.parametrize("name", SEARCHES)
def test_a_constant_model_has_no_adversarial_examples(name: SearchName, kind: str) -> None:
    x = torch.full((3, 4), 0.5)
    few = {} if name == "boundary" else {"doublings": 3}
    examples = SEARCHES[name](CONSTANT[kind], x, torch.zeros(3).long(), UNIT, **options(name), **few)
    assert examples.success.tolist() == [False] * 3
    assert examples.y.tolist() == [0] * 3
    assert bool(torch.isfinite(examples.x).all())


@pytest.mark.parametrize("name", SEARCHES)
def test_another_input_range_is_respected(
    name: SearchName, original: nn.Module, correct: tuple[Tensor, Tensor]
) -> None:
    x, y = correct[0][:16], correct[1][:16]
    mean, deviation = 0.2860, 0.3530
    low, high = -mean / deviation, (1 - mean) / deviation
    space = InputSpace(low, high)

    def normalised(at: Tensor) -> Tensor:
        return original(at * deviation + mean)

    shifted = ((x - mean) / deviation).clamp(low, high)
    examples = SEARCHES[name](normalised, shifted, y, space, **options(name, 1 / deviation))
    assert examples.success.all()
    assert (examples.x >= space.low).all()  # as float32, like the values
    assert (examples.x <= space.high).all()
    assert float(examples.x.min()) < -0.1  # negative values survive: nothing was clipped to [0, 1]
    plain = SEARCHES[name](original, x, y, UNIT, **options(name))
    torch.testing.assert_close(examples.distance * deviation, plain.distance, rtol=0.05, atol=0.01)


def test_the_initial_radius_is_one_within_which_nearly_all_samples_flip(
    original: nn.Module, correct: tuple[Tensor, Tensor]
) -> None:
    x, y = correct
    radius = initial_radius(original, x, y, UNIT)
    within = pgd(original, x, y, UNIT, radius=radius, doublings=0)
    assert float(within.success.float().mean()) >= 0.95
    smaller = pgd(original, x, y, UNIT, radius=radius / 4, doublings=0)
    assert float(smaller.success.float().mean()) < 0.95
