"""Processes that are forked from that of the tests, most of them to be killed in the middle of what they do."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import pytest

forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
LONGEST = 300  # seconds


class Ended(NamedTuple):
    """How a process ended: `code` is 0, 1 for an error, whose traceback is printed, or a signal, below zero."""

    pid: int
    code: int


def forked(work: Callable[[], object]) -> Ended:
    """Do some work in a fork and wait for its end, which is that of the work, whatever becomes of it."""
    pid = os.fork()
    if pid == 0:
        _work(work)
    return Ended(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(work: Callable[[], object]) -> NoReturn:
    """Nothing of this process goes on with the tests: it would answer in the place of the one that it is a copy of."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whoever waits is told by the code
        traceback.print_exc()
    finally:
        os._exit(1)
