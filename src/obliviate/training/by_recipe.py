"""How a recipe trains a model: by the engine, by a function of the user's own, or shard by shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.models.admission import check_trainable
from obliviate.training import own, shards
from obliviate.training.determinism import repeatable
from obliviate.training.form import prepared, unread

if TYPE_CHECKING:
    from obliviate.training.run import Run


def train(
    run: Run, samples: Samples, *, checkpoints: Path | None = None, begun: shards.SliceCheckpoints | None = None
) -> nn.Module:
    """Train a fresh model on the samples by the run's recipe; what `Run.train` says of the rest holds.

    Raises RecipeError for checkpoints of a recipe without shards, and for what cannot be divided.
    """
    recipe = run.recipe
    if run.division.divides:
        _check_division(run, samples)
    if recipe is not None and recipe.sharded:
        return shards.train(run, samples, checkpoints=checkpoints, begun=begun)
    if checkpoints is not None:
        raise RecipeError(
            "expected a recipe with shards or slices to keep checkpoints of, got one without; "
            "leave out `checkpoints`, or train by `Recipe(shards=5, slices=10)`"
        )
    if recipe is not None:
        recipe.check_trainable()
    model = run.laid_out(run.fresh_model(), samples)
    if recipe is not None and recipe.train is not None:
        with repeatable(run.device):
            # Somebody's own loop reads what the model answers by itself, a mapping, or a single logit for two classes.
            model = own.train(recipe.train, unread(model), samples, seed=run.seed, device=run.device)
        run.progress("train", 1, 1)
        return run.place(prepared(model, run.task)).eval()
    check_trainable(model)
    run.warm_up(model, samples)
    assert recipe is not None
    run.train_stage("train", model, samples, recipe.epochs)
    return model.eval()


def _check_division(run: Run, samples: Samples) -> None:
    """Refuse trainings that cannot be divided; raises RecipeError and TrainingError."""
    recipe = run.recipe
    if recipe is not None and (recipe.sharded or recipe.train is not None):
        got = "shards or slices" if recipe.sharded else "a training function"
        raise RecipeError(
            f"expected one training by the engine, to divide its batches, got {got}; leave out parallel= and "
            "accumulate="
        )
    run.check_divisible(run.fresh_model(), samples)
