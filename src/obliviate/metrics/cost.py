"""What unlearning costs in time and memory."""

from __future__ import annotations

import sys

from obliviate.errors import DataError


def share_of_retraining(seconds: float, retraining_seconds: float) -> float:
    """Time of unlearning as a fraction of the time of retraining; below 1 it pays.

    Raises DataError unless seconds >= 0 and retraining_seconds > 0.

    >>> share_of_retraining(3.0, 60.0)
    0.05
    """
    if not (seconds >= 0 and retraining_seconds > 0):
        raise DataError(
            f"expected seconds >= 0 and retraining_seconds > 0, got {seconds} and {retraining_seconds}; measure both"
        )
    return seconds / retraining_seconds


def peak_rss_mb() -> float:
    """Peak resident memory of this process plus that of its largest finished child, in MiB (getrusage(2)).

    An upper bound, since the two peaks need not coincide. Works on Linux and macOS.

    >>> peak_rss_mb() > 1
    True
    """
    import resource  # absent on Windows, where the rest of this module still works

    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
