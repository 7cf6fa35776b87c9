"""The demonstration: the whole path on the shipped data, in two and a half minutes on two cores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from obliviate.data.sources import EMBEDDED
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.never_seen import NeverSeen
from obliviate.results.schema import Results
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.workspace import ReportSettings, Workspace

FORGET: Final = "random:0.1"
RETRAINED: Final = 3
REFERENCES: Final = 16
METHODS: Final = (FineTune, GradientAscent, AMUN, MixUnlearn, NablaTau, NeverSeen)
WITHOUT_RETAIN: Final = (AMUN, NeverSeen)


def demo(folder: Path, *, seed: int = 0, progress: Progress = silent) -> Results:
    """Train, forget 10 % of the training set by six methods, audit, and write the report; return the results.

    Two of them forget once more without the samples that remain.
    """
    began = time.monotonic()
    workspace = Workspace.create(folder, source=EMBEDDED, recipe=Recipe(), seed=seed, progress=progress)
    workspace.choose(FORGET)
    workspace.train()
    workspace.retrained(RETRAINED)
    for method in METHODS:
        workspace.unlearn(method())
    for method in WITHOUT_RETAIN:
        workspace.unlearn(method(), retain=False)
    report = ReportSettings(command=f"obliviate demo --seed {seed}", since=began)
    return workspace.audit(references=REFERENCES, retrained=RETRAINED, report=report)
