"""What models answer with is read as one tensor."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from obliviate.errors import RecipeError
from obliviate.models.answers import ask, binary_logits, tensor_of

WANTED, OTHER = torch.ones(2, 3), torch.zeros(2, 5)


@pytest.mark.parametrize(
    "output",
    [
        WANTED,
        (WANTED, OTHER),
        [WANTED, None],
        ((WANTED, OTHER), OTHER),
        {"logits": WANTED, "aux": OTHER},
        {"aux": OTHER, "out": WANTED},
        {"score": WANTED},
        SimpleNamespace(logits=WANTED, loss=OTHER),
    ],
    ids=["tensor", "tuple", "list", "nested", "logits", "out", "only", "object"],
)
def test_the_tensor_of_the_logits_is_found(output: Any):
    assert tensor_of(output) is WANTED


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (None, "NoneType"),
        ({"a": WANTED, "b": OTHER}, "dict of 'a', 'b'"),
        ({}, "dict of no tensor"),
        ((), "tuple"),
        (("text", WANTED), "tuple that begins with str"),
    ],
    ids=["none", "names", "empty", "no entry", "text first"],
)
def test_answers_without_one_are_refused_with_how_to_wrap(output: object, got: str):
    with pytest.raises(RecipeError, match=rf"got {got} from Net; wrap the model in a module whose `forward` returns"):
        tensor_of(output, of="Net")


def test_one_logit_has_the_probabilities_and_the_loss_of_two():
    z, y = torch.tensor([[-1.5], [0.2], [3.0]]), torch.tensor([0, 1, 0])
    both = binary_logits(z)
    torch.testing.assert_close(both.softmax(1)[:, 1], z[:, 0].sigmoid())
    single = nn.functional.binary_cross_entropy_with_logits(z[:, 0], y.float())
    torch.testing.assert_close(nn.functional.cross_entropy(both, y), single)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("asked", [torch.float32, torch.bfloat16, torch.float64])
def test_inputs_have_the_number_format_of_the_model(dtype: torch.dtype, asked: torch.dtype):
    assert ask(nn.Linear(2, 3).to(dtype), torch.zeros(4, 2, dtype=asked)).dtype == dtype


def test_a_single_sample_is_answered_by_a_norm_without_running_statistics():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False))
    torch.testing.assert_close(ask(model.eval(), torch.rand(1, 2)), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="more than 1 value"):  # and the model is as it was
        model(torch.rand(1, 2))
