"""AMUN trained on other examples of the forget samples than its own: section 6.2.1 of its paper, as a method of plans.

In a plan, `name = "ablations:AblatedAMUN"`, run from this folder, or by `table.py`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.amun import AMUN, SUFFIX, adversarial_examples
from obliviate.methods.base import settle
from obliviate.task import Classification, InputSpace
from obliviate.training.run import Run

Examples = Literal["AdvL", "RL", "A_RL", "A_RS", "transferred"]
EXAMPLES: Final[tuple[Examples, ...]] = ("AdvL", "RL", "A_RL", "A_RS", "transferred")
HALVINGS: Final = 40


@dataclass(frozen=True, kw_only=True)
class AblatedAMUN:
    """AMUN at its defaults on other `examples` (x, label) of the forget samples.

    "AdvL" is the forget sample with the label that the model mispredicts for its adversarial example, "RL" the forget
    sample with a random wrong label, "A_RL" the adversarial example with a random label that is neither the true nor
    the mispredicted one, "A_RS" a random point as far from the forget sample as the adversarial example, with the
    mispredicted label, and "transferred" the adversarial example that was found on another model of the same recipe,
    whose training is part of the cost.
    """

    name: ClassVar[str] = "amun_ablated"
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Ebrahimpour-Boroojeny et al., ICML 2025, arXiv 2503.00917, section 6.2.1"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    examples: Examples

    def __post_init__(self) -> None:
        if self.examples not in EXAMPLES:
            raise MethodError(f"expected examples of {', '.join(EXAMPLES)}, got {self.examples!r}; name one of them")

    @property
    def needs(self) -> frozenset[str]:
        """Another model is trained on everything, by the recipe."""
        return frozenset({"labels", "retain", "recipe"} if self.examples == "transferred" else {"labels"})

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        method: Any = AMUN(examples=self._found(model, split, run))
        return settle(method, split, partial(run.scale, model, split.forget))(model, split, run)

    def _found(self, model: nn.Module, split: Split, run: Run) -> Samples:
        forget = split.forget
        if self.examples == "transferred":
            elsewhere = Run(run.task, seed=derive(run.seed, "another model"), recipe=run.recipe, device=run.device)
            return adversarial_examples(elsewhere.train(forget.joined(split.kept)), forget, run)
        adversarial = adversarial_examples(model, forget, run)
        task, space = run.task, run.task.space(model)
        assert isinstance(task, Classification)
        assert space is not None, "where inputs are not continuous no adversarial example is found"
        # The search may leave samples out: parents are taken in the order of what was found.
        parents = forget.select([str(name).removesuffix(SUFFIX) for name in adversarial.ids]).everything()
        after, x, y, classes = adversarial.everything(), parents.x, parents.y, task.classes
        generator = torch.Generator().manual_seed(derive(run.seed, "ablation"))
        match self.examples:
            case "AdvL":
                examples = x, after.y
            case "RL":
                examples = x, random_labels(classes, y[:, None], generator)
            case "A_RL":
                examples = after.x, random_labels(classes, torch.stack([y, after.y], 1), generator)
            case _:
                examples = random_points(x, (after.x - x).flatten(1).norm(dim=1), space, generator), after.y
        return Samples.from_tensors(*examples, ids=adversarial.ids)


def random_labels(classes: int, excluded: Tensor, generator: torch.Generator) -> Tensor:
    """A random class for every row, none of those in its row of `excluded`."""
    weights = torch.ones(len(excluded), classes).scatter_(1, excluded, 0.0)
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


def random_points(x: Tensor, distance: Tensor, space: InputSpace, generator: torch.Generator) -> Tensor:
    """A point in a random direction from every row, at the L2 distance given once it is clipped to the valid range."""
    start = x.flatten(1)
    direction = torch.randn(start.shape, generator=generator)
    low, high = torch.zeros(len(x)), 100 * distance / direction.norm(dim=1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = (space.clamp(start + middle[:, None] * direction) - start).norm(dim=1) < distance
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return space.clamp(start + high[:, None] * direction).view_as(x)
