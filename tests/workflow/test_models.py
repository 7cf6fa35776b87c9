"""A trained model shows what it is and what unlearning did to it, and not the network."""

from dataclasses import replace

import pytest
from torch import nn

from obliviate.data.samples import Samples
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel, train, unlearn
from obliviate.workflow.effect import Effect, Part


@pytest.fixture(scope="module")
def forgot(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> TrainedModel:
    experiment = Experiment(three_classes, tiny_recipe, tiny.select(tiny.ids[:40]))
    return unlearn(train(experiment), experiment.split(tiny.ids[:10]), FineTune(epochs=1))


def test_one_line_names_it(forgot: TrainedModel) -> None:
    assert repr(forgot).startswith("TrainedModel('FineTune', unlearned, FineTune(epochs=1,")
    assert "\n" not in repr(forgot)
    assert (
        repr(TrainedModel.given(nn.Linear(2, 2), Classification(classes=2)))
        == "TrainedModel('original', original, given)"
    )


def test_printed_it_is_its_effect_and_its_making(forgot: TrainedModel) -> None:
    assert forgot.effect is not None
    lines = str(forgot).splitlines()
    part = forgot.effect.parts["forget"]
    assert lines[0].split() == ["on", "accuracy", "balanced", "accuracy", "measured"]
    assert lines[1].split() == [
        "forget",
        *f"{100 * part.before['accuracy']:.1f} → {100 * part.after['accuracy']:.1f} %".split(),
        *f"{100 * part.before['balanced_accuracy']:.1f} → {100 * part.after['balanced_accuracy']:.1f} %".split(),
        "10",
        "samples",
    ]
    assert lines[4].startswith("FineTune: unlearned, by FineTune(epochs=1,")
    assert len(str(forgot)) < 1000


def test_a_notebook_shows_the_same(forgot: TrainedModel) -> None:
    html = forgot._repr_html_()
    assert html.count("<tr>") == 3
    assert "FineTune: unlearned, by FineTune(epochs=1," in html


def test_its_figures_are_rows_of_a_frame(forgot: TrainedModel) -> None:
    assert forgot.effect is not None
    frame = forgot.to_frame().set_index(["model", "part", "figure"])
    for name, part in forgot.effect.parts.items():
        for figure, before in part.before.items():
            assert frame.loc[("FineTune", name, figure), "before"] == before
            assert frame.loc[("FineTune", name, figure), "after"] == part.after[figure]
            assert forgot.figures()[f"FineTune/{name}/{figure}/after"] == part.after[figure]
    assert len(frame) == len(forgot.to_csv().splitlines()) - 1


def test_damage_is_said_with_what_to_try_next(forgot: TrainedModel) -> None:
    part = Part(10, {"accuracy": 1.0}, {"accuracy": 0.2})
    effect = Effect({"retain": part}, "damaged", "accuracy on retained samples fell", {"learning_rate": 0.01})
    assert "damaged: accuracy on retained samples fell. Try learning_rate=0.01 next." in str(
        replace(forgot, effect=effect)
    )


def test_a_model_without_a_measured_effect_says_how_it_was_made() -> None:
    model = TrainedModel.given(nn.Linear(2, 2), Classification(classes=2), name="mine")
    assert str(model) == "mine: original, by given."
    assert model.records() == []
    assert model.to_csv() == "\n"


def test_the_share_that_may_change_is_that_of_the_numbers() -> None:
    model = nn.Sequential(nn.Linear(9, 1).requires_grad_(False), nn.Linear(1, 9))
    assert TrainedModel.given(model, Classification(classes=9)).trainable_share == 18 / 28
    assert TrainedModel.given(nn.Identity(), Classification(classes=2)).trainable_share == 0.0
