"""Unlearning methods: one file each. The registry is this list, and what other packages offer.

`__all__` is what a method of your own may build on, beside `obliviate.Split`, `obliviate.Run` and their like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from obliviate.errors import MethodError
from obliviate.methods.amun import AMUN
from obliviate.methods.bad_teacher import BadTeacher
from obliviate.methods.base import Method, check_positive, serves, with_plugins
from obliviate.methods.boundary_shrink import BoundaryShrink
from obliviate.methods.ct import CT
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.influence import Influence
from obliviate.methods.l1_sparse import L1Sparse
from obliviate.methods.laf import LAF
from obliviate.methods.lotus import LoTUS
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.msg import MSG
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.neg_grad_plus import NegGradPlus
from obliviate.methods.never_seen import NeverSeen
from obliviate.methods.random_label import RandomLabel
from obliviate.methods.regun import ReGUn
from obliviate.methods.retrain import Retrain
from obliviate.methods.rum import RUM
from obliviate.methods.salun import SalUn
from obliviate.methods.scrub import Scrub
from obliviate.methods.sfron import SFRon
from obliviate.methods.sisa import SISA
from obliviate.methods.ssd import SSD
from obliviate.methods.trew import TREW
from obliviate.task import TASKS, Task
from obliviate.training.optimizers import SGD

__all__ = ["BUILT_IN", "SGD", "check_positive", "check_task", "find", "from_dict", "registry"]

BUILT_IN: Final[tuple[type[Any], ...]] = (
    Retrain,
    SISA,
    FineTune,
    GradientAscent,
    NeverSeen,
    AMUN,
    MixUnlearn,
    LAF,
    NablaTau,
    NegGradPlus,
    RandomLabel,
    SalUn,
    L1Sparse,
    Scrub,
    BadTeacher,
    SSD,
    BoundaryShrink,
    Influence,
    RUM,
    ReGUn,
    MSG,
    CT,
    LoTUS,
    SFRon,
    TREW,
)


def registry() -> dict[str, type[Any]]:
    """Every method by name."""
    return with_plugins(BUILT_IN)


def find(name: str) -> type[Any]:
    """Return the method of this name; raises MethodError for an unknown one."""
    methods = registry()
    if name not in methods:
        raise MethodError(f"expected a method of {', '.join(methods)}, got {name!r}; see `obliviate methods`")
    return methods[name]


def check_task(method: Method, task: Task) -> None:
    """Refuse a kind of task that the method does not serve; raises MethodError, which names methods that do.

    >>> from obliviate.task import Classification
    >>> check_task(AMUN(), Classification(classes=10))
    """
    if not serves(method, task.kind):
        served = ", ".join(kind for kind in TASKS if serves(method, kind))
        able = ", ".join(name for name, cls in registry().items() if serves(cls, task.kind))
        raise MethodError(f"expected a task that {method.name} serves ({served}), got {task.kind}; use one of {able}")


def from_dict(values: Mapping[str, Any]) -> Method:
    """Make the method that `base.to_dict` described; raises MethodError for an unknown one or other hyperparameters.

    >>> from_dict({"name": "fine_tune", "settings": {"epochs": 3}}).epochs
    3
    """
    cls = find(values["name"])
    try:
        return cls(**values["settings"])
    except TypeError as error:
        raise MethodError(
            f"expected the hyperparameters of {cls.name}, got {dict(values['settings'])} ({error}); "
            "they are of another version of the method"
        ) from error
