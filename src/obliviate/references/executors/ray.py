"""Ray: a call is a task on one processor core, and on one GPU where a GPU is asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final

from obliviate.errors import AuditError
from obliviate.references.executors.addresses import check_reachable, is_loopback
from obliviate.references.executors.imports import passed_on
from obliviate.references.executors.resubmission import Resubmitted
from obliviate.training.compute import Compute

ADDRESS: Final = "RAY_ADDRESS"
LOCAL: Final = "local"
LOOPBACK: Final = "127.0.0.1"
STATISTICS: Final = "RAY_USAGE_STATS_ENABLED"
BEYOND_LOOPBACK: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""What Ray calls its switch for addresses that other machines reach; it is on under Linux, and read at the import."""


@dataclass(frozen=True)
class Task:
    """A task of Ray, as `Pending` is."""

    ray: ModuleType
    reference: Any

    def done(self) -> bool:
        """Whether there is a result or a failure."""
        ready, _ = self.ray.wait([self.reference], timeout=0)
        return bool(ready)

    def result(self) -> Any:
        """The result; raises what the call raised, as it raised it, and RayError for a loss."""
        try:
            return self.ray.get(self.reference)
        except self.ray.exceptions.RayTaskError as error:  # its text is a traceback
            raise error.cause from None

    def cancel(self) -> None:
        """Keep it from beginning, or interrupt it."""
        self.ray.cancel(self.reference)


@dataclass(frozen=True)
class RayExecutor:
    """The executor of the cluster that this process is connected to (`opened`)."""

    ray: ModuleType

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Resubmitted:
        """Give a call to the cluster; one that is lost with its node is given to another."""
        gpus = 1 if (Compute.current().device or "").startswith("cuda") else 0
        remote = self.ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_called)
        errors = self.ray.exceptions
        lost = (
            errors.WorkerCrashedError, errors.NodeDiedError, errors.LocalRayletDiedError, errors.OutOfMemoryError,
        )  # fmt: skip
        return Resubmitted(partial(self._begun, remote, fn, args), lost)

    def _begun(self, remote: Any, fn: Callable[..., Any], args: tuple[Any, ...]) -> Task:
        return Task(self.ray, remote.remote(fn, args))


def _called(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call any callable: Ray takes functions alone."""
    return fn(*args)


@contextmanager
def opened(address: str = "") -> Iterator[RayExecutor]:
    """Connect to the Ray at an address, at that of RAY_ADDRESS without one, or start one here, for this process alone.

    What is started here listens on the loopback, has no dashboard and sends no statistics. A process that is connected
    already stays so, and uses that. Raises AuditError where nobody answers.
    """
    address = address or os.environ.get(ADDRESS, "") or LOCAL
    here = address == LOCAL or is_loopback(address)
    if address not in {LOCAL, "auto"}:
        check_reachable(address, engine="ray")
    ray = _imported(here=here)
    if ray.is_initialized():
        yield RayExecutor(ray)
        return
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False}
    if here and "://" not in address:
        options |= {"_node_ip_address": LOOPBACK}
    try:
        with passed_on():
            ray.init(**options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise AuditError(
            f"expected ray at {address}, got {type(error).__name__}: {' '.join(str(error).split())[:500]}; "
            "start it there with the same versions of Ray and Python, or correct the address"
        ) from error
    try:
        yield RayExecutor(ray)
    finally:
        ray.shutdown()


def _imported(*, here: bool) -> ModuleType:
    """Ray, which reads at its import whom it may talk to; whatever the user's environment says comes first."""
    os.environ.setdefault(STATISTICS, "0")
    if here:
        os.environ.setdefault(BEYOND_LOOPBACK, "0")
    import ray

    return ray
