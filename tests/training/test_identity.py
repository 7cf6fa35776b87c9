import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.models.mlp import MLP
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.identity import (
    architecture_sha256,
    describe_task,
    model_sha256,
    refuse_same_model,
    refuse_shared,
    sketch,
    task_sha256,
)
from obliviate.training.recipe import Recipe


class Net(nn.Module):
    """A user's network; `act` stands for what an editor changes in its `forward`."""

    def __init__(self, width: int = 8, rate: float = 0.1, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.a, self.drop, self.b = nn.Linear(6, width), nn.Dropout(rate), nn.Linear(width, 3)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.drop(self.act(self.a(x))))


def sha(build: Callable[[], nn.Module], samples: Samples) -> str:
    return architecture_sha256(Recipe(model=build), samples)


# ------------------------------------------------------------------------------------------- the architecture


def zeroed() -> nn.Module:
    model = Net()
    nn.init.zeros_(model.b.bias)
    return model


def other_buffer() -> nn.Module:
    model = Net()
    model.register_buffer("scale", torch.tensor(2))
    return model


@pytest.mark.parametrize(
    "edit",
    [
        lambda: Net(width=9),
        zeroed,
        other_buffer,
        lambda: Net(act=F.tanh),
        lambda: Net(act=F.leaky_relu),
        lambda: Net(rate=0.2),
        lambda: Net().to(torch.bfloat16).float(),
        lambda: nn.Sequential(Net(), nn.Identity()),
    ],
    ids=["width", "one bias", "a buffer", "forward", "forward a little", "dropout", "rounded weights", "modules"],
)
def test_an_edited_model_is_another_architecture(edit: Callable[[], nn.Module], tiny: Samples) -> None:
    assert sha(edit, tiny) != sha(Net, tiny)


def elsewhere() -> nn.Module:
    class Net(nn.Module):  # of the same name and code, in another place
        def __init__(self) -> None:
            super().__init__()
            self.a, self.drop, self.b = nn.Linear(6, 8), nn.Dropout(0.1), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.drop(F.relu(self.a(x))))

    return Net()


def test_the_same_model_by_another_function_is_the_same_architecture(tiny: Samples) -> None:
    assert sha(Net, tiny) == sha(lambda: Net(8), tiny) == sha(elsewhere, tiny)


def test_models_without_parameters_are_told_apart_by_what_they_compute(tiny: Samples) -> None:
    class Times(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * x[:, :3]

    assert sha(lambda: Times(2.0), tiny) == sha(lambda: Times(2.0), tiny) != sha(lambda: Times(2.01), tiny)


class Regularised(nn.Module):
    """Dropout without a module, and within attention, whose description does not tell it."""

    def __init__(self, rate: float = 0.1, attended: float = 0.1) -> None:
        super().__init__()
        self.rate = rate
        self.attention, self.head = nn.MultiheadAttention(6, 2, dropout=attended, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(x[:, None], x[:, None], x[:, None], need_weights=False)[0][:, 0]
        return self.head(F.dropout(x, self.rate, self.training))


def test_the_rate_of_dropout_is_seen_where_no_module_tells_it(tiny: Samples) -> None:
    hashes = [sha(lambda rates=rates: Regularised(*rates), tiny) for rates in ((), (), (0.2,), (0.1, 0.2))]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_addresses_in_a_description_do_not_matter(tiny: Samples) -> None:
    class Says(Net):
        def extra_repr(self) -> str:
            return f"act={self.forward.__func__!r}, {object()!r}"

    assert sha(Says, tiny) == sha(Says, tiny)


def test_hashing_changes_neither_the_model_nor_the_random_state_nor_the_threads(tiny: Samples) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).train()
    before, state = weights_sha256(model), torch.get_rng_state()
    threads = torch.get_num_threads()
    model_sha256(model, tiny)
    task_sha256(Classification(classes=3), model, tiny)
    architecture_sha256(Recipe(model=Net), tiny)
    assert weights_sha256(model) == before
    assert all(module.training for module in model.modules())
    assert model[0].weight.dtype == torch.float32
    assert model(tiny.everything().x).shape == (60, 3)
    assert torch.get_rng_state().equal(state)
    assert torch.get_num_threads() == threads


def test_a_model_that_draws_in_evaluation_is_the_same_every_time(tiny: Samples) -> None:
    drawing = lambda: Net(act=lambda x: F.dropout(x, 0.5))  # noqa: E731
    assert sha(drawing, tiny) == sha(drawing, tiny)


def test_models_that_compute_in_float32_only_have_an_identity_too(tiny: Samples) -> None:
    class Only32(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.ones(6, dtype=torch.float32)) @ torch.eye(3)

    assert sha(Only32, tiny) == sha(Only32, tiny) != sha(Net, tiny)


def test_layers_that_find_their_own_shape_have_an_identity(tiny: Samples) -> None:
    def lazy(width: int) -> nn.Module:
        return nn.Sequential(nn.LazyLinear(width), nn.Linear(width, 3))

    assert sha(lambda: lazy(4), tiny) == sha(lambda: lazy(4), tiny) != sha(lambda: lazy(5), tiny)


def test_a_model_that_does_not_take_the_samples_is_refused(tiny: Samples) -> None:
    with pytest.raises(RecipeError, match=r"^expected a model that takes inputs of shape \(2, 6\), got an error from "):
        sha(lambda: nn.Linear(5, 3), tiny)


def test_weights_that_do_not_follow_the_seed_are_refused(tiny: Samples) -> None:
    generator = torch.Generator().manual_seed(0)

    def build() -> nn.Module:
        model = Net()
        nn.init.normal_(model.a.weight, generator=generator)
        return model

    with pytest.raises(RecipeError, match=r"^expected weights that are a function of the seed, got others at each "):
        sha(build, tiny)


def test_other_instructions_and_threads_give_other_bits_and_the_same_identity() -> None:
    """Normal and orthogonal initial weights differ in their last bits between processors."""
    code = """
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.identity import architecture_sha256, task_sha256
from obliviate.training.recipe import Recipe
from obliviate.task import Classification

def build():
    model = nn.Sequential(nn.Linear(36, 128), nn.Tanh(), nn.Linear(128, 3))
    nn.init.normal_(model[0].weight)
    nn.init.orthogonal_(model[2].weight)
    return model

samples = Samples.from_tensors((torch.arange(72).float() / 72).reshape(2, 36), torch.tensor([0, 1]))
recipe = Recipe(model=build)
model = recipe.build(seed=0)
print(weights_sha256(model), architecture_sha256(recipe, samples), task_sha256(Classification(3), model, samples))
"""
    outputs = []
    for changed in ({"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}):
        environment = os.environ | changed | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stderr
        outputs.append(process.stdout.split())
    assert outputs[0][1:] == outputs[1][1:]
    if torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}:
        assert outputs[0][0] != outputs[1][0]


# ------------------------------------------------------------------------------------------- builders


def test_a_builder_that_returns_the_same_model_is_refused(tiny: Samples) -> None:
    net = Net()
    recipe = Recipe(model=lambda: net)
    with pytest.raises(RecipeError, match=r"^expected a new model from .*<lambda>, got its last one again; return"):
        architecture_sha256(recipe, tiny)
    with pytest.raises(RecipeError, match=r"got the model that is to forget again; return a new model at each call"):
        refuse_same_model(recipe, net, seed=0)


@pytest.mark.parametrize("part", ["a parameter", "a view", "a buffer", "a buffer that is not saved"])
def test_a_builder_whose_models_share_memory_is_refused(part: str, tiny: Samples) -> None:
    kept, base = nn.Linear(6, 8), torch.zeros(100)

    def build() -> nn.Module:
        model = Net()
        if part == "a parameter":
            model.a.weight = kept.weight
        elif part == "a view":
            model.a.bias = nn.Parameter(base[:8])
        else:
            model.register_buffer("table", base, persistent=part == "a buffer")
        return model

    name = {"a parameter": "a.weight", "a view": "a.bias"}.get(part, "table")
    with pytest.raises(RecipeError, match=rf"got one that shares {name} with its last one; return a new model at each"):
        architecture_sha256(Recipe(model=build), tiny)


def test_weights_that_are_tied_within_a_model_are_no_sharing() -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    refuse_shared(Recipe(model=build), build(), build())
    refuse_same_model(Recipe(model=build), build(), seed=0)


# ------------------------------------------------------------------------------------------- the task


@dataclass(frozen=True)
class Weighted(Classification):
    """Classes count by `counts`."""

    counts: tuple[float, ...] = (1.0, 1.0, 1.0)

    def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
        return super().per_sample(output, y) * torch.tensor(self.counts)[y]


class Penalised(Classification):
    """A loss that looks at the model's weights."""

    def losses(self, model: nn.Module, batch: Any) -> Tensor:
        return super().losses(model, batch) + sum(weight.square().sum() for weight in model.parameters())


def test_a_subclass_is_another_task_by_name_fields_and_losses(tiny: Samples) -> None:
    tasks = [
        Classification(classes=3),
        Weighted(classes=3),
        Weighted(classes=3, counts=(1.0, 50.0, 1.0)),
        Penalised(classes=3),
        Classification(classes=3, input_range=None),
    ]
    model = MLP(features=6, classes=3, hidden=(8,))
    assert len({task_sha256(task, model, tiny) for task in tasks}) == len(tasks)
    assert task_sha256(replace(tasks[1]), model, tiny) == task_sha256(tasks[1], model, tiny)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.02], [1.0, 1.0, 50.0]])
def test_weights_of_a_class_that_no_sample_is_of_are_seen(
    weights: list[float], tiny: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = tiny.at(tiny.everything().y.numpy() == 0)
    model = MLP(features=6, classes=3, hidden=(8,))
    before = task_sha256(Weighted(classes=3), model, only)

    def per_sample(self: Weighted, output: Tensor, y: Tensor) -> Tensor:
        return Classification.per_sample(self, output, y) * torch.tensor(weights)[y]

    monkeypatch.setattr(Weighted, "per_sample", per_sample)
    assert task_sha256(Weighted(classes=3), model, only) != before


def test_the_architecture_plays_no_part_in_the_task(tiny: Samples) -> None:
    task = Classification(classes=3)
    assert task_sha256(task, nn.Linear(6, 3), tiny) == task_sha256(task, MLP(features=6, classes=3), tiny)


@pytest.mark.parametrize(
    ("task", "other", "outputs", "targets"),
    [
        (Regression(), Regression(scale=2.0), 1, torch.rand(9)),
        (MultiLabel(labels=2), Regression(outputs=2), 2, torch.ones(9, 2)),
    ],
    ids=["regression", "multi-label"],
)
def test_other_tasks_have_an_identity(task: Task, other: Task, outputs: int, targets: Tensor) -> None:
    samples = Samples.from_tensors(torch.rand(9, 4), targets)
    model = nn.Linear(4, outputs)
    assert task_sha256(task, model, samples) == task_sha256(task, model, samples) != task_sha256(other, model, samples)


def test_language_models_have_an_identity() -> None:
    tokens = torch.randint(0, 7, (5, 4), generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(tokens, tokens.roll(-1, 1))
    recipe = Recipe(model=lambda: nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)))
    assert architecture_sha256(recipe, samples) == architecture_sha256(recipe, samples)
    model, task = recipe.build(seed=0), CausalLM(tokens=7)
    assert task_sha256(task, model, samples) == task_sha256(task, model, samples)


def test_a_task_without_fields_is_described_by_its_attributes() -> None:
    class Mine(Classification):
        pass

    task = Mine(classes=3)
    assert describe_task(task)["class"].endswith("Mine")
    assert describe_task(task)["classes"] == "3"


# ------------------------------------------------------------------------------------------- sketches


def test_last_bits_do_not_show_and_everything_else_does() -> None:
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    last_bits = torch.nextafter(x, torch.full_like(x, torch.inf))
    assert not last_bits.equal(x)
    assert sketch(last_bits) == sketch(x)
    others = [x + 0.01, x * 1.01, -x, x.roll(1), x[1:], x.reshape(100, 100), x.double(), torch.cat([x, x])]
    assert len({sketch(x), *map(sketch, others)}) == len(others) + 1


def test_numbers_that_are_not_finite_are_is_known_of_their_places() -> None:
    x = torch.zeros(4)
    masks = [x, x.index_fill(0, torch.tensor([1]), -torch.inf), x.index_fill(0, torch.tensor([2]), -torch.inf)]
    masks += [masks[1].neg(), x.index_fill(0, torch.tensor([1]), torch.nan)]
    assert len(set(map(sketch, masks))) == len(masks)


def test_whole_numbers_are_told_exactly() -> None:
    x = torch.arange(1000)
    assert sketch(x) != sketch(x + (x == 999)) != sketch(x.int())
    assert sketch(x > 3) != sketch(x > 4)
    assert sketch(torch.zeros(0)) == sketch(torch.zeros(0))
