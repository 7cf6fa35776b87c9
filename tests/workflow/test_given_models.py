"""Models as people have them can be made to forget by every method, and come back as they came."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import Classification, Recipe, Samples, Split, TrainedModel, outputs, train, unlearn
from obliviate.errors import MethodError, RecipeError
from obliviate.experiment import Experiment
from obliviate.methods import registry

TASK = Classification(classes=2)
NOT_HERE = {
    "sisa",
    "rum",
    "never_seen",
    "ct",
    "trew",
}  # need shards, parts, teachers, convolutions, whole classes
METHODS = [name for name in registry() if name not in NOT_HERE]


class Net(nn.Module):
    def __init__(self, outputs: int = 2, norm: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 8), norm(), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Any:
        return self.last(F.relu(self.norm(self.first(x))))


class WithHeads(Net):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Mapped(Net):
    def forward(self, x: Tensor) -> Any:
        return {"hidden": x, "logits": super().forward(x)}


class Flat(Net):
    def __init__(self) -> None:
        super().__init__(outputs=1)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).squeeze(1)


class Noted(Net):
    def get_extra_state(self) -> Any:
        return {"version": 3}

    def set_extra_state(self, state: Any) -> None:
        assert state == {"version": 3}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.last = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cells(x[..., None])[0][:, -1])


def tracked() -> nn.Module:
    return Net(norm=lambda: nn.BatchNorm1d(8))


def untracked() -> nn.Module:
    return Net(norm=lambda: nn.BatchNorm1d(8, track_running_stats=False))


KINDS: dict[str, Callable[[], nn.Module]] = {
    "auxiliary heads": WithHeads,
    "mapping": Mapped,
    "one logit": lambda: Net(outputs=1),
    "one flat logit": Flat,
    "bfloat16": lambda: Net().bfloat16(),
    "double": lambda: Net().double(),
    "extra state": Noted,
    "recurrent": Recurrent,
}


def drawn(n: int, seed: int, name: str) -> Samples:
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed))
    return Samples.from_tensors(x, (x[:, 0] > x[:, 1]).long(), ids=[f"{name}{place}" for place in range(n)])


TRAIN, HOLDOUT = drawn(48, 0, "t"), drawn(24, 1, "h")


@cache
def trained_once(build: Callable[[], nn.Module]) -> nn.Module:
    recipe = Recipe(model=build, epochs=30, batch_size=16, learning_rate=0.3)
    return train(Experiment(TASK, recipe, TRAIN)).model


def learned(build: Callable[[], nn.Module]) -> nn.Module:
    return copy.deepcopy(trained_once(build))


def forgotten(
    build: Callable[[], nn.Module], method: str, *, model: nn.Module | None = None, forget: int = 8
) -> tuple[nn.Module, nn.Module]:
    """The model of a kind before and after a method."""
    model = learned(build) if model is None else model
    trained = TrainedModel.given(model, TASK, recipe=Recipe(model=build, epochs=1, batch_size=16))
    split = Split.of(TRAIN, forget=TRAIN.ids[:forget], holdout=HOLDOUT)
    settings: dict[str, Any] = {"damping": 1.0} if method == "influence" else {"alpha": 1.01} if method == "ssd" else {}
    return model, unlearn(trained, split, registry()[method](**settings), measure=None).model


class AllAtOnce(Noted):
    """Auxiliary heads, a mapping, one flat logit, extra state, and weights of an eighth of the digits."""

    def __init__(self) -> None:
        super().__init__(outputs=1)
        self.bfloat16()

    def forward(self, x: Tensor) -> Any:
        logit = super().forward(x).squeeze(1)
        return (logit, logit) if self.training else {"hidden": x, "logits": logit}


@pytest.mark.parametrize(
    ("method", "kind"),
    [*((method, AllAtOnce) for method in METHODS), *(("scrub", kind) for kind in KINDS.values())],
    ids=[*METHODS, *KINDS],
)
def test_every_method_serves_every_kind_and_gives_it_back_in_its_form(method: str, kind: Callable[[], nn.Module]):
    before, after = forgotten(kind, method)
    assert type(after) is type(before)
    assert list(after.state_dict()) == list(before.state_dict())
    assert [weight.dtype for weight in after.parameters()] == [weight.dtype for weight in before.parameters()]
    x = TRAIN.everything().x.to(next(after.parameters()).dtype)
    assert type(after.train()(x)) is type(before.train()(x))  # nothing of ours is left on it
    assert outputs(after.eval(), TRAIN, task=TASK).shape == (48, 2)


@pytest.mark.parametrize(
    ("method", "build"),
    [
        *((method, untracked) for method in METHODS if method not in {"amun", "ssd"}),
        ("scrub", tracked),
        ("amun", tracked),
    ],
)
def test_one_row_can_be_forgotten_by_a_model_with_batch_norm(method: str, build: Callable[[], nn.Module]):
    _, after = forgotten(build, method, forget=1)
    assert bool(torch.isfinite(outputs(after, TRAIN)).all())


def test_a_row_that_its_model_says_the_same_of_whatever_it_is_has_no_adversarial_example():
    """Alone in a batch, every row is its own mean."""
    model = learned(untracked)
    label = int(TRAIN.everything().y[0])
    with torch.no_grad():
        model.get_parameter("last.bias")[label] += 100
    with pytest.raises(MethodError, match="the model's prediction does not depend on its input"):
        forgotten(untracked, "amun", model=model, forget=1)


@pytest.mark.parametrize(
    ("method", "weights"),
    [*((name, True) for name in METHODS if not registry()[name].exact), ("scrub", False), ("amun", False)],
)
def test_a_batch_norm_that_was_frozen_stays_frozen_under_every_method(method: str, weights: bool):
    model = learned(tracked).train()
    norm = model.get_submodule("norm").eval().requires_grad_(weights)
    before = copy.deepcopy(norm.state_dict())
    _, after = forgotten(tracked, method, model=model)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(after.get_submodule("norm").state_dict()[name], before[name])
    assert [module.training for module in after.modules()] == [module.training for module in model.modules()]


def test_modes_and_what_trains_come_back_as_they_came():
    model = learned(tracked).train()
    model.get_submodule("first").requires_grad_(False)
    _, after = forgotten(tracked, "fine_tune", model=model)
    assert after.training
    both = zip(after.parameters(), model.parameters(), strict=True)
    assert all(weight.requires_grad == before.requires_grad for weight, before in both)


@pytest.mark.parametrize("method", ["fine_tune", "retrain", "salun", "ssd", "influence", "sfron"])
def test_a_model_of_which_nothing_trains_is_refused_before_any_work_unless_a_fresh_one_is_trained(method: str):
    model = Net().requires_grad_(False)
    if method == "retrain":
        forgotten(Net, method, model=model)
        return
    with pytest.raises(RecipeError, match="got Net with all of them frozen; let those train"):
        forgotten(Net, method, model=model)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_a_wrapped_model_is_unlearned_without_its_wrapper(wrap: Callable[[nn.Module], Any]):
    torch.manual_seed(0)
    plain = Net()
    _, after = forgotten(Net, "fine_tune", model=wrap(copy.deepcopy(plain)))
    _, wanted = forgotten(Net, "fine_tune", model=plain)
    assert type(after) is Net
    for name, value in wanted.state_dict().items():
        assert torch.equal(after.state_dict()[name], value)


class Images(nn.Module):
    def __init__(self, flatten: str) -> None:
        super().__init__()
        self.flatten, self.convolution, self.last = flatten, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.convolution(x))
        return self.last(x.view(len(x), -1) if self.flatten == "view" else x.flatten(1))


@pytest.mark.parametrize("flatten", ["view", "flatten"])
def test_images_are_flattened_by_view_as_well_and_weights_keep_the_order_of_their_axes(flatten: str):
    x = torch.rand(32, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(x, torch.arange(32) % 2)
    recipe = Recipe(model=Images, model_options={"flatten": flatten}, epochs=1, batch_size=8)
    original = train(Experiment(TASK, recipe, samples))
    unlearned = unlearn(original, Split.of(samples, forget=samples.ids[:4]), registry()["scrub"]())
    for trained in (original, unlearned):
        assert trained.model.get_parameter("convolution.weight").is_contiguous()
        assert trained.model(x).shape == (32, 2)


@pytest.mark.parametrize("rows", [17, 33])
@pytest.mark.parametrize("build", [tracked, untracked], ids=["tracked", "untracked"])
def test_a_last_batch_of_one_is_trained_on_and_asked_about(build: Callable[[], nn.Module], rows: int):
    samples = drawn(rows, 2, "r")
    original = train(Experiment(TASK, Recipe(model=build, epochs=1, batch_size=16), samples))
    assert outputs(original.model, samples, batch_size=16).shape == (rows, 2)


@pytest.mark.parametrize("kind", ["auxiliary heads", "mapping", "one logit", "bfloat16", "double", "extra state"])
def test_every_kind_is_trained_by_a_recipe_too(kind: str):
    original = train(Experiment(TASK, Recipe(model=KINDS[kind], epochs=1), TRAIN))
    assert outputs(original.model, TRAIN, task=TASK).shape == (48, 2)
    assert next(original.model.parameters()).dtype == next(KINDS[kind]().parameters()).dtype


def test_votes_of_models_with_one_logit_are_averaged():
    recipe = Recipe(model=KINDS["one logit"], epochs=1, shards=2)
    original = train(Experiment(TASK, recipe, TRAIN))
    torch.testing.assert_close(outputs(original.model, TRAIN).exp().sum(1), torch.ones(48))


def test_one_logit_behind_a_sigmoid_is_refused():
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    with pytest.raises(RecipeError, match=r"^expected logits, got probabilities \(a sigmoid"):
        TASK.check_model(model, TRAIN)


def test_methods_that_need_other_models_say_so():
    with pytest.raises(MethodError, match="square convolution kernels"):
        forgotten(Net, "ct")
