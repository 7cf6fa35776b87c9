"""The contrastive losses of MixUnlearn as functions of outputs and targets (Peng et al. 2025, arXiv 2502.10288)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def sharpen(p: Float[Tensor, "n classes"], temperature: float = 0.3) -> Float[Tensor, "n classes"]:
    """Make distributions more certain: p^{1/T}, renormalised.

    >>> import torch
    >>> sharpen(torch.tensor([[0.75, 0.25]]), 0.5)
    tensor([[0.9000, 0.1000]])
    """
    # A softmax of logarithms has no underflow to 0 / 0, however many classes there are.
    return (p.clamp_min(1e-30).log() / temperature).softmax(1)


def sim_loss(logits: Float[Tensor, "n classes"], p: Float[Tensor, "n classes"]) -> Float[Tensor, " n"]:
    """Return 1 − cos(softmax(f), p) of class probabilities, in [0, 1]: 0 where prediction and target agree.

    >>> import torch
    >>> sim_loss(torch.tensor([[9.0, -9.0]]), torch.tensor([[0.0, 1.0]])).round(decimals=4)
    tensor([1.])
    """
    return 1 - F.cosine_similarity(logits.float().softmax(1), p.float(), dim=1)


def contrast(retain: Float[Tensor, " r"], forget: Float[Tensor, " f"], tau: float) -> Float[Tensor, ""]:
    """Return Σ_j log{ exp(r_j) / Σ_i exp(f_i / τ) }: small where the retain losses are low and the forget losses high.

    A retain sample's gradient weighs 1, the forget samples' weigh r / (f τ) on average. No forget samples, no contrast.

    >>> import torch
    >>> contrast(torch.tensor([1.0, 2.0]), torch.tensor([0.0]), tau=5.0)
    tensor(3.)
    """
    if len(forget) == 0:
        return retain.sum()
    return retain.sum() - len(retain) * (forget / tau).logsumexp(0)


def mixed_contrast(
    logits: Float[Tensor, "n classes"],
    forget: Float[Tensor, "n classes"],
    retain: Float[Tensor, "n classes"],
    lam: float,
    tau: float,
    keep: Bool[Tensor, " n"] | None = None,
    level: Float[Tensor, " f"] | None = None,
) -> Float[Tensor, ""]:
    """Return L_mix for the outputs of n mixed images, with the targets of both images of each pair; L_gen is −L_mix.

    `keep` says which pairs count; None is all. `level` is the SimLoss to the forget target beyond which nothing is
    gained, of the first n or more forget images.

    >>> import torch
    >>> one = torch.eye(2)
    >>> mixed_contrast(100 * one, one.flip(0), one, lam=0.5, tau=1.0)  # 2 (0 − ½ − log 2): retained, and forgotten
    tensor(-2.3863)
    """
    apart, near = sim_loss(logits, forget), (1 - lam) * sim_loss(logits, retain)
    apart = lam * (apart if level is None else apart.minimum(level[: len(apart)]))
    if keep is not None:
        apart, near = apart[keep], near[keep]
    return contrast(near, apart, tau)
