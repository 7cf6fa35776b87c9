import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from obliviate.data.sources import BUILT_IN, Data, load_data


def test_every_named_set_has_a_kind_and_unseen_samples():
    kinds = {name: load_data(name).kind for name in BUILT_IN}
    assert kinds == {
        "fashion_mnist_5k": "classification",
        "fashion_pairs": "multi-label",
        "digits": "classification",
        "diabetes": "regression",
    }


def test_diabetes_is_standardised_by_its_training_rows():
    data = load_data("diabetes", seed=4)
    raw = load_diabetes(scaled=False)
    assert (len(data.train), len(data.test), data.classes) == (354, 88, 1)
    assert data.targets is not None
    assert data.features is not None
    scale = data.targets.std[0], data.targets.mean[0]
    y = torch.cat([data.train.everything().y, data.test.everything().y])[:, 0] * scale[0] + scale[1]
    np.testing.assert_allclose(np.sort(y.numpy()), np.sort(raw.target), rtol=1e-5)  # pyright: ignore
    train = data.train.everything()
    assert train.x.shape == (354, 11)  # the sex is two of them
    numbers = train.x[:, torch.from_numpy(data.features.continuous)]
    torch.testing.assert_close(numbers.mean(0), torch.zeros(9), atol=1e-5, rtol=0)
    torch.testing.assert_close(numbers.std(0, correction=0), torch.ones(9))
    torch.testing.assert_close(train.y.std(correction=0), torch.tensor(1.0))
    assert set(load_data("diabetes", seed=5).test.ids) != set(data.test.ids)


def test_digits_are_those_of_scikit_learn():
    data, raw = load_data("digits"), load_digits()
    assert (len(data.train) + len(data.test), data.classes) == (1797, 10)
    batch = data.train.joined(data.test).everything()
    assert batch.x.shape[1:] == (1, 8, 8)
    published = {(tuple(x.ravel()), int(y)) for x, y in zip(raw.images / 16, raw.target, strict=True)}  # pyright: ignore
    assert {(tuple(x.flatten().tolist()), int(y)) for x, y in zip(batch.x, batch.y, strict=True)} == published


@pytest.fixture(scope="module")
def pairs() -> Data:
    return load_data("fashion_pairs")


def test_every_shipped_image_is_in_one_pair_whose_labels_are_its_classes(pairs: Data, data: Data):
    assert pairs.holdout is not None
    assert data.holdout is not None
    assert (len(pairs.train), len(pairs.holdout), len(pairs.test)) == (2500, 250, 1250)
    whole = ((pairs.train, data.train), (pairs.holdout, data.holdout), (pairs.test, data.test))
    for joined, single in whole:
        batch, alone = joined.everything(), single.everything()
        labels = {image.numpy().tobytes(): int(y) for image, y in zip(alone.x, alone.y, strict=True)}
        halves = [half.numpy().tobytes() for image in batch.x for half in image.split(28, dim=2)]
        assert sorted(halves) == sorted(labels)
        for i, marks in enumerate(batch.y.tolist()):
            assert {k for k, mark in enumerate(marks) if mark} == {labels[halves[2 * i]], labels[halves[2 * i + 1]]}
            assert set(marks) == {0.0, 1.0}


def test_the_pairs_do_not_depend_on_the_seed(pairs: Data):
    assert load_data("fashion_pairs", seed=1).sha256 == pairs.sha256
