import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from obliviate.errors import ReportError
from obliviate.report.pictures import LARGEST, data_uri, is_picture


def read(uri: str) -> np.ndarray:
    """Pixels as another library reads them: (h, w) or (h, w, 3), in [0, 1]."""
    return imread(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))), format="png")


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7)])
def test_pixels_come_back(shape: tuple[int, ...]):
    image = np.random.default_rng(0).random(shape)
    expected = image.transpose(1, 2, 0).squeeze() if len(shape) == 3 else image
    assert np.abs(read(data_uri(image)) - expected).max() <= 0.5 / 255 + 1e-6


def test_large_pictures_are_averaged_down():
    image = np.zeros((3, 200, 150))
    image[:, :, 75:] = 1.0
    picture = read(data_uri(image))
    assert max(picture.shape) <= LARGEST
    assert picture.shape == (67, 50, 3)  # by 3, the last row of blocks filled up
    assert picture[0, 0, 0] == 0.0
    assert picture[0, -1, 0] == 1.0
    assert abs(picture.mean() - 0.5) < 0.01


def test_values_outside_the_range_are_cut():
    assert read(data_uri(np.array([[-3.0, 0.0], [1.0, 9.0]]))).tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_equal_pictures_give_equal_text():
    assert data_uri(np.full((4, 4), 0.25)) == data_uri(np.full((1, 4, 4), 0.25))


@pytest.mark.parametrize("shape", [(6,), (1, 6), (2, 4, 4), (2, 3, 4, 4), (1, 1, 6)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]):
    assert not is_picture(shape)
    with pytest.raises(ReportError, match=r"expected a finite picture of shape .*, got \(.*; leave it out"):
        data_uri(np.zeros(shape))


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(ReportError, match="expected a finite picture"):
        data_uri(np.full((2, 2), np.nan))
