"""What people hand to `Samples.from_tensors` that is no tensor of rows."""

from typing import Any

import numpy as np
import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.errors import DataError


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 3), dtype=np.float32), r"inputs as a tensor, got ndarray; make one with `torch.from_numpy"),
        ([[0.0], [1.0]], r"inputs as a tensor, got list; make one with `torch.tensor"),
        (torch.zeros(2, 3).to_sparse(), "dense tensor of real numbers, got a sparse_coo one"),
        (torch.zeros(2, 3, dtype=torch.complex64), "dense tensor of real numbers, got a complex64 one"),
        (torch.tensor(1.0), "inputs in rows, one a sample, got a single number"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_inputs_that_are_no_rows_are_refused_by_name(x: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"^expected {words}" if words[0] == "i" else words):
        Samples.from_tensors(x, torch.tensor([0, 1]))


def test_what_made_the_inputs_is_let_go() -> None:
    x = torch.zeros(2, 3, requires_grad=True) * 2
    assert not Samples.from_tensors(x, torch.tensor([0, 1])).everything().x.requires_grad
