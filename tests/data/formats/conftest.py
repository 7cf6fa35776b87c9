"""Tiny images to be written in each format."""

from collections.abc import Callable

import numpy as np
import pytest

Arrays = dict[str, np.ndarray]


@pytest.fixture
def draw() -> Callable[..., Arrays]:
    """Random images and labels of a train and a test part, bytes of shape "n *shape"."""

    def make(*shape: int, train: int = 10, test: int = 3, classes: int = 10) -> Arrays:
        rng, arrays = np.random.default_rng(0), {}
        for part, n in (("train", train), ("test", test)):
            arrays[f"{part}_x"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
            arrays[f"{part}_y"] = rng.permutation(n).astype(np.uint8) % classes
        return arrays

    return make
