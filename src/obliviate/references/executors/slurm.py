"""Slurm: a call is a job of its own, which submitit hands to `sbatch`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from obliviate.errors import AuditError
from obliviate.references.executors.imports import passed_on
from obliviate.references.executors.protocol import Pending
from obliviate.references.executors.resubmission import Resubmitted

SHARED: Final = frozenset(
    ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "name", "stderr_to_stdout")
)
"""Settings that submitit has for every kind of cluster; others are those of `sbatch`."""
RULE: Final = "\n" + 22 * "-" + "\n"
CLUSTERS: Final = ("slurm", "local", "debug")


@dataclass(frozen=True)
class SlurmExecutor:
    """The executor of a cluster, by submitit's."""

    executor: submitit.AutoExecutor

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Resubmitted:
        """Submit a job; one that ends without a result, as with its node, is submitted again."""
        return Resubmitted(partial(self._begun, fn, *args), (UncompletedJobError,))

    def _begun(self, fn: Callable[..., Any], /, *args: Any) -> Pending:
        with passed_on():  # `sbatch` hands the environment on
            return Job(self.executor.submit(fn, *args))


@dataclass(frozen=True)
class Job:
    """A job of submitit, as `Pending` is."""

    job: submitit.Job[Any]

    def done(self) -> bool:
        """Whether there is a result or a failure."""
        return self.job.done()

    def result(self) -> Any:
        """The result; raises what the call raised, and UncompletedJobError for a job that ended without either."""
        try:
            return self.job.result()
        except FailedJobError as error:
            trace = str(error).split(RULE)[1]  # what submitit passes on is a text, with a traceback between two rules
            raise RuntimeError(trace.strip().splitlines()[-1]) from None

    def cancel(self) -> None:
        """Have it cancelled."""
        self.job.cancel()


@contextmanager
def opened(settings: str = "") -> Iterator[SlurmExecutor]:
    """Submit jobs with settings such as "partition=gpu,timeout_min=60", as submitit or `sbatch` call them.

    `folder` is where jobs and their logs are handed over, the current folder if left out; all nodes must see it.
    `cluster=local` starts processes here instead, to try it out. Raises AuditError for settings that there are not, and
    where there is no Slurm.
    """
    values = dict(_setting(text) for text in filter(None, settings.split(",")))
    cluster, place = str(values.pop("cluster", "slurm")), Path(str(values.pop("folder", Path.cwd())))
    if cluster not in CLUSTERS:
        raise AuditError(f"expected a cluster of {', '.join(CLUSTERS)}, got {cluster!r}; leave it out for Slurm")
    named = {name if name in SHARED else f"slurm_{name}": value for name, value in values.items()}
    try:
        folder = tempfile.TemporaryDirectory(dir=place, prefix="obliviate-slurm-", ignore_cleanup_errors=True)
    except OSError as error:
        raise AuditError(f"expected a folder for jobs, got {error.strerror} in {place}; name one by folder=") from error
    with folder as jobs:
        try:
            executor = submitit.AutoExecutor(jobs, cluster=cluster)
            executor.update_parameters(**named)
        except RuntimeError as error:  # "Could not detect …"
            raise AuditError(
                f"expected Slurm on this machine, got none ({error}); begin on a machine that has `srun`"
            ) from error
        except (NameError, TypeError, ValueError, AssertionError) as error:
            raise AuditError(
                f"expected settings of submitit or sbatch, got {settings!r} ({' '.join(str(error).split())}); "
                "correct them"
            ) from error
        yield SlurmExecutor(executor)


def _setting(text: str) -> tuple[str, str | int]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise AuditError(f"expected settings NAME=VALUE with commas between them, got {text!r}; correct it")
    return name, int(value) if value.isdecimal() else value
