import numpy as np
import pytest

from obliviate.errors import DataError
from obliviate.membership.halves import balanced, crossed


def test_no_sample_is_asked_about_by_an_attack_that_learned_it() -> None:
    rows = np.arange(60.0)[:, None]
    forget, retain, test = rows[:11], rows[11:40], rows[40:]
    asked: list[float] = []

    def attack(members: np.ndarray, others: np.ndarray, points: np.ndarray, seed: int) -> np.ndarray:
        assert set(members[:, 0]) == set(retain[:, 0])
        assert set(others[:, 0]) < set(test[:, 0])
        assert not set(others[:, 0]) & set(points[:, 0])
        asked.extend(points[:, 0])
        return points[:, 0]

    of_forget, of_test = crossed(attack, forget, retain, test, seed=3)
    assert sorted(asked) == [*forget[:, 0], *test[:, 0]]
    assert (of_forget.tolist(), of_test.tolist()) == (forget[:, 0].tolist(), test[:, 0].tolist())


def test_the_larger_side_is_thinned_at_random() -> None:
    members, others = np.arange(50.0)[:, None], -1 - np.arange(8.0)[:, None]
    drawn, member = balanced(members, others, members, seed=1)
    assert (member.sum(), (~member).sum()) == (8, 8)
    assert len(set(drawn[member, 0])) == 8
    assert sorted(drawn[~member, 0]) == sorted(others[:, 0])
    assert not np.array_equal(drawn, balanced(members, others, members, seed=2)[0])


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(DataError, match="expected at least 2 forget and 2 test samples, got 1 and 4"):
        crossed(lambda *sets, seed: sets[2][:, 0], np.zeros((1, 2)), np.zeros((5, 2)), np.zeros((4, 2)))
