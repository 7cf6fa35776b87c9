import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from obliviate.training.neighbours import direction, nearest


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [(12,), (5, 4, 3), (1, 11), (2, 2, 2, 2, 2, 2)])
@pytest.mark.parametrize("k", [1, 4, 12])
def test_the_nearest_are_those_of_the_whole_table_however_it_is_cut(sizes: tuple[int, ...], k: int) -> None:
    wanted, vectors, sayings = random(6, 3, seed=0), random(12, 3, seed=1), random(12, 2, seed=2)
    found = nearest(wanted, zip(vectors.split(sizes), sayings.split(sizes), strict=True), k)
    for one, row in zip(wanted, found, strict=True):
        order = sorted(range(12), key=lambda place: -float(one @ vectors[place]))
        torch.testing.assert_close(row, sayings[order[:k]])


def test_where_there_are_fewer_all_of_them_are_found() -> None:
    found = nearest(random(2, 3, seed=0), [(random(4, 3, seed=1), random(4, 5, seed=2))], 10)
    assert found.shape == (2, 4, 5)


def test_maps_are_compared_as_unit_vectors_of_block_means() -> None:
    maps = random(3, 2, 8, 8, seed=3)
    means = maps.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(1)
    torch.testing.assert_close(direction(maps), F.normalize(means))
    torch.testing.assert_close(direction(5 * maps), direction(maps))
