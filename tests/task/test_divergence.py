import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from obliviate.task import CausalLM, MultiLabel, Regression
from obliviate.task.divergence import divergence


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_divergence_is_the_formula_written_out_sample_by_sample(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    total = 0.0
    for row in range(7):
        p = [float(value) for value in (teacher[row] / temperature).exp()]
        q = [float(value) for value in (student[row] / temperature).exp()]
        for a, b in zip(p, q, strict=True):
            share = torch.tensor([a / sum(p), b / sum(q)], dtype=torch.float64)
            total += float(share[0] * (share[0].log() - share[1].log()))
    expected = temperature**2 * total / 7
    assert float(divergence(student, teacher, temperature=temperature)) == pytest.approx(expected, rel=1e-5)


def test_divergence_is_least_at_the_teacher_and_not_symmetric() -> None:
    teacher = torch.tensor([[2.0, 0.0, -3.0]])
    student = teacher.clone().requires_grad_()
    divergence(student, teacher).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-6
    other = torch.tensor([[-1.0, 0.5, 0.0]])
    assert float(divergence(other, teacher)) > 0.1
    assert abs(float(divergence(other, teacher)) - float(divergence(teacher, other))) > 0.01


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_of_labels_it_is_the_divergence_of_bernoullis() -> None:
    student, teacher = drawn(6, 3, seed=0), drawn(6, 3, seed=1)
    expected = kl_divergence(Bernoulli(logits=teacher / 2), Bernoulli(logits=student / 2)).mean() * 4
    divergence = MultiLabel(labels=3).divergence(student, teacher, torch.zeros(6, 3), temperature=2.0)
    torch.testing.assert_close(divergence, expected)


def test_of_numbers_it_is_the_divergence_of_gaussians() -> None:
    student, teacher = drawn(6, 2, seed=0), drawn(6, 2, seed=1)
    expected = kl_divergence(Normal(teacher, 0.5), Normal(student, 0.5)).mean()
    divergence = Regression(outputs=2, scale=0.5).divergence(student, teacher, torch.zeros(6, 2), temperature=3.0)
    torch.testing.assert_close(divergence, expected)


def test_of_texts_it_is_the_mean_over_the_tokens_that_count() -> None:
    student, teacher = drawn(2, 3, 5, seed=0), drawn(2, 3, 5, seed=1)
    y = torch.tensor([[1, 2, -100], [4, -100, -100]])
    each = kl_divergence(Categorical(logits=teacher), Categorical(logits=student))
    expected = (each[0, 0] + each[0, 1] + each[1, 0]) / 3
    torch.testing.assert_close(CausalLM(tokens=5).divergence(student, teacher, y), expected)
