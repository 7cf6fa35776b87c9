"""Several processes that work on one model, as `torchrun` starts them; forked, so that nothing is imported."""

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed


def together(work: Callable[[], Any], folder: Path, *, processes: int = 2) -> list[Any]:
    """What `work` returns in each process of a group; raises AssertionError with what one of them raised."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    members = [context.Process(target=_member, args=(work, folder, rank, processes)) for rank in range(processes)]
    with warnings.catch_warnings():
        # What forking may stop at is a lock that another thread holds, and the threads of torch wait here.
        warnings.simplefilter("ignore", DeprecationWarning)
        for member in members:
            member.start()
    for member in members:
        member.join(300)
    assert all(not member.is_alive() for member in members), "a process did not end"
    results = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(processes)]
    for result in results:
        assert not isinstance(result, str), result
    return results


def _member(work: Callable[[], Any], folder: Path, rank: int, processes: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=processes)
    try:
        result = work()
    except BaseException:  # noqa: BLE001 - the test that waits tells of it
        result = traceback.format_exc()
    torch.save(result, folder / f"{rank}.pt")
    if not isinstance(result, str):
        distributed.destroy_process_group()
    os._exit(0)  # without what the test's own process does at its end


def largest_difference(weights: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    assert weights.keys() == others.keys()
    return max(float((value - others[name]).abs().max()) for name, value in weights.items())
