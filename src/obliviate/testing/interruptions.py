"""Interruptions: a killed run goes on where it was killed, and ends as one that was not."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, Final

from obliviate.testing.bench import Bench
from obliviate.testing.check import ContractError, expect
from obliviate.testing.runs import Killed
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.progress import silent

SEVERAL: Final = 3
"""Epochs that what is kept between them is tried with."""
MOMENTS: Final = ("the first batch", "a third", "nine tenths", "the last batch")
"""When a run is killed."""


def killed_and_resumed_is_bit_equal(method: Any, bench: Bench, folder: Path) -> None:
    """Killed at four moments of its training and resumed, it ends with the weights of an uninterrupted run."""
    for moment in MOMENTS:
        resumes(method, bench, folder / moment.replace(" ", "-"), moment)


def resumes(method: Any, bench: Bench, folder: Path, moment: str) -> bool:
    """Kill the method at one of the MOMENTS and resume it; returns False if it takes no batch at which to kill it."""
    folder.mkdir(exist_ok=True)
    whole, total = bench.whole(method).weights, bench.whole(method).batches
    if not total:
        return False
    killed = bench.run(folder=folder)
    killed.last = {"the first batch": 0, "a third": total // 3, "nine tenths": 9 * total // 10}.get(moment, total - 1)
    try:
        bench.forget(method, run=killed)
    except Killed:
        pass
    else:
        raise ContractError(f"expected {method.name} to let a kill at {moment} through, got a finished run; let it")
    resumed = bench.run(folder=folder)
    same = weights_sha256(bench.forget(method, run=resumed)) == whole
    expect(same, method, f"bit-equal weights after a kill at {moment}", "others; name all state in `run.epochs`")
    if moment in {"nine tenths", "the last batch"} and getattr(bench.settled(method), "epochs", None) != 1:
        expect(resumed.taken < total, method, "to go on where it was killed", "a run from the start; use `run.epochs`")
    return True


def killed_between_epochs_is_bit_equal(method: Any, bench: Bench, folder: Path) -> None:
    """Killed whenever it reports progress, three times over, it ends with the weights of an uninterrupted run.

    A method whose `epochs` come to 1 has three here: what it does not keep between them is lost nowhere else.
    """
    if is_dataclass(type(method)) and getattr(bench.settled(method), "epochs", None) == 1:
        method = replace(method, epochs=SEVERAL)
    calls = 0

    def dying(stage: str, done: float, total: float) -> None:
        nonlocal calls
        calls += 1
        raise Killed

    while True:
        try:
            resumed = bench.forget(method, run=bench.run(folder=folder, progress=dying if calls < 3 else silent))
        except Killed:
            continue
        break
    same = weights_sha256(resumed) == bench.whole(method).weights
    expect(same, method, "bit-equal weights after kills between epochs", "others; name all state in `run.epochs`")


def a_finished_run_is_not_done_again(method: Any, bench: Bench, folder: Path) -> None:
    """Called again in the folder of a finished run, it takes no batch and returns the same weights."""
    first = weights_sha256(bench.forget(method, run=bench.run(folder=folder)))
    again = bench.run(folder=folder)
    same = weights_sha256(bench.forget(method, run=again)) == first
    expect(same and not again.taken, method, "to read a finished run back", f"{again.taken} more batches")
