"""What an audit asks of its samples and models before it compares them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import Evaluation, TrainedModel


@pytest.fixture
def pool(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path) -> ReferencePool:
    train, unseen = parts(tiny)
    return workflow.train_references(
        Experiment(three_classes, tiny_recipe, train, unseen), folder=tmp_path, models=4, workers=0
    )


def parts(tiny: Samples) -> tuple[Samples, Samples]:
    return tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])


def test_shadows_may_hold_samples_that_an_audit_leaves_out(
    tiny: Samples, pool: ReferencePool, three_classes: Classification, tiny_recipe: Recipe
):
    train, unseen = parts(tiny)
    split = Split.of(train, forget=train.ids[:16])
    method = FineTune(epochs=1)
    experiment = Experiment(three_classes, tiny_recipe, train, unseen)
    shadows = workflow.train_shadows(experiment, pool, [(split, method)], workers=0)
    evaluation = Evaluation.of(replace(experiment, test=unseen.select(unseen.ids[::2])), split, pool)
    model = TrainedModel.given(tiny_recipe.build(seed=0), three_classes, role="unlearned")
    said = evaluation.candidate(model, shadows).shadows
    assert said is not None
    kept = np.isin(shadows.ids, evaluation.samples.ids)
    assert 16 < kept.sum() < len(shadows.ids)
    assert evaluation.samples.ids[said.index].tolist() == shadows.ids[kept].tolist()
    assert said.forget.sum() == 16
    assert said.included.tolist() == shadows.included[:, kept].tolist()
    assert np.array_equal(said.logits[1], shadows.logits[1][kept])


def test_test_samples_that_are_copies_of_training_samples_are_refused(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
):
    train, unseen = parts(tiny)
    x = unseen.everything().x.clone()
    x[3] = train.everything().x[7]
    seen = Samples.from_tensors(x, unseen.everything().y, ids=unseen.ids)
    message = r"^expected test samples that were never trained on, got 1 that are copies .* \(first: 's43'\)"
    with pytest.raises(DataError, match=message):
        Experiment(three_classes, tiny_recipe, train, seen)


def test_holdout_samples_that_are_copies_of_training_samples_are_refused_before_any_work(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
):
    train, unseen = parts(tiny)
    x = unseen.everything().x.clone()
    x[[3, 5]] = train.everything().x[[0, 7]]
    holdout = Samples.from_tensors(x, unseen.everything().y, ids=unseen.ids)
    split = Split.of(train, forget=["s00", "s01"], holdout=holdout)
    for request, count in ((split, 2), (split.without_retain(), 1)):
        with pytest.raises(DataError, match=rf"^expected holdout samples .*, got {count} that are copies"):
            workflow.unlearn(
                workflow.TrainedModel.given(tiny_recipe.build(seed=0), three_classes, recipe=tiny_recipe),
                request,
                GradientAscent(),
            )


class Jittered(Dataset[Any]):
    """Rows with noise that is drawn anew each time, as by a random transform."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i] + torch.rand(()), self.y[i]


def test_samples_that_are_read_with_random_transforms_are_trained_on_and_not_audited(
    tiny: Samples, pool: ReferencePool, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
):
    train, unseen = parts(tiny)
    batch = train.everything()
    random = Samples.from_dataset(Jittered(batch.x, batch.y), ids=train.ids, in_memory=False)
    experiment = Experiment(three_classes, tiny_recipe, random, unseen)
    model = workflow.train(experiment)
    with pytest.raises(DataError, match=r"^expected training samples whose dataset gives the same item twice"):
        workflow.train_references(experiment, folder=tmp_path / "new", models=4)
    with pytest.raises(DataError, match=r"^expected samples of an audit whose dataset gives the same item twice"):
        workflow.audit_models(experiment, [model], experiment.split(["s00", "s01"]), pool)


def test_a_model_says_how_many_copies_are_retained(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe):
    x, y = tiny.everything().x.clone(), tiny.everything().y
    x[[9, 11]] = x[0].clone()
    samples = Samples.from_tensors(x, y, ids=tiny.ids)
    model = tiny_recipe.build(seed=0)
    for forget, notes in ((["s00", "s01"], {"copies_retained": 2.0}), (["s01", "s02"], {})):
        split = Split.of(samples, forget=forget)
        unlearned = workflow.unlearn(
            workflow.TrainedModel.given(model, three_classes, recipe=tiny_recipe), split, FineTune(epochs=1)
        )
        assert {name: value for name, value in unlearned.notes.items() if name == "copies_retained"} == notes
