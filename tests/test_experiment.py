from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, DataError
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.training.recipe import Recipe


@pytest.fixture
def experiment(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Experiment:
    train, test, holdout = (tiny.select(tiny.ids[first:last]) for first, last in ((0, 40), (40, 50), (50, 60)))
    return Experiment(three_classes, tiny_recipe, train, test, holdout, seed=3)


@pytest.mark.parametrize(("part", "other"), [("test", "train"), ("holdout", "train"), ("holdout", "test")])
def test_a_sample_in_two_parts_is_refused(experiment: Experiment, part: str, other: str) -> None:
    samples: Samples = getattr(experiment, part)
    both = samples.joined(getattr(experiment, other).select(getattr(experiment, other).ids[:1]))
    with pytest.raises(DataError, match=rf"expected a {part} set without samples of the \w+ set, got 's\d\d' in both"):
        replace(experiment, **{part: both})


@pytest.mark.parametrize("part", ["test", "holdout"])
def test_parts_of_another_shape_and_targets_of_another_task_are_refused(experiment: Experiment, part: str) -> None:
    ids = getattr(experiment, part).ids
    wide = Samples.from_tensors(torch.rand(len(ids), 7), torch.zeros(len(ids)).long(), ids=ids)
    with pytest.raises(DataError, match=rf"expected samples of one shape, got \(6,\) and \(7,\) in the {part} set"):
        replace(experiment, **{part: wide})
    strange = Samples.from_tensors(torch.rand(len(ids), 6), torch.full((len(ids),), 9), ids=ids)
    with pytest.raises(DataError, match=rf"of the {part} set"):
        replace(experiment, **{part: strange})


@pytest.mark.parametrize("part", ["test", "holdout"])
@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_parts_on_another_scale_are_refused(experiment: Experiment, part: str, factor: float) -> None:
    batch = getattr(experiment, part).everything()
    scaled = Samples.from_tensors(factor * batch.x, batch.y, ids=batch.ids)
    with pytest.raises(DataError, match=rf"^expected inputs on one scale, .*{part} set.*; scale both in the same way$"):
        replace(experiment, **{part: scaled})


@pytest.mark.parametrize("part", ["test", "holdout"])
def test_copies_of_training_samples_under_other_names_are_refused(experiment: Experiment, part: str) -> None:
    batch, trained = getattr(experiment, part).everything(), experiment.train.everything()
    x = batch.x.clone()
    x[2] = trained.x[7]
    with pytest.raises(DataError, match=rf"^expected {part} samples that were never trained on, got 1 that are copies"):
        replace(experiment, **{part: Samples.from_tensors(x, batch.y, ids=batch.ids)})


def test_it_splits_with_its_holdout_set_and_its_seed(experiment: Experiment) -> None:
    split = experiment.split("random:0.1")
    again = Split.of(experiment.train, forget="random:0.1", holdout=experiment.holdout, seed=3)
    assert split.holdout is experiment.holdout
    assert split.forget.ids.tolist() == again.forget.ids.tolist()


def test_a_split_of_other_samples_and_one_that_shows_test_samples_are_refused(experiment: Experiment) -> None:
    split = experiment.split(["s01"])
    experiment.check_split(split)
    with pytest.raises(AuditError, match="expected a request for training samples, got 's01' outside the training set"):
        replace(experiment, train=experiment.train.without(["s01"])).check_split(split)
    with pytest.raises(AuditError, match="expected test samples that no method can see, got 's40'"):
        experiment.check_split(replace(split, holdout=experiment.unseen.select(["s40"])))


def test_without_test_samples_an_audit_has_none(experiment: Experiment) -> None:
    alone = replace(experiment, test=None)
    assert alone.population is experiment.train
    with pytest.raises(AuditError, match="expected a test set of samples that no model was trained on, got none"):
        _ = alone.unseen


def test_rules_read_the_columns_of_a_frame_and_the_names_of_classes(experiment: Experiment) -> None:
    named = replace(experiment, task=Classification(classes=3, names=("no", "yes", "maybe")))
    frame = pd.DataFrame({"person": [f"p{row % 8}" for row in range(40)], "age": [*range(38), None, None]})
    split = named.split("where:age < 10 and label == 'yes'", metadata=frame)
    assert split.forget.ids.tolist() == [f"s{row:02d}" for row in range(10) if row % 3 == 1]
    assert split.holdout is experiment.holdout
    assert len(named.split("class:maybe").forget) == 13
    assert named.split("owner:p3", metadata=frame, owner="person").forget.ids[0] == "s03"


def test_what_holds_no_columns_is_refused(experiment: Experiment, unchecked: None) -> None:
    table: Any = [["p0", 17]] * 40
    wanted = r"^expected columns by their names, got list; give a dict of them, or a DataFrame$"
    with pytest.raises(DataError, match=wanted):
        experiment.split("where:age < 18", metadata=table)
