"""The closest adversarial example of each sample, in L2.

`boundary` (the default) walks to the nearest linearised decision boundary; `pgd` is the search of AMUN's Algorithm 1;
`fgsm` is the weak attack of its ablation. Every search takes each sample on its own: a sample leaves at its first
misprediction, and its place in the batch is taken by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from obliviate.task import InputSpace

Logits = Callable[[Tensor], Tensor]
"""A model in evaluation mode, from inputs in the input space to logits."""

Told = Callable[[int, int], object]
"""Is told after every step how many samples are done, of how many."""

SearchName = Literal["boundary", "pgd", "fgsm"]


@dataclass(frozen=True)
class AdversarialExamples:
    """What a search found; row i belongs to row i of the inputs.

    `y` is the model's own misprediction at `x`. Where `found` is false, `x` is the last point tried. `distance` is
    ‖x − x₀‖₂, `radius` the ε at which a radius-bounded search succeeded, `gradients` the gradients spent.
    """

    x: Float[Tensor, " n ..."]
    y: Int[Tensor, " n"]
    found: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]
    radius: Float[Tensor, " n"]
    gradients: Int[Tensor, " n"]


def silent(done: int, total: int) -> None:
    """Report no progress."""


@runtime_checkable
class Move(Protocol):
    """One step of a search, for the samples that are not yet mispredicted."""

    def __call__(
        self, which: Int[Tensor, " k"], point: Float[Tensor, "k d"], logits: Tensor, grad: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "k d"]: ...


def boundary(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    damping: float = 0.5,
    damped_steps: int = 4,
    overshoot: float = 0.02,
    max_steps: int = 100,
    batch_size: int = 256,
    progress: Told = silent,
) -> AdversarialExamples:
    """Step to the nearest decision boundary of the linearised model until the prediction flips.

    DeepFool's idea (Moosavi-Dezfooli et al. 2016) with three changes: the step is the shortest that respects the
    valid range of each value; the first `damped_steps` cover only the share `damping` of the way, so that the path
    bends with the gradient and ends closer; and the target is the runner-up class, at one gradient a step.

    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> found = boundary(lambda x: x @ weight.T, torch.tensor([[0.9, 0.1]]), torch.tensor([0]), InputSpace(0, 1))
    >>> round(float(found.distance), 2), int(found.y)
    (0.57, 1)
    """
    y = y.to(x.device)
    taken = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def move(which: Tensor, point: Tensor, logits: Tensor, grad: Callable[[Tensor], Tensor]) -> Tensor:
        true = logits.gather(1, y[which, None])[:, 0]
        other = logits.scatter(1, y[which, None], -torch.inf).amax(1)
        deficit = other - true  # ≤ 0 until the prediction flips
        normal = grad(deficit)
        share = torch.where(taken[which] < damped_steps, damping, 1 + overshoot)
        taken[which] += 1
        return point + shortest_step(point, normal, -deficit.detach() * share + 1e-5, space)

    return _search(model, x, y, space, move, max_steps=max_steps, batch_size=batch_size, progress=progress)


def pgd(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    radius: float,
    steps: int = 50,
    step_share: float = 0.1,
    doublings: int = 20,
    batch_size: int = 256,
    progress: Told = silent,
) -> AdversarialExamples:
    """Search by untargeted L2 PGD in a ball whose radius ε doubles until the prediction flips (AMUN, Algorithm 1).

    Each sample has its own ε, from `radius` on; every ε is tried for `steps` steps of length `step_share`·ε, and the
    iterate is kept when ε doubles, as in the authors' code.
    """
    y = y.to(x.device)
    radii = torch.full((len(x),), radius, device=x.device)
    taken = torch.zeros(len(x), dtype=torch.long, device=x.device)
    start = x.flatten(1)

    def move(which: Tensor, point: Tensor, logits: Tensor, grad: Callable[[Tensor], Tensor]) -> Tensor:
        direction = grad(F.cross_entropy(logits, y[which], reduction="none"))
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)
        radii[which] = torch.where((taken[which] > 0) & (taken[which] % steps == 0), 2 * radii[which], radii[which])
        taken[which] += 1
        bound = radii[which, None]
        offset = point + step_share * bound * direction - start[which]
        return start[which] + offset * (bound / offset.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1)

    found = _search(
        model, x, y, space, move, max_steps=steps * (doublings + 1), batch_size=batch_size, progress=progress
    )
    return AdversarialExamples(found.x, found.y, found.found, found.distance, radii, found.gradients)


def fgsm(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    radius: float,
    doublings: int = 20,
    batch_size: int = 256,
    progress: Told = silent,
) -> AdversarialExamples:
    """Step once along the sign of the gradient at the sample, with a length that doubles until the prediction flips.

    The weak attack of AMUN's ablation (Goodfellow et al. 2015); `radius` is the first length, in L∞.
    """
    y = y.to(x.device)
    start = x.flatten(1)
    sign = torch.zeros_like(start)
    taken = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def move(which: Tensor, point: Tensor, logits: Tensor, grad: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: ARG001
        if bool((fresh := taken[which] == 0).any()):
            sign[which[fresh]] = grad(F.cross_entropy(logits, y[which], reduction="none"))[fresh].sign()
        length = radius * 2.0 ** taken[which, None]
        taken[which] += 1
        return start[which] + length * sign[which]

    found = _search(model, x, y, space, move, max_steps=doublings + 1, batch_size=batch_size, progress=progress)
    spent = found.gradients.clamp(max=1)
    return AdversarialExamples(found.x, found.y, found.found, found.distance, radius * 2.0 ** (taken - 1), spent)


SEARCHES: Final[dict[SearchName, Callable[..., AdversarialExamples]]] = {
    "boundary": boundary,
    "pgd": pgd,
    "fgsm": fgsm,
}


def initial_radius(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    share: float = 0.95,
    samples: int = 100,
    start: float = 1e-3,
) -> float:
    """Choose ε_init: the radius within which `share` of about 100 samples flip, found from a very small one.

    AMUN, Appendix E.1; the samples are the first `samples` rows. Steps are few here, since only the radius matters.
    """
    chosen = pgd(model, x[:samples], y[:samples], space, radius=start * (space.high - space.low), steps=10)
    return float(chosen.radius.quantile(share))


def shortest_step(
    point: Float[Tensor, "n d"], normal: Float[Tensor, "n d"], rise: Float[Tensor, " n"], space: InputSpace
) -> Float[Tensor, "n d"]:
    """Solve min ‖r‖₂ subject to normal·r ≥ rise and low ≤ point + r ≤ high.

    The solution is clip(λ·normal) for one λ per row; values that reach a bound are fixed there and λ is solved again
    for the rest, three times, which leaves a residue that the next step of the search sees.

    >>> at, normal = torch.tensor([[0.5, 1.0]]), torch.tensor([[1.0, 1.0]])
    >>> shortest_step(at, normal, torch.tensor([0.25]), InputSpace(0.0, 1.0))
    tensor([[0.2500, 0.0000]])
    """
    low, high = space.low - point, space.high - point
    fixed = torch.zeros_like(point, dtype=torch.bool)
    step = torch.zeros_like(point)
    for _ in range(3):
        missing = rise - (normal * step * fixed).sum(1)
        scale = missing / (normal.square() * ~fixed).sum(1).clamp_min(1e-20)
        free = torch.where(fixed, step, scale.clamp_min(0)[:, None] * normal)
        step = free.clamp(low, high)
        fixed |= step != free
    return step


@torch.no_grad()
def _search(
    model: Logits,
    x: Tensor,
    y: Tensor,
    space: InputSpace,
    move: Move,
    *,
    max_steps: int,
    batch_size: int,
    progress: Told,
) -> AdversarialExamples:
    """Drive `move` over all samples: those that flip or run out of steps leave, the next ones take their places."""
    n, device = len(x), x.device
    points = x.flatten(1).clone()
    spent = torch.zeros(n, dtype=torch.long, device=device)
    found = torch.zeros(n, dtype=torch.bool, device=device)
    active = torch.arange(min(batch_size, n), device=device)
    waiting = len(active)
    while len(active):
        with torch.enable_grad():
            current = points[active].requires_grad_()
            logits = model(current.view(-1, *x.shape[1:])).float()
        flipped = logits.argmax(1) != y[active]
        found[active[flipped]] = True
        stay = (~flipped & (spent[active] < max_steps)).nonzero().flatten()
        which = active[stay]
        if len(which):
            with torch.enable_grad():
                kept = logits[stay]

            def grad(
                values: Tensor, current: Tensor = current, stay: Tensor = stay
            ) -> Tensor:  # the values are per-sample, so the gradient of their sum is that of each
                if not values.requires_grad:  # the model ignores its input and has no weights to train
                    return torch.zeros_like(current)[stay]
                gradient = torch.autograd.grad(values.sum(), current, allow_unused=True, materialize_grads=True)
                return gradient[0][stay]

            with torch.enable_grad():
                moved = move(which, current.detach()[stay], kept, grad)
            points[which] = moved.detach().clamp(space.low, space.high)
            spent[which] += 1
        arriving = torch.arange(waiting, min(waiting + batch_size - len(which), n), device=device)
        waiting += len(arriving)
        active = torch.cat([which, arriving])
        progress(waiting - len(active), n)
    labels = _confirm(model, x, points, y, found, space, batch_size)
    distance = (points - x.flatten(1)).norm(dim=1)
    nowhere = torch.full((n,), torch.nan, device=device)
    return AdversarialExamples(points.view_as(x), labels, found, distance, nowhere, spent)


def _confirm(
    model: Logits, x: Tensor, points: Tensor, y: Tensor, found: Tensor, space: InputSpace, batch_size: int
) -> Tensor:
    """Predict once more, in fixed batches: a flip by a rounding error is moved 1 % further out until it holds."""
    start = x.flatten(1)

    def predict() -> Tensor:
        return torch.cat([model(part).float().argmax(1) for part in points.view_as(x).split(batch_size)])

    labels = predict()
    for _ in range(20):
        lost = found & (labels == y)
        if not bool(lost.any()):
            break
        points[lost] = (start[lost] + 1.01 * (points[lost] - start[lost])).clamp(space.low, space.high)
        labels = predict()
    found &= labels != y
    return labels
