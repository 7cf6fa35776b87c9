"""Whether forget and unseen samples differ by themselves."""

from dataclasses import replace

import numpy as np
import pytest

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.inputs import AuditSamples, AuditSettings
from obliviate.audit.two_sample import shifted, two_sample
from obliviate.results.findings import TwoSample
from simulated_models import FORGET, RETAIN, UNSEEN, World

pytestmark = pytest.mark.usefixtures("all_permutations")


def difference_of(world: World, samples: AuditSamples) -> TwoSample:
    return two_sample(FittedAttacks.of(AuditSettings(), samples, world.pool), samples)


def test_samples_that_were_drawn_alike_do_not_differ(world: World) -> None:
    test = difference_of(world, world.samples)
    assert test.auc is not None
    assert abs(test.auc.value - 50) < 6
    assert test.differs is False


def test_hard_samples_differ_from_easy_ones(world: World) -> None:
    hard, easy = (part[np.argsort(world.difficulty[part])] for part in (FORGET, UNSEEN))
    test = difference_of(world, replace(world.samples, forget=hard[:300], unseen=easy[-300:], retain=RETAIN))
    assert test.auc is not None
    assert test.auc.value > 80
    assert test.differs is True


def test_few_samples_are_not_difference_of(world: World) -> None:
    test = difference_of(world, replace(world.samples, forget=FORGET[:9]))
    assert (test.auc, test.p_value, test.differs) == (None, None, None)


def test_unseen_samples_of_another_kind_than_all_training_samples_are_found_however_few_are_forgotten(
    world: World,
) -> None:
    easy = UNSEEN[np.argsort(-world.difficulty[UNSEEN])][: len(UNSEEN) // 3]
    for unseen, differs in ((UNSEEN, False), (easy, True)):
        samples = replace(world.samples, forget=FORGET[:9], unseen=unseen)
        assert shifted(FittedAttacks.of(AuditSettings(), samples, world.pool), samples) is differs
