import numpy as np
import pytest
import torch

from obliviate.errors import MethodError
from obliviate.training.random_labels import with_random_labels, wrong_labels
from obliviate.types import Batch

IDS = np.array([f"s{i}" for i in range(4000)])


def test_wrong_labels_are_never_the_true_one_and_all_others_equally_likely() -> None:
    y = torch.arange(4000) % 5
    drawn = wrong_labels(y, IDS, classes=5, seed=0)
    assert not bool((drawn == y).any())
    for true in range(5):
        counts = torch.bincount(drawn[y == true], minlength=5)
        assert counts[true] == 0
        others = counts[torch.arange(5) != true].double()
        assert float(((others - 200) ** 2 / 200).sum()) < 16.3  # χ² with 3 degrees of freedom, 99.9 %


def test_a_sample_has_the_same_wrong_label_in_whatever_batch_it_comes() -> None:
    y = torch.arange(4000) % 5
    drawn = wrong_labels(y, IDS, classes=5, seed=0)
    chosen = torch.tensor([17, 3, 900])
    again = wrong_labels(y[chosen], IDS[chosen.numpy()], classes=5, seed=0)
    assert again.equal(drawn[chosen])
    assert not wrong_labels(y, IDS, classes=5, seed=1).equal(drawn)


def test_only_the_labels_of_a_batch_change() -> None:
    batch = Batch(torch.rand(3, 2), torch.tensor([0, 1, 2]), IDS[:3])
    relabelled = with_random_labels(batch, classes=3, seed=0)
    assert relabelled.x is batch.x
    assert relabelled.ids is batch.ids
    assert bool((relabelled.y != batch.y).all())


def test_one_class_has_no_wrong_label() -> None:
    with pytest.raises(MethodError, match="expected at least two classes to draw wrong labels from, got 1"):
        wrong_labels(torch.zeros(2).long(), IDS[:2], classes=1, seed=0)
