"""The use cases, in memory: train, unlearn, train references, audit, describe."""

from __future__ import annotations

import copy
import dataclasses
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from obliviate.audit.audit import audit as audit_candidates
from obliviate.audit.inputs import AuditSettings, Candidate, Games, Pool, Role, Shadows
from obliviate.audit.result import AuditResult
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, DataError, MethodError, TrainingError
from obliviate.files import write_atomically
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.retrain import Retrain
from obliviate.methods.sisa import SISA
from obliviate.metrics.cost import peak_rss_mb
from obliviate.references.jobs import Executor
from obliviate.references.pool import SHADOWS, ReferencePool, load_pool, train_pool
from obliviate.references.shadows import ShadowPool, make_shadows
from obliviate.report import html
from obliviate.report import pictures as pictures_of
from obliviate.task import Task
from obliviate.task import to_dict as describe_task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.training.shards import plan


@dataclass(frozen=True, eq=False)
class Trained:
    """A model and how it came to be: by the recipe ("train") or by an unlearning method.

    `seconds` is the time spent, an interrupted part included, None where it is not known; `notes` are figures that
    the method reported. `Trained.given` wraps a model that was trained elsewhere.
    """

    model: nn.Module
    role: Role
    method: str
    seed: int
    seconds: float | None
    notes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    name: str = ""

    @classmethod
    def given(cls, model: nn.Module, *, role: Role = "original", name: str = "") -> Trained:
        """Wrap a model that was trained or unlearned elsewhere, so that it can be audited."""
        return cls(model, role, "given", 0, None, name=name or role)

    @property
    def label(self) -> str:
        """The name in tables."""
        base = self.name or self.method.partition("(")[0]
        return f"{base} (seed {self.seed})" if self.role == "retrained" and not self.name else base


def train(
    recipe: Recipe,
    samples: Samples,
    task: Task,
    *,
    seed: int = 0,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train a model on the samples by the recipe; with a `folder`, an interrupted training resumes there.

    By a recipe with shards, `checkpoints` is where the weights after every slice are kept for `sisa`.

    Raises DataError or RecipeError, before any work, for samples that are not of the task or a model that does not
    fit them.
    """
    check(recipe, samples, task, seed=seed)
    run = Run(task, seed=seed, recipe=recipe, folder=folder, progress=progress)
    model = run.train(samples, checkpoints=checkpoints)
    return Trained(model, "original", "train", seed, run.seconds, name="original")


def check(recipe: Recipe, samples: Samples, task: Task, *, seed: int = 0) -> None:
    """Refuse samples that are not of the task (DataError), or a model or shards that do not fit them (RecipeError)."""
    task.check_samples(samples, what="training set")
    task.check_model(recipe.build(seed=seed), samples)
    if recipe.sharded:
        plan(samples, recipe, seed=seed)


def unlearn(
    model: nn.Module,
    split: Split,
    method: Method,
    task: Task,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    name: str = "",
) -> Trained:
    """Make a copy of the model forget; the model that is passed in is never changed.

    With a `folder`, an interrupted run resumes there; the folder must belong to this method, model, split and seed.
    `checkpoints` is the folder where `train` and earlier requests left the slice checkpoints that `sisa` needs.

    Raises MethodError, before any work, when the method needs what the split or the recipe does not give, and
    afterwards when no weight has changed; DataError and RecipeError for data or a model that do not fit the task;
    TrainingError when the loss or the weights are not finite.
    """
    run = Run(task, seed=seed, recipe=recipe, folder=folder, checkpoints=checkpoints, progress=progress)
    check_needs(method, split, run)
    method = settle(method, split)
    _check_split(split, task)
    task.check_model(model, split.forget)
    before = weights_sha256(model)
    started = time.monotonic()
    private = run.precision.prepare(copy.deepcopy(model))
    unlearned = method(private, split, run).eval()
    if not all(bool(torch.isfinite(one).all()) for one in unlearned.parameters()):
        raise TrainingError(f"expected finite weights, got NaN or Inf after {method!r}; lower the learning rate")
    if not bool(torch.isfinite(outputs(unlearned, split.forget.select(split.forget.ids[:64]))).all()):
        raise TrainingError(f"expected finite outputs, got NaN or Inf after {method!r}; lower the learning rate")
    if weights_sha256(unlearned) == before:
        raise MethodError(
            f"expected {method.name} to change the model, got the same weights; raise its learning rate or its epochs"
        )
    role: Role = "retrained" if isinstance(method, Retrain) else "unlearned"  # the audit's yardstick, and no other
    seconds = max(run.seconds, time.monotonic() - started)
    return Trained(unlearned, role, repr(method), seed, seconds, dict(run.notes), name)


def _check_split(split: Split, task: Task) -> None:
    """Refuse sets that are not of the task, of one shape, and apart from each other; raises DataError."""

    def shape(samples: Samples) -> tuple[int, ...]:
        return tuple(samples.take(torch.arange(1)).x.shape[1:])

    sets = {"forget set": split.forget, "retain set": split.retain, "reference set": split.reference}
    for what, samples in sets.items():
        if samples is None:
            continue
        if shape(samples) != shape(split.forget):
            raise DataError(
                f"expected samples of one shape, got {shape(split.forget)} to forget and {shape(samples)} in the "
                f"{what}; resize them"
            )
        task.check_samples(samples, what=what)
    if split.retain is not None and len(shared := np.intersect1d(split.forget.ids, split.retain.ids)):
        raise DataError(
            f"expected a retain set without the samples to forget, got {shown(shared)} in both; use `Split.of`"
        )
    if split.reference is not None:
        trained = [one.ids for one in (split.forget, split.retain) if one is not None]
        if len(shared := np.intersect1d(split.reference.ids, np.concatenate(trained))):
            raise DataError(
                f"expected a reference set that was never trained on, got {shown(shared)} of the training set; "
                "use samples that the model has not seen"
            )


def train_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    task: Task,
    *,
    folder: Path | str,
    models: int = 16,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_weights: bool = True,
    progress: Progress = silent,
) -> ReferencePool:
    """Train (or open) the reference pool over training and unseen samples, each in half of the references.

    What is in `folder` of this recipe, these samples and this seed is used, and extended by asking for more `models`;
    see `references.pool.train_pool` for `workers`, `executor` and `keep_weights`, and docs/references.md.
    """
    task.check_samples(train, what="training set")
    task.check_samples(unseen, what="unseen set")
    task.check_model(recipe.build(seed=seed), train)
    return train_pool(
        recipe,
        _population(train, unseen),
        task,
        folder=Path(folder),
        models=models,
        seed=seed,
        workers=workers,
        executor=executor,
        keep_weights=keep_weights,
        progress=progress,
    )


def load_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    *,
    folder: Path | str,
    models: int | None = None,
    seed: int = 0,
) -> ReferencePool:
    """Open the references that `train_references` left in `folder`, all or the first `models`, and train nothing.

    Raises AuditError where they are not there, which says what is there instead.
    """
    return load_pool(recipe, _population(train, unseen), folder=Path(folder), models=models, seed=seed)


def _population(train: Samples, unseen: Samples) -> Samples:
    if len(shared := np.intersect1d(train.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples outside the training set, got {shown(shared)} in both; remove the copies"
        )
    return train.joined(unseen)


@dataclass(frozen=True, eq=False, repr=False)
class ShadowUnlearning:
    """The unlearning that a request asks for, applied to references; other processes can read it.

    Its `repr` names the method as it is set, whether it may use retained samples, and its reference samples.
    """

    method: Method
    task: Task
    recipe: Recipe
    retain: bool
    reference: Samples | None

    def __repr__(self) -> str:
        reference = None if self.reference is None else self.reference.sha256[:16]
        return f"ShadowUnlearning({self.method!r}, retain={self.retain}, reference={reference})"

    def __call__(
        self, model: nn.Module, forget: Samples, retain: Samples, *, seed: int, folder: Path, progress: Progress
    ) -> tuple[nn.Module, float]:
        split = Split(forget, retain if self.retain else None, self.reference)
        made = unlearn(
            model, split, self.method, self.task, recipe=self.recipe, seed=seed, folder=folder, progress=progress
        )
        return made.model, made.seconds or 0.0


def train_shadows(
    pool: ReferencePool,
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    split: Split,
    method: Method,
    task: Task,
    *,
    folder: Path | str | None = None,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> ShadowPool:
    """Make every reference of the pool forget the request by the method, for U-LiRA (see `references.shadows`).

    `train` and `unseen` are what the pool was trained over. The shadows are kept in `folder`, beside the references
    if it is left out, and only what is missing is made. A method that adapts to the request is settled for it once, so
    that every shadow has the settings of the model that is audited.

    Raises, before any work, MethodError for `sisa` and when the method needs what the split does not give, AuditError
    for a request outside the training set, an unseen set that the method could see, or a pool that does not fit or
    lacks weights.
    """
    check_needs(method, split, Run(task, seed=seed, recipe=recipe))
    if isinstance(method, SISA):
        raise MethodError(
            "expected a method that works on any trained model, got sisa, which begins from slice checkpoints that "
            "references do not keep; audit it without shadows"
        )
    method = settle(method, split)
    if len(strange := np.setdiff1d(split.forget.ids, train.ids)):
        raise AuditError(
            f"expected a request for training samples, got {shown(strange)} outside the training set; leave them out"
        )
    _refuse_seen(split, unseen)
    return make_shadows(
        pool,
        recipe,
        _population(train, unseen),
        task,
        ShadowUnlearning(method, task, recipe, split.retain is not None, split.reference),
        forget=split.forget.ids,
        unseen=unseen.ids,
        folder=pool.folder / SHADOWS if folder is None else Path(folder),
        seed=seed,
        workers=workers,
        executor=executor,
        progress=progress,
    )


def _refuse_seen(split: Split, unseen: Samples) -> None:
    if split.reference is not None and len(shared := np.intersect1d(split.reference.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples that no method can see, got {shown(shared)} of the reference set; "
            "draw the reference set from other samples"
        )


def audit_models(
    models: Sequence[Trained],
    split: Split,
    unseen: Samples,
    pool: ReferencePool,
    *,
    settings: AuditSettings | None = None,
    shadows: Mapping[str, ShadowPool] | None = None,
) -> AuditResult:
    """Compare models with retrained ones on forget, retain and unseen samples, all of them in the pool.

    `models` holds what is to be judged, usually the original, and two or more retrained ones (`retrain` with different
    seeds; three or more are better); with fewer the pool is the yardstick. `shadows`, by the label of a model, are
    references that were unlearned by its method (`train_shadows`), for U-LiRA. Raises AuditError for samples outside
    the pool, for unseen samples that are in the split's reference set as well, for margins that cannot be, and for
    shadows of no model.
    """
    settings, shadows = settings or AuditSettings(), shadows or {}
    check_margins(settings)
    if strange := sorted(set(shadows) - {one.label for one in models}):
        raise AuditError(
            f"expected shadows by the labels of the models ({', '.join(one.label for one in models)}), got "
            f"{', '.join(strange)}; use `Trained.label`"
        )
    evaluation = Evaluation.of(split, unseen, pool)
    return evaluation.audit([evaluation.candidate(one, shadows.get(one.label)) for one in models], settings)


def check_margins(settings: AuditSettings) -> None:
    """Refuse margins that no difference of AUCs or accuracies can lie in; raises AuditError.

    >>> check_margins(AuditSettings(margin=0.05))
    """
    if settings.margin is not None and not 0 < settings.margin <= 0.5:
        raise AuditError(
            f"expected a margin above 0 and up to 50 points of AUC, got {100 * settings.margin:g}; 5 is a usual one"
        )
    if not 0 <= settings.utility_margin <= 1:
        raise AuditError(
            f"expected a utility margin from 0 to 100 points, got {100 * settings.utility_margin:g}; the default is 3"
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a request is judged on: its samples, the pool's outputs for them, and which of them play which part."""

    samples: Samples
    pool: Pool
    games: Games

    @classmethod
    def of(cls, split: Split, unseen: Samples, pool: ReferencePool) -> Evaluation:
        """Look the forget, retain and unseen samples up in the pool.

        Raises AuditError for samples outside the pool, and for unseen samples that are in the reference set as well,
        which methods may learn from.
        """
        _refuse_seen(split, unseen)
        everything = split.forget.joined(split.kept, unseen)
        place = {str(name): row for row, name in enumerate(pool.ids)}
        if outside := [name for name in everything.ids if str(name) not in place]:
            raise AuditError(
                f"expected samples of the reference pool, got {shown(outside)} outside it; "
                "train references over the training and the unseen samples that are audited"
            )
        rows = np.array([place[str(name)] for name in everything.ids])
        counts = np.cumsum([len(split.forget), len(split.kept), len(unseen)])
        forget, retain, held_out = np.split(np.arange(counts[-1]), counts[:2])
        labels = everything.everything().y.cpu().numpy()
        games = Games(labels=labels, forget=forget, retain=retain, unseen=held_out, ids=everything.ids)
        return cls(everything, Pool(logits=pool.logits.rows(rows), included=pool.included[:, rows]), games)

    def candidate(self, model: Trained, shadows: ShadowPool | None = None) -> Candidate:
        """Ask a model for its outputs: the part of an audit that takes time, and that can be kept.

        `shadows` are references that were unlearned by the model's method (`train_shadows`), for U-LiRA.
        """
        place = {str(name): row for row, name in enumerate(self.samples.ids)}
        return Candidate(
            name=model.label,
            role=model.role,
            method=model.method,
            seed=model.seed,
            logits=outputs(model.model, self.samples).numpy(),
            seconds=model.seconds,
            weights_sha256=weights_sha256(model.model),
            settings=dict(model.notes),
            shadows=None
            if shadows is None
            else Shadows(
                logits=shadows.logits,
                included=shadows.included,
                index=np.array([place[str(name)] for name in shadows.ids]),
                forget=shadows.forget,
            ),
        )

    def audit(self, candidates: Sequence[Candidate], settings: AuditSettings) -> AuditResult:
        """Compare candidates with the retrained ones among them."""
        return audit_candidates(candidates, self.pool, self.games, settings)


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
    images = _pictures(result, split.forget, task) if pictures else {}
    reference = 0 if split.reference is None else len(split.reference)
    sizes = {"forget": len(split.forget), "retain": len(split.kept), "reference": reference, "test": len(unseen)}
    return {
        "schema": html.SCHEMA,
        "obliviate": version("obliviate"),
        **({} if command is None else {"command": command}),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": seed,
        "task": describe_task(task),
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
        **result.to_dict(),
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
        "alike: where these differ by themselves, a retrained model can differ from what the references say."
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
