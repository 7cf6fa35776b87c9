"""Dask: a worker is killed in the middle of a member; nothing is lost and nothing is made twice."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from obliviate.references.executors.dask import opened
from obliviate.references.pool import ReferencePool
from pools import same


def test_a_worker_is_killed_and_the_pool_is_the_same(
    killed_in_the_middle: Callable[..., Any],
    doomed: tuple[Any, ReferencePool],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from distributed import LocalCluster  # a second, for which no process that only collects tests need wait

    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", **options)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)

    def processes(client: Any) -> set[int]:
        return set(client.run(os.getpid).values())

    with cluster, opened() as executor:
        first, again = executor.submit(os.getpid), executor.submit(os.getpid)  # a call is made each time
        assert first is not again
        assert {first.result(), again.result()} <= processes(executor.client)
        pool, killed = killed_in_the_middle(executor, lambda pid: os.kill(pid, signal.SIGKILL))
        workers = processes(executor.client)
    same(pool, doomed[1])
    assert len(killed) == 1
    assert killed[0] not in workers
    assert sum("was lost with what it was making; the scheduler gives that" in text for text in caplog.messages) == 1
