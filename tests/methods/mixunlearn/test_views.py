import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.methods.mixunlearn.views import CODES, ImageView, TableView, TextView, view_of
from obliviate.task import Classification, InputSpace
from obliviate.training.run import Run


class Text(nn.Module):
    """Embeddings with a last channel that says where there are tokens; id 0 is padding."""

    vocabulary = 9

    def __init__(self) -> None:
        super().__init__()
        self.table, self.each, self.last = nn.Embedding(9, 4), nn.Linear(5, 6), nn.Linear(6, 2)

    def embed(self, tokens: Tensor) -> Tensor:
        present = (tokens != 0)[..., None].float()
        return torch.cat([self.table(tokens) * present, present], 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.each(x if x.is_floating_point() else self.embed(x)).mean(1))


TASK = Classification(classes=2, tokens=True)
TOKENS = torch.tensor([[3, 8, 3, 0], [3, 1, 0, 0], [5, 8, 8, 8]])


def text_view() -> tuple[TextView, Tensor]:
    model, samples = Text(), Samples.from_tensors(TOKENS, torch.tensor([0, 1, 0]))
    space = TASK.space(model)
    assert space is not None
    x = space.lifted(samples).everything().x
    view = view_of(model, space, x, [samples], name=None, maps=True, run=Run(TASK))
    assert isinstance(view, TextView)
    return view, x


def test_a_text_is_seen_by_a_layer_token_by_token_and_padding_is_not_there() -> None:
    view, x = text_view()
    seen = torch.randn(3, 4, 6)
    assert view.layer == "each"
    maps = view.map(seen, x)
    assert maps.shape == (3, 6, 4, 1)
    assert not maps[0, :, 3].any()
    torch.testing.assert_close(maps[0, :, 1, 0], F.layer_norm(seen[0, 1], (6,)))
    present = view.present(x)
    assert present[..., 0].equal(TOKENS != 0)
    assert view.share(torch.rand(3, 1, 4, 1)).shape == (3, 4, 1)


def test_all_texts_are_compared_by_their_rare_words_and_not_by_what_was_learnt() -> None:
    view, x = text_view()
    assert view.weight[0] == 0  # padding
    vectors = view.likeness_of(x, x, TOKENS)
    assert vectors.equal(view.likeness_of(x, torch.randn_like(x), TOKENS))
    expected = torch.tensor([2.0, 1.0]) / 5**0.5 @ torch.tensor([0.0, 1.0])  # 3 and 8 are equally rare
    assert view.weight[3] == view.weight[8]
    torch.testing.assert_close(vectors[0, 8], expected)


def test_a_channel_that_says_where_tokens_are_has_no_part_in_the_likeness_of_a_batch() -> None:
    view, x = text_view()
    torch.testing.assert_close(view.vector(x, x), F.normalize(x[..., :4].sum(1)))


def test_each_column_of_a_table_has_a_code_of_its_own() -> None:
    for columns in (5, CODES + 20):
        x = torch.rand(4, columns)
        view = view_of(nn.Linear(columns, 2), InputSpace(0.0, 1.0), x, [], name=None, maps=True, run=Run(TASK, seed=3))
        assert isinstance(view, TableView)
        codes = min(columns, CODES)
        maps = view.map(x, x)
        assert maps.shape == (4, codes, columns, 1)
        torch.testing.assert_close(maps.norm(dim=1)[..., 0], codes**0.5 * (2 * x - 1).abs())
        likeness = F.normalize(view.codes, dim=0).T @ F.normalize(view.codes, dim=0) - torch.eye(columns)
        assert likeness.abs().max() < (1e-6 if columns == codes else 0.8)
        again = view_of(nn.Linear(columns, 2), InputSpace(0.0, 1.0), x, [], name=None, maps=True, run=Run(TASK, seed=3))
        assert isinstance(again, TableView)
        assert again.codes.equal(view.codes)


def test_rows_are_compared_in_units_of_their_columns_ranges() -> None:
    low, high = torch.tensor([0.0, -100.0, 0.0]), torch.tensor([1.0, 300.0, 1.0])
    space = InputSpace(low, high, free=torch.tensor([True, True, False]))
    x = torch.tensor([[0.25, 200.0, 1.0]])
    view = view_of(nn.Linear(3, 2), space, x, [], name=None, maps=False, run=Run(TASK))
    torch.testing.assert_close(view.vector(x, x), F.normalize(torch.tensor([[-0.5, 0.5, 1.0]])))


@pytest.mark.parametrize(("side", "factor"), [(8, 1), (9, 2), (14, 2), (16, 2), (17, 3)])
def test_maps_that_are_too_large_are_averaged_down(side: int, factor: int) -> None:
    view, seen = ImageView("conv", "conv"), torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(0))
    small = view.map(seen, torch.zeros(2, 1, 28, 28))
    assert max(small.shape[2:]) <= 8
    assert small.equal(F.avg_pool2d(seen, factor, ceil_mode=True))
