"""The closest adversarial example of each sample, in L2.

`boundary` (the default) walks to the nearest linearised decision boundary and slides along it; `pgd` is the search of
AMUN's Algorithm 1; `fgsm` is the weak attack of its ablation. Every search takes each sample on its own: a sample that
is done leaves (`pgd` and `fgsm`: at its first misprediction), and its place in the batch is taken by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from obliviate.task import InputSpace

Logits = Callable[[Tensor], Tensor]
"""A model in evaluation mode, from inputs in the input space to logits."""

Progress = Callable[[int, int], object]
"""Called after every step with the number of samples that are done, and of all."""

SearchName = Literal["boundary", "pgd", "fgsm"]


@dataclass(frozen=True)
class AdversarialExamples:
    """What a search found; row i belongs to row i of the inputs.

    `y` is the model's own misprediction at `x`. Where `success` is false, `x` is the last point tried. `distance` is
    ‖x − x₀‖₂, `radius` the ε at which a radius-bounded search succeeded, `gradients` the gradients spent.
    """

    x: Float[Tensor, " n ..."]
    y: Int[Tensor, " n"]
    success: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]
    radius: Float[Tensor, " n"]
    gradients: Int[Tensor, " n"]


def silent(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Where the samples of one step stand.

    `which` are their places among all samples; `taken` counts a sample's steps so far, `since` those since its first
    misprediction (−1 before it). `grad` takes the gradient of per-sample values at `point`.
    """

    which: Int[Tensor, " k"]
    point: Float[Tensor, "k d"]
    logits: Float[Tensor, "k classes"]
    taken: Int[Tensor, " k"]
    since: Int[Tensor, " k"]
    grad: Callable[[Tensor], Tensor]

    def ascent(self, y: Int[Tensor, " n"]) -> Float[Tensor, "k d"]:
        """The gradient of each sample's cross-entropy."""
        return self.grad(F.cross_entropy(self.logits, y[self.which], reduction="none"))


Move = Callable[[Stage], Tensor]
"""One step of a search: from where the samples stand to their next points."""


def boundary(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    refinements: int = 2,
    pull: float = 0.5,
    damping: float = 0.5,
    damped_steps: int = 2,
    overshoot: float = 0.1,
    max_steps: int = 100,
    batch_size: int = 256,
    progress: Progress = silent,
) -> AdversarialExamples:
    """Step to the nearest decision boundary of the linearised model, then slide along it towards the sample.

    Until the first misprediction it is DeepFool's idea (Moosavi-Dezfooli et al. 2016) with three changes: the step is
    the shortest that respects the valid range of each value; the first `damped_steps` cover only the share `damping`
    of the way, so that the path bends with the gradient; and the target is the runner-up class, at one gradient a
    step. Then, for `refinements` more gradients, the point is pulled towards the sample by a share that falls linearly
    from `pull`, and steps from there to the boundary as linearised before the pull (the idea of FAB, Croce and Hein
    2020). The closest misprediction of all is kept. More `refinements` are closer and dearer; 0 stops at the first.

    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> found = boundary(lambda x: x @ weight.T, torch.tensor([[0.9, 0.1]]), torch.tensor([0]), InputSpace(0, 1))
    >>> round(float(found.distance), 2), int(found.y)
    (0.58, 1)
    """
    y = y.to(x.device)
    start = x.flatten(1)

    def move(at: Stage) -> Tensor:
        label = y[at.which, None]
        deficit = at.logits.scatter(1, label, -torch.inf).amax(1) - at.logits.gather(1, label)[:, 0]  # > 0: flipped
        normal = at.grad(deficit)
        share = torch.where(at.since < 0, 0.0, pull * (1 - at.since / max(refinements, 1)))
        pulled = torch.lerp(at.point, start[at.which], share[:, None])
        deficit = deficit.detach() + (normal * (pulled - at.point)).sum(1)  # at the pulled point, if linear
        way = torch.where((at.since < 0) & (at.taken < damped_steps), damping, 1 + overshoot)
        return pulled + shortest_step(pulled, normal, -deficit * way + 1e-5, space)

    return _search(
        model,
        x,
        y,
        space,
        move,
        max_steps=max_steps,
        refinements=refinements,
        batch_size=batch_size,
        progress=progress,
    )


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
    progress: Progress = silent,
) -> AdversarialExamples:
    """Search by untargeted L2 PGD in a ball whose radius ε doubles until the prediction flips (AMUN, Algorithm 1).

    Each sample has its own ε, from `radius` on; every ε is tried for `steps` steps of length `step_share`·ε, and the
    iterate is kept when ε doubles, as in the authors' code.
    """
    y = y.to(x.device)
    radii = torch.full((len(x),), radius, device=x.device)
    start = x.flatten(1)

    def move(at: Stage) -> Tensor:
        direction = at.ascent(y)
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)
        doubled = (at.taken > 0) & (at.taken % steps == 0)
        radii[at.which] = torch.where(doubled, 2 * radii[at.which], radii[at.which])
        bound = radii[at.which, None]
        offset = at.point + step_share * bound * direction - start[at.which]
        return start[at.which] + offset * (bound / offset.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1)

    examples = _search(
        model, x, y, space, move, max_steps=steps * (doublings + 1), batch_size=batch_size, progress=progress
    )
    return replace(examples, radius=radii)


def fgsm(
    model: Logits,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    radius: float,
    doublings: int = 20,
    batch_size: int = 256,
    progress: Progress = silent,
) -> AdversarialExamples:
    """Step once along the sign of the gradient at the sample, with a length that doubles until the prediction flips.

    The weak attack of AMUN's ablation (Goodfellow et al. 2015); `radius` is the first length, in L∞.
    """
    y = y.to(x.device)
    start = x.flatten(1)
    sign = torch.zeros_like(start)

    def move(at: Stage) -> Tensor:
        if bool((fresh := at.taken == 0).any()):
            sign[at.which[fresh]] = at.ascent(y)[fresh].sign()
        return start[at.which] + radius * 2.0 ** at.taken[:, None] * sign[at.which]

    examples = _search(model, x, y, space, move, max_steps=doublings + 1, batch_size=batch_size, progress=progress)
    length = radius * 2.0 ** (examples.gradients - 1)
    return replace(examples, radius=length, gradients=examples.gradients.clamp(max=1))


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
    chosen = pgd(model, x[:samples], y[:samples], space, radius=start * space.width, steps=10)
    return float(chosen.radius.quantile(share))


def shortest_step(
    point: Float[Tensor, "n d"], normal: Float[Tensor, "n d"], rise: Float[Tensor, " n"], space: InputSpace
) -> Float[Tensor, "n d"]:
    """Solve min ‖r‖₂ subject to normal·r ≥ rise and low ≤ point + r ≤ high; what is not free stays.

    The solution moves every value along the normal by λ·|normal|, or as far as its bound lets it, for one λ per row.
    What that attains is concave in λ: Newton's method from 0 rises to the solution without passing it, and three
    iterations leave at most a residue that the next step of the search sees.

    >>> at, normal = torch.tensor([[0.5, 1.0]]), torch.tensor([[1.0, 1.0]])
    >>> shortest_step(at, normal, torch.tensor([0.25]), InputSpace(0.0, 1.0))
    tensor([[0.2500, 0.0000]])
    """
    size, weight = normal.abs(), normal.square()
    room = space.room(point, normal)
    rise = rise.clamp_min(0)[:, None]
    multiplier = torch.zeros_like(rise)
    for _ in range(3):
        reach = multiplier * size
        missing = rise - (size * torch.minimum(reach, room)).sum(1, keepdim=True)
        multiplier = multiplier + missing / (weight * (reach < room)).sum(1, keepdim=True).clamp_min(1e-20)
    return normal.sign() * torch.minimum(multiplier * size, room)


@torch.no_grad()
def _search(
    model: Logits,
    x: Tensor,
    y: Tensor,
    space: InputSpace,
    move: Move,
    *,
    max_steps: int,
    refinements: int = 0,
    batch_size: int,
    progress: Progress,
) -> AdversarialExamples:
    """Drive `move` over all samples: those that are done or out of steps leave, the next ones take their places.

    A sample is done `refinements` steps after its first misprediction; what it keeps is the closest of all it passed.
    """
    n, device = len(x), x.device
    start = x.flatten(1)
    points, kept = start.clone(), start.clone()
    distance = torch.full((n,), torch.inf, device=device)
    spent = torch.zeros(n, dtype=torch.long, device=device)
    since = torch.full((n,), -1, device=device)
    active = torch.arange(min(batch_size, n), device=device)
    waiting = len(active)
    while len(active):
        with torch.enable_grad():
            current = points[active].requires_grad_()
            logits = model(current.view(-1, *x.shape[1:])).float()
        here = current.detach()
        flipped = logits.argmax(1) != y[active]
        length = (here - start[active]).norm(dim=1)
        closer = flipped & (length < distance[active])
        keep = closer | (~flipped & (since[active] < 0))  # without a misprediction, the last point tried
        kept[active[keep]] = here[keep]
        distance[active[closer]] = length[closer]
        since[active] += flipped | (since[active] >= 0)
        going = (since[active] < refinements) & (spent[active] < max_steps) & (distance[active] > 0)
        stay = going.nonzero().flatten()
        which = active[stay]
        if len(which):

            def grad(
                values: Tensor, current: Tensor = current, stay: Tensor = stay
            ) -> Tensor:  # the values are per-sample, so the gradient of their sum is that of each
                if not values.requires_grad:  # the model ignores its input and has no weights to train
                    return torch.zeros_like(current)[stay]
                gradient = torch.autograd.grad(values.sum(), current, allow_unused=True, materialize_grads=True)
                return space.held(current.detach(), gradient[0])[stay]

            with torch.enable_grad():
                moved = move(Stage(which, here[stay], logits[stay], spent[which], since[which], grad))
            points[which] = space.clamp(moved.detach())
            spent[which] += 1
        arriving = torch.arange(waiting, min(waiting + batch_size - len(which), n), device=device)
        waiting += len(arriving)
        active = torch.cat([which, arriving])
        progress(waiting - len(active), n)
    success = since >= 0
    labels = _confirm(model, x, kept, y, success, space, batch_size)
    distance = (kept - start).norm(dim=1)
    nowhere = torch.full((n,), torch.nan, device=device)
    return AdversarialExamples(kept.view_as(x), labels, success, distance, nowhere, spent)


def _confirm(
    model: Logits, x: Tensor, points: Tensor, y: Tensor, success: Tensor, space: InputSpace, batch_size: int
) -> Tensor:
    """Predict once more, in fixed batches: a flip by a rounding error is moved 1 % further out until it holds."""
    start = x.flatten(1)

    def predict() -> Tensor:
        return torch.cat([model(part).float().argmax(1) for part in points.view_as(x).split(batch_size)])

    labels = predict()
    for _ in range(20):
        lost = success & (labels == y)
        if not bool(lost.any()):
            break
        points[lost] = space.clamp(start[lost] + 1.01 * (points[lost] - start[lost]))
        labels = predict()
    success &= labels != y
    return labels
