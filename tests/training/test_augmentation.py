import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor

from obliviate.training.augmentation import AUGMENTATIONS, crop_flip


def shifted(image: Tensor, down: int, right: int, mirrored: bool) -> Tensor:
    """One image, pixel by pixel: shift, with zeros from outside; then mirror."""
    channels, height, width = image.shape
    result = torch.zeros_like(image)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                column = width - 1 - j if mirrored else j
                if 0 <= i + down < height and 0 <= column + right < width:
                    result[c, i, j] = image[c, i + down, column + right]
    return result


@pytest.mark.parametrize(("padding", "height", "width", "channels"), [(1, 3, 4, 2), (1, 4, 3, 1), (0, 2, 3, 1)])
def test_each_image_is_shifted_and_mirrored_on_its_own_and_every_way_is_as_likely(
    padding: int, height: int, width: int, channels: int
):
    n, image = 720, torch.arange(1.0, 1 + channels * height * width).view(channels, height, width)
    shifts = range(-padding, padding + 1)
    ways = {way: shifted(image, *way) for way in itertools.product(shifts, shifts, (False, True))}
    torch.manual_seed(0)
    scale = torch.arange(1.0, n + 1)[:, None, None, None]
    counts: Counter[tuple[int, int, bool]] = Counter()
    for factor, result in zip(scale, crop_flip(scale * image, padding=padding), strict=True):
        matching = [way for way, expected in ways.items() if torch.equal(result, factor * expected)]
        assert len(matching) == 1
        counts[matching[0]] += 1
    expected = n / len(ways)
    assert counts.keys() == ways.keys()
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_the_default_shifts_by_up_to_four_pixels():
    point = torch.zeros(2000, 1, 11, 11)
    point[:, 0, 5, 5] = 1.0
    torch.manual_seed(0)
    _, _, rows, columns = crop_flip(point).nonzero(as_tuple=True)
    assert len(rows) == 2000
    assert sorted(set(rows.tolist())) == sorted(set(columns.tolist())) == list(range(1, 10))


def test_the_input_is_left_alone_and_layout_and_type_are_kept():
    x = torch.rand(3, 2, 5, 6).to(memory_format=torch.channels_last)
    before = x.clone()
    assert crop_flip(x.double()).dtype is torch.float64
    assert crop_flip(x).shape == x.shape
    assert torch.equal(x, before)


def test_images_are_transformed_where_they_are():
    assert crop_flip(torch.zeros(2, 3, 8, 8, device="meta")).device.type == "meta"


def test_the_names_are_pinned():
    assert {"none": None, "crop_flip": crop_flip} == AUGMENTATIONS
