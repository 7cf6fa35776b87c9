"""A small transformer that tells what a text is about."""

from __future__ import annotations

from typing import Final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from obliviate.models.attention import Block, small, with_mask, without_mask

PAD: Final = 0


class TextTransformer(nn.Module):
    """Token and position embeddings, pre-norm blocks of self-attention, the mean over the tokens, a linear layer.

    It takes tokens, int64 "n length" filled up with 0, or what `embed` makes of them: the embeddings, which a method
    may perturb, and a last channel that says where tokens are. Texts may be shorter than `length`. 698 thousand
    parameters with the default options, 640 thousand of them the embeddings of the words.

    >>> import torch
    >>> model = TextTransformer(vocabulary=50, length=6, classes=3)
    >>> tokens = torch.tensor([[4, 7, 2, 0, 0, 0]])
    >>> torch.equal(model(tokens), model(model.embed(tokens)))
    True
    """

    def __init__(
        self,
        *,
        vocabulary: int = 10_000,
        length: int = 128,
        classes: int = 2,
        width: int = 64,
        heads: int = 4,
        layers: int = 1,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads=heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)
        small(self)

    def embed(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n length channels"]:
        """Return the tokens' embeddings, without positions, and a last channel: 1 for a token, 0 for what fills up."""
        return with_mask(self.tokens(tokens), tokens != PAD)

    def forward(self, x: Int64[Tensor, "n length"] | Float[Tensor, "n length channels"]) -> Float[Tensor, "n classes"]:
        hidden, present = without_mask(x if x.is_floating_point() else self.embed(x))
        hidden = hidden + self.positions.weight[: hidden.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, present)
        weights = present[:, :, None].to(hidden.dtype)
        mean = (self.norm(hidden) * weights).sum(1) / weights.sum(1)
        return self.linear(mean)
