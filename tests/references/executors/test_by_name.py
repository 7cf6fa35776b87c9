"""Executors by name: one that is named is asked once, before any work."""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from obliviate.errors import AuditError
from obliviate.references.executors import by_name
from obliviate.references.executors.by_name import opened


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's."""
    module = ModuleType("cluster")
    monkeypatch.setitem(sys.modules, "cluster", module)
    return module


def test_no_name_is_no_executor():
    with opened(None) as executor:
        assert executor is None


def test_an_executor_that_is_a_context_manager_is_shut_down_in_the_end(cluster: Any):
    cluster.made = ThreadPoolExecutor(1)
    cluster.make = lambda: cluster.made
    with opened("cluster:make") as executor:
        assert executor is cluster.made
        assert executor is not None
        assert executor.submit(pow, 2, 5).result() == 32
    with pytest.raises(RuntimeError, match="after shutdown"):
        cluster.made.submit(pow, 2, 5)


def test_whatever_can_submit_is_enough(cluster: Any):
    class Plain:
        def submit(self, fn: Any, /, *args: Any) -> Any:
            return fn(*args)

    cluster.Plain = Plain
    with opened("cluster:Plain") as executor:
        assert isinstance(executor, Plain)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cluster", r"expected an executor of processes, ray, dask, slurm, or module:function, got 'cluster'; name"),
        (
            "nowhere:make",
            r"got 'nowhere:make', which cannot be imported \(No module named 'nowhere'\); name a function",
        ),
        ("cluster:nothing", r"got 'cluster:nothing', which cannot be imported .*nothing.*; name a function"),
        ("", r"expected an executor of processes, ray, dask, slurm, or module:function, got ''; name one"),
        ("cluster:number", r"got 'cluster:number', which is no function; name a function without arguments"),
        ("cluster:listed", r"expected an executor with `submit`, got list from cluster:listed; name a function"),
        ("cluster:needy", r"got a failure of cluster:needy \(TypeError: .*missing 1 required positional argument"),
        ("cluster:broken", r"got a failure of cluster:broken \(OSError: no scheduler\); name a function"),
    ],
)
def test_what_is_no_executor_is_refused_with_what_to_name(cluster: Any, name: str, problem: str):
    def broken() -> None:
        raise OSError("no scheduler")

    def needy(address: str) -> str:
        return address

    cluster.number, cluster.listed, cluster.needy, cluster.broken = 3, list, needy, broken
    with pytest.raises(AuditError, match=problem), opened(name):
        pytest.fail("work has begun")


def test_processes_are_what_works_without_an_executor():
    with opened("processes") as executor:
        assert executor is None


@pytest.mark.parametrize("name", ["ray", "dask", "slurm", "ray://head:10001", "tcp://head:8786", "slurm:partition=gpu"])
def test_an_engine_that_is_not_installed_is_named_with_how_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_name, "find_spec", lambda package: None)
    with pytest.raises(
        AuditError, match=r"expected the package \w+ for the executor (\w+), got none; pip install 'obliviate\[\1\]'"
    ):
        opened(name).__enter__()


@pytest.mark.parametrize("name", ["ray://127.0.0.1:1", "tcp://127.0.0.1:1", "tls://127.0.0.1:1"])
def test_an_address_at_which_nobody_answers_is_refused_at_once(name: str) -> None:
    with pytest.raises(AuditError, match=f"expected (ray|dask) at {name}, got no answer .*refused.*; start it there"):
        opened(name).__enter__()


@pytest.mark.parametrize(("engine", "variable"), [("ray", "RAY_ADDRESS"), ("dask", "DASK_SCHEDULER_ADDRESS")])
def test_addresses_are_taken_from_the_environment(engine: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "127.0.0.1:1")
    with pytest.raises(AuditError, match=f"expected {engine} at 127.0.0.1:1, got no answer"):
        opened(engine).__enter__()
    monkeypatch.setenv(variable, "nowhere")
    with pytest.raises(AuditError, match=f"expected an address HOST:PORT of {engine}, got 'nowhere'; correct it"):
        opened(engine).__enter__()
