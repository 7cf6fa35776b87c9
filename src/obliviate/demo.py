"""The demonstration: the whole path on the shipped data, in about two minutes on two cores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from obliviate.data.sources import EMBEDDED
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.never_seen import NeverSeen
from obliviate.results.schema import Results
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.workspace import ReportSettings, Workspace

FORGET: Final = "random:0.1"
RETRAINED: Final = 3
REFERENCES: Final = 16


def demo(folder: Path, *, seed: int = 0, progress: Progress = silent) -> Results:
    """Train, forget 10 % of the training set by four methods, audit, and write the report; return the results."""
    began = time.monotonic()
    workspace = Workspace.create(folder, source=EMBEDDED, recipe=Recipe(), seed=seed, progress=progress)
    workspace.choose(FORGET)
    workspace.train()
    workspace.retrained(RETRAINED)
    workspace.unlearn(FineTune())
    workspace.unlearn(GradientAscent())
    workspace.unlearn(AMUN())
    workspace.unlearn(NeverSeen())
    report = ReportSettings(command=f"obliviate demo --seed {seed}", since=began)
    return workspace.audit(references=REFERENCES, retrained=RETRAINED, report=report)
