"""Progress and results for notebooks and experiment trackers: what to pass as `progress=`, and where figures go."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, Final, Protocol, runtime_checkable

from obliviate.training.progress import Progress, silent

__all__ = ["ProgressBar", "Tracker"]

WIDTH: Final = 32  # characters of a bar of text
PAUSE: Final = 0.1  # seconds between two drawings


@runtime_checkable
class Figured(Protocol):
    """What has figures by name: the results of an audit or a comparison, a model with its effect."""

    def figures(self) -> dict[str, float]: ...


class Tracker:
    """Hands progress and results to an experiment tracker: one callback for all of them.

    `log` is called with figures by name and `step=`, a number that grows: `wandb.log`, `trackio.log` and
    `mlflow.log_metrics` are such functions. What it raises stops the work, which goes on where it was when it is asked
    for again (docs/notebooks.md). Pass the tracker as `progress=`, where it logs the share of each stage that is done,
    and give it results by `report`. `progress` is told the same, for a bar beside it.

    >>> tracker = Tracker(lambda figures, step: print(step, figures))
    >>> tracker("train", 1, 4)
    0 {'progress/train': 0.25}
    """

    def __init__(self, log: Callable[..., Any], *, progress: Progress = silent) -> None:
        self.log = log
        self.progress = progress
        self.step = 0

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Log how much of a stage is done, in [0, 1]."""
        self.progress(stage, done, total)
        self._log({f"progress/{_name(stage)}": done / max(total, 1e-12)})

    def report(self, results: Figured) -> None:
        """Log all figures of an audit, of a comparison, or of a model's effect, "model/figure" by name."""
        self._log({_name(name): value for name, value in results.figures().items()})

    def _log(self, figures: dict[str, float]) -> None:
        self.log(figures, step=self.step)
        self.step += 1


def _name(text: str) -> str:
    """A name that every tracker takes: letters, digits, spaces and _-./ alone."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in " _-./") else "_" for letter in text)


class ProgressBar:
    """Shows progress: a bar that fills up in a notebook or a terminal, and a line for each finished stage elsewhere.

    >>> import io
    >>> stream = io.StringIO()
    >>> bar = ProgressBar(stream=stream)
    >>> bar("train", 1, 2), bar("train", 2, 2)
    (None, None)
    >>> stream.getvalue()[:7]
    'train: '
    """

    def __init__(self, *, stream: Any = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self._began: dict[str, float] = {}
        self._finished: set[str] = set()
        self._displays: dict[str, Any] = {}
        self._drawn = 0.0

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Show how much of a stage is done."""
        now = time.monotonic()
        if stage in self._finished and done < total:  # the same once more
            self._finished.remove(stage)
            self._began.pop(stage)
            self._displays.pop(stage, None)
        began = self._began.setdefault(stage, now)
        finished = done >= total
        if (stage in self._finished) or (not finished and now - self._drawn < PAUSE):
            return
        self._drawn = now
        if finished:
            self._finished.add(stage)
        if in_notebook():
            self._show(stage, done, total, now - began)
        elif self.stream.isatty():
            filled = round(WIDTH * min(done / max(total, 1e-12), 1.0))
            end = "\n" if finished else ""
            bar = f"\r{stage:<24} {'█' * filled}{'░' * (WIDTH - filled)} {now - began:.1f} s{end}"
            self.stream.write(bar)
            self.stream.flush()
        elif finished:
            self.stream.write(f"{stage}: {now - began:.1f} s\n")
            self.stream.flush()

    def _show(self, stage: str, done: float, total: float, seconds: float) -> None:
        from IPython.display import HTML, display

        bar = HTML(f'<progress value="{done:g}" max="{total:g}"></progress> {escape(stage)}, {seconds:.1f}&nbsp;s')
        if stage in self._displays:
            self._displays[stage].update(bar)
        else:
            self._displays[stage] = display(bar, display_id=True)


def in_notebook() -> bool:
    """Whether this process serves a notebook: IPython with a kernel, not its prompt in a terminal.

    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
