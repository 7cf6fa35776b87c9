"""A candidate with its scores."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.scored import Scored
from simulated_models import FORGET, RETAIN, UNSEEN, World


@pytest.fixture(scope="module")
def original(world: World, candidates: list[Candidate]) -> Scored:
    return Scored.of(candidates[0], FittedAttacks.of(AuditSettings(), world.samples, world.pool), world.samples)


def test_scores_are_taken_apart_into_the_two_sides_of_a_game(original: Scored) -> None:
    sizes = {game: tuple(map(len, original.pair("lira", game))) for game in ("ft", "fr", "rt")}
    assert sizes == {"ft": (800, 800), "fr": (800, 800), "rt": (800, 800)}
    assert original.pair("lira", "ft")[0] is original.pair("lira", "fr")[1]  # forget samples
    assert original.pair("lira", "ft")[1] is original.pair("lira", "rt")[1]  # unseen samples


def test_the_average_gap_is_made_of_three_accuracies_and_the_leading_auc(original: Scored, world: World) -> None:
    predicted = original.candidate.logits.argmax(axis=1)
    accuracies = [100 * accuracy_score(world.labels[part], predicted[part]) for part in (FORGET, RETAIN, UNSEEN)]
    members, others = original.pair("rmia")
    auc = 100 * roc_auc_score(np.arange(1600) < 800, np.concatenate([members, others]))
    assert original.figures == pytest.approx([*accuracies, auc])
    assert 100 * original.useful == pytest.approx(accuracies[1:])
