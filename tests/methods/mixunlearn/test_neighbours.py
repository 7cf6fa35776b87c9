import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.feature_extraction.text import TfidfTransformer
from torch import Tensor

from obliviate.methods.mixunlearn.neighbours import bag_of_words, direction, nearest, rarity


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [(12,), (5, 4, 3), (1, 11), (2, 2, 2, 2, 2, 2)])
@pytest.mark.parametrize("k", [1, 4, 12])
def test_the_nearest_are_those_of_the_whole_table_however_it_is_cut(sizes: tuple[int, ...], k: int) -> None:
    wanted, vectors, sayings = random(6, 3, seed=0), random(12, 3, seed=1), random(12, 2, seed=2)
    rows = nearest(wanted, zip(vectors.split(sizes), sayings.split(sizes), strict=True), k)
    for vector, row in zip(wanted, rows, strict=True):
        order = sorted(range(12), key=lambda place: -float(vector @ vectors[place]))
        torch.testing.assert_close(row, sayings[order[:k]])


def test_where_there_are_fewer_all_of_them_are_found() -> None:
    rows = nearest(random(2, 3, seed=0), [(random(4, 3, seed=1), random(4, 5, seed=2))], 10)
    assert rows.shape == (2, 4, 5)


def test_maps_are_compared_as_unit_vectors_of_block_means() -> None:
    maps = random(3, 2, 8, 8, seed=3)
    means = maps.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(1)
    torch.testing.assert_close(direction(maps), F.normalize(means))
    torch.testing.assert_close(direction(5 * maps), direction(maps))


@pytest.mark.parametrize("sizes", [(40,), (13, 27)])
def test_bags_of_words_are_those_of_sklearn(sizes: tuple[int, ...]) -> None:
    tokens = torch.randint(0, 25, (40, 9), generator=torch.Generator().manual_seed(0))
    counts = np.stack([np.bincount(row, minlength=25) for row in tokens.numpy()])
    theirs = TfidfTransformer(smooth_idf=False).fit(counts)
    weight = rarity(tokens.split(sizes), 25)
    np.testing.assert_allclose(weight, theirs.idf_ - 1, rtol=1e-5)  # theirs is 1 + log
    expected = F.normalize(torch.from_numpy(counts).float() * weight)
    torch.testing.assert_close(bag_of_words(tokens, weight), expected)


def test_a_large_vocabulary_is_hashed_into_fewer_places() -> None:
    tokens = torch.randint(0, 5000, (50, 30), generator=torch.Generator().manual_seed(1))
    exact, hashed = (bag_of_words(tokens, torch.ones(5000), places=places) for places in (5000, 1000))
    assert hashed.shape == (50, 1000)
    assert (exact @ exact.T - hashed @ hashed.T).abs().max() < 0.2
