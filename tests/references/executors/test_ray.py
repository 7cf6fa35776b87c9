"""Ray: a node of two is killed in the middle of a member; nothing is lost and nothing is made twice."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from obliviate.references.executors.ray import opened
from obliviate.references.pool import ReferencePool
from pools import same

OBJECTS = 80 * 2**20  # bytes, the least that Ray takes

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each on this machine, of which the second may be killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on the loopback
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        from ray.cluster_utils import Cluster

        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": OBJECTS}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster
        cluster.shutdown()


def test_a_node_is_killed_and_the_pool_is_the_same(
    cluster: Any,
    killed_in_the_middle: Callable[..., Any],
    doomed: tuple[Any, ReferencePool],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (node,) = cluster.worker_nodes
    raylet = next(iter(node.all_processes["raylet"])).process.pid

    def kill(victim: int) -> None:  # what runs on a machine ends with it
        os.kill(raylet, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with opened() as executor:
        with pytest.raises(ZeroDivisionError, match="modulo by zero"):  # as it was raised, without Ray's traceback
            executor.submit(divmod, 1, 0).result()
        pool, killed = killed_in_the_middle(executor, kill, parent=raylet)
    same(pool, doomed[1])
    assert len(killed) == 1
    assert sum("was lost with its process or machine" in text for text in caplog.messages) == 1
