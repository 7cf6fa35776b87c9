"""The SVC attack of the unlearning literature (as in SalUn, arXiv 2310.12508, and ℓ1-sparse, arXiv 2304.04934).

A support vector classifier with a radial kernel learns, on the audited model, how retained training samples differ from
unseen ones in one feature, and is asked about the forget set. Published tables give the share of the forget set that it
calls "not a member" (MIA-efficacy). Neither 50 % nor 100 % is the goal: **report it beside retrained models.**
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax, logsumexp, softmax

from obliviate.errors import DataError
from obliviate.membership import halves, logistic


def modified_entropy(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """-(1 - p_y) log p_y - sum_{j != y} p_j log(1 - p_j) in nats, >= 0 (Song & Mittal 2021, arXiv 2003.10595).

    Low where the model is sure and right, high where it is sure and wrong. The public code of the unlearning papers
    indexes whole columns with the labels and so changes every class that occurs in the batch: its figure does not
    depend on the label of the sample.
    Raises DataError for mismatched shapes, fewer than 2 classes, labels outside [0, c) and logits that are not finite.

    >>> modified_entropy(np.log(np.array([[0.8, 0.2], [0.8, 0.2]])), np.array([0, 1])).round(3).tolist()
    [0.089, 2.575]
    """
    loss = logistic.loss(logits, labels)
    if logits.shape[1] < 2:
        raise DataError(f"expected logits of at least 2 classes, got {logits.shape}; one class has no entropy")
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    rows, sure = np.arange(len(labels)), log_p.argmax(axis=1)
    # log(1 - p_j): for the likeliest class from the others, since 1 - p_j would round to 0 where the model is sure.
    others = log_p.copy()
    others[rows, sure] = -np.inf
    log_rest = np.log1p(-np.minimum(np.exp(log_p), 0.5))
    log_rest[rows, sure] = logsumexp(others, axis=1)
    terms = np.exp(log_p) * log_rest
    terms[rows, labels] = 0
    return np.exp(log_rest[rows, labels]) * loss - terms.sum(axis=1)


def features(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> dict[str, Float[np.ndarray, "n _"]]:
    """The five features of the attack, each for a classifier of its own; columns of numbers, a row a sample.

    "correctness" 0 or 1, "confidence" the probability of the true class, "entropy" and "modified_entropy" in nats, and
    "probabilities" of all classes.
    Raises DataError as `modified_entropy` does.

    >>> {name: x.round(2).tolist() for name, x in features(np.array([[0.0, 0.0]]), np.array([0])).items()}
    {'correctness': [[1.0]], 'confidence': [[0.5]], 'entropy': [[0.69]], 'modified_entropy': [[0.69]],
     'probabilities': [[0.5, 0.5]]}
    """
    columns = {
        "correctness": (logits.argmax(axis=1) == labels).astype(np.float64),
        "confidence": logistic.confidence(logits, labels),
        "entropy": logistic.entropy(logits),
        "modified_entropy": modified_entropy(logits, labels),
    }
    return {name: x[:, None] for name, x in columns.items()} | {
        "probabilities": softmax(logits.astype(np.float64), axis=1)
    }


def scores(
    members: Float[np.ndarray, "m k"],
    others: Float[np.ndarray, "n k"],
    points: Float[np.ndarray, "p k"],
    *,
    penalty: float = 3.0,
    seed: int = 0,
) -> Float[np.ndarray, " p"]:
    """Signed distance of each point from the boundary between known members and others; above 0 means "member".

    The inputs are one of `features`. Published: SVC(C=3, gamma="auto", kernel="rbf") on features as they are. The
    larger side is thinned at random to the size of the smaller; the time grows with the square of that size.
    Deterministic given the seed.
    Raises DataError for features that are not finite, an empty set, or sets with another number of features.

    >>> x = np.linspace(0, 1, 80)[:, None]
    >>> (scores(x[40:], x[:40], np.array([[0.1], [0.9]])) > 0).tolist()
    [False, True]
    """
    from sklearn.svm import SVC

    x, member = halves.balanced(members, others, points, seed=seed)
    attacker = SVC(C=penalty, gamma="auto", kernel="rbf")
    attacker.fit(x, member)
    return attacker.decision_function(points)


def success(
    forget: Float[np.ndarray, "f k"],
    retain: Float[np.ndarray, "r k"],
    test: Float[np.ndarray, "t k"],
    *,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " t"]]:
    """Scores of forget and test samples, each from a classifier that learnt neither; `halves.crossed` says how.

    The published MIA-efficacy is the share of forget scores below 0; `metrics.intervals.balanced_accuracy` of the two
    gives the rate of the game forget against unseen.
    Raises DataError as `scores` and `halves.crossed` do.

    >>> x = np.linspace(0, 1, 400)[:, None]
    >>> forget, test = success(x[300:], x[200:300], x[:200])
    >>> round(float((forget > 0).mean()), 1), round(float((test > 0).mean()), 1)
    (1.0, 0.0)
    """
    return halves.crossed(scores, forget, retain, test, seed=seed)
