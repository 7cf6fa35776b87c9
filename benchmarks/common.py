"""What every benchmark records beside its figures."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from obliviate.workflow import cpu_name

RESULTS = Path(__file__).parent / "results"


def provenance(command: str) -> dict[str, Any]:
    """The command, the commit (with a mark if files differ from it) and the machine."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", ":/src")  # from the root, not from this folder
    return {
        "command": command,
        "commit": commit + (" with changes" if changed else ""),
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "torch": torch.__version__},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, least and greatest of a few runs."""
    return {"mean": statistics.fmean(values), "min": min(values), "max": max(values)}


def save(name: str, content: Mapping[str, Any]) -> Path:
    """Write `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
