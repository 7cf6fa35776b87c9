"""Train the original model."""

from __future__ import annotations

from pathlib import Path

from obliviate.experiment import Experiment
from obliviate.training.identity import refuse_shared
from obliviate.training.progress import Progress, silent
from obliviate.training.run import Run
from obliviate.training.shards import plan
from obliviate.workflow.models import TrainedModel


def train(
    experiment: Experiment,
    *,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> TrainedModel:
    """Train the original model of an experiment; with a `folder`, an interrupted training resumes there.

    By a recipe with shards, `checkpoints` is where the weights after every slice are kept for `sisa`.

    Raises RecipeError, before any work, for a model that does not fit the samples.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> original = ob.train(experiment)
    >>> original.label, original.role
    ('original', 'original')
    """
    check(experiment)
    run = Run(experiment.task, seed=experiment.seed, recipe=experiment.recipe, folder=folder, progress=progress)
    model = run.train(experiment.train, checkpoints=checkpoints)
    return TrainedModel(
        run.finished(model),
        experiment.task,
        experiment.recipe,
        "original",
        "train",
        experiment.seed,
        run.seconds,
        name="original",
        checkpoints=checkpoints,
    )


def check(experiment: Experiment) -> None:
    """Refuse a recipe whose models or shards do not fit the samples, and a builder that returns a model twice.

    Raises RecipeError.
    """
    recipe, seed = experiment.recipe, experiment.seed
    recipe.check_trainable()
    model = recipe.build(seed=seed)
    experiment.task.check_model(model, experiment.train)
    refuse_shared(recipe, model, recipe.build(seed=seed))
    if recipe.sharded:
        plan(experiment.train, recipe, seed=seed)
