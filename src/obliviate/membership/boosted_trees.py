"""Gradient-boosted trees on sorted softmax vectors: the attack whose success rate (ASR) MixUnlearn and LAF report.

Shen et al., "Label-Agnostic Forgetting", ICLR 2024, arXiv 2404.00506; Peng et al., ICLR 2025, arXiv 2502.10288.

The attacker learns, on the audited model, how retained training samples differ from unseen ones, and is asked about
the forget set. Neither 50 % nor the lowest rate is the goal: a retrained model has a rate of its own, about 50 % for a
random forget set and far from it where a whole class is forgotten, whose samples it finds strange. **Closer to
retraining is better.**
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from obliviate._util.seeds import derive
from obliviate.errors import DataError
from obliviate.membership import halves


def sorted_softmax(logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Class probabilities in ascending order, so that the attack knows how sure the model is, and not of what.

    Raises DataError for logits that are not finite.

    >>> sorted_softmax(np.log(np.array([[0.5, 0.2, 0.3]]))).round(3).tolist()
    [[0.2, 0.3, 0.5]]
    """
    if not np.isfinite(logits).all():
        raise DataError("expected finite logits, got NaN or infinity; check that the model has not diverged")
    return np.sort(softmax(logits.astype(np.float64), axis=1), axis=1)


def scores(
    members: Float[np.ndarray, "m k"],
    others: Float[np.ndarray, "n k"],
    points: Float[np.ndarray, "p k"],
    *,
    trees: int = 100,
    depth: int = 2,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> Float[np.ndarray, " p"]:
    """Log odds that each point is a member, from trees fitted to known members and others; above 0 means "member".

    The inputs are features, usually of `sorted_softmax`; the points must be neither of the members nor of the others.
    The larger side is thinned at random to the size of the smaller: with weights instead, trees that learn samples by
    heart call nearly everything by the name of the larger side. Shallow trees and a low rate serve sets of thousands;
    depth 6 and rate 0.3, the defaults of XGBoost, learn them by heart and tell the original from retraining no more.
    Deterministic given the seed.
    Raises DataError for features that are not finite, an empty set, or sets with another number of features.

    >>> x = np.linspace(0, 1, 80)[:, None]
    >>> (scores(x[40:], x[:40], np.array([[0.1], [0.9]])) > 0).tolist()
    [False, True]
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, member = halves.balanced(members, others, points, seed=seed)
    attacker = HistGradientBoostingClassifier(
        max_iter=trees,
        max_depth=depth,
        learning_rate=learning_rate,
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # the library's own annotation says str
        random_state=derive(seed, "boosted_trees") % 2**32,
    )
    attacker.fit(x, member)
    return attacker.decision_function(points)


def success(
    forget: Float[np.ndarray, "f k"],
    retain: Float[np.ndarray, "r k"],
    test: Float[np.ndarray, "t k"],
    *,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " t"]]:
    """Scores of forget and test samples; the ASR is their `metrics.intervals.balanced_accuracy`.

    Each comes from trees that learnt neither; `halves.crossed` says how.
    Raises DataError as `scores` does, and with fewer than 2 forget or test samples.

    >>> x = np.linspace(0, 1, 400)[:, None]
    >>> forget, test = success(x[300:], x[200:300], x[:200])
    >>> round(float((forget > 0).mean()), 1), round(float((test > 0).mean()), 1)
    (1.0, 0.0)
    """
    return halves.crossed(scores, forget, retain, test, seed=seed)
