"""A model behind a normalisation sees what the transform would have given it."""

import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.amun import AMUN
from obliviate.models.normalized import Normalized
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel, unlearn

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def test_images_are_normalised_channel_by_channel() -> None:
    x = torch.rand(2, 3, 4, 5)
    expected = torch.stack([(x[:, channel] - MEAN[channel]) / STD[channel] for channel in range(3)], dim=1)
    torch.testing.assert_close(Normalized(nn.Identity(), mean=MEAN, std=STD)(x), expected)


def test_columns_are_normalised_one_by_one() -> None:
    x = torch.rand(4, 3)
    torch.testing.assert_close(
        Normalized(nn.Identity(), mean=MEAN, std=STD)(x), (x - torch.tensor(MEAN)) / torch.tensor(STD)
    )


def test_two_normalisations_are_two_models() -> None:
    first, second = (Normalized(nn.Linear(3, 2), mean=[mean] * 3, std=STD).state_dict() for mean in (0.0, 0.5))
    assert not torch.equal(first["mean"], second["mean"])


def test_adversarial_examples_stay_pixels() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    samples = Samples.from_tensors(torch.rand(40, 3, 6, 6), torch.arange(40) % 2)
    trained = TrainedModel.given(
        Normalized(network, mean=MEAN, std=STD), Classification(classes=2), recipe=Recipe(epochs=4, batch_size=16)
    )
    forgot = unlearn(trained, Split.of(samples, forget=samples.ids[:4]), AMUN(epochs=1))
    assert forgot.notes["adversarial_found"] > 0
    kept = forgot.model.state_dict()
    assert kept["mean"].tolist() == torch.tensor(MEAN).tolist()  # no method trains what is no weight
