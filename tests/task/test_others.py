"""What holds for the tasks other than classification, each against an independent computation of its likelihood."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import DataError, RecipeError
from obliviate.task import EVIDENCE, CausalLM, MultiLabel, Regression, Task
from obliviate.types import Batch


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_likelihood_of_labels_is_the_product_of_bernoullis():
    z, y = drawn(20, 4), (drawn(20, 4, seed=1) > 0).float()
    p = stats.bernoulli.pmf(y.numpy(), 1 / (1 + np.exp(-z.double().numpy())))
    task = MultiLabel(labels=4)
    np.testing.assert_allclose(task.nll(z, y), -np.log(p).sum(1), rtol=1e-5)
    np.testing.assert_allclose(task.per_sample(z, y), -np.log(p).mean(1), rtol=1e-5)


def test_a_sample_is_right_when_all_its_labels_are():
    z = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    y = torch.tensor([[1, 0], [1, 0], [0, 0]])
    assert MultiLabel(labels=2).correct(z, y).tolist() == [True, False, True]


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_likelihood_of_numbers_is_gaussian(outputs: int):
    z, y = drawn(20, outputs), drawn(20, outputs, seed=1)
    task = Regression(outputs=outputs, scale=0.7)
    density = stats.norm.logpdf(z.double().numpy(), loc=y.double().numpy(), scale=0.7)
    constant = outputs * math.log(0.7 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(task.nll(z, y), -density.sum(1) - constant, rtol=1e-4, atol=1e-6)


def test_numbers_may_be_a_column_or_a_vector():
    task, z, y = Regression(), drawn(5, 1), drawn(5, seed=1)
    assert task.per_sample(z, y).equal(task.per_sample(z[:, 0], y[:, None]))


def test_a_number_is_right_within_the_tolerance():
    z, y = torch.tensor([[0.0], [0.4], [0.6], [-0.5]]), torch.zeros(4)
    assert Regression(tolerance=0.5).correct(z, y).tolist() == [True, True, False, True]
    assert Regression().correct(z, y).all()


def test_the_loss_of_a_text_is_the_mean_over_the_tokens_that_count():
    task, z = CausalLM(tokens=6), drawn(3, 4, 6)
    y = torch.tensor([[1, 2, 3, 4], [5, -100, -100, -100], [0, 1, -100, 2]])
    expected = []
    for row, targets in zip(z.double().numpy(), y.tolist(), strict=True):
        each = [np.log(np.exp(at).sum()) - at[token] for at, token in zip(row, targets, strict=True) if token >= 0]
        expected.append(np.mean(each))
    np.testing.assert_allclose(task.per_sample(z, y), expected, rtol=1e-5)


def test_of_a_text_the_share_of_tokens_that_are_predicted_is_right():
    task, y = CausalLM(tokens=3), torch.tensor([[0, 1, 2, -100], [2, 2, -100, -100]])
    z = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1, 1], [0, 0, 2, 2]]), 3).float()
    torch.testing.assert_close(task.correct(z, y), torch.tensor([2 / 3, 0.0]))


@pytest.mark.parametrize(
    ("task", "output", "y"),
    [
        (MultiLabel(labels=3), drawn(8, 3), (drawn(8, 3, seed=1) > 0).float()),
        (Regression(), drawn(8, 1), drawn(8, seed=1)),
        (CausalLM(tokens=5), drawn(8, 4, 5), torch.arange(32).view(8, 4) % 5),
    ],
)
def test_what_audits_keep_is_likelihood_its_odds_and_what_is_right(task: Task, output: Tensor, y: Tensor):
    seen = dict(zip(EVIDENCE, task.observe(output, y).T, strict=False))
    p = np.exp(-task.nll(output, y).double().numpy())
    np.testing.assert_allclose(seen["nll"], task.nll(output, y))
    np.testing.assert_allclose(seen["score"], np.log(p) - np.log1p(-p), rtol=1e-4)
    np.testing.assert_allclose(seen["correct"], task.correct(output, y).float())


def test_the_odds_of_an_exact_prediction_are_finite():
    assert Regression().score(torch.zeros(1, 1), torch.zeros(1)).isfinite().all()


@pytest.mark.parametrize(
    ("task", "x", "y", "got"),
    [
        (MultiLabel(labels=2), torch.zeros(3, 2), torch.tensor([0, 1, 0]), "got (3,)"),
        (MultiLabel(labels=2), torch.zeros(3, 2), torch.zeros(3, 3), "got (3, 3)"),
        (
            MultiLabel(labels=2),
            torch.zeros(2, 2),
            torch.tensor([[0.0, 1.0], [2.0, 0.0]]),
            "got [2.0, 0.0] in sample 'b'",
        ),
        (Regression(), torch.zeros(2, 2), torch.tensor([0, 1]), "got torch.int64 of shape (2,)"),
        (Regression(), torch.zeros(2, 2), torch.zeros(2, 3), "got torch.float32 of shape (2, 3)"),
        (CausalLM(tokens=4), torch.zeros(2, 3), torch.zeros(2, 3).long(), "got torch.float32 of shape (2, 3)"),
        (CausalLM(tokens=4), torch.zeros(2, 3).long(), torch.zeros(2, 2).long(), "torch.int64 of shape (2, 2)"),
        (CausalLM(tokens=4), torch.tensor([[0, 1], [4, 0]]), torch.zeros(2, 2).long(), "got others in sample 'b'"),
        (CausalLM(tokens=4), torch.zeros(2, 2).long(), torch.tensor([[-1, 1], [4, 0]]), "got others in sample 'a'"),
        (
            CausalLM(tokens=4),
            torch.zeros(2, 2).long(),
            torch.tensor([[-100, 1], [-100, -100]]),
            "got none in sample 'b'",
        ),
    ],
)
def test_samples_of_another_task_are_refused(task: Task, x: Tensor, y: Tensor, got: str):
    samples = Samples.from_tensors(x, y, ids=["a", "b", "c"][: len(x)])
    with pytest.raises(DataError, match=r"^expected .*, got .* of the training set; ") as error:
        task.check_samples(samples, what="training set")
    assert got in str(error.value)


@pytest.mark.parametrize(
    ("task", "y"),
    [
        (MultiLabel(labels=2), torch.tensor([[0, 1], [1, 1]])),
        (Regression(), torch.zeros(2)),
        (Regression(outputs=2), torch.zeros(2, 2)),
        (CausalLM(tokens=4), torch.tensor([[0, 3], [-100, 1]])),
    ],
)
def test_samples_of_the_task_are_accepted(task: Task, y: Tensor):
    task.check_samples(Samples.from_tensors(torch.zeros(2, 2).long(), y, ids=["a", "b"]), what="training set")


@pytest.mark.parametrize(
    ("task", "y"),
    [
        (MultiLabel(labels=2), torch.zeros(2, 2)),
        (Regression(outputs=2), torch.zeros(2, 2)),
        (CausalLM(tokens=4), torch.zeros(2, 3).long()),
    ],
)
def test_a_model_of_another_width_is_refused(task: Task, y: Tensor):
    x = torch.zeros(2, 3).long() if isinstance(task, CausalLM) else torch.zeros(2, 3)
    samples = Samples.from_tensors(x, y, ids=["a", "b"])
    model = nn.Embedding(4, 5) if isinstance(task, CausalLM) else nn.Linear(3, 5)
    with pytest.raises(RecipeError, match=r"^expected an output of shape .*, got .* from .*; "):
        task.check_model(model, samples)


class Averaged(Regression):
    def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
        return super().per_sample(output, y).mean()


def test_a_task_whose_loss_is_no_loss_a_sample_is_refused():
    samples = Samples.from_tensors(torch.zeros(2, 3), torch.zeros(2), ids=["a", "b"])
    with pytest.raises(RecipeError, match=r"^expected one loss a sample, \(2,\), got \(\) from Averaged; "):
        Averaged().check_model(nn.Linear(3, 1), samples)


@pytest.mark.parametrize(("scale", "tolerance"), [(0.0, None), (1.0, -1.0)])
def test_a_scale_that_is_none_is_refused(scale: float, tolerance: float | None):
    with pytest.raises(DataError, match=r"^expected (scale|tolerance) above 0, got "):
        Regression(scale=scale, tolerance=tolerance)


def test_gradients_reach_the_model():
    model = nn.Linear(3, 2)
    batch = Batch(drawn(4, 3), (drawn(4, 2, seed=1) > 0).float(), np.array(list("abcd")))
    MultiLabel(labels=2).loss(model, batch).backward()
    assert model.weight.grad is not None
    assert model.weight.grad.abs().sum() > 0


def test_a_model_for_shorter_texts_or_fewer_words_is_refused():
    samples = Samples.from_tensors(torch.tensor([[0, 3], [9, 1]]), torch.tensor([[3, 0], [1, 0]]), ids=["a", "b"])
    with pytest.raises(RecipeError, match=r"an error from Embedding .*; check its `length` and its `vocabulary`$"):
        CausalLM(tokens=5).check_model(nn.Embedding(5, 5), samples)
