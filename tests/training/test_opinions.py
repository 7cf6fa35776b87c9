"""Opinions of models that never saw a sample, against sums by hand and known limits."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.training.opinions import Calibration, Opinions, blend, centred, hint, sharpness
from obliviate.training.teachers import Answer


@dataclass
class Said:
    """Teachers whose answers are given."""

    outputs: Tensor
    never_saw: Tensor
    fingerprint: str = "said"

    def __len__(self) -> int:
        return len(self.outputs)

    def answers(self, samples: Samples) -> Iterator[Answer]:
        yield from zip(self.outputs, self.never_saw, strict=True)


@pytest.fixture
def samples() -> Samples:
    return Samples.from_tensors(torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1]), ids=list("abcde"))


@pytest.fixture
def said() -> Said:
    generator = torch.Generator().manual_seed(0)
    never_saw = torch.tensor(np.random.default_rng(0).permuted(np.tile([True, False], (5, 3)), axis=1).T.copy())
    return Said(3 * torch.randn(6, 5, 3, generator=generator), never_saw)


def test_the_mean_is_over_the_models_that_never_saw_a_sample(said: Said, samples: Samples) -> None:
    opinions = Opinions.of(said, samples, seed=1)
    for sample in range(5):
        unseen = said.outputs[said.never_saw[:, sample], sample].log_softmax(1)
        torch.testing.assert_close(opinions.mean[sample].softmax(0), unseen.mean(0).softmax(0))


def test_the_single_opinion_is_of_one_model_that_never_saw_the_sample_and_each_has_the_same_chance(
    said: Said, samples: Samples
) -> None:
    counts = np.zeros((6, 5))
    for seed in range(600):
        single = Opinions.of(said, samples, seed=seed).single
        counts += (centred(said.outputs.flatten(0, 1)).reshape(6, 5, 3) - single).abs().amax(2).numpy() < 1e-6
    unseen = said.never_saw.numpy()
    assert (counts[~unseen] == 0).all()
    assert counts.sum() == 3000
    assert np.abs(counts[unseen] - 200).max() < 5 * np.sqrt(600 * 2 / 9)


def test_classes_that_are_gone_are_left_out_as_if_nobody_had_known_them(said: Said, samples: Samples) -> None:
    gone = torch.tensor([False, True, False])
    opinions = Opinions.of(said, samples, seed=1, gone=gone)
    without = Said(said.outputs[:, :, [0, 2]], said.never_saw)
    torch.testing.assert_close(opinions.mean, Opinions.of(without, samples, seed=1).mean)


def test_a_sample_that_all_teachers_saw_is_refused_by_name(said: Said, samples: Samples) -> None:
    said.never_saw[:, 3] = False
    with pytest.raises(MethodError, match=r"some never saw each sample, got 'd' known to all 6"):
        Opinions.of(said, samples, seed=1)


def test_sharpness_undoes_a_temperature() -> None:
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert sharpness(centred(outputs), 2.5 * outputs) == pytest.approx(2.5)
    assert sharpness(torch.zeros(5, 4), torch.zeros(5, 4)) == 0


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_weight_is_found_at_which_the_pool_knows_as_much_as_the_model(weight: float) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (4000,), generator=generator)
    truth = 2.0 * torch.nn.functional.one_hot(labels, 4)
    mean, single, own = (truth + noise * torch.randn(4000, 4, generator=generator) for noise in (0.3, 1.5, 1.5))
    opinions = Opinions(centred(mean), centred(single))
    model = centred(mean).lerp(centred(own), weight)  # as informed as the blend, with noise of its own
    assert blend(opinions, model, labels) == pytest.approx(weight, abs=0.11)


@pytest.mark.parametrize("better", [-0.3, 0.3, 1.0])
def test_a_hint_makes_the_pool_right_as_often_as_the_model(better: float) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (4000,), generator=generator)
    truth = torch.nn.functional.one_hot(labels, 4)
    pool = centred(truth + torch.randn(4000, 4, generator=generator))
    model = centred((1 + better) * truth + torch.randn(4000, 4, generator=generator))
    calibration = Calibration.of(Opinions(pool, pool), model, labels)
    right = (calibration.logits(Opinions(pool, pool), labels).argmax(1) == labels).sum()
    assert (calibration.hint > 0) == (better > 0)
    if better > 0:
        assert abs(int(right) - int((model.argmax(1) == labels).sum())) <= 1  # the last may be a tie


def test_a_pool_that_is_right_more_often_gets_no_hint_and_neither_does_a_label_of_no_class() -> None:
    opinions = torch.eye(3)
    assert hint(opinions, torch.eye(3)[[0, 2, 1]], torch.arange(3)) == 0
    one_less = torch.eye(9).roll(1, 0).where(torch.arange(9)[:, None] == 0, torch.eye(9))
    assert hint(one_less, torch.eye(9), torch.arange(9)) == 0  # which may be by chance
    assert hint(opinions, torch.eye(3)[[1, 2, 0]], torch.arange(3)) == 0  # never right
    calibration, pool = Calibration(weight=0.0, hint=2.0), Opinions(opinions, opinions)
    hinted = calibration.logits(pool, torch.tensor([0, -1, 1]))
    assert hinted.tolist() == [[3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 2.0, 1.0]]
    assert calibration.logits(pool).equal(opinions)
