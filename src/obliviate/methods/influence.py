"""Influence unlearning: one Newton step from the training objective to that of the retain set.

Koh and Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017, arXiv 1703.04730; for
unlearning: Izzo et al., AISTATS 2021; Jia et al., "Model Sparsity Can Simplify Machine Unlearning", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from obliviate._util.seeds import derive
from obliviate.data.loading import order
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive
from obliviate.methods.relative import Strength
from obliviate.task import Task
from obliviate.training.gradients import gradients
from obliviate.training.run import Run
from obliviate.types import Batch

CHUNK = 256  # samples whose graph is held at a time; the figures do not depend on it


@dataclass(frozen=True, kw_only=True)
class Influence:
    """Move by α·(H + δI)⁻¹ (|D_F|/|D|)·(g_F − g_R), H the Hessian of the mean loss on D_R, by conjugate gradients.

    (|D_F|/|D|)·(g_F − g_R) is g_D − g_R, so that the step climbs the forget loss. Where the model minimises the mean
    loss on D plus ½δ‖θ‖², α = 1 is the Newton step towards retraining. `alpha` = α, `damping` = δ. H is taken over
    `samples` retained samples, drawn by the seed, and `steps` bounds the iterations, which stop before a direction
    where H curves down by more than ½δ: there the quadratic model has no minimum worth going to.
    `radius` bounds the whole step as a share of ‖θ‖.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], Influence(alpha=1.0)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "influence"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Koh and Liang, ICML 2017; Izzo et al., AISTATS 2021; Jia et al., NeurIPS 2023"

    alpha: Strength = 100.0
    damping: float = 0.1
    steps: int = 3
    samples: int = 500
    radius: Strength = 0.05

    def __post_init__(self) -> None:
        check_positive(self, "alpha", "damping", "steps", "samples", "radius")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        model.eval()
        solution = run.once("influence", lambda: self._solve(model, split, run))
        parameters = [weight for weight in model.parameters() if weight.requires_grad]
        with torch.no_grad():
            size = float(_flat(tuple(parameters)).norm())
            length = float(solution["direction"].norm())
            scale = min(self.alpha, self.radius * size / length) if length else 0.0
            for weight, step in zip(parameters, _like(solution["direction"], parameters), strict=True):
                weight.add_(step, alpha=scale)
        run.notes |= {"alpha": scale, "cg_steps": float(solution["steps"]), "cg_residual": float(solution["residual"])}
        return model

    def _solve(self, model: nn.Module, split: Split, run: Run) -> dict[str, Tensor]:
        forget, retain = run.place(split.forget), run.place(split.kept)
        share = len(forget) / (len(forget) + len(retain))
        difference = gradient(model, forget, run) - gradient(model, retain, run)
        places = order(len(retain), seed=derive(run.seed, "influence"), epoch=0)[: self.samples]
        batches = list(run.in_order(retain.select(retain.ids[places.numpy()]), CHUNK))

        def product(vector: Tensor) -> Tensor:
            return curvature(model, batches, run.task, vector) + self.damping * vector

        def report(done: int) -> None:
            run.progress("curvature", done, self.steps)

        direction, residual, done = conjugate_gradients(
            product, share * difference, steps=self.steps, least=self.damping / 2, progress=report
        )
        if not done:
            raise MethodError(
                f"expected the damped Hessian to curve up by {self.damping / 2:.3g} at least, got less "
                "along the gradient; raise damping"
            )
        return {"direction": direction, "residual": torch.tensor(residual), "steps": torch.tensor(done)}


def gradient(model: nn.Module, samples: Samples, run: Run) -> Float[Tensor, " d"]:
    """The gradient of the mean loss, as one vector over all trainable parameters."""
    sums = {name: torch.zeros_like(weight) for name, weight in model.named_parameters() if weight.requires_grad}

    def share(model: nn.Module, batch: Batch) -> Tensor:
        return run.task.losses(model, batch).sum() / len(samples)

    for _, part in gradients(model, run.in_order(samples, CHUNK), share):
        for name, value in part.items():
            sums[name] += value
    return _flat(tuple(sums.values()))


def curvature(model: nn.Module, batches: list[Batch], task: Task, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """The product H·vector, H the Hessian of the mean loss over the batches (Pearlmutter 1994)."""
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    count = sum(len(batch) for batch in batches)
    total = torch.zeros_like(vector)
    for batch in batches:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            loss = task.losses(model, batch).sum() / count
        first = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True)
        total += _flat(
            torch.autograd.grad(_flat(first) @ vector, parameters, allow_unused=True, materialize_grads=True)
        )
    return total


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    target: Float[Tensor, " d"],
    *,
    steps: int,
    tolerance: float = 1e-5,
    least: float = 0.0,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[Float[Tensor, " d"], float, int]:
    """Solve A·x = target for a symmetric A given by its products; return x, its relative residual, the steps taken.

    Stops at `tolerance`, or before a direction v with vᵀAv ≤ least·‖v‖².

    >>> x, residual, steps = conjugate_gradients(lambda v: 2 * v, torch.tensor([2.0, 4.0]), steps=5)
    >>> x, steps
    (tensor([1., 2.]), 1)
    """
    solution, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    size = start = float(residual @ residual)
    done = 0
    while done < steps and size > tolerance**2 * start:
        image = product(direction)
        along = float(direction @ image)
        if along <= least * float(direction @ direction):
            break
        solution += size / along * direction
        residual -= size / along * image
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
        done += 1
        progress(done)
    return solution, (size / start) ** 0.5 if start else 0.0, done


def _flat(parts: tuple[Tensor, ...]) -> Float[Tensor, " d"]:
    return torch.cat([part.flatten() for part in parts])


def _like(vector: Float[Tensor, " d"], parameters: list[nn.Parameter]) -> list[Tensor]:
    sizes = [weight.numel() for weight in parameters]
    return [part.view_as(weight) for part, weight in zip(vector.split(sizes), parameters, strict=True)]
