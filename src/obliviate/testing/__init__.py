"""The contract that every method is held to, as checks that a package with methods of its own can run in its tests.

A check is a function of (method, bench, an empty folder); it raises ContractError where the method breaks the contract.
No test framework is needed. See docs/tutorials/write-your-own-method.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from obliviate.testing.bench import Bench
from obliviate.testing.check import Check, ContractError
from obliviate.testing.engine import leaves_the_engine_to_the_run
from obliviate.testing.interruptions import (
    a_finished_run_is_not_done_again,
    killed_and_resumed_is_bit_equal,
    killed_between_epochs_is_bit_equal,
)
from obliviate.testing.presentation import (
    describes_itself,
    is_a_frozen_dataclass_with_keyword_only_fields,
    refuses_hyperparameters_out_of_range,
)
from obliviate.testing.reads import counted, recorded
from obliviate.testing.samples import (
    never_reads_what_an_earlier_request_forgot,
    reads_only_what_it_may_see,
    uses_no_label_unless_it_needs_labels,
    works_on_a_dataset_that_is_not_held_in_memory,
    works_with_no_more_than_it_needs,
)
from obliviate.testing.weights import (
    changes_the_weights_of_its_copy_alone,
    divides_its_batches_if_it_says_so,
    does_not_collapse_under_its_defaults,
    same_seed_gives_the_same_weights,
)

__all__ = ["CHECKS", "Bench", "Check", "ContractError", "check_method", "counted", "recorded"]

CHECKS: Final[tuple[Check, ...]] = (
    same_seed_gives_the_same_weights,
    changes_the_weights_of_its_copy_alone,
    does_not_collapse_under_its_defaults,
    divides_its_batches_if_it_says_so,
    killed_and_resumed_is_bit_equal,
    killed_between_epochs_is_bit_equal,
    a_finished_run_is_not_done_again,
    reads_only_what_it_may_see,
    works_on_a_dataset_that_is_not_held_in_memory,
    works_with_no_more_than_it_needs,
    never_reads_what_an_earlier_request_forgot,
    uses_no_label_unless_it_needs_labels,
    leaves_the_engine_to_the_run,
    is_a_frozen_dataclass_with_keyword_only_fields,
    describes_itself,
    refuses_hyperparameters_out_of_range,
)


def check_method(method: Any, bench: Bench | None = None) -> None:
    """Hold a method to the whole contract, on `Bench.small()` unless told otherwise.

    A class is held to it under its defaults, a method as you set it under these settings.
    Raises ContractError at the first check that the method does not pass; what the method raises itself is passed on.

    >>> from obliviate.methods.gradient_ascent import GradientAscent
    >>> check_method(GradientAscent)
    """
    bench, method = bench or Bench.small(), method() if isinstance(method, type) else method
    with tempfile.TemporaryDirectory() as pool_folder:
        if "teachers" in method.needs and bench.teachers is None:
            bench = bench.with_teachers(Path(pool_folder))
        for check in CHECKS:
            with tempfile.TemporaryDirectory() as folder:
                check(method, bench, Path(folder))
