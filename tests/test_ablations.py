"""AMUN on other examples than its own, as its paper's ablations have it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.amun import adversarial_examples
from obliviate.models import ARCHITECTURES
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from repository_scripts import benchmark


@pytest.fixture(scope="module")
def ablated() -> Iterator[Any]:
    """The method that plans name as "ablations:AblatedAMUN"."""
    with benchmark("ablations") as module:
        yield module.AblatedAMUN


@pytest.fixture(scope="module")
def request_() -> tuple[torch.nn.Module, Split, Run]:
    """A model of three classes, and six of its samples to forget."""
    torch.manual_seed(0)
    model = ARCHITECTURES["mlp"](features=8, classes=3, hidden=())
    weight, bias = model.parameters()
    with torch.no_grad():  # boundaries through the middle of the valid range
        weight.normal_()
        bias.copy_(-0.5 * weight.sum(1))
    x = torch.rand(60, 8)
    y = model(x).argmax(1)
    train = Samples.from_tensors(x, y)
    recipe = Recipe(model="mlp", model_options={"features": 8, "classes": 3, "hidden": ()}, epochs=20)
    return model, Split.of(train, forget=train.ids[:6].tolist()), Run(Classification(classes=3), recipe=recipe)


def test_examples_are_what_their_names_say(ablated: Any, request_: tuple[torch.nn.Module, Split, Run]) -> None:
    model, split, run = request_
    forget, own = split.forget.everything(), adversarial_examples(model, split.forget, run).everything()
    assert len(own.y) == len(forget.y)
    by_name = {
        name: ablated(examples=name)._found(model, split, run).everything() for name in ("AdvL", "RL", "A_RL", "A_RS")
    }
    assert torch.equal(by_name["AdvL"].x, forget.x)
    assert torch.equal(by_name["AdvL"].y, own.y)
    assert torch.equal(by_name["RL"].x, forget.x)
    assert bool((by_name["RL"].y != forget.y).all())
    assert torch.equal(by_name["A_RL"].x, own.x)
    assert bool(((by_name["A_RL"].y != forget.y) & (by_name["A_RL"].y != own.y)).all())
    assert torch.equal(by_name["A_RS"].y, own.y)
    far, near = ((examples.x - forget.x).norm(dim=1) for examples in (by_name["A_RS"], own))
    assert far == pytest.approx(near, rel=1e-4)
    assert not torch.allclose(by_name["A_RS"].x, own.x)


def test_transferred_examples_are_found_on_another_model(
    ablated: Any, request_: tuple[torch.nn.Module, Split, Run]
) -> None:
    model, split, run = request_
    own, elsewhere = (adversarial_examples(model, split.forget, run), ablated(examples="transferred"))
    assert {"retain", "recipe"} <= elsewhere.needs
    examples = elsewhere._found(model, split, run)
    assert examples.ids.tolist() == own.ids.tolist()
    assert not torch.allclose(examples.everything().x, own.everything().x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forgot = ablated(examples="RL")(model, split, run).state_dict()
    assert any(not torch.equal(value, forgot[name]) for name, value in before.items())


def test_unknown_examples_are_refused(ablated: Any) -> None:
    with pytest.raises(MethodError, match="expected examples of AdvL, RL, A_RL, A_RS, transferred, got 'R'"):
        ablated(examples="R")
