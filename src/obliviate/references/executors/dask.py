"""Dask: a call is a task of a `distributed` cluster, which gives what a lost worker had to another by itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from distributed import Client, LocalCluster

from obliviate.errors import AuditError
from obliviate.references.executors.addresses import PATIENCE, check_reachable
from obliviate.references.executors.protocol import Pending

LOG: Final = logging.getLogger("obliviate")
ADDRESS: Final = "DASK_SCHEDULER_ADDRESS"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class DaskExecutor:
    """The executor of a cluster, by its client.

    A task that is lost with its worker is given to another, as often as the scheduler's setting `allowed-failures` says
    (3); which worker was lost is told in the log.
    """

    client: Client

    def __post_init__(self) -> None:
        self.client.subscribe_topic("all", _say_loss)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending:
        """Give a call to the cluster, also one that was given before."""
        return self.client.submit(fn, *args, pure=False)


def _say_loss(event: tuple[float, Any]) -> None:
    _, message = event
    if not isinstance(message, dict) or message.get("action") != "remove-worker" or message.get("expected"):
        return
    if message.get("processing-tasks"):
        LOG.warning(
            "the worker %s was lost with what it was making; the scheduler gives that to another, where it goes on",
            message["worker"],
        )


@contextmanager
def opened(address: str = "") -> Iterator[DaskExecutor]:
    """Connect to a scheduler at an address, at that of DASK_SCHEDULER_ADDRESS without one, or start workers here.

    What is started here is a worker a core, for this process alone; it listens on the loopback, without a dashboard.
    Raises AuditError where nobody answers.
    """
    address = address or os.environ.get(ADDRESS, "")
    if not address:
        quiet: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
        cluster = LocalCluster(n_workers=os.cpu_count(), threads_per_worker=1, host=LOOPBACK, **quiet)
        with cluster, Client(cluster) as client:
            yield DaskExecutor(client)
        return
    check_reachable(address, engine="dask")
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, RuntimeError) as error:  # a TimeoutError is an OSError
        raise AuditError(
            f"expected a scheduler of dask at {address}, got {type(error).__name__}: {' '.join(str(error).split())}; "
            "start it there, or correct the address"
        ) from error
    with client:
        yield DaskExecutor(client)
