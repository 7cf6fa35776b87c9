import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from torch import Tensor

from obliviate.errors import DataError
from obliviate.task import InputSpace

ROWS = arrays(np.float32, (2, 3, 6), elements=st.sampled_from([-1.0, -0.25, 0.0, 0.5, 2.0]))
FREE = arrays(np.bool_, 6)


def tensors(*given: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(one) for one in given]


@settings(deadline=None)
@given(rows=ROWS, free=FREE, share=arrays(np.float32, (3, 6), elements=st.floats(0, 1, width=32)))
def test_what_is_not_free_is_mixed_by_taking_all_of_it_from_one_row(
    rows: np.ndarray, free: np.ndarray, share: np.ndarray
) -> None:
    (first, second), (mask, weights) = torch.from_numpy(rows), tensors(free, share)
    found = InputSpace(-1.0, 2.0, free=mask).mixed(first, second, weights)
    for i in range(3):
        source = first if weights[i].mean() >= 0.5 else second
        assert found[i][~mask].equal(source[i][~mask])
        expected = [float(weights[i, j] * first[i, j] + (1 - weights[i, j]) * second[i, j]) for j in range(6)]
        torch.testing.assert_close(found[i][mask], torch.tensor(expected)[mask], atol=1e-6, rtol=1e-5)


@settings(deadline=None)
@given(rows=ROWS, share=st.floats(0, 1, width=32))
def test_one_share_for_all_mixes_as_a_mask_of_that_share(rows: np.ndarray, share: float) -> None:
    first, second = torch.from_numpy(rows)
    space = InputSpace(-1.0, 2.0, free=torch.tensor([True, False, True, False, True, False]))
    mask = torch.full((3, 6), share)
    torch.testing.assert_close(space.mixed(first, second, share), space.mixed(first, second, mask), atol=1e-6, rtol=0)


@settings(deadline=None)
@given(rows=ROWS, share=arrays(np.float32, (3, 3, 1), elements=st.floats(0, 1, width=32)))
def test_texts_are_mixed_where_both_have_tokens(rows: np.ndarray, share: np.ndarray) -> None:
    first, second = torch.from_numpy(rows).unflatten(2, (3, 2))
    (weights,) = tensors(share)
    found = InputSpace(-1.0, 2.0, token=2).mixed(first, second, weights)
    for i in range(3):
        whole = first if weights[i].mean() >= 0.5 else second
        for j in range(3):
            both = bool(first[i, j].any()) and bool(second[i, j].any())
            expected = weights[i, j] * first[i, j] + (1 - weights[i, j]) * second[i, j] if both else whole[i, j]
            torch.testing.assert_close(found[i, j], expected, atol=1e-6, rtol=1e-5)


def test_the_share_of_what_is_taken_whole_has_the_gradient_of_a_mixture() -> None:
    share = torch.full((1, 2), 0.7, requires_grad=True)
    first, second = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    InputSpace(0.0, 4.0, free=torch.tensor([True, False])).mixed(first, second, share).sum().backward()
    assert share.grad is not None
    assert share.grad.tolist() == [[1.0, -3.0]]


def test_padding_and_channels_that_are_not_free_stay_where_they_are() -> None:
    space = InputSpace(-1.0, 1.0, free=torch.tensor([True, False]), token=2)
    x = torch.tensor([[5.0, 1.0, 0.0, 0.0, 0.0, 1.0]])
    assert space.clamp(x).tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
    assert space.held(x, torch.ones(1, 6)).tolist() == [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]
    assert space.room(x * 0.1, -torch.ones(1, 6)).tolist() == [[1.5, 0.0, 0.0, 0.0, 1.0, 0.0]]
    with pytest.raises(DataError, match=r"expected inputs in \[-1, 1\], got \[0, 5\]; set the task's"):
        space.check(x)
    space.check(space.clamp(x))


def test_columns_beyond_a_shorter_mask_are_not_free() -> None:
    space = InputSpace(0.0, 1.0, free=torch.tensor([False, True]))
    assert space.clamp(torch.tensor([[3.0, 3.0, 3.0]])).tolist() == [[3.0, 1.0, 3.0]]


@pytest.mark.parametrize(
    "space",
    [
        InputSpace(torch.zeros(4), torch.ones(4)),
        InputSpace(0.0, torch.ones(2)),
        InputSpace(0.0, 1.0, free=torch.ones(5).bool()),
    ],
)
def test_limits_of_another_width_than_the_samples_are_refused(space: InputSpace) -> None:
    with pytest.raises(
        DataError, match=r"expected samples of \d values, for which the task has limits, got 3; correct"
    ):
        space.check(torch.full((2, 3), 0.5))
