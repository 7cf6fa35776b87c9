"""What a method makes of the weights."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from defective_methods import Divisible
from obliviate.testing import Bench, weights


@pytest.mark.parametrize("model", ["plain", "with batch norm"])
def test_a_method_that_asks_for_the_mean_of_the_batch_may_say_that_it_divides(
    model: str, bench: Bench, tmp_path: Path
) -> None:
    if model == "with batch norm":
        normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        bench = replace(bench, original=normed.eval())
    weights.divides_its_batches_if_it_says_so(Divisible(), bench, tmp_path)
