"""What is written down of an audit: its findings beside where they come from, its limits in words, and the report."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from obliviate._util.files import write_atomically
from obliviate.audit.result import AuditResult
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.metrics.cost import peak_rss_mb
from obliviate.references.pool import ReferencePool
from obliviate.report import html
from obliviate.report import pictures as pictures_of
from obliviate.report.wording import frozen
from obliviate.results.schema import (
    CoinFlips,
    DataFacts,
    Findings,
    Machine,
    PlantedNoise,
    ReferenceFacts,
    Results,
    TaskFacts,
    exposed_names,
)
from obliviate.task import Task
from obliviate.task import to_dict as describe_task


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What results say of an audit besides what was found: of which data and request, how long it took, and notes.

    `command` is what a reader types to repeat it, `warning` a limit that was known before. With `pictures`, the most
    exposed forget samples are shown where they are images.
    """

    data_name: str
    data_sha256: str
    forget_rule: str
    wall_seconds: float
    command: str | None = None
    pictures: bool = True
    notes: tuple[str, ...] = ()
    warning: str = ""


def describe(
    experiment: Experiment,
    result: AuditResult,
    split: Split,
    pool: ReferencePool,
    circumstances: Circumstances,
    *,
    coin_flips: CoinFlips | None = None,
    planted_noise: PlantedNoise | None = None,
) -> Results:
    """Put the findings of an audit beside their provenance: the content of `results.json`."""
    task, warning = experiment.task, circumstances.warning
    findings = result.findings
    images = _pictures(findings, split.forget, task) if circumstances.pictures else {}
    described = describe_task(task)
    first = [f"{warning[0].upper()}{warning[1:]}."] if warning else []
    return Results(
        **dict(findings),
        obliviate=version("obliviate"),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seed=experiment.seed,
        command=circumstances.command,
        task=TaskFacts(
            kind=described["kind"],
            right=task.right,
            settings={name: value for name, value in described.items() if name != "kind"},
        ),
        data=DataFacts(
            name=circumstances.data_name,
            forget_rule=circumstances.forget_rule,
            train=len(split.forget) + len(split.kept),
            forget=len(split.forget),
            retain=len(split.kept),
            holdout=0 if split.holdout is None else len(split.holdout),
            test=len(experiment.unseen),
        ),
        data_sha256=circumstances.data_sha256,
        recipe=experiment.recipe.to_dict(),
        references=ReferenceFacts(models=len(pool), seconds=pool.seconds, fingerprint=pool.fingerprint),
        wall_seconds=circumstances.wall_seconds,
        peak_rss_mb=peak_rss_mb(),
        versions={name: version(name) for name in ("torch", "numpy", "scipy", "safetensors")}
        | {"python": platform.python_version()},
        machine=Machine(cpu=cpu_name(), cores=os.cpu_count(), system=platform.system()),
        coin_flips=coin_flips,
        planted_noise=planted_noise,
        notes=circumstances.notes,
        pictures=images,
        limits=(*first, *limits(findings, pictures=bool(images))),
    )


def _pictures(findings: Findings, forget: Samples, task: Task) -> dict[str, str]:
    """The forget samples that a report names, as images; none where samples are not images."""
    names = exposed_names(findings.models, pictures_of.SHOWN)
    if not names or not pictures_of.is_picture(forget.shape):
        return {}
    images = forget.select(names).everything().x.cpu().float()
    low, high = getattr(task, "input_range", None) or (float(images.min()), float(images.max()))
    scaled = ((images - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
    return {name: pictures_of.data_uri(image) for name, image in zip(names, scaled, strict=True)}


def save_report(
    path: Path | str,
    experiment: Experiment,
    result: AuditResult,
    split: Split,
    pool: ReferencePool,
    *,
    data_name: str = "your data",
    forget_rule: str = "ids",
) -> Results:
    """Write the self-contained HTML report of an audit to `path`, and return the results that it shows.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(data.train.ids[:30])
    ...     result = ob.audit_models(experiment, [ob.train(experiment)], split, pool)
    ...     results = ob.save_report(f"{folder}/report.html", experiment, result, split, pool)
    >>> results.data.forget
    30
    """
    circumstances = Circumstances(
        data_name=data_name,
        data_sha256=split.forget.joined(split.kept, experiment.unseen).sha256,
        forget_rule=forget_rule,
        wall_seconds=sum(model.seconds or 0.0 for model in result.models) + pool.seconds,
    )
    results = describe(experiment, result, split, pool, circumstances)
    text = html.render(results)
    write_atomically(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return results


def limits(findings: Findings, *, pictures: bool = False) -> list[str]:
    """Say in plain sentences what this audit did not prove."""
    forget, unseen = findings.settings.forget, findings.settings.unseen
    width = 100 * 1.96 * np.sqrt((1 / forget + 1 / unseen) / 12)
    used = sorted({name for model in findings.models for name in model.differences})
    alone = (
        "There were no retrained models to compare with. The references are trained on training and unseen samples "
        "alike: where these differ by themselves, a retrained model can differ from what the references say. Each was "
        "trained on half of the forget samples, too: where these are of a kind (one owner, a part of a class), a model "
        "that went without all of them knows less of each than the references say."
    )
    return [
        "No finite set of attacks proves that a model has forgotten. The verdict says that these attacks "
        f"({', '.join(used)}), with {findings.settings.references} reference models and at this margin, could or "
        "could not tell the model from models that never saw the samples.",
        *([alone] if findings.baseline == "references" else []),
        *([sentence] if (sentence := frozen(findings.models)) else []),
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
