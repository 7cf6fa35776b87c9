"""Which samples are alike, by what a layer shows of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

WORDS: Final = 4096  # places in a bag of words; tokens of a larger vocabulary share them
SIDE: Final = 4  # maps are averaged down to so many positions a side: likeness need not be exact to the pixel


def direction(maps: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n d"]:
    """Return feature maps or images as unit vectors, averaged down to `SIDE`×`SIDE` positions; inner product: likeness.

    >>> direction(torch.ones(2, 1, 8, 8)).shape
    torch.Size([2, 16])
    """
    return F.normalize(F.adaptive_avg_pool2d(maps.float(), SIDE).flatten(1))


def rarity(texts: Iterable[Int[Tensor, "_ length"]], vocabulary: int) -> Float[Tensor, " vocabulary"]:
    """Return log(texts / texts with it) of every token: the idf of Spärck Jones 1972; 0 for one that is nowhere.

    >>> rarity([torch.tensor([[1, 2], [1, 1]])], 4)
    tensor([0.0000, 0.0000, 0.6931, 0.0000])
    """
    total, chunks = 0, list[Tensor]()
    for tokens in texts:
        containing = torch.zeros(len(tokens), vocabulary, device=tokens.device).scatter_(1, tokens.long(), 1.0)
        chunks.append(containing.sum(0))
        total += len(tokens)
    frequency = torch.stack(chunks).sum(0)
    return torch.where(frequency > 0, (total / frequency).log(), 0.0)


def bag_of_words(
    tokens: Int[Tensor, "n length"], weight: Float[Tensor, " vocabulary"], *, places: int = WORDS
) -> Float[Tensor, "n places"]:
    """Return texts as unit vectors of how often they hold which token, weighted; inner product: likeness.

    A vocabulary of more than `places` tokens is hashed into so many (Weinberger et al. 2009, arXiv 0902.2206).

    >>> bag_of_words(torch.tensor([[2, 0, 2], [1, 0, 1]]), torch.tensor([0.0, 1.0, 3.0]))
    tensor([[0., 0., 1.],
            [0., 1., 0.]])
    """
    places = min(places, len(weight))
    counts = torch.zeros(len(tokens), places, device=tokens.device)
    return F.normalize(counts.scatter_add_(1, tokens.long() % places, weight[tokens.long()]))


def nearest(
    wanted: Float[Tensor, "n d"],
    among: Iterable[tuple[Float[Tensor, "_ d"], Float[Tensor, "_ c"]]],
    k: int,
) -> Float[Tensor, "n k c"]:
    """Return what the k samples with the greatest inner product have to say, the most alike first.

    `among` are chunks of vectors, each with its saying; they may differ in length, and no more than one need be held.
    Fewer than k samples: all.

    >>> chunks = [(torch.eye(2), torch.tensor([[1.0], [2.0]])), (torch.tensor([[0.5, 0.6]]), torch.tensor([[3.0]]))]
    >>> nearest(torch.tensor([[1.0, 0.0]]), chunks, k=2)
    tensor([[[1.],
             [3.]]])
    """
    likeness = wanted.new_empty(len(wanted), 0)
    rows, sayings, seen = torch.empty_like(likeness, dtype=torch.long), list[Tensor](), 0
    for vectors, saying in among:
        places = torch.arange(seen, seen + len(vectors), device=wanted.device).expand(len(wanted), -1)
        likeness, rows = torch.cat([likeness, wanted @ vectors.T], 1), torch.cat([rows, places], 1)
        likeness, order = likeness.topk(min(k, likeness.shape[1]), dim=1)
        rows = rows.gather(1, order)
        sayings.append(saying)
        seen += len(vectors)
    return torch.cat(sayings)[rows]
