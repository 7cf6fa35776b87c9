import numpy as np
import pytest

from obliviate.membership import Correctness
from obliviate.membership.checks import Simulation
from obliviate.metrics.intervals import auc


def test_its_auc_is_one_half_plus_half_the_difference_of_accuracies() -> None:
    """Yeom et al. 2018: guessing "member" where the model is right."""
    _, target = Simulation().target(Correctness(), remembers=True)
    scores = Correctness()(target)
    assert set(np.unique(scores)) <= {0.0, 1.0}
    forget, unseen = (scores[target.index(part)] for part in ("forget", "unseen"))
    assert auc(forget, unseen) == pytest.approx(0.5 + (forget.mean() - unseen.mean()) / 2)
