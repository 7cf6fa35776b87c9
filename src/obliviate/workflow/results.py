"""What is written down of an audit: the content of results.json, its limits in words, and the report."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from obliviate.audit.result import AuditResult
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.files import write_atomically
from obliviate.metrics.cost import peak_rss_mb
from obliviate.references.pool import ReferencePool
from obliviate.report import html
from obliviate.report import pictures as pictures_of
from obliviate.task import Task
from obliviate.task import to_dict as describe_task
from obliviate.training.recipe import Recipe


def describe(
    result: AuditResult,
    split: Split,
    unseen: Samples,
    pool: ReferencePool,
    task: Task,
    recipe: Recipe,
    *,
    seed: int,
    data_name: str,
    data_sha256: str,
    forget_rule: str,
    wall_seconds: float,
    command: str | None = None,
    pictures: bool = True,
) -> dict[str, Any]:
    """Put the audit beside its provenance: the content of `results.json` (see docs/results-schema.md).

    With `pictures`, the most exposed forget samples are in it as images where they are images.
    """
    found = result.to_dict()
    images = _pictures(result, split.forget, task) if pictures else {}
    reference = 0 if split.reference is None else len(split.reference)
    sizes = {"forget": len(split.forget), "retain": len(split.kept), "reference": reference, "test": len(unseen)}
    return {
        "schema": html.SCHEMA,
        "obliviate": version("obliviate"),
        **({} if command is None else {"command": command}),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": seed,
        "task": describe_task(task) | {"right": task.right},
        "data": {
            "name": data_name,
            "train": len(split.forget) + len(split.kept),
            **sizes,
            "forget_rule": forget_rule,
        },
        "data_sha256": data_sha256,
        "recipe": recipe.to_dict(),
        "references": {"models": len(pool), "seconds": pool.seconds, "fingerprint": pool.fingerprint},
        "wall_seconds": wall_seconds,
        "peak_rss_mb": peak_rss_mb(),
        "versions": {name: version(name) for name in ("torch", "numpy", "scipy", "safetensors")}
        | {"python": platform.python_version()},
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.system()},
        **found,
        **({"pictures": images} if images else {}),
        "limits": limits(result, pictures=bool(images)),
    }


def _pictures(result: AuditResult, forget: Samples, task: Task) -> dict[str, str]:
    """The forget samples that a report names, as images; none where samples are not images."""
    names = pictures_of.wanted(result.to_dict()["models"])
    if not names or not pictures_of.is_picture(tuple(forget.take(torch.arange(1)).x.shape[1:])):
        return {}
    images = forget.select(names).everything().x.cpu().float()
    low, high = getattr(task, "input_range", None) or (float(images.min()), float(images.max()))
    scaled = ((images - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
    return {name: pictures_of.data_uri(one) for name, one in zip(names, scaled, strict=True)}


def save_report(
    path: Path | str,
    result: AuditResult,
    split: Split,
    unseen: Samples,
    pool: ReferencePool,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    data_name: str = "your data",
    forget_rule: str = "ids",
) -> dict[str, Any]:
    """Write the self-contained HTML report of an audit to `path`, and return the values that it shows."""
    values = describe(
        result,
        split,
        unseen,
        pool,
        task,
        recipe,
        seed=seed,
        data_name=data_name,
        data_sha256=split.forget.joined(split.kept, unseen).sha256,
        forget_rule=forget_rule,
        wall_seconds=sum(model.seconds or 0.0 for model in result.models) + pool.seconds,
    )
    text = html.render(values)
    write_atomically(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return values


def limits(result: AuditResult, *, pictures: bool = False) -> list[str]:
    """Say in plain sentences what this audit did not prove."""
    forget, unseen = result.settings["forget"], result.settings["unseen"]
    width = 100 * 1.96 * np.sqrt((1 / forget + 1 / unseen) / 12)
    used = sorted({name.removeprefix("ft_") for one in result.models for name in one.difference if "ft_" in name})
    alone = (
        "There were no retrained models to compare with. The references are trained on training and unseen samples "
        "alike: where these differ by themselves, a retrained model can differ from what the references say. Each was "
        "trained on half of the forget samples, too: where these are of a kind (one owner, a part of a class), a model "
        "that went without all of them knows less of each than the references say."
    )
    return [
        "No finite set of attacks proves that a model has forgotten. The verdict says that these attacks "
        f"({', '.join(used)}), with {result.settings['references']} reference models and at this margin, could or "
        "could not tell the model from models that never saw the samples.",
        *([alone] if result.yardstick == "references" else []),
        f"With {forget:,} forget and {unseen:,} unseen samples, the 95 % interval of an AUC near 50 % is about "
        f"±{width:.1f} points wide: smaller leaks cannot be seen.",
        "The verdict is about the forget set as a whole. Single samples may be remembered better than it says: the "
        "most exposed ones are named, and with one model no statement about one sample is certain.",
        "The audit does not know how hyperparameters were chosen. If many settings were tried on this very forget set, "
        "the best of them looks better than it is.",
        "The attacker of this audit sees the model's outputs for chosen inputs, knows the training recipe and has "
        "data like the training data. Attacks on weights or on gradients were not tried.",
        "Copies of the forgotten samples elsewhere (caches, backups, other models) are outside this audit."
        + (" The report itself shows some of them: `--no-pictures` leaves them out." if pictures else ""),
    ]


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
