"""Wrappers are taken off, and models that cannot learn are refused by name."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from obliviate.errors import RecipeError
from obliviate.models.admission import admitted, check_trainable, plain_names


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, compiled, lambda model: compiled(nn.DataParallel(model)), lambda model: model],
    ids=["parallel", "compiled", "both", "plain"],
)
def test_wrappers_are_taken_off_and_the_weights_stay_the_same_objects(wrap: Callable[[nn.Module], nn.Module]):
    model = net()
    assert admitted(wrap(model)) is model


def inferred() -> nn.Module:
    with torch.inference_mode():
        return net()


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return net()


def in_eight_bits() -> nn.Module:
    model = net()
    weight = model.get_submodule("0").weight
    assert isinstance(weight, torch.Tensor)
    model.get_submodule("0").register_parameter("weight", nn.Parameter(weight.to(torch.int8), requires_grad=False))
    return model


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: torch.jit.trace(net(), torch.zeros(1, 2)), "scripted or traced"),
        (in_eight_bits, "quantised"),
        (inferred, "inference_mode"),
        (on_meta, "meta"),
    ],
    ids=["traced", "int8", "inference", "meta"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_models_that_cannot_learn_are_refused_with_a_remedy(make: Callable[[], nn.Module], what: str):
    with pytest.raises(RecipeError, match=rf"^expected a model that can be trained, got .*{what}.*; \w+"):
        admitted(make())


def test_a_module_of_torch_s_quantisation_is_told_by_its_home():
    quantised = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized.dynamic.modules.linear"})
    with pytest.raises(RecipeError, match="quantised"):
        admitted(nn.Sequential(nn.Linear(1, 1), quantised()))


def test_a_model_of_which_nothing_trains_is_refused():
    with pytest.raises(RecipeError, match="got Sequential with all of them frozen; "):
        check_trainable(net().requires_grad_(False))
    with pytest.raises(RecipeError, match="got Flatten with none at all; "):
        check_trainable(nn.Flatten())


def test_names_lose_what_wrappers_put_into_them_and_no_name_of_the_model_s_own():
    assert plain_names({"_orig_mod.module.a": 1, "_orig_mod.module.b": 2}) == {"a": 1, "b": 2}
    assert plain_names({"module.a": 1, "head.b": 2}) == {"module.a": 1, "head.b": 2}
    assert plain_names({"backbone._orig_mod.a": 1}) == {"backbone.a": 1}
