"""The models of a pool that are missing are made: whatever was killed goes on, and nobody interferes."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from forks import die, forked, forks
from obliviate._util.locks import locked
from obliviate.errors import AuditError, WorkspaceError
from obliviate.references import completion, jobs, logits
from obliviate.references.executors.protocol import Executor
from obliviate.references.pool import ReferencePool
from obliviate.training import saved_state
from obliviate.training.run import Run
from pools import Make, names_in, same


def die_at_second(function: Callable[..., Any], before: Callable[..., None] = lambda *_: None) -> Callable[..., Any]:
    """The function, whose second call has only the effect of `before` and then kills this process."""
    calls: list[int] = []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            before(*arguments)
            die()
        return function(*arguments, **options)

    return dying


def half(tensors: Any, path: Path, *_: Any) -> None:
    """Write the first half of what should be written."""
    save_file(tensors if isinstance(tensors, dict) else {"half": torch.ones(9)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_a_state(path: Path, content: bytes) -> None:
    path.with_name(f".{path.name}.abcd_123").write_bytes(content[:100])  # as `write_atomically` names it


MOMENTS: dict[str, tuple[Any, str, Callable[..., None]]] = {
    "in the middle of a training": (Run, "fit", lambda *_: None),
    "while the state is written": (saved_state, "write_hashed", half_a_state),
    "while weights are written": (jobs, "save_file", half),
    "between weights and outputs": (jobs, "write_logits", lambda *_: None),
    "while outputs are written": (logits, "save_file", half),
    "between outputs and hashes": (jobs, "write_sealed_json", lambda *_: None),
    "after the hashes": (jobs.shutil, "rmtree", lambda *_: None),
    "before what is left is removed": (completion, "_sweep", lambda *_: None),
}


@forks
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_goes_on_to_the_same_pool(
    moment: str, make_pool: Make, tmp_path: Path, whole: ReferencePool
) -> None:
    def killed() -> None:  # so that nothing of it needs to be undone
        module, name, before = MOMENTS[moment]
        init = Run.__init__

        def saving(self: Run, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options | {"save_every": 0.0})

        setattr(Run, "__init__", saving)  # noqa: B010
        setattr(module, name, die_at_second(getattr(module, name), before))
        make_pool(tmp_path)

    assert forked(killed).code == -signal.SIGKILL
    folder = tmp_path / whole.fingerprint
    assert "lock" in names_in(folder)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("member-*.json")}
    same(make_pool(tmp_path), whole)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_an_epoch_that_was_finished_before_the_kill_is_not_done_again(
    make_pool: Make, tmp_path: Path, whole: ReferencePool, interrupt: Callable[..., list[int]]
) -> None:
    epochs = interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        make_pool(tmp_path)
    same(make_pool(tmp_path), whole)
    assert epochs == [4 * 3 + 1]


def test_two_processes_do_not_train_in_one_folder(
    make_pool: Make, tmp_path: Path, whole: ReferencePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / whole.fingerprint))
    monkeypatch.setattr(completion, "locked", lambda folder, patience=0.0: locked(folder, patience=0))
    with locked(folder):
        with pytest.raises(WorkspaceError, match=r"expected a folder that no other process works in, got .* in use"):
            make_pool(tmp_path, models=6)
        np.testing.assert_array_equal(make_pool(tmp_path).logits, whole.logits)  # what is there may be used
    assert len(make_pool(tmp_path, models=6)) == 6


def test_workers_and_an_executor_are_refused(make_pool: Make, tmp_path: Path, at_once: Executor) -> None:
    with pytest.raises(AuditError, match="expected workers or an executor, got workers=2 and an executor; leave one"):
        make_pool(tmp_path, executor=at_once, workers=2)
