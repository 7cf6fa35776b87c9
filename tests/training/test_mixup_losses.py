import math

import pytest
import torch
from torch import Tensor

from obliviate.training.mixup_losses import contrast, mixed_contrast, sharpen, sim_loss


def cosine_loss(logits: Tensor, p: Tensor) -> float:
    exponents = [math.exp(logit) for logit in logits.tolist()]
    f, q = [exponent / sum(exponents) for exponent in exponents], p.tolist()
    norm = math.sqrt(sum(a * a for a in f)) * math.sqrt(sum(b * b for b in q))
    return 1 - sum(a * b for a, b in zip(f, q, strict=True)) / norm


def random(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 4, generator=generator)
    forget, retain = torch.randn(2, n, 4, generator=generator).softmax(-1)
    return logits, forget, retain


@pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0])
def test_sharpening_is_a_power_renormalised(temperature: float):
    p = random(6, 0)[1]
    power = p ** (1 / temperature)
    torch.testing.assert_close(sharpen(p, temperature), power / power.sum(1, keepdim=True))


def test_sharpening_does_not_break_on_probabilities_that_vanish():
    tiny = torch.tensor([[1e-20, 2e-20, 0.0], [1.0, 0.0, 0.0]])
    assert torch.isfinite(sharpen(tiny, 0.3)).all()
    assert sharpen(tiny, 0.3)[1].tolist() == [1.0, 0.0, 0.0]


def test_similarity_loss_is_one_minus_the_cosine_of_probabilities():
    logits, p, _ = random(5, 1)
    expected = [cosine_loss(a, b) for a, b in zip(logits, p, strict=True)]
    torch.testing.assert_close(sim_loss(logits, p), torch.tensor(expected))


def test_losses_are_float32_whatever_the_outputs_are():
    logits, p, _ = random(5, 1)
    assert sim_loss(logits.bfloat16(), p).dtype == torch.float32


@pytest.mark.parametrize(("forget", "retain", "tau"), [(3, 3, 1.0), (2, 5, 4.0), (5, 1, 0.5)])
def test_the_contrast_is_the_formula_written_out(forget: int, retain: int, tau: float):
    generator = torch.Generator().manual_seed(2)
    f, r = torch.rand(forget, generator=generator), torch.rand(retain, generator=generator)
    below = sum(math.exp(similarity / tau) for similarity in f.tolist())
    expected = sum(math.log(math.exp(similarity) / below) for similarity in r.tolist())
    torch.testing.assert_close(contrast(r, f, tau), torch.tensor(expected))


@pytest.mark.parametrize(("lam", "tau"), [(0.1, 1.0), (0.7, 5.0)])
def test_the_mixed_contrast_is_the_formula_written_out(lam: float, tau: float):
    logits, forget, retain = random(6, 3)
    below = sum(math.exp(lam * cosine_loss(a, b) / tau) for a, b in zip(logits, forget, strict=True))
    near = [(1 - lam) * cosine_loss(a, b) for a, b in zip(logits, retain, strict=True)]
    expected = sum(math.log(math.exp(similarity) / below) for similarity in near)
    torch.testing.assert_close(mixed_contrast(logits, forget, retain, lam, tau), torch.tensor(expected))


def test_a_retain_sample_weighs_one_and_a_forget_sample_one_in_tau():
    f, r = torch.full((4,), 0.5, requires_grad=True), torch.full((4,), 0.2, requires_grad=True)
    contrast(r, f, 8.0).backward()
    assert r.grad is not None
    assert f.grad is not None
    assert r.grad.tolist() == [1.0] * 4
    torch.testing.assert_close(f.grad, torch.full((4,), -1 / 8))


def test_pairs_that_do_not_count_are_left_out():
    logits, forget, retain = random(6, 4)
    keep = torch.tensor([True, False, True, True, False, False])
    expected = mixed_contrast(logits[keep], forget[keep], retain[keep], 0.4, 2.0)
    torch.testing.assert_close(mixed_contrast(logits, forget, retain, 0.4, 2.0, keep), expected)


def test_beyond_its_level_a_forget_image_counts_as_if_it_stood_there():
    logits, forget, retain = random(6, 6)
    level = torch.tensor([0.0, 1.0, 0.2, 1.0, 0.5, 1.0, 0.3])  # the last has no partner
    apart = [min(cosine_loss(a, b), float(most)) for a, b, most in zip(logits, forget, level[:6], strict=True)]
    below = sum(math.exp(0.4 * similarity / 2.0) for similarity in apart)
    near = [0.6 * cosine_loss(a, b) for a, b in zip(logits, retain, strict=True)]
    expected = torch.tensor(sum(math.log(math.exp(similarity) / below) for similarity in near))
    torch.testing.assert_close(mixed_contrast(logits, forget, retain, 0.4, 2.0, level=level), expected)
    assert expected != mixed_contrast(logits, forget, retain, 0.4, 2.0)


def test_without_a_pair_that_counts_there_is_nothing_to_learn():
    logits, forget, retain = random(6, 5)
    logits.requires_grad_()
    value = mixed_contrast(logits, forget, retain, 0.4, 2.0, torch.zeros(6, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
