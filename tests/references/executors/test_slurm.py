"""Slurm by submitit, whose local processes stand for a cluster: a job that is killed is submitted again."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obliviate.errors import AuditError
from obliviate.references.executors.slurm import opened
from obliviate.references.pool import ReferencePool
from pools import same


def test_a_job_is_a_call_and_its_failure_is_told_in_a_line(tmp_path: Path) -> None:
    with opened(f"cluster=local,timeout_min=5,folder={tmp_path}") as executor:
        result, failure = executor.submit(pow, 2, 5), executor.submit(divmod, 1, 0)
        assert result.result() == 32
        with pytest.raises(RuntimeError, match=r"^ZeroDivisionError: integer division or modulo by zero$"):
            failure.result()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_job_is_killed_and_the_pool_is_the_same(
    killed_in_the_middle: Callable[..., Any],
    doomed: tuple[Any, ReferencePool],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = tmp_path.parent
    with opened(f"cluster=local,timeout_min=5,folder={jobs}") as executor:
        pool, killed = killed_in_the_middle(executor, lambda pid: os.kill(pid, signal.SIGKILL))
    same(pool, doomed[1])
    assert len(killed) == 1
    assert sum("was lost with its process or machine" in text for text in caplog.messages) == 1
    assert not list(jobs.glob("obliviate-slurm-*"))


def test_a_machine_without_slurm_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=r"expected Slurm on this machine, got none .*; begin on a machine that has"):
        opened("partition=gpu").__enter__()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("cluster=elsewhere", r"expected a cluster of slurm, local, debug, got 'elsewhere'; leave it out for Slurm"),
        ("cluster=local,flavour=mild", r"expected settings of submitit or sbatch, got .*flavour.*; correct them"),
        ("cluster=local,timeout_min=soon", r"expected settings of submitit or sbatch, got .*timeout_min.*; correct"),
        ("partition", r"expected settings NAME=VALUE with commas between them, got 'partition'; correct it"),
        ("folder=/nowhere/at/all", r"expected a folder for jobs, got No such file .*; name one by folder="),
    ],
)
def test_settings_that_there_are_not_are_refused(
    settings: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=problem):
        opened(settings).__enter__()
    assert not list(tmp_path.iterdir())
