"""What the models of an audit are compared with."""

import numpy as np

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.comparison import Comparison
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.scored import Scored
from simulated_models import World


def comparison_of(world: World, candidates: list[Candidate]) -> tuple[Comparison, list[Scored]]:
    attacks = FittedAttacks.of(AuditSettings(), world.samples, world.pool)
    scored = [Scored.of(candidate, attacks, world.samples) for candidate in candidates]
    return Comparison.of(scored, attacks, world.pool, world.samples), scored


def test_a_retrained_model_is_compared_with_the_others(world: World, candidates: list[Candidate]) -> None:
    comparison, scored = comparison_of(world, candidates)
    assert comparison.others(scored[1]) == [scored[2], scored[3]]
    assert comparison.others(scored[4]) == scored[1:4]
    assert [evidence.attack for evidence in comparison.evidence(scored[4])] == ["rmia", "lira", "correctness"]


def test_one_retrained_model_is_no_baseline_and_references_are(world: World, candidates: list[Candidate]) -> None:
    comparison, scored = comparison_of(world, candidates[:2])
    assert (comparison.retrained, comparison.paired, comparison.others(scored[0])) == ([], {}, [])
    assert comparison.original is scored[0]
    never_saw = [evidence.value for evidence in comparison.evidence(scored[1])]
    had_seen = [evidence.value for evidence in comparison.evidence(scored[0])]
    assert np.greater(had_seen, never_saw).all()
