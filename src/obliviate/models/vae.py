"""A variational autoencoder of vectors: what LAF takes for the distribution of a model's representations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class VAE(nn.Module):
    """Three linear layers each way, `features` → 128 → 32 → `latent`, after Shen et al. 2024 (arXiv 2404.00506).

    >>> VAE(256, latent=8)(torch.zeros(2, 256))[0].shape
    torch.Size([2, 256])
    """

    def __init__(self, features: int, *, latent: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU())
        self.mean = nn.Linear(32, latent)
        self.log_variance = nn.Linear(32, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, 32), nn.ReLU(), nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, features)
        )

    def forward(
        self, x: Float[Tensor, "n features"]
    ) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Return the reconstruction from a draw of the latent variable, and the latent's mean and log variance."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def elbo_loss(vae: nn.Module, x: Float[Tensor, "n features"], *, beta: float) -> Float[Tensor, ""]:
    """Return the mean of ‖x̂ − x‖² + β KL(q(z|x) ‖ N(0, 1)) over the batch.

    >>> class Blank(nn.Module):
    ...     def forward(self, x):
    ...         return torch.zeros_like(x), torch.ones(len(x), 2), torch.zeros(len(x), 2)
    >>> elbo_loss(Blank(), torch.ones(3, 4), beta=0.5)  # 4 + 0.5 · (½ + ½)
    tensor(4.5000)
    """
    reconstruction, mean, log_variance = vae(x)
    error = F.mse_loss(reconstruction.float(), x.float(), reduction="none").sum(1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).float().sum(1)
    return (error + beta * divergence).mean()
