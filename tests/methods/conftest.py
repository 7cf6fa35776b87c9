"""A small trained model and a request to it, on which one step of most methods can be written out."""

import pytest
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.training.recipe import Recipe


@pytest.fixture(scope="session")
def split(tiny: Samples) -> Split:
    """12 of the 60 samples of `tiny` are to be forgotten."""
    return Split.of(tiny, forget=tiny.ids[3:60:5])


@pytest.fixture(scope="session")
def model(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> nn.Module:
    """A model trained on `tiny`; tests must not change it."""
    return workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model
