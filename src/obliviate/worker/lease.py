"""A lease that is kept up while the work goes on, and work that stops when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from obliviate._util.files import LOG
from obliviate.errors import LedgerError, UnavailableError
from obliviate.ledger import Lease, Ledger
from obliviate.training.progress import Progress


@contextmanager
def kept_up(ledger: Ledger, lease: Lease, seconds: float, progress: Progress) -> Iterator[Progress]:
    """Say three times in every so many seconds that the work goes on; yields a progress that work is to report to.

    A ledger that cannot be reached for a while, since its server is begun anew, say, does not end the work: whoever
    takes the batch over meanwhile is heard of when it is back. Reporting raises LedgerError when another worker has.
    """
    over, lost = threading.Event(), list[LedgerError]()

    def beat() -> None:
        while not over.wait(seconds / 3):
            try:
                ledger.beat(lease)
            except UnavailableError as error:
                LOG.warning("the ledger cannot be reached, and the work goes on: %s", error)
            except LedgerError as error:
                lost.append(error)
                return

    def watched(stage: str, done: float, total: float) -> None:
        if lost:
            raise lost[0]
        progress(stage, done, total)

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
