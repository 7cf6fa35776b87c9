"""A pool as teachers: which of them never saw a sample, and what they say of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.references.member import read_member
from obliviate.references.pool import ReferencePool, train_pool
from obliviate.references.records import read_record
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe


@pytest.fixture
def pool(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path) -> ReferencePool:
    """Teachers over the first 40 samples."""
    population = tiny.select(tiny.ids[:40])
    return train_pool(tiny_recipe, population, three_classes, folder=tmp_path, models=4, seed=5, workers=0)


def models_of(pool: ReferencePool, recipe: Recipe) -> list[torch.nn.Module]:
    records = [read_record(pool.folder, "member", member, pool.fingerprint) for member in range(len(pool))]
    return [read_member(pool.folder, record.member, record.weights_sha256, recipe) for record in records]


def test_every_sample_of_the_pool_is_unknown_to_half_of_the_teachers(
    pool: ReferencePool, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    teachers, asked = PoolTeachers.of(pool, tiny_recipe, three_classes), tiny.select(tiny.ids[10:30:2])
    answers = list(teachers.answers(asked))
    assert len(answers) == len(teachers) == 4
    never_saw = torch.stack([unseen for _, unseen in answers])
    assert (never_saw.sum(0) == 2).all()
    for (logits, unseen), model, included in zip(answers, models_of(pool, tiny_recipe), pool.included, strict=True):
        torch.testing.assert_close(logits, outputs(model, asked))
        assert unseen.tolist() == (~included[pool.rows(asked.ids)]).tolist()


def test_samples_outside_the_pool_are_unknown_to_all_and_the_teachers_weights_are_asked(
    pool: ReferencePool, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    mixed = tiny.select(["s50", "s03", "s59"])
    for (logits, unseen), model in zip(
        PoolTeachers.of(pool, tiny_recipe, three_classes).answers(mixed), models_of(pool, tiny_recipe), strict=True
    ):
        torch.testing.assert_close(logits, outputs(model, mixed))
        assert bool(unseen[0])
        assert bool(unseen[2])


def test_without_their_weights_teachers_answer_for_the_pool_and_say_what_is_missing_elsewhere(
    pool: ReferencePool, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    pool.drop_weights()
    teachers = PoolTeachers.of(pool, tiny_recipe, three_classes)
    assert len(list(teachers.answers(tiny.select(["s00"])))) == 4
    with pytest.raises(AuditError, match="expected the weights of every reference, got none for 4 of 4"):
        list(teachers.answers(tiny.select(["s50"])))


def test_teachers_of_another_recipe_are_refused(
    pool: ReferencePool, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    other = Recipe.from_dict(tiny_recipe.to_dict() | {"epochs": 9, "learning_rate": 0.2})
    with pytest.raises(MethodError, match=r"got others in epochs, learning_rate; train them by the model's recipe"):
        PoolTeachers.of(pool, other, three_classes)
    with pytest.raises(MethodError, match="expected the recipe of the teachers, got none"):
        PoolTeachers.of(pool, None, three_classes)


def test_a_pool_by_owner_leaves_whole_owners_out_and_is_another_pool(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    owners = np.arange(60) // 6
    train, unseen = tiny.select(tiny.ids[:48]), tiny.select(tiny.ids[48:])
    pools = [
        workflow.train_references(
            Experiment(three_classes, tiny_recipe, train, unseen), folder=tmp_path, models=4, workers=0, groups=groups
        )
        for groups in (None, owners)
    ]
    assert pools[0].fingerprint != pools[1].fingerprint
    by_owner = pools[1].included.reshape(4, 10, 6)
    assert (by_owner.all(axis=2) | ~by_owner.any(axis=2)).all()
    assert (by_owner.any(axis=2).sum(axis=0) == 2).all()
