"""MixBlock: the generator that decides, position by position, how two inputs are mixed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MixBlock(nn.Module):
    """Cross-attention between the feature maps of two images gives the mask with which they are mixed.

    After the generator of Adversarial AutoMixup (Qin et al., ICLR 2024, arXiv 2312.11954, `AdaptiveMask`), as
    MixUnlearn (arXiv 2502.10288) uses it. The mixing ratio λ is an extra channel of the first map, 1 − λ of the second;
    1×1 convolutions shared by both give query and key (C → C/2) and value (C → 1). A position's value is the mean of
    its image's values, weighted by how its query fits the other image's keys, softmax(q kᵀ / √(C/2)); both value maps
    are enlarged to the image and put through a softmax over the two images. 66,306 weights for C = 256. The weights
    begin small, so that the first masks are near ½. Attention grows with the fourth power of the maps' side; the
    published maps have 8×8 positions.

    >>> a, b = torch.rand(2, 3, 8, 4, 4)
    >>> MixBlock(8)(a, b, 0.3, (28, 28)).shape
    torch.Size([3, 1, 28, 28])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.query = nn.Conv2d(channels + 1, inner, kernel_size=1)
        self.key = nn.Conv2d(channels + 1, inner, kernel_size=1)
        self.value = nn.Conv2d(channels + 1, 1, kernel_size=1)
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        first: Float[Tensor, "n channels h w"],
        second: Float[Tensor, "n channels h w"],
        lam: float,
        size: tuple[int, int],
        present: tuple[Bool[Tensor, "n h w"], Bool[Tensor, "n h w"]] | None = None,
    ) -> Float[Tensor, "n 1 height width"]:
        """Return the first image's share of every pixel, in (0, 1); the second image's is the rest.

        `present` says which positions of either map are more than padding; the others have no part in any mean. Where
        nothing is present, everything is.
        """
        maps = [_with_channel(first, lam), _with_channel(second, 1 - lam)]
        queries, keys, values = (
            [layer(features).flatten(2) for features in maps] for layer in (self.query, self.key, self.value)
        )
        logits = []
        for own, other in ((0, 1), (1, 0)):
            fit = (queries[own].transpose(1, 2) @ keys[other] / queries[own].shape[1] ** 0.5).float()
            if present is not None:
                visible = present[own].flatten(1)
                fit = fit.masked_fill(~(visible | ~visible.any(1, keepdim=True))[:, None], -torch.inf)
            logits.append(fit.softmax(-1) @ values[own].transpose(1, 2).float())
        # A softmax over two is the sigmoid of their difference, and enlarging is linear: one map instead of two.
        difference = (logits[0] - logits[1]).transpose(1, 2).unflatten(2, maps[0].shape[2:])
        return F.interpolate(difference, size, mode="bilinear").sigmoid()


def _with_channel(features: Tensor, value: float) -> Tensor:
    return torch.cat([features, torch.full_like(features[:, :1], value)], dim=1)
