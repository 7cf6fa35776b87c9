from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.models import ARCHITECTURES
from obliviate.task import Classification, InputSpace

ROWS = arrays(np.float32, (2, 3, 6), elements=st.sampled_from([-1.0, -0.25, 0.0, 0.5, 2.0]))
FREE = arrays(np.bool_, 6)


def tensors(*values: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array) for array in values]


@settings(deadline=None)
@given(rows=ROWS, free=FREE, share=arrays(np.float32, (3, 6), elements=st.floats(0, 1, width=32)))
def test_what_is_not_free_is_mixed_by_taking_all_of_it_from_one_row(
    rows: np.ndarray, free: np.ndarray, share: np.ndarray
) -> None:
    (first, second), (mask, weights) = torch.from_numpy(rows), tensors(free, share)
    mixed = InputSpace(-1.0, 2.0, free=mask).mixed(first, second, weights)
    for i in range(3):
        source = first if weights[i].mean() >= 0.5 else second
        assert mixed[i][~mask].equal(source[i][~mask])
        expected = [float(weights[i, j] * first[i, j] + (1 - weights[i, j]) * second[i, j]) for j in range(6)]
        torch.testing.assert_close(mixed[i][mask], torch.tensor(expected)[mask], atol=1e-6, rtol=1e-5)


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
    mixed = InputSpace(-1.0, 2.0, token=2).mixed(first, second, weights)
    for i in range(3):
        whole = first if weights[i].mean() >= 0.5 else second
        for j in range(3):
            both = bool(first[i, j].any()) and bool(second[i, j].any())
            expected = weights[i, j] * first[i, j] + (1 - weights[i, j]) * second[i, j] if both else whole[i, j]
            torch.testing.assert_close(mixed[i, j], expected, atol=1e-6, rtol=1e-5)


def test_the_share_of_what_is_taken_whole_has_the_gradient_of_a_mixture_and_the_points_have_their_own() -> None:
    share = torch.full((1, 2), 0.7, requires_grad=True)
    first, second = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    first.requires_grad_()
    second.requires_grad_()
    InputSpace(0.0, 4.0, free=torch.tensor([True, False])).mixed(first, second, share).sum().backward()
    assert share.grad is not None
    assert first.grad is not None
    assert second.grad is not None
    assert share.grad.tolist() == [[1.0, -3.0]]
    torch.testing.assert_close(torch.cat([first.grad, second.grad]), torch.tensor([[0.7, 1.0], [0.3, 0.0]]))


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


# ------------------------------------------------------------------------------------------- tokens and offsets

TOKENS = torch.tensor([[5, 3, 9, 2, 0, 0], [4, 4, 8, 7, 6, 3], [9, 0, 0, 0, 0, 0]])
TEXTS = Samples.from_tensors(TOKENS, torch.tensor([0, 2, 1]), ids=["a", "b", "c"])


def transformer() -> nn.Module:
    return ARCHITECTURES["text_transformer"](vocabulary=10, length=6, classes=3, width=8, heads=2)


def bert() -> nn.Module:
    pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = {"model_type": "bert", "vocab_size": 10, "max_position_embeddings": 8, **sizes}
    return ARCHITECTURES["huggingface"](config=config, classes=3)


BUILDERS = pytest.mark.parametrize("build", [transformer, bert])


def seeded(build: Callable[[], nn.Module]) -> tuple[nn.Module, InputSpace]:
    torch.manual_seed(0)
    model = build().eval()
    for weight in model.parameters():
        weight.data.add_(0.3 * torch.randn_like(weight))
    space = Classification(classes=3, tokens=True).space(model)
    assert space is not None
    return model, space


def shifted(space: InputSpace) -> Samples:
    """Points near those of the texts, with targets and ids of their own."""
    lifted = space.lifted(TEXTS).everything().x
    noise = 0.1 * torch.randn(lifted.shape, generator=torch.Generator().manual_seed(1)) * (TOKENS != 0)[..., None]
    return Samples.from_tensors(lifted + noise, torch.tensor([1, 1, 0]), ids=["a!", "b!", "c!"])


def test_points_that_are_inputs_already_stay_the_same_objects() -> None:
    space, samples = InputSpace(0.0, 1.0), Samples.from_tensors(torch.rand(2, 3), torch.zeros(2).long())
    x = torch.rand(2, 3)
    assert space.anchored(samples) is samples
    assert space.anchored_at(samples, TEXTS) is samples
    assert space.points(x) is x
    assert space.live(nn.Identity(), x) is x


@BUILDERS
def test_an_offset_of_zero_gives_the_output_for_the_tokens(build: Callable[[], nn.Module]) -> None:
    model, space = seeded(build)
    x = space.anchored(TEXTS).everything().x
    assert x.shape == (3, 6, 9)
    assert model(space.live(model, x)).equal(model(TOKENS))
    assert model(space.live(model, TOKENS)).equal(model(TOKENS))


@BUILDERS
def test_an_offset_leads_to_the_point_that_it_was_made_of(build: Callable[[], nn.Module]) -> None:
    model, space = seeded(build)
    points = shifted(space)
    anchored = space.anchored_at(points, TEXTS).everything()
    assert anchored.x[..., 0].equal(TOKENS.float())
    assert anchored.y.equal(points.everything().y)
    assert anchored.ids.tolist() == ["a!", "b!", "c!"]
    live = space.live(model, anchored.x)
    torch.testing.assert_close(live, points.everything().x, atol=1e-6, rtol=0)
    assert (live != 0).any(2).equal(TOKENS != 0)
    torch.testing.assert_close(model(live), model(points.everything().x), atol=1e-5, rtol=0)


@BUILDERS
def test_points_with_an_offset_move_with_the_embeddings_of_their_tokens(build: Callable[[], nn.Module]) -> None:
    model, space = seeded(build)
    anchored = space.anchored_at(shifted(space), TEXTS).everything().x
    before = space.live(model, anchored).detach()
    table = next(weight for name, weight in model.named_parameters() if weight.shape == (10, 8))
    with torch.no_grad():
        table[9] += 2.0
        table[0] += 1.0  # that of padding counts nowhere
    moved = (space.live(model, anchored) - before).detach()
    torch.testing.assert_close(moved, 2.0 * (TOKENS == 9)[..., None].expand(-1, -1, 8).float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(space.points(TOKENS), space.lifted(TEXTS).everything().x)  # those of the original stay


@BUILDERS
def test_gradients_reach_the_embeddings_of_the_tokens_that_are_there(build: Callable[[], nn.Module]) -> None:
    model, space = seeded(build)
    table = next(weight for name, weight in model.named_parameters() if weight.shape == (10, 8))
    for x in (TOKENS, space.anchored(TEXTS).everything().x, space.anchored_at(shifted(space), TEXTS).everything().x):
        (gradient,) = torch.autograd.grad(model(space.live(model, x))[:, 0].sum(), table)
        assert gradient.any(1).tolist() == [False, False, *[True] * 8]


def test_points_of_other_texts_or_of_wider_embeddings_are_refused() -> None:
    _, space = seeded(transformer)
    points = shifted(space)
    wide = Samples.from_tensors(torch.rand(3, 6, 16), torch.zeros(3).long())
    message = r"expected points of the shape \({}\), got \({}\); use points that were made of these samples"
    with pytest.raises(DataError, match=message.format("3, 6, 8", "3, 6, 16")):
        space.anchored_at(wide, TEXTS)
    with pytest.raises(DataError, match=message.format("2, 6, 8", "3, 6, 8")):
        space.anchored_at(points, TEXTS.select(["a", "b"]))


def test_limits_of_each_channel_hold_for_all_of_its_values():
    task = Classification(classes=2, input_range=((0.0, -1.0), (1.0, 1.0)))
    space = task.space(nn.Linear(1, 1))
    assert space is not None
    images = torch.tensor([[[[0.5, 2.0]], [[-2.0, 0.5]]]])
    flat = images.flatten(1)
    assert space.clamp(flat).tolist() == [[0.5, 1.0, -1.0, 0.5]]
    assert space.scaled(space.clamp(flat)).tolist() == [[0.0, 1.0, -1.0, 0.5]]
    assert space.room(space.clamp(flat), torch.ones(1, 4)).tolist() == [[0.5, 0.0, 2.0, 0.5]]
    space.check(images.clamp(0, 1))
    with pytest.raises(DataError, match=r"^expected inputs in \[-1, 1\] in channel 1, got \[-2, -2\]; "):
        space.check(images.clamp(max=1.0))


@pytest.mark.parametrize("shape", [(1, 6), (1, 2, 3), (1, 6, 2)])
def test_limits_that_are_neither_of_channels_nor_of_columns_are_refused(shape: tuple[int, ...]):
    with pytest.raises(DataError, match=r"^expected samples of 4 values, for which the task has limits, got "):
        InputSpace(torch.zeros(4), torch.ones(4)).check(torch.zeros(shape))
