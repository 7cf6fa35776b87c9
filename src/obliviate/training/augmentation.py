"""Random image transforms, applied to whole batches as they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from obliviate.errors import RecipeError
from obliviate.training.code import called, where, written_name


def crop_flip(x: Float[Tensor, "n channels height width"], *, padding: int = 4) -> Float[Tensor, ...]:
    """Shift each image by up to `padding` pixels (zeros enter) and mirror it with probability ½.

    >>> crop_flip(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """
    n, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n))  # on the processor, so that every device draws the same
    flip = torch.rand(n) < 0.5
    top, left, flip = (drawn.to(x.device, non_blocking=True) for drawn in (top, left, flip))
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(n, device=x.device)[:, None, None]
    # Indexing with arrays on both sides of a slice puts the channels last.
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


AUGMENTATIONS: Final[dict[str, Callable[[Tensor], Tensor] | None]] = {"none": None, "crop_flip": crop_flip}


@dataclass(frozen=True)
class OwnAugmentation:
    """A function of the user's own, or its "module:name", that is called with a batch of inputs and returns another.

    Raises RecipeError for an error in it, and where it returns no tensor of as many rows.

    >>> OwnAugmentation(lambda x: x.flip(-1))(torch.tensor([[1.0, 2.0]]))
    tensor([[2., 1.]])
    """

    function: str | Callable[..., Any]

    def __call__(self, x: Tensor) -> Tensor:
        name = written_name(self.function)
        try:
            changed = called(self.function, what="augmentation")(x)
        except RecipeError:
            raise
        except Exception as error:  # of whatever kind: it is code of the user's
            raise RecipeError(
                f"expected {name} to transform a batch of inputs of shape {tuple(x.shape)}, got {where(error)}; "
                "correct the function"
            ) from error
        if not isinstance(changed, Tensor) or len(changed) != len(x):
            kind = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise RecipeError(
                f"expected {name} to return a batch of {len(x)} inputs, got {kind}; it is called with whole batches"
            )
        return changed


def augmentation(named: str | Callable[..., Any]) -> Callable[[Tensor], Tensor] | None:
    """What inputs are read through: a named augmentation, None for "none", or one of the user's own."""
    if isinstance(named, str) and named in AUGMENTATIONS:
        return AUGMENTATIONS[named]
    return OwnAugmentation(named)
