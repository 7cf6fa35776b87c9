"""Settings that are multiples and shares of the recipe's: what they may be, and what becomes of them."""

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, ClassVar

import pytest
from torch import nn

from obliviate import methods, workflow
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods import base
from obliviate.methods.amun import AMUN
from obliviate.methods.base import settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.laf import LAF
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.relative import (
    BatchSize,
    Length,
    Momentum,
    OptimizerName,
    Rate,
    WeightDecay,
    amount,
    check,
    kinds,
    passes,
    whole,
)
from obliviate.methods.scrub import Scrub
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.optimizers import OPTIMIZERS
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale

SCALE = Scale(optimizer="sgd", learning_rate=0.2, momentum=0.8, weight_decay=1e-3, batch_size=48, epochs=7)
ALL = {"optimizer", "rate", "length", "batch_size", "momentum", "weight_decay"}
NUMBERS: dict[str, Any] = {
    "optimizer": "sgd", "learning_rate": 0.16, "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 64, "epochs": 2,
}  # fmt: skip
TRAINING = [cls for cls in methods.registry().values() if kinds(cls)]


@pytest.fixture(scope="module")
def split(few: Samples, data: Data) -> Split:
    return Split.of(few, forget=few.ids[7:600:10], holdout=data.holdout)


def never() -> Scale:
    return pytest.fail("nothing is relative")


# ------------------------------------------------------------------------------------------- what becomes of them


def test_rates_are_multiples_and_lengths_are_shares_of_the_recipes(split: Split) -> None:
    method = FineTune(optimizer="recipe", learning_rate="1.5x", epochs="20%", batch_size=None)
    settled = settle(replace(method, momentum=None, weight_decay=None), split, SCALE)
    assert settled == FineTune(
        optimizer="sgd", learning_rate=0.3, epochs=2, batch_size=48, momentum=0.8, weight_decay=1e-3
    )
    assert "'" not in repr(settled).replace("'sgd'", "").replace("'cosine'", "")
    assert settle(settled, split, never) is settled


@pytest.mark.parametrize(("share", "epochs"), [("1%", 1), ("14%", 1), ("15%", 2), ("100%", 7), ("200%", 14)])
def test_shares_are_rounded_up(share: str, epochs: int, split: Split) -> None:
    assert whole(settle(FineTune(epochs=share), split, SCALE), "epochs") == (epochs,)


def test_a_share_that_comes_out_even_is_not_rounded_up(split: Split) -> None:
    scale = replace(SCALE, epochs=25)
    settled = [settle(FineTune(epochs=f"{share}%"), split, scale) for share in range(4, 101, 4)]
    assert [whole(method, "epochs")[0] for method in settled] == list(range(1, 26))


def test_of_a_long_recipe_a_share_is_one_of_thirty_epochs(split: Split) -> None:
    def settled(epochs: int) -> tuple[tuple[int, ...], float]:
        scale = replace(SCALE, epochs=epochs)
        return whole(settle(FineTune(epochs="20%"), split, scale), "epochs"), passes(settle(NablaTau(), split, scale))

    assert settled(10) == ((2,), 1.5)
    assert settled(30) == settled(100) == settled(1000) == ((6,), 4.5)


def test_every_rate_and_length_of_a_method_is_resolved(split: Split) -> None:
    laf = LAF(learning_rate="0.001x", align_learning_rate="0.1x", repair_learning_rate="0.01x", repair_epochs="50%")
    settled: Any = settle(replace(laf, optimizer="recipe", batch_size=None), split, SCALE)
    rates = [settled.learning_rate, settled.align_learning_rate, settled.repair_learning_rate]
    assert (rates, settled.repair_epochs, settled.optimizer) == ([2e-4, 0.02, 2e-3], 4, "sgd")
    scrub: Any = settle(Scrub(max_epochs="50%", forget_batch_size=None, batch_size=32), split, SCALE)
    assert (scrub.max_epochs, scrub.batch_size, scrub.forget_batch_size) == (4, 32, 48)


def test_what_a_method_works_out_itself_rests_on_resolved_numbers(split: Split) -> None:
    scale = replace(SCALE, batch_size=30, epochs=8)
    settled: Any = settle(NablaTau(least_steps=0, batch_size=None, retain_passes="12.5%"), split, scale)
    assert settled.epochs == NablaTau(least_steps=0, batch_size=30, retain_passes=1.0).settled(split).epochs == 9
    more: Any = settle(NablaTau(least_steps=0, batch_size=None, retain_passes="18.75%"), split, scale)
    assert (more.retain_passes, more.epochs) == (1.5, 13)  # passes may be a part of one
    fewest: Any = settle(NablaTau(least_steps=0, batch_size=None, retain_passes="1%"), split, scale)
    assert (fewest.retain_passes, fewest.epochs) == (1.0, 9)  # but all retained samples are seen


def test_what_a_method_chooses_for_none_goes_before_the_recipe(split: Split) -> None:
    settled: Any = settle(AMUN(), split.without_retain(), SCALE)
    assert (settled.batch_size, settled.saliency, settled.epochs) == (32, 0.2, 2)
    assert (settled.optimizer, settled.learning_rate, settled.momentum) == ("sgd", 0.0533333333333, 0.8)
    settled = settle(AMUN(), split, replace(SCALE, optimizer="adam"))  # which says nothing of batches there
    assert (settled.optimizer, settled.learning_rate, settled.batch_size) == ("adam", 0.15, 48)


def is_relative(value: object) -> bool:
    """Whether it is a multiple or a share, and not a text that says how a number is found."""
    return isinstance(value, str) and (amount(value, "x") is not None or amount(value, "%") is not None)


def in_numbers(cls: type[Any]) -> bool:
    """Whether no default of a method is relative."""
    values = [getattr(cls(), name) for name in kinds(cls)]
    cases = getattr(cls, "when_none", {}).values()
    values += [value for case in cases for value in case.values() if is_relative(value)]
    return not any(isinstance(value, str) and value not in OPTIMIZERS for value in values)


@pytest.mark.parametrize("cls", [cls for cls in TRAINING if in_numbers(cls)], ids=attrgetter("name"))
def test_a_method_in_numbers_asks_for_no_scale(cls: type[Any], split: Split) -> None:
    settled = settle(cls(), split, never)
    assert repr(settled) == repr(settle(cls(), split, SCALE))


def test_a_scale_is_found_once(split: Split) -> None:
    calls: list[int] = []

    def scale() -> Scale:
        calls.append(1)
        return SCALE

    settle(AMUN(optimizer="recipe", learning_rate="1x", epochs="10%", batch_size=None), split, scale)
    assert len(calls) == 1


@pytest.mark.parametrize("cls", TRAINING, ids=attrgetter("name"))
def test_every_method_that_trains_takes_them(cls: type[Any]) -> None:
    assert set(kinds(cls).values()) - {"passes", "steps"} == ALL
    assert {"optimizer", "learning_rate", "momentum", "weight_decay", "batch_size"} <= set(kinds(cls))


def test_the_outcome_is_that_of_the_numbers(
    original: nn.Module, split: Split, task: Classification, recipe: Recipe
) -> None:
    relative = FineTune(optimizer="recipe", learning_rate="0.5x", epochs="10%", batch_size=None, momentum=None)
    scale = Scale.of(recipe)
    numbers = FineTune(
        optimizer="sgd",
        learning_rate=scale.learning_rate / 2,
        momentum=scale.momentum,
        weight_decay=scale.weight_decay,
        epochs=1,
        batch_size=scale.batch_size,
    )
    unlearned = [
        workflow.unlearn(workflow.TrainedModel.given(original, task, recipe=recipe), split, method)
        for method in (relative, numbers)
    ]
    assert unlearned[0].method == unlearned[1].method == repr(numbers)
    assert weights_sha256(unlearned[0].model) == weights_sha256(unlearned[1].model)
    assert "found_learning_rate" not in unlearned[0].notes


def test_without_a_recipe_the_scale_is_found_and_told(original: nn.Module, split: Split, task: Classification) -> None:
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, task), split, FineTune(learning_rate="0.5x", epochs="5%")
    )
    half = float(f"{unlearned.notes['found_learning_rate'] / 2:.12g}")
    assert unlearned.method == repr(FineTune(**NUMBERS | {"learning_rate": half, "epochs": 1}))
    assert (
        "found_learning_rate"
        not in workflow.unlearn(workflow.TrainedModel.given(original, task), split, FineTune(**NUMBERS)).notes
    )


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("text", ["1.5", "x", "-1x", "0x", "abc", "nanx", "infx", "20%", ""])
def test_a_text_that_is_no_multiple_is_refused(text: str) -> None:
    with pytest.raises(
        MethodError,
        match="expected learning_rate as a number above 0 or a multiple of the recipe's such as '0.5x', got "
        f"'{text}'; correct the setting of amun",
    ):
        AMUN(learning_rate=text)


@pytest.mark.parametrize("text", ["20", "%", "-5%", "0%", "abc", "2x"])
def test_a_text_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(
        MethodError,
        match="expected epochs as a whole number above 0 or a share of the recipe's such as '20%', got "
        f"'{text}'; correct the setting of fine_tune",
    ):
        FineTune(epochs=text)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"learning_rate": -0.1}, "learning_rate above 0, got -0.1"),
        ({"batch_size": 0}, "batch_size above 0, got 0"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\), got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay of 0 or more, got -1.0"),
        ({"optimizer": "lion"}, "an optimizer of recipe, sgd, adam, adamw, got 'lion'"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any], wanted: str) -> None:
    with pytest.raises(MethodError, match=f"expected {wanted}; "):
        FineTune(**settings)


@pytest.mark.parametrize(("optimizer", "recipes"), [("sgd", "adamw"), ("sgd", "adam")])
def test_a_multiple_of_another_optimisers_rate_is_refused_before_any_work(
    optimizer: str, recipes: str, original: nn.Module, split: Split, task: Classification, monkeypatch: Any
) -> None:
    for work in ("fit", "once", "epochs"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    message = (
        f"expected learning_rate as a number for optimizer {optimizer}, got '1.5x', which is a multiple of the "
        f"recipe's rate for {recipes}; give a number"
    )
    method = FineTune(optimizer=optimizer, learning_rate="1.5x")
    with pytest.raises(MethodError, match=message):
        workflow.unlearn(workflow.TrainedModel.given(original, task, recipe=Recipe(optimizer=recipes)), split, method)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize(("batch_size", "learning_rate"), [(64, 0.003), (256, 0.006), (16, 0.0015)])
def test_beside_sgd_a_rate_of_adam_is_a_multiple_of_a_hundredth_at_64_samples_a_step(
    optimizer: str, batch_size: int, learning_rate: float, split: Split
) -> None:
    method = FineTune(optimizer=optimizer, learning_rate="1.5x", batch_size=batch_size)
    settled: Any = settle(method, split, replace(SCALE, batch_size=64))
    assert (settled.optimizer, settled.learning_rate) == (optimizer, learning_rate)
    larger: Any = settle(method, split, replace(SCALE, batch_size=256, learning_rate=0.8))  # the same training
    assert larger.learning_rate == learning_rate


@pytest.mark.parametrize(
    ("trained_by", "batch_size", "rate"), [("sgd", 96, 0.4), ("sgd", 12, 0.05), ("adamw", 12, 0.1)]
)
def test_a_rate_goes_with_the_batch_or_for_adam_with_its_root(
    trained_by: str, batch_size: int, rate: float, split: Split
) -> None:
    method = FineTune(optimizer="recipe", learning_rate="1x", batch_size=batch_size)
    settled: Any = settle(method, split, replace(SCALE, optimizer=trained_by))
    assert settled.learning_rate == rate


def test_adam_and_adamw_count_as_one(split: Split) -> None:
    scale = replace(SCALE, optimizer="adamw")
    settled: Any = settle(FineTune(optimizer="adam", learning_rate="2x"), split, scale)
    assert (settled.optimizer, settled.learning_rate) == ("adam", 0.4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "20%"}, "expected epochs of fine_tune as a whole number, got '20%'; settle the method first"),
        ({"batch_size": None}, "expected batch_size of fine_tune as a whole number, got None; settle the method first"),
        ({"learning_rate": "1x"}, "and its settings in numbers, got sgd, learning_rate='1x'"),
        ({"optimizer": "recipe"}, "expected an optimizer of sgd, adam, adamw and its settings in numbers, got recipe"),
    ],
)
def test_a_method_that_is_not_settled_does_not_run(
    settings: dict[str, Any], message: str, original: nn.Module, split: Split, task: Classification
) -> None:
    with pytest.raises(MethodError, match=message):
        FineTune(**NUMBERS | settings)(original, split, Run(task))


# ------------------------------------------------------------------------------------------- methods of others


@dataclass(frozen=True, kw_only=True)
class Mine:
    """Train as told."""

    name: ClassVar[str] = "mine"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "none"

    passes: Length = "10%"
    optimizer: OptimizerName = "recipe"
    speed: Rate = "2x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    batch_size: BatchSize = None
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        passes, size = whole(self, "passes", "batch_size")
        optimizer = run.optimizer(model, self, learning_rate=self.speed)
        for epoch in run.epochs("mine", passes, model=model, optimizer=optimizer):
            run.fit(model, run.batches(split.forget, size, epoch), run.task.loss, optimizer)
        return model


def test_a_method_of_ones_own_takes_them_by_the_types_of_its_fields(
    original: nn.Module, split: Split, task: Classification, recipe: Recipe
) -> None:
    settled: Any = settle(Mine(), split, SCALE)
    assert settled == Mine(
        passes=1, optimizer="sgd", speed=0.4, momentum=0.8, weight_decay=1e-3, batch_size=48, learning_rate=1.0
    )
    with pytest.raises(MethodError, match=r"expected speed as a number above 0 or .* got 'fast'; .* of mine"):
        Mine(speed="fast")
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, task, recipe=recipe), split, replace(Mine(), speed="0.01x")
    )
    assert f"batch_size={recipe.batch_size}, " in unlearned.method
    of_recipe = dict.fromkeys(("momentum", "weight_decay", "batch_size"), "the recipe's")
    assert base.describe(Mine)["when_none"] == {"always": of_recipe}


# ------------------------------------------------------------------------------------------- the papers'


def test_the_papers_settings_can_be_had_and_changed(split: Split) -> None:
    assert AMUN.paper() == AMUN(
        epochs=10,
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=128,
        schedule="step_tenths",
        saliency=1.0,
        keep_forget=True,
        search="pgd",
    )
    assert MixUnlearn.paper(learning_rate=1e-4) == MixUnlearn(
        learning_rate=1e-4,
        schedule="constant",
        retain_passes=2 / 3,
        neighbours=None,
        pairing="position",
        tau_gen=5.0,
        tau_mix=5.0,
        tau_real=5.0,
    )
    both: dict[str, Any] = {"optimizer": "adamw", "momentum": 0.9, "weight_decay": 0.01, "clip_norm": None}
    both |= {"alpha_per_share": 5 / 3, "least_steps": 0}
    images: dict[str, Any] = {"schedule": "linear_to_tenth", "batch_size": 256, "retain_passes": 3.0, "refresh": 5}
    assert NablaTau.paper() == NablaTau(learning_rate=1e-3, train_mode=False, **images, **both)
    assert NablaTau.paper(text=True, refresh=1) == NablaTau(
        alpha=0.5, learning_rate=3e-4, schedule="constant", batch_size=128, retain_passes=0.5, train_mode=True, **both
    )
    for method in (AMUN.paper(), MixUnlearn.paper(), NablaTau.paper(), NablaTau.paper(text=True)):
        settle(method, split, never)


def test_unknown_settings_of_the_papers_are_refused() -> None:
    assert {field.name for field in fields(AMUN)}.isdisjoint({"rate"})
    with pytest.raises(TypeError, match="rate"):
        AMUN.paper(rate=0.1)
