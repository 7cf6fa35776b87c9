"""Which methods go down losses that are means over samples, so that batches can be divided (`training.division`)."""

from __future__ import annotations

from typing import Final

from obliviate.errors import MethodError
from obliviate.methods.base import Method
from obliviate.training.division import Division

DIVISIBLE: Final = frozenset(
    {"retrain", "fine_tune", "l1_sparse", "gradient_ascent", "neg_grad_plus", "random_label", "salun", "amun", "msg"}
    | {"bad_teacher", "boundary_shrink", "influence", "rum", "scrub", "ssd", "trew"}
)
"""Methods whose weights are those of whole batches where batches are divided, as tests show; no others are taken."""
IN_PARTS: Final = DIVISIBLE - {"l1_sparse", "rum"}
"""Those of them that read no weights while a process holds but a part of each."""


def check_division(method: Method, division: Division) -> None:
    """Refuse a method whose batches cannot be divided, or whose weights cannot be in parts; raises MethodError."""
    able = IN_PARTS if division.sharded else DIVISIBLE
    if division.divides and method.name not in able:
        asked = "parallel='fsdp'" if division.sharded else "parallel='ddp' and accumulate="
        names = ", ".join(sorted(able))
        raise MethodError(
            f"expected a method for {asked} of {names}, got {method.name}, which is not known to give the weights of "
            "one process; leave them out, or take one of these"
        )
