"""How an attack that learns from known members asks about the forget set without losing half of the test set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from obliviate.errors import DataError
from obliviate.seeds import derive

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
    found = np.empty(len(forget)), np.empty(len(test))
    first, second = (np.array_split(random.permutation(len(one)), 2) for one in (forget, test))
    for fold in range(2):
        asked = np.concatenate([forget[first[fold]], test[second[fold]]])
        answers = attack(retain, test[second[1 - fold]], asked, seed=derive(seed, "fold", fold))
        found[0][first[fold]], found[1][second[fold]] = np.split(answers, [len(first[fold])])
    return found
