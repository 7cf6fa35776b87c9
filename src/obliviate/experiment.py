"""What everything is made of: the task, how models of it are trained, and the samples in their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from obliviate.data.ids import shown
from obliviate.data.rules import Forget, Table
from obliviate.data.samples import Samples
from obliviate.data.scales import refuse_other_scale
from obliviate.data.split import Split, refuse_copies, refuse_other_shape
from obliviate.errors import AuditError, DataError
from obliviate.task import Classification, Task
from obliviate.training.recipe import Recipe

TITLES: Final = {"train": "training set", "test": "test set", "holdout": "holdout set"}


@dataclass(frozen=True, eq=False)
class Experiment:
    """A task, the recipe of its models, the samples that they are trained on, and those that they never see.

    `train` are the samples of the original. `test` are for references and audits alone, and no method sees any of
    them; `holdout` are unseen samples for the methods that need such. `seed` is that of every random choice.

    Raises DataError for samples that are not of the task, not of one shape or not on one scale (0 … 1 beside 0 … 255),
    for a sample in two of the parts, and for test or holdout samples that are copies of training samples under other
    names; RecipeError for class weights that do not fit the task.

    >>> import torch
    >>> from obliviate.task import Classification
    >>> x, y = torch.arange(8.0).reshape(8, 1), torch.arange(8) % 2
    >>> train, test = Samples.from_tensors(x[:6], y[:6]), Samples.from_tensors(x[6:], y[6:])
    >>> recipe = Recipe(model="mlp", model_options={"features": 1, "classes": 2})
    >>> experiment = Experiment(Classification(classes=2), recipe, train, test)
    >>> len(experiment.split(train.ids[:2]).kept)
    4
    """

    task: Task
    recipe: Recipe
    train: Samples
    test: Samples | None = None
    holdout: Samples | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.recipe.weighted(self.task)
        parts = {name: samples for name in TITLES if (samples := getattr(self, name)) is not None}
        names = list(parts)
        for place, name in enumerate(names):
            for other in names[:place]:
                if len(both := np.intersect1d(parts[name].ids, parts[other].ids)):
                    raise DataError(
                        f"expected a {TITLES[name]} without samples of the {TITLES[other]}, got {shown(both)} in both; "
                        "leave them out of one"
                    )
            refuse_other_shape(parts[name], self.train, what=TITLES[name])
            refuse_other_scale(parts[name], self.train, what=TITLES[name])
            self.task.check_samples(parts[name], what=TITLES[name])
            if name != "train":
                refuse_copies(parts[name], self.train, what=f"{name} samples")

    @property
    def unseen(self) -> Samples:
        """The test samples, for code that cannot do without; raises AuditError where there are none."""
        if self.test is None:
            raise AuditError(
                "expected a test set of samples that no model was trained on, got none; give one to "
                "`Experiment(..., test=...)`"
            )
        return self.test

    @property
    def population(self) -> Samples:
        """The samples that references are trained over: training samples, and test samples if there are any."""
        return self.train if self.test is None else self.train.joined(self.test)

    def split(self, forget: Forget, *, metadata: Table | None = None, owner: str | None = None) -> Split:
        """Split the training samples by what to forget, as `Split.of` does.

        The holdout set, the names of the classes and the seed are those of this; `metadata` are the columns that rules
        read, an entry for each training sample, and `owner` names the column of owners. Raises what `Split.of` raises.
        """
        return Split.of(
            self.train,
            forget=forget,
            holdout=self.holdout,
            metadata=metadata,
            owner=owner,
            classes=self.task.names if isinstance(self.task, Classification) else (),
            seed=self.seed,
        )

    def check_split(self, split: Split) -> None:
        """Refuse a request for other samples than those of this; raises AuditError.

        Samples of earlier requests may be missing from it. Its holdout set holds no test samples, for methods learn
        from the one what an audit judges them by with the other.
        """
        for samples in (split.forget, split.retain):
            if samples is not None and len(foreign := np.setdiff1d(samples.ids, self.train.ids)):
                raise AuditError(
                    f"expected a request for training samples, got {shown(foreign)} outside the training "
                    "set; leave them out"
                )
        if split.holdout is not None and len(shared := np.intersect1d(split.holdout.ids, self.unseen.ids)):
            raise AuditError(
                f"expected test samples that no method can see, got {shown(shared)} of the holdout set; "
                "draw the holdout set from other samples"
            )
