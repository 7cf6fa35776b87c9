import numpy as np
import pytest

from obliviate.errors import AuditError
from obliviate.membership.outputs import Outputs


def test_of_classes_margin_and_correctness_follow_from_the_logits() -> None:
    seen = Outputs(np.log([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0]))
    np.testing.assert_allclose(seen.margin, np.log([4, 2 / 3]))
    assert seen.correct.tolist() == [1.0, 0.0]
    assert (len(seen.losses), len(seen.answers)) == (0, 0)


def test_without_classes_they_are_columns_and_answers_follow() -> None:
    seen = Outputs(np.array([[0.5, 0.4, 1.0, 1.0, 0.0], [2.0, -1.0, 0.0, 0.0, 0.0]]), None)
    assert (seen.losses.tolist(), seen.margin.tolist(), seen.correct.tolist()) == ([0.5, 2.0], [0.4, -1.0], [1.0, 0.0])
    assert seen.answers.tolist() == [[True, False], [False, False]]


def test_a_part_keeps_its_labels() -> None:
    seen = Outputs(np.eye(3), np.array([0, 1, 0])).at(np.array([2, 1]))
    assert (len(seen), seen.correct.tolist()) == (2, [0.0, 1.0])


def test_a_model_that_has_diverged_is_named() -> None:
    with pytest.raises(AuditError, match="expected finite logits, got NaN or infinity from mine"):
        Outputs.checked(np.array([[np.nan, 0.0]]), np.array([0]), whose="mine")
