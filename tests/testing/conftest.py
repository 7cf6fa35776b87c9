"""A bench on which every check takes a moment."""

import pytest
import torch

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.testing import Bench
from obliviate.training.recipe import Recipe


@pytest.fixture(scope="session")
def bench(three_classes: Classification, tiny_recipe: Recipe) -> Bench:
    """240 rows of 6 numbers in 3 classes that are easily told apart, of which 24 are to be forgotten."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    centres = torch.rand(3, 6, generator=generator)
    x = (centres[y] + 0.15 * torch.randn(300, 6, generator=generator)).clamp(0, 1)
    samples = Samples.from_tensors(x, y, ids=[f"s{place:03d}" for place in range(300)])
    train, holdout, test = (
        samples.select(samples.ids[part]) for part in (slice(240), slice(240, 270), slice(270, 300))
    )
    split = Split.of(train, forget=train.ids[7:240:10], holdout=holdout)
    original = workflow.train(Experiment(three_classes, tiny_recipe, train)).model
    return Bench(original, three_classes, tiny_recipe, train, split, test)
