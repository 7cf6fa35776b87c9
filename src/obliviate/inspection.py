"""Checks that need the model itself: relearning, a probe of its last layer, distance to an untrained model.

No verdict rests on them: a figure means something beside that of the retrained models only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from obliviate._util.modes import evaluating
from obliviate._util.seeds import derive
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.membership import probe
from obliviate.metrics.distance import zrf
from obliviate.metrics.intervals import Interval, balanced_accuracy
from obliviate.results.roles import Role
from obliviate.training.compute import Compute
from obliviate.training.features import head_layer, representation
from obliviate.training.inference import outputs
from obliviate.training.progress import Progress, silent
from obliviate.training.run import Run
from obliviate.workflow import TrainedModel

LEAST: Final = 5  # samples of each kind that the probe's cross-validation needs
GENTLE: Final = 0.1  # of the recipe's learning rate


@dataclass(frozen=True, kw_only=True)
class Relearned:
    """Accuracy (percent) and mean loss (nats) on the forget set, before relearning and after each epoch of it.

    `ahead` is by how many points accuracy lies above the mean of the retrained models, after the epoch where it is
    furthest ahead; None where there is no other retrained model.
    """

    accuracy: list[float]
    loss: list[float]
    ahead: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelInspection:
    """What was found in one model; `probe` is a balanced accuracy in percent, None where the probe cannot be made."""

    name: str
    role: Role
    relearned: Relearned
    probe: dict[str, float] | None
    zrf: float


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in all models, the settings, and notes on what could not be done."""

    epochs: int
    learning_rate: float
    models: tuple[ModelInspection, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        result = asdict(self)
        return result | {"models": list(result["models"]), "notes": list(result["notes"])}


def inspect_models(
    experiment: Experiment,
    models: Sequence[TrainedModel],
    split: Split,
    *,
    epochs: int = 3,
    learning_rate: float | None = None,
    progress: Progress = silent,
) -> Inspection:
    """Look for what models still know of the forget set behind their outputs.

    *Relearning*: a copy of each model is trained for some epochs on the retain set alone, by the recipe's optimiser at
    a constant `learning_rate` (a tenth of the recipe's if left out). A model that only hides its memory gets the forget
    set back faster than retrained ones. *Probe*: can a linear classifier tell forget from test samples by what the
    last layer receives (`membership.probe`)? *ZRF*: how near the outputs on the forget set are to those of an
    untrained model of the recipe (`metrics.distance.zrf`). All three belong beside the retrained models among `models`.
    Deterministic; no model is changed.

    Raises AuditError without a retain set and for settings out of range, DataError for a loss that is not finite.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> original = ob.train(experiment)
    >>> split = experiment.split(data.train.ids[:20])
    >>> inspection = ob.inspect_models(experiment, [original], split, epochs=1)
    >>> [model.name for model in inspection.models]
    ['original']
    """
    recipe, seed = experiment.recipe, experiment.seed
    if recipe.train is not None:
        raise AuditError(
            "expected a recipe with an optimiser and a rate to relearn by, got a model that was trained by other code; "
            "audit it instead"
        )
    experiment.check_split(split)
    if split.retain is None:
        raise AuditError("expected a retain set to relearn from, got none; give the split that has it")
    rate = GENTLE * recipe.learning_rate if learning_rate is None else learning_rate
    check_settings(epochs, rate)
    untrained = outputs(recipe.build(seed=derive(seed, "untrained")).eval(), split.forget, task=experiment.task).numpy()
    curves, figures, notes = [], [], []
    for trained in models:
        report = partial(_of_model, progress, trained.label)
        run = Run(experiment.task, seed=derive(seed, "relearn"), recipe=recipe, progress=report)
        curves.append(relearn(trained.model, split.retain, split.forget, run, epochs=epochs, learning_rate=rate))
        try:
            probed = probe_representation(trained.model, split.forget, experiment.unseen, seed=seed)
        except MethodError as error:
            probed = None
            notes.append(f"{trained.label} was not probed: {error}")
        figures.append((probed, zrf(outputs(trained.model, split.forget, task=experiment.task).numpy(), untrained)))
    retrained = [place for place, trained in enumerate(models) if trained.role == "retrained"]
    inspected = []
    for place, (trained, curve, (probed, distance)) in enumerate(zip(models, curves, figures, strict=True)):
        peers = [curves[peer].accuracy[1:] for peer in retrained if peer != place]
        ahead = float(np.max(np.array(curve.accuracy[1:]) - np.mean(peers, axis=0))) if peers else None
        inspected.append(
            ModelInspection(
                name=trained.label,
                role=trained.role,
                relearned=Relearned(accuracy=curve.accuracy, loss=curve.loss, ahead=ahead),
                probe=None if probed is None else {name: 100 * limit for name, limit in asdict(probed).items()},
                zrf=distance,
            )
        )
    return Inspection(epochs=epochs, learning_rate=rate, models=tuple(inspected), notes=tuple(notes))


def check_settings(epochs: int, learning_rate: float | None) -> None:
    """Refuse settings of relearning that are out of range; raises AuditError.

    >>> check_settings(3, None)
    """
    if epochs < 1 or not (learning_rate is None or 0 < learning_rate < math.inf):
        raise AuditError(
            f"expected epochs >= 1 and a learning rate above 0, got {epochs} and {learning_rate}; correct them"
        )


def relearn(
    model: nn.Module, retain: Samples, forget: Samples, run: Run, *, epochs: int, learning_rate: float
) -> Relearned:
    """Train a copy on retained samples only, and watch the forgotten ones.

    The run gives the order of the batches and the recipe that makes the optimiser.
    """
    recipe = run.recipe
    if recipe is None:
        raise MethodError("expected a run with a recipe to relearn by, got none; pass the recipe of the original")
    private = run.private(model, retain).requires_grad_()
    optimizer = recipe.make_optimizer(private)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    labels = forget.everything().y.cpu()

    def look() -> tuple[float, float]:
        output = outputs(private, forget, task=run.task)
        right, losses = run.task.correct(output, labels), run.task.per_sample(output, labels)
        return 100 * float(right.double().mean()), float(losses.double().mean())

    curve = [look()]
    source = run.augmented(retain)
    for epoch in run.epochs("relearn", epochs, model=private, optimizer=optimizer):
        run.fit(private, run.batches(source, recipe.batch_size, epoch), run.task.loss, optimizer)
        curve.append(look())
    return Relearned(accuracy=[accuracy for accuracy, _ in curve], loss=[loss for _, loss in curve])


def probe_representation(
    model: nn.Module, forget: Samples, unseen: Samples, *, layer: str | None = None, seed: int = 0
) -> Interval:
    """Balanced accuracy, a fraction, of telling forget from unseen samples by what the model's classifier receives.

    `layer` names the classifier, None finds it (`training.features.head_layer`). Raises MethodError for a model whose
    output is not that of a linear layer, and with fewer than 5 samples on a side.
    """
    if (least := min(len(forget), len(unseen))) < LEAST:
        raise MethodError(f"expected at least {LEAST} forget and {LEAST} unseen samples, got {least}; use more")
    first = forget.take(torch.arange(min(2, len(forget)))).x.to(next(model.parameters()).device)
    head = head_layer(model, first, name=layer)
    return balanced_accuracy(
        *probe.scores(represented(model, forget, head), represented(model, unseen, head), seed=seed)
    )


@torch.no_grad()
def represented(model: nn.Module, samples: Samples, head: str) -> Float[np.ndarray, "n features"]:
    """What the classifier of a model receives for each sample."""
    device, evaluation_batch = next(model.parameters()).device, Compute.current().evaluation_batch
    with evaluating(model):
        parts = [representation(model, batch.x.to(device), head).cpu() for batch in Batches(samples, evaluation_batch)]
    return torch.cat(parts).numpy()


def _of_model(progress: Progress, label: str, stage: str, done: float, total: float) -> None:
    """Report progress under a model's name."""
    progress(f"{label}: {stage}", done, total)
