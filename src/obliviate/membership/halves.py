"""How an attack that learns from known members is given them, and asks about the forget set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from obliviate._util.seeds import derive
from obliviate.errors import DataError

Attack = Callable[..., Float[np.ndarray, " p"]]


def crossed(
    attack: Attack,
    forget: Float[np.ndarray, "f k"],
    retain: Float[np.ndarray, "r k"],
    test: Float[np.ndarray, "t k"],
    *,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " t"]]:
    """Scores of forget and test samples from `attack(members, others, points, seed=...)`, each sample's once.

    The attack learns retain samples against one half of the test set, and is asked about one half of the forget set and
    the other half of the test set; then the halves change places. (Published: one half of the test set only, and the
    whole forget set.) The halves are random; deterministic given the seed.
    Raises DataError with fewer than 2 forget or test samples, and as the attack does.

    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> forget, test = crossed(lambda members, others, points, seed: points[:, 0], x[30:], x[20:30], x[:20])
    >>> forget.tolist() == x[30:, 0].tolist(), test.tolist() == x[:20, 0].tolist()
    (True, True)
    """
    if min(len(forget), len(test)) < 2:
        raise DataError(f"expected at least 2 forget and 2 test samples, got {len(forget)} and {len(test)}; use more")
    random = np.random.default_rng(derive(seed, "halves"))
    scores = np.empty(len(forget)), np.empty(len(test))
    first, second = (np.array_split(random.permutation(len(samples)), 2) for samples in (forget, test))
    for fold in range(2):
        points = np.concatenate([forget[first[fold]], test[second[fold]]])
        answers = attack(retain, test[second[1 - fold]], points, seed=derive(seed, "fold", fold))
        scores[0][first[fold]], scores[1][second[fold]] = np.split(answers, [len(first[fold])])
    return scores


def balanced(
    members: Float[np.ndarray, "m k"],
    others: Float[np.ndarray, "n k"],
    points: Float[np.ndarray, "p k"],
    *,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "b k"], Bool[np.ndarray, " b"]]:
    """As many members as others, in random order within each, and which of them are members: what an attack learns.

    The larger side is thinned at random to the size of the smaller. The points, which are asked about later, are
    checked as well. Deterministic given the seed.
    Raises DataError for features that are not finite, an empty set, or sets with another number of features.

    >>> x, member = balanced(np.ones((5, 2)), np.zeros((3, 2)), np.zeros((1, 2)))
    >>> x[:, 0].tolist(), member.tolist()
    ([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [True, True, True, False, False, False])
    """
    sets = {"members": members, "others": others, "points": points}
    if min(map(len, sets.values())) == 0 or len({features.shape[1] for features in sets.values()}) > 1:
        shapes = {name: features.shape for name, features in sets.items()}
        raise DataError(f"expected non-empty sets with equal features, got {shapes}; use logits of one model")
    if not all(np.isfinite(features).all() for features in sets.values()):
        raise DataError("expected finite features, got NaN or infinity; check that the model has not diverged")
    size, random = min(len(members), len(others)), np.random.default_rng(derive(seed, "thinned"))
    drawn = [features[random.permutation(len(features))[:size]] for features in (members, others)]
    return np.concatenate(drawn), np.arange(2 * size) < size
