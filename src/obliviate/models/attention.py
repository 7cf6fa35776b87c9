"""A transformer's block, for models that read a text at once or word by word."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Block(nn.Module):
    """Self-attention and two linear layers, each added to its normalised input (Xiong et al. 2020, figure 1b).

    With `causal`, a position attends to itself and what is before it.

    >>> import torch
    >>> Block(8, heads=2)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)

    def forward(
        self, x: Float[Tensor, "n length width"], present: Bool[Tensor, "n length"] | None = None
    ) -> Float[Tensor, "n length width"]:
        """Attend to the positions that are `present`; every row must have one."""
        mask = None if present is None else present[:, None, None, :]
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.attention(self.norm1(x)).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=self.causal)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


def small(model: nn.Module) -> None:
    """Draw weights of linear layers and embeddings from N(0, 0.02²), with biases of zero (Radford et al. 2019).

    The draws are those of torch's global generator.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def masked(
    embeddings: Float[Tensor, "n length width"], present: Bool[Tensor, "n length"]
) -> Float[Tensor, "n length width"]:
    """Zero the embeddings where a text is filled up, which is how `where_present` knows these places.

    >>> import torch
    >>> masked(torch.ones(1, 2, 1), torch.tensor([[True, False]])).tolist()
    [[[1.0], [0.0]]]
    """
    return embeddings * present[:, :, None].to(embeddings.dtype)


def where_present(embeddings: Float[Tensor, "n length width"]) -> Bool[Tensor, "n length"]:
    """Tell where tokens are: where embeddings are not all zero.

    The first position counts as present in any case, so that attention is defined for a text without tokens.

    >>> import torch
    >>> where_present(torch.tensor([[[0.0], [2.0], [0.0]]])).tolist()
    [[True, True, False]]
    """
    present = (embeddings != 0).any(2)
    present[:, 0] = True
    return present
