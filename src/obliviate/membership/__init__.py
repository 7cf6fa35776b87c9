"""Membership inference attacks: one file each, pure score functions on numpy arrays, a higher score means "member".

The registry is the list below, and what other packages offer. `__all__` is what an audit may name, and what an attack
of your own may build on.
"""

from __future__ import annotations

from typing import Any, Final

from obliviate.errors import AuditError
from obliviate.membership import logistic
from obliviate.membership.base import Attack, Scores, Signal, Target, Use, with_plugins
from obliviate.membership.cheap_attacks import (
    ConfidenceAttack,
    ConfidenceSvc,
    CorrectnessSvc,
    EntropyAttack,
    EntropySvc,
    LossAttack,
    ModifiedEntropySvc,
    ProbabilitiesSvc,
    SortedSoftmaxTrees,
)
from obliviate.membership.correctness import Correctness
from obliviate.membership.lira import LiRA, LiRAOffline, Variance
from obliviate.membership.outputs import Outputs
from obliviate.membership.rmia import RMIA, Form, RMIAOffline
from obliviate.membership.ulira import ULiRA

__all__ = [
    "BUILT_IN",
    "RMIA",
    "Attack",
    "ConfidenceAttack",
    "ConfidenceSvc",
    "Correctness",
    "CorrectnessSvc",
    "EntropyAttack",
    "EntropySvc",
    "LiRA",
    "LiRAOffline",
    "LossAttack",
    "ModifiedEntropySvc",
    "Outputs",
    "ProbabilitiesSvc",
    "RMIAOffline",
    "Scores",
    "Signal",
    "SortedSoftmaxTrees",
    "Target",
    "ULiRA",
    "Use",
    "cheap_attacks",
    "find",
    "logistic",
    "registry",
    "usual",
]

BUILT_IN: Final[tuple[type[Any], ...]] = (
    RMIA,
    LiRA,
    Correctness,
    RMIAOffline,
    LiRAOffline,
    ULiRA,
    LossAttack,
    EntropyAttack,
    ConfidenceAttack,
    CorrectnessSvc,
    ConfidenceSvc,
    EntropySvc,
    ModifiedEntropySvc,
    ProbabilitiesSvc,
    SortedSoftmaxTrees,
)


def registry() -> dict[str, type[Any]]:
    """Every attack by name."""
    return with_plugins(BUILT_IN)


def find(name: str) -> type[Any]:
    """Return the attack of this name; raises AuditError for an unknown one.

    >>> find("rmia")()
    RMIA(gamma=2.0, temperature=2.0, form='softmax')
    """
    attacks = registry()
    if name not in attacks:
        raise AuditError(f"expected an attack of {', '.join(attacks)}, got {name!r}; see `obliviate attacks`")
    return attacks[name]


def usual(*, form: Form = "softmax", variance: Variance = "auto") -> tuple[Attack, ...]:
    """The attacks of an audit that names none: all built-in ones but the cheap ones.

    They are the same whatever packages are installed, and so are verdicts. `form` is that of the probability that RMIA
    reads, `variance` that of LiRA's Gaussians.

    >>> [attack.name for attack in usual()]
    ['rmia', 'lira', 'correctness', 'rmia_offline', 'lira_offline', 'ulira']
    """
    return (
        RMIA(form=form),
        LiRA(variance=variance),
        Correctness(),
        RMIAOffline(form=form),
        LiRAOffline(variance=variance),
        ULiRA(),
    )


def cheap_attacks() -> tuple[Attack, ...]:
    """The cheap attacks, all built-in ones.

    >>> cheap_attacks()[0].name
    'mia_loss'
    """
    return tuple(cls() for cls in BUILT_IN if cls.use == "cheap")
