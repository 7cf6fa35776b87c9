import pytest
import torch

from obliviate.training.distillation import divergence


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_divergence_is_the_formula_written_out_sample_by_sample(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    total = 0.0
    for row in range(7):
        p = [float(one) for one in (teacher[row] / temperature).exp()]
        q = [float(one) for one in (student[row] / temperature).exp()]
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
