"""Random image transforms, applied to whole batches as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


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
