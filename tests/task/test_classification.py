import math
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn
from torch.utils.data import Dataset

from obliviate.data.samples import Samples
from obliviate.data.stores import CHUNK
from obliviate.errors import DataError, MethodError, RecipeError
from obliviate.task import Classification, InputSpace
from obliviate.training.identity import describe_task
from obliviate.types import Batch


def logits(n: int = 50, classes: int = 4, *, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(n, classes, generator=generator), torch.arange(n) % classes


def labelled(y: Tensor, features: int = 3) -> Samples:
    return Samples.from_tensors(torch.zeros(len(y), features), y, ids=[str(i) for i in range(len(y))])


def test_losses_are_cross_entropy_per_sample_and_loss_is_their_mean():
    torch.manual_seed(0)
    model, (x, y) = nn.Linear(4, 4), logits()
    batch, task = Batch(x, y, np.arange(50).astype(str)), Classification(classes=4)
    expected = torch.stack([F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(task.losses(model, batch), expected)
    torch.testing.assert_close(task.loss(model, batch), F.cross_entropy(model(x), y))
    task.loss(model, batch).backward()
    assert model.weight.grad is not None
    assert model.weight.grad.abs().sum() > 0


def test_losses_are_float32_whatever_the_model_computes_in():
    x, y = logits()
    batch = Batch(x, y, np.arange(50).astype(str))
    losses = Classification(classes=4).losses(nn.Linear(4, 4).bfloat16(), Batch(x.bfloat16(), y, batch.ids))
    assert losses.dtype == torch.float32


def test_score_is_the_logit_of_the_true_class_probability():
    """φ = log p_y − log(1 − p_y), here in float64."""
    z, y = logits()
    log_p = log_softmax(z.double().numpy(), axis=1)
    others = np.array([logsumexp(np.delete(row, label)) for row, label in zip(log_p, y.tolist(), strict=True)])
    expected = log_p[np.arange(50), y.numpy()] - others
    p = np.exp(log_p[np.arange(50), y.numpy()])
    np.testing.assert_allclose(np.log(p) - np.log1p(-p), expected, atol=1e-9)
    np.testing.assert_allclose(Classification(classes=4).score(z, y).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_score_stays_exact_where_probabilities_round_to_0_and_1():
    z = torch.tensor([[200.0, 0.0, -50.0], [-200.0, 100.0, 100.0], [1e30, 0.0, 0.0]])
    expected = torch.tensor([200.0, -300.0 - math.log(2), 1e30])
    torch.testing.assert_close(Classification(classes=3).score(z, torch.tensor([0, 0, 0])), expected)


def test_correct_is_whether_the_largest_output_is_the_label():
    z = torch.tensor([[1.0, 2.0], [3.0, 2.0], [-1.0, -2.0]])
    assert Classification(classes=2).correct(z, torch.tensor([1, 1, 0])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("y", "got"),
    [
        (torch.tensor([0.0, 1.0]), "got torch.float32 labels of shape (2,)"),
        (torch.tensor([0, 1], dtype=torch.int32), "got torch.int32 labels"),
        (torch.tensor([False, True]), "got torch.bool labels"),
        (torch.tensor([[0], [1]]), "got torch.int64 labels of shape (2, 1)"),
        (torch.tensor([0, 3, 5]), "got 3 in sample '1'"),
        (torch.tensor([0, 2, -1]), "got -1 in sample '2'"),
        (torch.cat([torch.zeros(CHUNK + 7).long(), torch.tensor([9])]), f"got 9 in sample '{CHUNK + 7}'"),
    ],
)
def test_labels_of_another_kind_or_out_of_range_are_refused(y: Tensor, got: str):
    with pytest.raises(DataError, match=r"^expected .* of the forget set.*, got .*; |^expected .*, got .*; ") as error:
        Classification(classes=3).check_samples(labelled(y), what="forget set")
    assert got in str(error.value)
    assert "forget set" in str(error.value)


def test_labels_that_are_accepted_can_be_trained_on():
    samples = labelled(torch.tensor([0, 1, 2, 1]))
    task = Classification(classes=3)
    task.check_samples(samples, what="training set")
    assert task.losses(nn.Linear(3, 3), samples.everything()).shape == (4,)


class Named(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return {"a": x, "b": x}


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (nn.Linear(3, 4), "got (2, 4) from Linear"),
        (nn.Sequential(nn.Linear(3, 3), nn.Unflatten(1, (3, 1))), "got (2, 3, 1) from Sequential"),
        (nn.Linear(3, 1), "got (2, 1) from Linear"),
        (Named(), "got dict of 'a', 'b' from Named"),
        (nn.Linear(5, 3), "got an error from Linear ("),
        (nn.Conv2d(3, 3, 1), "got an error from Conv2d"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_and_keeps_its_mode(model: nn.Module, got: str):
    for training in (True, False):
        model.train(training)
        with pytest.raises(RecipeError, match=r"(?s)^expected .*, got .*; ") as error:
            Classification(classes=3).check_model(model, labelled(torch.tensor([0, 1, 2])))
        assert got in str(error.value)
        assert model.training is training


def test_wrong_channels_are_refused_before_any_training():
    images = Samples.from_tensors(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), ids=["a", "b"])
    model = nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten())
    with pytest.raises(RecipeError, match=r"got an error from Sequential.*; check the number of channels"):
        Classification(classes=2).check_model(model, images)


def test_checking_a_model_changes_nothing_in_it():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    Classification(classes=3).check_model(model, labelled(torch.tensor([0])))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weight.grad is None for weight in model.parameters())


def test_names_of_classes_are_all_or_none_and_play_no_part_in_what_a_task_is():
    plain, named = Classification(classes=2), Classification(classes=2, names=("no", "yes"))
    assert plain == named
    assert describe_task(plain) == describe_task(named)
    assert [plain.class_name(1), named.class_name(1)] == ["1", "yes"]
    with pytest.raises(DataError, match=r"^expected a name for each of 3 classes, got 2; name all of them, or none$"):
        Classification(classes=3, names=("no", "yes"))


def test_the_input_space_is_the_input_range():
    model = nn.Linear(3, 2)
    assert Classification(classes=2).space(model) == InputSpace(0.0, 1.0)
    assert Classification(classes=2, input_range=(-2.0, 3.0)).space(model) == InputSpace(-2.0, 3.0)
    assert Classification(classes=2, input_range=None).space(model) is None


def test_of_a_table_only_what_may_be_perturbed_is_free_and_each_column_has_its_range():
    task = Classification(classes=2, input_range=((0.0, -1.0, 5.0), (1.0, 1.0, 9.0)), perturbable=(0, 2))
    space = task.space(nn.Linear(3, 2))
    assert space is not None
    assert space.free is not None
    assert space.free.tolist() == [True, False, True]
    assert space.clamp(torch.tensor([[3.0, 7.0, 4.0]])).tolist() == [[1.0, 7.0, 5.0]]
    assert space.width == (1 + 4) / 2


class Words(nn.Module):
    """Mean of embeddings, of which id 0 is padding."""

    vocabulary = 5

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 2, padding_idx=0)
        self.head = nn.Linear(2, 3)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.table(tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x if x.is_floating_point() else self.embed(x)).mean(1))


def test_texts_are_perturbed_in_the_embeddings_that_the_model_has_when_it_is_asked():
    model, tokens = Words(), torch.tensor([[1, 4, 0], [2, 2, 3]])
    space = Classification(classes=3, tokens=True).space(model)
    assert space is not None
    samples = Samples.from_tensors(tokens, torch.tensor([0, 1]))
    lifted = space.lifted(samples).everything()
    torch.testing.assert_close(lifted.x, model.embed(tokens).detach())
    torch.testing.assert_close(model(lifted.x), model(tokens))
    assert not lifted.x.requires_grad
    assert not lifted.x[0, 2].any()
    assert float(lifted.x.min()) >= space.low
    assert float(lifted.x.max()) <= space.high
    with torch.no_grad():
        model.table.weight += 1
    torch.testing.assert_close(space.lifted(samples).everything().x, lifted.x)


def test_a_model_without_embeddings_is_refused_where_they_would_be_perturbed():
    with pytest.raises(
        MethodError, match=r"^expected a text model with `embed` and `vocabulary`, got Linear without; "
    ):
        Classification(classes=3, tokens=True).space(nn.Linear(3, 3))


def test_a_channel_that_says_where_tokens_are_is_not_perturbed_and_gives_no_range():
    class Masked(Words):
        def embed(self, tokens: Tensor) -> Tensor:
            present = (tokens != 0)[..., None].float()
            return torch.cat([self.table(tokens) * present, 9 * present], 2)

    model, tokens = Masked(), torch.tensor([[1, 4, 0]])
    space = Classification(classes=3, tokens=True).space(model)
    assert space is not None
    assert space.free is not None
    assert space.free.tolist() == [True, True, False]
    assert space.high == float(model.table.weight.detach().max().clamp_min(0))
    assert space.lift is not None
    free = space.movable(space.lift(tokens).flatten(1))
    assert free is not None
    assert free.tolist() == [[True, True, False, True, True, False, False, False, False]]


def test_embeddings_that_are_the_same_for_all_tokens_are_refused():
    model = Words()
    torch.nn.init.ones_(model.table.weight)
    with pytest.raises(MethodError, match="expected embeddings that differ from token to token, got the same for all"):
        Classification(classes=3, tokens=True).space(model)


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (torch.zeros(2, 1).long(), "take the second axis off with `.squeeze(1)`"),
        (torch.tensor([[0, 1, 0], [1, 0, 0]]), "they are one-hot: take the numbers of the classes with `.argmax(1)`"),
        (torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), "give one class a sample, or use `MultiLabel`"),
        (torch.zeros(2, 4, 4).long(), "a class for each position (segmentation) is not served"),
        (torch.tensor([0.5, 1.0]), "take numbers of classes, or `Regression`"),
        (torch.tensor([0.0, 1.0]), "convert them with `.long()`"),
        (torch.tensor([1, 3]), "labels seem to begin at 1: subtract 1 from all"),
    ],
    ids=["column", "one-hot", "several", "segmentation", "fractions", "floats", "from one"],
)
def test_labels_that_are_no_classes_are_refused_by_what_is_wrong_with_them(y: Tensor, remedy: str):
    with pytest.raises(DataError, match=rf"; .*{re.escape(remedy)}"):
        Classification(classes=3).check_samples(labelled(y), what="training set")


def test_one_logit_of_two_classes_is_read_as_both_and_no_other_output():
    task = Classification(classes=2)
    for output in (torch.tensor([1.0, -2.0]), torch.tensor([[1.0], [-2.0]])):
        assert task.read(output).tolist() == [[0.0, 1.0], [0.0, -2.0]]
    both = torch.rand(2, 2)
    assert task.read(both) is both
    assert Classification(classes=3).read(torch.zeros(2, 1)).shape == (2, 1)


def test_inputs_need_not_be_read_for_their_labels():
    class Unreadable(Dataset[Any]):
        read = 0

        def __len__(self) -> int:
            return 4

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            self.read += 1
            return torch.full((2,), float(place)), place % 2

    dataset = Unreadable()
    samples = Samples.from_dataset(dataset, ids=list("abcd"), in_memory=False)
    read = dataset.read
    Classification(classes=2).check_samples(samples, what="training set")
    assert dataset.read == read
