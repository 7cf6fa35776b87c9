"""A small transformer that continues a text token by token."""

from __future__ import annotations

from typing import Final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from obliviate.models.attention import Block, small, with_mask, without_mask

PAD: Final = 0


class CausalTransformer(nn.Module):
    """Token and position embeddings, pre-norm blocks that look back only, a linear layer: logits of each next token.

    `classes` is the size of the vocabulary. It takes tokens, int64 "n length" filled up with 0 at the end, or what
    `embed` makes of them, as `TextTransformer` does.

    >>> import torch
    >>> model = CausalTransformer(classes=50, length=6)
    >>> model(torch.tensor([[4, 7, 2, 0, 0, 0]])).shape
    torch.Size([1, 6, 50])
    """

    def __init__(
        self, *, classes: int = 67, length: int = 128, width: int = 64, heads: int = 4, layers: int = 2
    ) -> None:
        super().__init__()
        self.vocabulary = classes
        self.tokens = nn.Embedding(classes, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads=heads, causal=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)
        small(self)

    def embed(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n length channels"]:
        """Return the tokens' embeddings, without positions, and a last channel: 1 for a token, 0 for what fills up."""
        return with_mask(self.tokens(tokens), tokens != PAD)

    def forward(
        self, x: Int64[Tensor, "n length"] | Float[Tensor, "n length channels"]
    ) -> Float[Tensor, "n length classes"]:
        # What fills up stands at the end, where nothing that counts looks at it: the mask is not needed.
        hidden, _ = without_mask(x if x.is_floating_point() else self.embed(x))
        hidden = hidden + self.positions.weight[: hidden.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return self.linear(self.norm(hidden))
