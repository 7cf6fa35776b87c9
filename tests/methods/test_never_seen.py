"""never_seen: what it takes for targets, what its loss counts, and that labels learnt by heart are forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import check_classification
from obliviate.methods.never_seen import NeverSeen, _Lesson
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.teachers import Answer
from obliviate.types import Batch


@dataclass
class Said:
    """Teachers that say the same of every sample, whoever saw it."""

    logits: Tensor  # teachers classes
    fingerprint: str = "said"

    def __len__(self) -> int:
        return len(self.logits)

    def answers(self, samples: Samples) -> Iterator[Answer]:
        for logits in self.logits:
            yield logits.expand(len(samples), -1), torch.ones(len(samples), dtype=torch.bool)


@pytest.fixture
def linear() -> nn.Module:
    """Says the logits (2x, 0, −x) of a row x."""
    model = nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0], [0.0], [-1.0]]))
    return model


@pytest.fixture
def rows() -> Samples:
    x = torch.linspace(0.1, 1.0, 12)[:, None]
    return Samples.from_tensors(x, torch.tensor([0, 1, 2] * 4), ids=list("abcdefghijkl"))


def lesson(
    model: nn.Module, split: Split, teachers: Said, *, below: float = 0.2, weight: float | None = None, **recipe: Any
) -> _Lesson:
    task = Classification(classes=3)
    run = Run(task, recipe=Recipe(**recipe) if recipe else None, device="cpu", teachers=teachers)
    return _Lesson.of(model, split, run, check_classification(NeverSeen(), run.task), below=below, weight=weight)


def test_without_a_holdout_set_the_target_is_half_way_between_the_mean_and_a_single_opinion(
    linear: nn.Module, rows: Samples
) -> None:
    said = Said(torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    taught = lesson(linear, Split.of(rows, forget=["a", "e"]), said)
    centred = said.logits - said.logits.mean(1, keepdim=True)
    possible = torch.stack([(centred.mean(0).lerp(single, 0.5)).softmax(0) for single in centred])
    for target in taught.targets:
        assert (target - possible).abs().amax(1).min() < 1e-6
    assert taught.notes == {"teachers": 2.0, "single_opinion": 0.5, "sharpness": 1.0, "hint": 0.0}


def test_targets_are_as_sure_as_the_model_is_of_holdout_samples(linear: nn.Module, rows: Samples) -> None:
    train, holdout = rows.select(list("abcdef")), rows.select(list("ghijkl"))
    split = Split.of(train, forget=["a", "e"], holdout=holdout)
    taught = lesson(linear, split, Said(torch.tensor([[0.2, 0.0, -0.1]])))
    model = outputs(linear, holdout)
    sure = (model - model.mean(1, keepdim=True)).std(1, correction=0).median()
    opinion = torch.tensor([0.2, 0.0, -0.1]) - 0.1 / 3
    expected = (opinion * sure / opinion.std(correction=0)).softmax(0)
    torch.testing.assert_close(taught.targets[:2], expected.expand(2, -1))
    torch.testing.assert_close(taught.targets[2:], model.softmax(1))  # what the original says of holdout samples


def test_a_given_weight_of_the_single_opinion_is_kept_and_sharpened_on_holdout_samples(
    linear: nn.Module, rows: Samples
) -> None:
    train, holdout = rows.select(list("abcdef")), rows.select(list("ghijkl"))
    said = Said(torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]))
    taught = lesson(linear, Split.of(train, forget=["a", "e"], holdout=holdout), said, weight=1.0)
    assert taught.notes["single_opinion"] == 1.0
    model = outputs(linear, holdout)
    sure = (model - model.mean(1, keepdim=True)).std(1, correction=0).median()
    single = said.logits * sure / (said.logits - said.logits.mean(1, keepdim=True)).std(1, correction=0).median()
    for target in taught.targets[:2]:  # each is what one of the two says
        assert (target - single.softmax(1)).abs().amax(1).min() < 1e-6
    with pytest.raises(MethodError, match=r"expected single_opinion in \[0, 1\], got 1.5"):
        NeverSeen(single_opinion=1.5)


def test_a_class_that_is_forgotten_as_a_whole_is_left_out_of_the_targets(linear: nn.Module, rows: Samples) -> None:
    said = Said(torch.tensor([[5.0, 1.0, 0.0]]))
    whole = lesson(linear, Split.of(rows, forget=["a", "d", "g", "j"]), said)
    assert (whole.targets[:, 0] == 0).all()
    torch.testing.assert_close(whole.targets[:, 1:], torch.tensor([0.5, -0.5]).softmax(0).expand(4, -1))
    part = lesson(linear, Split.of(rows, forget=["a", "d", "g"]), said)
    assert (part.targets[:, 0] > 0.5).all()


def test_samples_that_are_known_less_than_their_targets_count_below_times(linear: nn.Module, rows: Samples) -> None:
    said = Said(torch.tensor([[1.0, 0.0, 0.0]]))
    taught = lesson(linear, Split.of(rows, forget=["a", "l"]), said, below=0.3)
    batch = rows.select(["a", "l", "k"]).everything()  # of classes 0 and 2, and a retained one of class 1
    logits = linear(batch.x)
    losses = torch.stack(
        [
            F.cross_entropy(logits[:2], taught.targets, reduction="none")[0],
            F.cross_entropy(logits[:2], taught.targets, reduction="none")[1],
            F.cross_entropy(logits[2:], batch.y[2:]),
        ]
    )
    task = Classification(classes=3)
    knows = task.score(logits[:2], batch.y[:2]) > task.score(taught.targets.log(), batch.y[:2])
    assert knows.tolist() == [False, False]  # x = 0.1 is hardly known, and of class 2 the model says −x
    expected = (0.3 * losses[0] + 0.3 * losses[1] + losses[2]) / 3
    torch.testing.assert_close(taught.loss(linear, batch), expected)
    surer = Batch(torch.tensor([[1.0], [1.0]]), torch.tensor([0, 1]), batch.ids[[0, 2]])
    losses = F.cross_entropy(linear(surer.x), torch.stack([taught.targets[0], torch.eye(3)[1]]), reduction="none")
    torch.testing.assert_close(taught.loss(linear, surer), losses.mean())


def test_class_weights_weigh_targets_by_the_classes_that_they_name(linear: nn.Module, rows: Samples) -> None:
    said, weights = Said(torch.tensor([[1.0, 0.0, 0.0]])), (1.0, 2.0, 5.0)
    taught = lesson(linear, Split.of(rows, forget=["a"]), said, below=1.0, class_weights=weights)
    batch = rows.select(["a", "c"]).everything()
    aims = torch.stack([taught.targets[0], torch.eye(3)[2]])
    each = aims @ torch.tensor(weights)
    losses = F.cross_entropy(linear(batch.x), aims, reduction="none")
    torch.testing.assert_close(taught.loss(linear, batch), (each * losses).sum() / each.sum())


@pytest.fixture(scope="module")
def learnt(
    noise: Samples, two_classes: Classification, by_heart: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Split, ReferencePool]:
    """A model that has learnt random labels by heart, a request, and teachers."""
    train, holdout = noise.select(noise.ids[:180]), noise.select(noise.ids[180:])
    pool = workflow.train_references(
        Experiment(two_classes, by_heart, train, holdout, seed=9),
        folder=tmp_path_factory.mktemp("pool"),
        models=4,
        workers=0,
    )
    split = Split.of(train, forget=train.ids[:40], holdout=holdout)
    return workflow.train(Experiment(two_classes, by_heart, train)).model, split, pool


@pytest.mark.parametrize("retain", [True, False])
def test_labels_learnt_by_heart_are_forgotten_and_the_rest_stays(
    learnt: tuple[nn.Module, Split, ReferencePool], two_classes: Classification, by_heart: Recipe, retain: bool
) -> None:
    original, split, pool = learnt
    asked = split if retain else split.without_retain()
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, two_classes, recipe=by_heart), asked, NeverSeen(), teachers=pool
    )
    assert unlearned.teachers == pool.fingerprint

    def right(model: nn.Module, samples: Samples) -> float:
        return float((outputs(model, samples).argmax(1) == samples.everything().y).float().mean())

    assert right(original, split.forget) == 1.0
    assert 0.3 < right(unlearned.model, split.forget) < (0.7 if retain else 0.8)  # labels of coins: 0.5 is by chance
    assert right(unlearned.model, split.kept) > (0.85 if retain else 0.9)


def test_a_small_request_without_the_retain_set_takes_its_least_steps(
    learnt: tuple[nn.Module, Split, ReferencePool], two_classes: Classification, by_heart: Recipe
) -> None:
    original, split, pool = learnt
    few = Split(split.forget.select(split.forget.ids[:4]), None, split.holdout)
    epochs = list[tuple[float, float]]()

    def progress(stage: str, done: float, total: float) -> None:
        if stage == "never_seen":
            epochs.append((done, total))

    trained, method = (
        workflow.TrainedModel.given(original, two_classes, recipe=by_heart),
        NeverSeen(epochs=1, least_steps=10),
    )
    workflow.unlearn(trained, few, method, teachers=pool, progress=progress, measure=None)
    assert epochs[-1] == (5, 5)  # of 64 samples, which are two batches of 32


def test_an_audit_does_not_rest_on_the_teachers_of_a_model(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    train, unseen = tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])
    split = Split.of(train, forget=train.ids[:8])
    original = workflow.train(Experiment(three_classes, tiny_recipe, train))
    pools = [
        workflow.train_references(
            Experiment(three_classes, tiny_recipe, train, unseen, seed=seed), folder=tmp_path, models=4, workers=0
        )
        for seed in (0, 1)
    ]
    taught = workflow.unlearn(original, split, NeverSeen(), teachers=pools[1], measure=None)
    with pytest.raises(AuditError, match=f"got the teachers {pools[1].fingerprint} of NeverSeen; train references"):
        workflow.audit_models(
            Experiment(three_classes, tiny_recipe, train, unseen), [original, taught], split, pools[1]
        )
    workflow.audit_models(Experiment(three_classes, tiny_recipe, train, unseen), [original, taught], split, pools[0])


def test_teachers_of_another_model_are_refused_before_any_work(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    pool: ReferencePool = workflow.train_references(
        Experiment(three_classes, tiny_recipe, tiny, None), folder=tmp_path, models=4, workers=0
    )
    split = Split.of(tiny, forget=tiny.ids[:8])
    model = tiny_recipe.build(seed=0)
    with pytest.raises(MethodError, match="got others in batch_size; train them by the model's recipe"):
        workflow.unlearn(
            workflow.TrainedModel.given(model, three_classes, recipe=replace(tiny_recipe, batch_size=8)),
            split,
            NeverSeen(),
            teachers=pool,
        )
    assert isinstance(PoolTeachers.of(pool, tiny_recipe, three_classes), PoolTeachers)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"repeats": 0}, "expected repeats above 0, got 0"),
        ({"hold": -1}, "expected hold of 0 or more, got -1"),
        ({"below": 1.5}, r"expected below in \[0, 1\], got 1.5"),
        ({"schedule": "never"}, "expected a schedule of"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        NeverSeen(**settings)


def test_shadows_learn_from_the_teachers_too_and_other_teachers_make_other_shadows(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    train, unseen = tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])
    split = Split.of(train, forget=train.ids[:12])
    audited, *taught = (
        workflow.train_references(
            Experiment(three_classes, tiny_recipe, train, part, seed=seed),
            folder=tmp_path / str(seed),
            models=4,
            workers=0,
        )
        for seed, part in ((0, unseen), (1, None), (2, None))
    )
    experiment, requests = Experiment(three_classes, tiny_recipe, train, unseen), [(split, NeverSeen())]
    shadows = [
        workflow.train_shadows(experiment, audited, requests, teachers=teachers, workers=0) for teachers in taught
    ]
    assert shadows[0].fingerprint != shadows[1].fingerprint
    assert not (shadows[0].logits[0] == shadows[1].logits[0]).all()
    with pytest.raises(MethodError, match="expected a pool of teachers for never_seen, got none"):
        workflow.train_shadows(experiment, audited, requests, workers=0)
