"""One process at a time works in a folder, and others are told who."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest

from forks import die, forked, forks
from obliviate._util.locks import LOCK, Holder, held, locked
from obliviate.errors import WorkspaceError


def die_in(folder: AbstractContextManager[object]) -> None:
    with folder:
        die()


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path):
        refusal = pytest.raises(
            WorkspaceError,
            match=r"a folder that no other process works in, got .* in use by process \d+ \(.*\)",
        )
        began = time.monotonic()
        with refusal, locked(tmp_path):
            pytest.fail("two hold the folder")
        assert time.monotonic() - began < 2  # whoever runs is not waited for
    assert not list(tmp_path.iterdir())
    with locked(tmp_path, patience=0):
        pass


def test_the_holder_is_named_with_command_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/obliviate", "unlearn", "amun", "--forget", "owner:w12"])
    with locked(tmp_path):
        holder = Holder.of(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.host, holder.command) == (os.getpid(), platform.node(), "obliviate unlearn amun")
        assert str(holder) == f"process {os.getpid()} (obliviate unlearn amun, since {holder.since})"
        assert holder.alive
        assert "w12" not in (tmp_path / LOCK).read_text("utf-8")


def test_a_holder_on_another_machine_is_named_with_it_and_may_run(tmp_path: Path) -> None:
    holder = Holder(1, "elsewhere", "2026-01-01T00:00:00+00:00", "obliviate audit")
    (tmp_path / LOCK).write_text(json.dumps(asdict(holder)), "utf-8")
    assert Holder.of(tmp_path) == holder
    assert holder.alive is None
    assert "process 1 on elsewhere (obliviate audit" in str(holder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_is_just_being_written_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content, "utf-8")
    assert Holder.of(tmp_path) is None


@forks
def test_the_lock_of_a_killed_process_ends_with_it_and_the_next_is_told(tmp_path: Path) -> None:
    child = forked(lambda: die_in(locked(tmp_path)))
    assert child.code == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    holders: list[Holder] = []
    with locked(tmp_path, patience=0, on_takeover=holders.append):
        pass
    assert [holder.pid for holder in holders] == [child.pid]
    assert holders[0].alive is False
    with locked(tmp_path, patience=0, on_takeover=holders.append):
        pass
    assert len(holders) == 1
    assert not list(tmp_path.iterdir())


@forks
def test_a_lock_that_is_taken_over_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    child = forked(lambda: die_in(held(tmp_path)))
    assert child.code == -signal.SIGKILL
    with held(tmp_path):
        pass
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"the lock of process {child.pid} (")
    assert message.endswith(") was taken over: it ended without giving it back")


def test_what_a_killed_process_left_running_is_waited_for(tmp_path: Path) -> None:
    """A child that inherits the lock holds it on, until it ends by itself."""
    code = """
import os, subprocess, sys
from pathlib import Path
from obliviate._util.locks import locked
with locked(Path(sys.argv[1])) as descriptor:
    subprocess.Popen(["sleep", "1.5"], pass_fds=[descriptor])
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    message = r"got .* in use by what process \d+ \(.*\), which has ended, left running; wait until it has stopped"
    with pytest.raises(WorkspaceError, match=message), locked(tmp_path, patience=0):
        pytest.fail("the child holds it")
    with locked(tmp_path, patience=20):
        pass


def test_a_thread_may_hold_a_folder_several_times_and_no_other_thread(tmp_path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            with held(tmp_path):
                pass
        except WorkspaceError as error:
            refused.append(str(error))

    with held(tmp_path) as outer, held(tmp_path / ".") as inner:
        assert (outer, inner) == (True, False)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert not list(tmp_path.iterdir())
    other()
    assert len(refused) == 1
