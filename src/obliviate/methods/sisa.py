"""SISA: train in shards and slices, and retrain only the affected shards from the first affected slice.

Bourtoule et al., "Machine Unlearning", IEEE S&P 2021, arXiv 1912.03817.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from obliviate.data.ids import shown
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.models.ensemble import Ensemble
from obliviate.training.run import Run
from obliviate.training.shards import SliceCheckpoints, plan


@dataclass(frozen=True, kw_only=True)
class SISA:
    """Retrain the shards that hold forget samples, each from the checkpoint before its first affected slice.

    The model must have been trained by a recipe with shards or slices, with its checkpoints kept. The outcome is that
    of such a training on the retain set alone, bit for bit where the seeds are the same, and leaves checkpoints of its
    own for the next request.

    >>> sorted(SISA().needs), SISA().exact
    (['labels', 'recipe', 'retain'], True)
    """

    name: ClassVar[str] = "sisa"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels", "recipe"})
    exact: ClassVar[bool] = True
    source: ClassVar[str] = "Bourtoule et al., IEEE S&P 2021, arXiv 1912.03817"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        begun = self.check(model, split, run)
        assert run.recipe is not None
        stages = [stage for row in plan(split.kept, run.recipe, seed=begun.seed) for stage in row]
        retrained = [stage for stage in stages if not begun.covers(stage)]
        retrained_model = run.train(split.kept, checkpoints=run.checkpoints, begun=begun)
        run.notes |= {
            "slices_retrained": len(retrained),
            "visits_share": sum(stage.visits for stage in retrained) / sum(stage.visits for stage in stages),
        }
        return retrained_model

    def check(self, model: nn.Module, split: Split, run: Run) -> SliceCheckpoints:
        """Refuse what cannot be unlearned exactly (MethodError, CheckpointError); return the model's checkpoints."""
        remedy = "train with `obliviate train --shards 5 --slices 10`, or by `Recipe(shards=5, slices=10)`"
        if not isinstance(model, Ensemble):
            raise MethodError(f"expected a model trained in shards, got {type(model).__name__}; {remedy}")
        if run.recipe is None or not run.recipe.sharded:
            raise MethodError(f"expected the recipe of a training in shards, got one without; {remedy}")
        if run.checkpoints is None:
            raise MethodError(
                "expected the folder where the model's training left its slice checkpoints, got none; "
                "pass it as `checkpoints` to both `train` and `unlearn`"
            )
        begun = SliceCheckpoints.of(model, run.checkpoints)
        if begun.manifest["recipe"] != run.recipe.to_dict():
            raise MethodError(
                f"expected the recipe that the model was trained by, got another than that in {begun.folder}; "
                "pass the recipe of its training"
            )
        for part, ids in (("retain", split.kept.ids), ("forget", split.forget.ids)):
            if len(strange := np.setdiff1d(ids, np.array(begun.manifest["ids"]))):
                raise MethodError(
                    f"expected samples that the model was trained on, got {shown(strange)} in the {part} set; they "
                    "were forgotten before or never trained on: leave them out of the split"
                )
        return begun
