"""Membership inference attacks: one file each, pure score functions on numpy arrays, a higher score means "member".

The registry is the list below, and what other packages offer.
"""

from __future__ import annotations

from typing import Any, Final

from obliviate.errors import AuditError
from obliviate.membership.base import Attack, with_plugins
from obliviate.membership.correctness import Correctness
from obliviate.membership.lira import LiRA, LiRAOffline, Variance
from obliviate.membership.rmia import RMIA, Form, RMIAOffline
from obliviate.membership.screens import (
    ConfidenceScreen,
    ConfidenceSvc,
    CorrectnessSvc,
    EntropyScreen,
    EntropySvc,
    LossScreen,
    ModifiedEntropySvc,
    ProbabilitiesSvc,
    SortedSoftmaxTrees,
)
from obliviate.membership.ulira import ULiRA

BUILT_IN: Final[tuple[type[Any], ...]] = (
    RMIA,
    LiRA,
    Correctness,
    RMIAOffline,
    LiRAOffline,
    ULiRA,
    LossScreen,
    EntropyScreen,
    ConfidenceScreen,
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
    known = registry()
    if name not in known:
        raise AuditError(f"expected an attack of {', '.join(known)}, got {name!r}; see `obliviate attacks`")
    return known[name]


def usual(*, form: Form = "softmax", variance: Variance = "auto") -> tuple[Attack, ...]:
    """The attacks of an audit that names none: all built-in ones but the screens.

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


def screens() -> tuple[Attack, ...]:
    """The cheap screens, all built-in ones.

    >>> screens()[0].name
    'mia_loss'
    """
    return tuple(cls() for cls in BUILT_IN if cls.use == "screen")
