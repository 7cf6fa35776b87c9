import torch
from torch.distributions import Normal, kl_divergence

from obliviate.models.vae import VAE, elbo_loss


def test_the_loss_is_the_squared_error_and_the_divergence_that_torch_computes() -> None:
    x = torch.rand(5, 7, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    vae = VAE(7, latent=3)
    torch.manual_seed(2)
    loss = elbo_loss(vae, x, beta=0.3)
    torch.manual_seed(2)
    reconstruction, mean, log_variance = vae(x)
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    expected = ((reconstruction - x) ** 2).sum(1) + 0.3 * divergence
    torch.testing.assert_close(loss, expected.mean())
    assert float(divergence.detach().min()) > 0.001


def test_it_learns_what_it_is_shown_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(1, 16, generator=generator)
    shown = torch.randn(256, 1, generator=generator) * direction
    strange = torch.randn(256, 16, generator=generator)
    torch.manual_seed(0)
    vae = VAE(16, latent=2)
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    for _ in range(300):
        loss = elbo_loss(vae, shown, beta=0.025)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        errors = [float((vae(x)[0] - x).square().sum() / x.square().sum()) for x in (shown, strange)]
    assert errors[0] < 0.15
    assert errors[1] > 0.7
