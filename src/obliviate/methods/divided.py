"""Which methods give the weights of whole batches where batches are divided (`training.division`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from obliviate.errors import MethodError
from obliviate.methods.base import Method
from obliviate.training.division import Division

DIVISIBLE: Final = frozenset(
    {"retrain", "fine_tune", "l1_sparse", "gradient_ascent", "neg_grad_plus", "random_label", "salun", "amun", "msg"}
    | {"bad_teacher", "boundary_shrink", "ct", "influence", "lotus", "mixunlearn", "nabla_tau", "never_seen", "regun"}
    | {"rum", "scrub", "sfron", "ssd", "trew"}
)
"""Methods whose weights are those of whole batches where batches are divided, as tests show."""
WHOLE: Final[Mapping[str, str]] = {
    "laf": "draws noise within its losses, which a part of a batch would draw otherwise",
    "sisa": "trains shards, each of which is a training of its own",
}
"""Methods that cannot be divided, and why."""
NOT_IN_PARTS: Final[Mapping[str, str]] = {
    "l1_sparse": "reads every weight in its loss",
    "rum": "looks for salient weights after it has begun to train",
}
"""Methods that can, but not where each process holds but a part of each weight, and why."""


def check_division(method: Method, division: Division) -> None:
    """Refuse a method whose batches cannot be divided, or whose weights cannot be in parts; raises MethodError.

    A method of another package is taken if it says `divisible = True` (docs/methods/README.md).
    """
    if not division.divides:
        return
    asked = "parallel='fsdp'" if division.sharded else "parallel='ddp' and accumulate="
    reason = WHOLE.get(method.name) or (NOT_IN_PARTS.get(method.name) if division.sharded else None)
    if reason is None and method.name not in DIVISIBLE and not getattr(method, "divisible", False):
        reason = "does not say that it can; see `divisible` in docs/methods/README.md"
    if reason is not None:
        names = ", ".join(sorted(DIVISIBLE.difference(NOT_IN_PARTS) if division.sharded else DIVISIBLE))
        raise MethodError(
            f"expected a method for {asked} of {names}, got {method.name}, which {reason}; leave them out, or take one "
            "of these"
        )
