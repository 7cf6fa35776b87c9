"""Train the original model."""

from __future__ import annotations

from pathlib import Path

from obliviate.data.samples import Samples
from obliviate.task import Task
from obliviate.training.identity import refuse_shared
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.training.shards import plan
from obliviate.workflow.models import TrainedModel


def train(
    recipe: Recipe,
    samples: Samples,
    task: Task,
    *,
    seed: int = 0,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> TrainedModel:
    """Train a model on the samples by the recipe; with a `folder`, an interrupted training resumes there.

    By a recipe with shards, `checkpoints` is where the weights after every slice are kept for `sisa`.

    Raises DataError or RecipeError, before any work, for samples that are not of the task or a model that does not
    fit them.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> task, recipe = ob.task_of(data), ob.recipe_for(data, epochs=2)
    >>> original = ob.train(recipe, data.train, task)
    >>> original.label, original.role
    ('original', 'original')
    """
    check(recipe, samples, task, seed=seed)
    run = Run(task, seed=seed, recipe=recipe, folder=folder, progress=progress)
    model = run.train(samples, checkpoints=checkpoints)
    return TrainedModel(model, "original", "train", seed, run.seconds, name="original")


def check(recipe: Recipe, samples: Samples, task: Task, *, seed: int = 0) -> None:
    """Refuse samples that are not of the task (DataError).

    Raises RecipeError for class weights that do not fit the task, a model or shards that do not fit the samples, and a
    builder that does not return a new model at each call.
    """
    recipe.weighted(task)
    task.check_samples(samples, what="training set")
    model = recipe.build(seed=seed)
    task.check_model(model, samples)
    refuse_shared(recipe, model, recipe.build(seed=seed))
    if recipe.sharded:
        plan(samples, recipe, seed=seed)
