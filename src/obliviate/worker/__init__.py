"""The work on requests: unlearn, audit, judge, certify, promote, each exactly once, whatever ends a worker between."""

from obliviate.worker.index import index
from obliviate.worker.worker import work

__all__ = ["index", "work"]
