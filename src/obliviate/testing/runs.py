"""Runs that can be counted and killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from obliviate.training.run import Run


class Killed(Exception):
    """Stands for a power cut."""


class CountedRun(Run):
    """A run that counts the batches that `fit` takes, and is killed before the one numbered `last`."""

    taken: int = 0
    last: int | None = None

    def fit(self, model: nn.Module, batches: Iterable[Any], *rest: Any, **options: Any) -> float:
        """Fit as `Run` does, batch by batch under the count."""
        return super().fit(model, self._counted(batches), *rest, **options)

    def _counted(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            if self.taken == self.last:
                raise Killed
            self.taken += 1
            yield batch
