"""What a run keeps in its folder, and goes on from when it was killed: the state after an epoch, and artefacts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from obliviate._util.files import start_over
from obliviate.errors import CheckpointError, WorkspaceError
from obliviate.training.clock import Clock
from obliviate.training.division import check_alone
from obliviate.training.saved_state import State, restore_state, save_state
from obliviate.training.tensors import load_tensors, save_tensors


class Resumption:
    """The folder of a run, what is in it, and when it was last written to; without a folder nothing is kept.

    Two saves of a state are at least `save_every` seconds apart. What is read back counts on the `clock` as the time
    that it took. A file that is damaged is removed, with a warning, and what it was of starts over.

    Raises TrainingError for a folder where several processes would keep something at once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = Resumption(Path(folder), save_every=0.0, clock=Clock(), device=torch.device("cpu"))
    ...     kept.save("train", {"memory": {"steps": 7}}, done=2)
    ...     memory = {}
    ...     kept.restore("train", {"memory": memory}), memory
    (2, {'steps': 7})
    """

    def __init__(self, folder: Path | None, *, save_every: float, clock: Clock, device: torch.device) -> None:
        if folder is not None:
            check_alone(folder)
        self.folder = folder
        self.save_every = save_every
        self.clock = clock
        self.device = device
        self._saved = time.monotonic()

    def restore(self, name: str, state: State) -> int:
        """Put into `state` what was saved of a stage; return how many of its epochs are done, 0 without any."""
        path = None if self.folder is None else self.folder / f"{name}.pt"
        if path is None or not path.exists():
            return 0
        try:
            done, seconds = restore_state(path, state, device=self.device)
        except WorkspaceError as error:
            start_over(path, error)
            return 0
        self.clock.spent(seconds)
        return done

    def save(self, name: str, state: State, *, done: int) -> None:
        """Keep the state of a stage after so many epochs, if it is time to."""
        if self.folder is not None and time.monotonic() - self._saved >= self.save_every:
            save_state(self.folder / f"{name}.pt", state, done=done, seconds=self.clock.seconds)
            self._saved = time.monotonic()

    def once(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Make an artefact and keep it, or read it back, onto the device, where it was made before."""
        path = None if self.folder is None else self.folder / f"{name}.safetensors"
        if path is not None and path.exists():
            try:
                tensors, facts = load_tensors(path)
            except CheckpointError as error:
                start_over(path, error)
            else:
                self.clock.spent(float(facts["seconds"]))
                return {key: value.to(self.device) for key, value in tensors.items()}
        tensors = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, tensors, {"seconds": str(self.clock.seconds)})
        return tensors
