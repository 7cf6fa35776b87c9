"""Several processes that work on one model, as `torchrun` starts them.

They are new ones: a process that is forked from one with threads, as that of the tests has after some tests, may stop
at a lock or crash.
"""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import Tensor, distributed


def together(work: Callable[[], Any], folder: Path, *, processes: int = 2) -> list[Any]:
    """What `work` returns in each process of a group; raises AssertionError with what one of them raised."""
    folder.mkdir(parents=True, exist_ok=True)
    cloudpickle.register_pickle_by_value(sys.modules[work.__module__])
    (folder / "work.pickle").write_bytes(cloudpickle.dumps(work))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "WORLD_SIZE": str(processes)}
    members = [
        subprocess.Popen([sys.executable, __file__, str(folder)], env=environment | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in map(str, range(processes))
    ]
    assert [member.wait(300) for member in members] == [0] * processes
    results = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(processes)]
    for result in results:
        assert not isinstance(result, str), result
    return results


def _member(folder: Path) -> None:
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=processes)
    try:
        result = cloudpickle.loads((folder / "work.pickle").read_bytes())()
    except BaseException:  # noqa: BLE001 - the test that waits tells of it
        result = traceback.format_exc()
    torch.save(result, folder / f"{rank}.pt")
    if isinstance(result, str):
        os._exit(0)  # without waiting for the others, who may wait for this one
    distributed.destroy_process_group()


def largest_difference(weights: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    assert weights.keys() == others.keys()
    return max(float((value - others[name]).abs().max()) for name, value in weights.items())


if __name__ == "__main__":
    _member(Path(sys.argv[1]))
