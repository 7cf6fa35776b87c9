"""A candidate with what is said of it, and the verdict on that."""

import numpy as np
import pytest

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.comparison import Comparison
from obliviate.audit.examined import Context, Examined
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.scored import Scored
from simulated_models import FORGET, World


@pytest.fixture(scope="module")
def context(world: World, candidates: list[Candidate]) -> Context:
    settings = AuditSettings()
    attacks = FittedAttacks.of(settings, world.samples, world.pool)
    scored = [Scored.of(candidate, attacks, world.samples) for candidate in candidates]
    comparison = Comparison.of(scored, attacks, world.pool, world.samples)
    useful = np.array([0.8, 0.5])
    return Context(
        settings, comparison, 40.0, np.linspace(-9, 9, 31), world.samples, one_sided=False, unlike=False, useful=useful
    )


def test_the_verdict_is_on_the_evidence_and_the_utility(context: Context) -> None:
    original, retrained = context.comparison.original, context.comparison.retrained[0]
    assert original is not None
    verdicts = []
    for scored in (original, retrained):
        examined = Examined.of(scored, context)
        verdicts.append(examined.judged(examined.utility.usefulness, context).verdict)
    assert verdicts == ["leaks", "consistent with retraining"]


def test_what_a_model_keeps_is_a_share_of_the_retrained_models(context: Context) -> None:
    retrained = context.comparison.retrained[0]
    assert context.kept_by(retrained) == pytest.approx(np.prod(retrained.useful / [0.8, 0.5]))


def test_samples_without_ids_are_called_by_their_places(context: Context) -> None:
    assert context.names.tolist() == FORGET.astype(str).tolist()
