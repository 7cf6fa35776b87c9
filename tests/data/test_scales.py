import numpy as np
import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.data.scales import check_scales, refuse_other_scale
from obliviate.errors import DataError


def samples(x: torch.Tensor) -> Samples:
    return Samples.from_tensors(x, torch.zeros(len(x)), ids=[str(place) for place in range(len(x))])


@pytest.mark.parametrize("factor", [255.0, 0.004])
def test_numbers_of_another_scale_are_refused(factor: float) -> None:
    x = torch.rand(30, 4)
    with pytest.raises(DataError, match=r"^expected inputs on one scale, .*scale both in the same way$"):
        refuse_other_scale(samples(x * factor), samples(x), what="test set")
    with pytest.raises(DataError, match="on one scale"):
        check_scales({"train_x": x.numpy(), "test_x": (factor * x).numpy()})


def test_tokens_few_samples_and_ordinary_differences_pass() -> None:
    x = torch.rand(30, 4)
    refuse_other_scale(samples(torch.full((30, 4), 900)), samples(torch.ones(30, 4).long()), what="test set")
    refuse_other_scale(samples(255 * x[:9]), samples(x), what="test set")
    refuse_other_scale(samples(3 * x), samples(x), what="test set")
    check_scales({"train_x": (255 * x.numpy()).astype(np.uint8), "test_x": x.numpy()})


def test_bytes_beside_fractions_are_refused() -> None:
    x = torch.rand(30, 4)
    with pytest.raises(DataError, match=r"got float32 in the test set and uint8 in the training set; give all"):
        refuse_other_scale(samples(x), samples((255 * x).byte()), what="test set")
