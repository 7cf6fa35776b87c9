"""One model on two processes: the weights are those of one process, for every method that can; others are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.methods.divided import DIVISIBLE, IN_PARTS
from obliviate.task import Classification
from obliviate.training.compute import computing
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel
from processes import largest_difference, together

WAYS = [("ddp", name) for name in sorted(DIVISIBLE)] + [("fsdp", name) for name in sorted(IN_PARTS)]
FEW = [("ddp", "neg_grad_plus"), ("ddp", "salun"), ("fsdp", "salun"), ("fsdp", "retrain")]

SETTINGS: dict[str, dict[str, Any]] = {"ssd": {"alpha": 0.5}}  # its default asks for fewer samples to forget

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def first(tiny: Samples, tiny_recipe: Recipe, three_classes: Classification) -> TrainedModel:
    return workflow.train(Experiment(three_classes, tiny_recipe, tiny))


def unlearning(first: TrainedModel, tiny: Samples, name: str, **options: Any) -> Callable[[], State]:
    """The weights that a method leaves, with 11 samples to forget: not as many as two processes share."""
    forget: Any = "class:2" if name == "trew" else tiny.ids[:11]

    def work() -> State:
        with computing(**options):
            split = Split.of(tiny, forget=forget)
            unlearned = workflow.unlearn(first, split, registry()[name](**SETTINGS.get(name, {})), seed=1, measure=None)
        return {key: value.clone() for key, value in unlearned.model.state_dict().items()}

    return work


def check(first: TrainedModel, tiny: Samples, folder: Path, way: str, name: str) -> None:
    alone = unlearning(first, tiny, name)()
    one, other = together(unlearning(first, tiny, name, parallel=way), folder)
    change = largest_difference(alone, dict(first.model.state_dict()))
    assert largest_difference(one, other) == 0
    assert largest_difference(alone, one) <= min(1e-5, change / 100)


@pytest.mark.parametrize(("way", "name"), FEW)
def test_two_processes_give_the_weights_of_one(
    first: TrainedModel, tiny: Samples, tmp_path: Path, way: str, name: str
) -> None:
    check(first, tiny, tmp_path / "group", way, name)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "name"), [way for way in WAYS if way not in FEW])
def test_two_processes_give_the_weights_of_one_by_every_method_that_can(
    first: TrainedModel, tiny: Samples, tmp_path: Path, way: str, name: str
) -> None:
    check(first, tiny, tmp_path / "group", way, name)


@pytest.mark.parametrize("name", sorted(DIVISIBLE))
def test_pieces_of_a_batch_give_the_weights_of_whole_ones(first: TrainedModel, tiny: Samples, name: str) -> None:
    alone, divided = unlearning(first, tiny, name)(), unlearning(first, tiny, name, accumulate=2)()
    change = largest_difference(alone, dict(first.model.state_dict()))
    assert largest_difference(alone, divided) <= min(1e-5, change / 100)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_a_model_is_trained_by_two_processes_as_by_one(
    first: TrainedModel, tiny: Samples, tmp_path: Path, way: str
) -> None:
    def work() -> State:
        with computing(parallel=way):
            model = workflow.train(Experiment(first.task, first.recipe, tiny)).model  # pyright: ignore[reportArgumentType]
        assert type(model).__name__ == type(first.model).__name__
        assert not model.training
        return {key: value.clone() for key, value in model.state_dict().items()}

    one, other = together(work, tmp_path / "group")
    assert largest_difference(one, other) == 0
    assert largest_difference(one, dict(first.model.state_dict())) <= 1e-5


@pytest.mark.parametrize("name", sorted(set(registry()) - DIVISIBLE))
def test_methods_whose_batches_cannot_be_divided_are_refused_by_name(
    first: TrainedModel, tiny: Samples, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry()[name], "__call__", lambda *_: pytest.fail("it was called"))
    monkeypatch.setattr("obliviate.workflow.unlearning.check_request", lambda *_: None)  # of what else it lacks here
    message = f"expected a method for parallel='ddp' and accumulate= of .*, got {name}, which is not known to give"
    with pytest.raises(MethodError, match=message):
        unlearning(first, tiny, name, accumulate=2)()


def test_methods_that_read_single_weights_are_refused_where_these_are_in_parts(
    first: TrainedModel, tiny: Samples, tmp_path: Path
) -> None:
    def work() -> dict[str, str]:
        with pytest.raises(MethodError) as refused:
            unlearning(first, tiny, "rum", parallel="fsdp")()
        return {"refused": str(refused.value)}

    for told in together(work, tmp_path / "group"):
        assert "expected a method for parallel='fsdp' of " in told["refused"]
        assert "got rum, which is not known" in told["refused"]
