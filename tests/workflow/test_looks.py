from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.retrain import Retrain
from obliviate.methods.ssd import SSD
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.workflow.looks import MOST, Look, compared, drawn, forgotten_classes, look, next_settings

TWO = Classification(classes=2)


def said(right: list[int], labels: list[int], *, sure: float = 3.0, whole: int | None = None) -> Look:
    """What a classifier of two classes says that is right where `right` is 1, and as sure either way."""
    y, ok = np.array(labels), np.array(right, dtype=float)
    logits = np.zeros((len(y), 2))
    logits[np.arange(len(y)), np.where(ok > 0.5, y, 1 - y)] = sure
    loss = np.logaddexp(0.0, np.where(ok > 0.5, -sure, sure))
    return Look(len(y) if whole is None else whole, logits, loss, ok, y)


def mixed(n: int, share: float) -> list[int]:
    """As many ones as the share says, spread evenly."""
    return [int((i + 1) * share + 1e-9) - int(i * share + 1e-9) for i in range(n)]


@pytest.fixture(scope="module")
def by_heart_model(noise: Samples, two_classes: Classification, by_heart: Recipe) -> nn.Module:
    return workflow.train(Experiment(two_classes, by_heart, noise.select(noise.ids[:160]))).model


@pytest.fixture(scope="module")
def request_(noise: Samples) -> tuple[Split, Samples]:
    train = noise.select(noise.ids[:160])
    return Split.of(train, forget=train.ids[:40]), noise.select(noise.ids[160:])


# ------------------------------------------------------------------------------------------- the verdict


@pytest.mark.parametrize("name", ["retain", "unseen"])
def test_a_clear_fall_is_damage_and_a_small_or_uncertain_one_is_not(name: str) -> None:
    labels, forget = [0, 1] * 200, said([1, 1], [0, 1])

    def verdict(after: float, n: int = 400) -> str:
        before = {"forget": forget, name: said([1] * n, labels[:n])}
        return compared(before, {"forget": forget, name: said(mixed(n, after), labels[:n])}, TWO).verdict

    assert verdict(0.90) == "damaged"
    assert verdict(0.96) == ""
    assert verdict(0.90, n=20) == ""  # two of twenty may be chance
    assert verdict(0.50, n=20) == "damaged"


def test_a_lost_rare_class_is_damage_that_accuracy_does_not_show() -> None:
    labels = [0] * 588 + [1] * 12
    before = {"forget": said([1, 1], [0, 1]), "retain": said([1] * 600, labels)}
    after = {"forget": said([1, 0], [0, 1]), "retain": said([1] * 588 + [0] * 12, labels)}
    effect = compared(before, after, TWO)
    assert effect.parts["retain"].after["accuracy"] == 0.98
    assert effect.verdict == "damaged"
    assert effect.reason == (
        "balanced accuracy on retained samples fell from 100.0 to 50.0 %; recall of class 1 from 100.0 to 0.0 %"
    )
    named = compared(before, after, Classification(classes=2, names=("no", "yes")))
    assert named.reason.endswith("; recall of class yes from 100.0 to 0.0 %")
    few = {"forget": before["forget"], "retain": said([1] * 588 + [0] * 4, labels[:592])}
    whole = {"forget": before["forget"], "retain": said([1] * 592, labels[:592])}
    assert compared(whole, few, TWO).verdict == ""  # four samples are too few to be certain


def test_a_class_that_is_to_be_forgotten_may_be_lost() -> None:
    labels = [0, 1] * 100
    before = {"forget": said([1] * 50, [1] * 50), "retain": said([1] * 50, [0] * 50), "unseen": said([1] * 200, labels)}
    after = {
        "forget": said([0] * 50, [1] * 50),
        "retain": said([1] * 50, [0] * 50),
        "unseen": said([1, 0] * 100, labels),
    }
    assert forgotten_classes(before) == {1}
    assert compared(before, after, TWO).verdict == ""
    earlier, later = ({name: figures[name] for name in ("forget", "unseen")} for figures in (before, after))
    assert forgotten_classes(earlier) == {1}
    assert compared(earlier, later, TWO).verdict == ""
    ruined = after | {"unseen": said([0] * 200, labels)}
    effect = compared(before, ruined, TWO)
    assert effect.verdict == "damaged"
    assert effect.reason.endswith("(classes 1 left out)")


def test_how_much_of_a_class_is_forgotten_is_is_known_of_the_whole_parts() -> None:
    looks = {"forget": said([1] * 40, [1] * 40), "retain": said([1] * 40, [0, 1] * 20)}
    assert forgotten_classes(looks) == {1}  # 40 forgotten, 20 kept
    assert forgotten_classes(looks | {"retain": said([1] * 40, [0, 1] * 20, whole=4000)}) == set()


def test_nothing_is_said_of_a_forget_set_that_was_no_better_known_than_unseen_samples() -> None:
    same = {"forget": said(mixed(200, 0.8), [0, 1] * 100), "unseen": said(mixed(200, 0.8), [0, 1] * 100)}
    assert compared(same, same, TWO).verdict == ""


@pytest.mark.parametrize(("after", "verdict"), [(1.0, "hardly changed"), (0.99, "hardly changed"), (0.9, "")])
def test_hardly_changed_is_less_than_a_tenth_of_the_way_to_unseen_samples(after: float, verdict: str) -> None:
    labels = [0, 1] * 100
    unseen = said(mixed(200, 0.7), labels)
    before = {"forget": said([1] * 200, labels), "unseen": unseen}
    assert compared(before, {"forget": said(mixed(200, after), labels), "unseen": unseen}, TWO).verdict == verdict


def test_without_unseen_samples_nothing_is_said_to_be_hardly_changed() -> None:
    before = {"forget": said([1] * 20, [0, 1] * 10), "retain": said([1] * 20, [0, 1] * 10)}
    assert compared(before, before, TWO).verdict == ""


def test_what_is_not_judged_is_measured_all_the_same() -> None:
    labels = [0, 1] * 100
    before = {"forget": said([1, 1], [0, 1]), "retain": said([1] * 200, labels)}
    after = {"forget": said([1, 1], [0, 1]), "retain": said([0] * 200, labels)}
    effect = compared(before, after, TWO, judged=False)
    assert (effect.verdict, effect.reason) == ("", "")
    assert effect.parts["retain"].after["accuracy"] == 0.0


@pytest.mark.parametrize(
    ("method", "verdict", "expected"),
    [
        (FineTune(learning_rate=0.16), "damaged", {"learning_rate": 0.04}),
        (FineTune(learning_rate=0.16), "hardly changed", {"learning_rate": 0.64}),
        (FineTune(), "", {}),
        (SSD(), "damaged", {}),
    ],
)
def test_a_gentler_or_a_stronger_setting_is_named(method: Any, verdict: Any, expected: dict[str, float]) -> None:
    assert next_settings(method, verdict) == expected


def test_methods_without_a_rate_are_given_other_epochs() -> None:
    @dataclass(frozen=True)
    class Passes:
        epochs: int

    assert next_settings(Passes(6), "damaged") == {"epochs": 3}
    assert next_settings(Passes(6), "hardly changed") == {"epochs": 12}
    assert next_settings(Passes(1), "damaged") == {}


# ------------------------------------------------------------------------------------------- through `unlearn`


def test_unlearning_is_measured_on_forget_retained_and_unseen_samples(
    by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification, by_heart: Recipe
) -> None:
    split, unseen = request_
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(by_heart_model, two_classes),
        split,
        FineTune(learning_rate=0.05),
        measure=workflow.Measuring(unseen=unseen),
    )
    assert unlearned.effect is not None
    assert {name: part.samples for name, part in unlearned.effect.parts.items()} == {
        "forget": 40,
        "retain": 120,
        "unseen": 80,
    }
    for name, samples in (("forget", split.forget), ("retain", split.kept), ("unseen", unseen)):
        labels = samples.everything().y
        for model, figures in ((by_heart_model, "before"), (unlearned.model, "after")):
            with torch.no_grad():
                logits = model(samples.everything().x)
            of_part = getattr(unlearned.effect.parts[name], figures)
            assert of_part["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
            assert of_part["loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)
            assert {"balanced_accuracy", "auc", "recall_0", "recall_1"} < set(of_part)


def test_measuring_changes_no_weights_and_can_be_spared(
    by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification
) -> None:
    split, unseen = request_
    method = AMUN(epochs=1)
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(by_heart_model, two_classes),
        split,
        method,
        measure=workflow.Measuring(unseen=unseen),
    )
    spared = workflow.unlearn(workflow.TrainedModel.given(by_heart_model, two_classes), split, method, measure=None)
    assert spared.effect is None
    assert weights_sha256(unlearned.model) == weights_sha256(spared.model)


@pytest.mark.parametrize(
    ("method", "verdict"),
    [
        (GradientAscent(learning_rate=1.0, clip_norm=1e9), "damaged"),
        (GradientAscent(learning_rate=1e-7), "hardly changed"),
        (FineTune(learning_rate=1e-7), "hardly changed"),
        (NablaTau.paper(learning_rate=3e-3, epochs=20, tau=0.8, batch_size=64, refresh=1), ""),
        (Retrain(), ""),
    ],
)
def test_ruin_and_no_effect_are_told_and_good_forgetting_is_not(
    method: Any,
    verdict: str,
    by_heart_model: nn.Module,
    request_: tuple[Split, Samples],
    two_classes: Classification,
    by_heart: Recipe,
) -> None:
    split, unseen = request_
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(by_heart_model, two_classes, recipe=by_heart),
        split,
        method,
        measure=workflow.Measuring(unseen=unseen),
    )
    assert unlearned.effect is not None
    assert unlearned.effect.verdict == verdict, str(unlearned.effect)
    assert bool(unlearned.effect.reason) == bool(verdict)
    assert bool(unlearned.effect.try_next) == bool(verdict)


def test_the_methods_of_the_demonstration_do_no_damage(
    original: nn.Module, few: Samples, data: Any, task: Classification, recipe: Recipe
) -> None:
    split = Split.of(few, forget=few.ids[7:600:10])
    for method in (AMUN(learning_rate=0.02), FineTune(learning_rate=0.02)):
        unlearned = workflow.unlearn(
            workflow.TrainedModel.given(original, task, recipe=recipe),
            split,
            method,
            measure=workflow.Measuring(unseen=data.test),
        )
        assert unlearned.effect is not None
        assert unlearned.effect.verdict != "damaged", str(unlearned.effect)


def test_the_holdout_set_is_what_is_unseen_if_nothing_else_is_given(
    by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification
) -> None:
    split, unseen = request_
    method = FineTune(epochs=1, learning_rate=0.01)
    without = workflow.unlearn(workflow.TrainedModel.given(by_heart_model, two_classes), split, method)
    by_reference = workflow.unlearn(
        workflow.TrainedModel.given(by_heart_model, two_classes), replace(split, holdout=unseen), method
    )
    assert without.effect is not None
    assert list(without.effect.parts) == ["forget", "retain"]
    assert by_reference.effect is not None
    assert by_reference.effect.parts["unseen"].samples == 80


def test_the_method_never_sees_what_is_given_for_measuring(
    by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification
) -> None:
    split, unseen = request_

    @dataclass(frozen=True, kw_only=True)
    class Looking(FineTune):
        seen: ClassVar[list[Split]] = []

        def __call__(self, model: nn.Module, split: Split, run: Any) -> nn.Module:
            self.seen.append(split)
            with torch.no_grad():
                next(model.parameters()).add_(0.01)
            return model

        needs: ClassVar[frozenset[str]] = frozenset()

    hidden = split.without_retain()
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(by_heart_model, two_classes),
        hidden,
        Looking(),
        measure=workflow.Measuring(unseen=unseen, retained=split.kept),
    )
    assert [(split.retain, split.holdout) for split in Looking.seen] == [(None, None)]
    assert unlearned.effect is not None
    assert unlearned.effect.parts["retain"].samples == 120


@pytest.mark.parametrize("what", ["unseen", "retained"])
def test_samples_for_measuring_that_were_trained_on_are_refused(
    what: str, by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification
) -> None:
    split = request_[0]
    original = workflow.TrainedModel.given(by_heart_model, two_classes)
    measure = workflow.Measuring(**{what: split.forget})
    with pytest.raises(DataError, match=r"expected a (holdout|retain) set .*, got 's000'"):
        workflow.unlearn(original, split.without_retain(), GradientAscent(), measure=measure)


def test_unseen_samples_of_another_shape_are_refused(
    by_heart_model: nn.Module, request_: tuple[Split, Samples], two_classes: Classification
) -> None:
    strange = Samples.from_tensors(torch.rand(3, 7), torch.zeros(3).long())
    with pytest.raises(DataError, match=r"got \(30,\) and \(7,\) in the holdout set; resize them"):
        workflow.unlearn(
            workflow.TrainedModel.given(by_heart_model, two_classes),
            request_[0],
            GradientAscent(),
            measure=workflow.Measuring(unseen=strange),
        )


def test_a_model_that_draws_in_evaluation_draws_the_same_and_leaves_the_global_state(
    tiny: Samples, three_classes: Classification
) -> None:
    class Drawing(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(super().forward(input), 0.5)

    parts, model = drawn({"forget": tiny}, seed=0), Drawing(6, 3)
    state = torch.get_rng_state()
    first, again = (look(model, parts, three_classes)["forget"].loss for _ in range(2))
    assert first.tolist() == again.tolist()
    assert torch.get_rng_state().equal(state)


def test_large_parts_are_measured_on_samples_that_the_seed_draws() -> None:
    many = Samples.from_tensors(torch.rand(MOST + 50, 1), torch.zeros(MOST + 50), ids=map(str, range(MOST + 50)))
    first, again, other = (drawn({"retain": many, "unseen": None}, seed=seed) for seed in (0, 0, 1))
    assert list(first) == ["retain"]
    ids, whole = first["retain"][0].ids.tolist(), first["retain"][1]
    assert (len(ids), whole) == (MOST, MOST + 50)
    assert ids == again["retain"][0].ids.tolist() != other["retain"][0].ids.tolist()


# ------------------------------------------------------------------------------------------- other tasks


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "figures"),
    [
        (Regression(), 1, torch.linspace(-1, 1, 60), ["r_squared", "loss"]),
        (MultiLabel(labels=3), 3, (torch.arange(180).view(60, 3) % 2).float(), ["macro_f1", "accuracy", "loss"]),
    ],
)
def test_every_task_names_its_figures(
    task: Task, outputs: int, targets: torch.Tensor, figures: list[str], tiny: Samples
) -> None:
    torch.manual_seed(0)
    samples = Samples.from_tensors(tiny.everything().x, targets, ids=tiny.ids)
    measured = look(nn.Linear(6, outputs), drawn({"forget": samples}, seed=0), task)
    assert list(compared(measured, measured, task).parts["forget"].before) == figures


def test_a_language_model_that_lost_its_language_is_damaged() -> None:
    torch.manual_seed(0)
    x = torch.arange(8)[None].repeat(80, 1) % 4
    samples = Samples.from_tensors(x, (x + 1) % 4, ids=map(str, range(80)))
    task, good = CausalLM(tokens=4), nn.Embedding(4, 4)
    with torch.no_grad():
        good.weight.copy_(4 * torch.eye(4).roll(1, 1) + 0.1 * torch.randn(4, 4))
    parts = drawn({"forget": samples.select(samples.ids[:20]), "retain": samples.select(samples.ids[20:])}, seed=0)
    before, after = look(good, parts, task), look(nn.Embedding(4, 4), parts, task)
    effect = compared(before, after, task)
    assert list(effect.parts["retain"].before) == ["perplexity", "loss"]
    assert effect.verdict == "damaged"
    assert effect.reason.startswith("perplexity on retained samples rose from 1.0")
    assert compared(before, before, task).verdict == ""


def test_a_regression_that_lost_its_fit_is_damaged_and_one_that_kept_it_is_not(tiny: Samples) -> None:
    x = tiny.everything().x
    model, task = nn.Linear(6, 1), Regression()
    targets = model(x).detach()[:, 0] + 0.01 * torch.randn(60, generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(x, targets, ids=tiny.ids)
    split = Split.of(samples, forget=samples.ids[:10])
    ruined = workflow.unlearn(
        workflow.TrainedModel.given(model, task), split, GradientAscent(learning_rate=3.0, clip_norm=1e9)
    )
    gentle = workflow.unlearn(workflow.TrainedModel.given(model, task), split, GradientAscent(learning_rate=1e-4))
    assert ruined.effect is not None
    assert gentle.effect is not None
    assert (ruined.effect.verdict, gentle.effect.verdict) == ("damaged", "")
    assert ruined.effect.reason.startswith("R² on retained samples fell from")


class Words(Classification):
    """A task with a loss of its own is measured by the loss it names."""

    def nll(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().nll(output, y) + 1


def test_a_task_of_ones_own_is_measured(tiny: Samples) -> None:
    torch.manual_seed(0)
    model, parts = nn.Linear(6, 3), drawn({"forget": tiny}, seed=0)
    plain, own = (look(model, parts, task)["forget"].loss for task in (Classification(classes=3), Words(classes=3)))
    assert own == pytest.approx(plain + 1)


def test_a_batch_is_not_needed_whole(tiny: Samples, three_classes: Classification) -> None:
    """Outputs of every batch are put together in order."""
    torch.manual_seed(0)
    model, many = nn.Linear(6, 3), 1100
    x, y = torch.rand(many, 6), torch.arange(many) % 3
    samples = Samples.from_tensors(x, y, ids=map(str, range(many)))
    measured = look(model, drawn({"forget": samples}, seed=0), three_classes)["forget"]
    with torch.no_grad():
        expected = three_classes.nll(model(x), y).double().numpy()
    assert measured.loss == pytest.approx(expected, rel=1e-5)
