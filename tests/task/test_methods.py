"""Every method on every kind of task: it either makes the model forget, or is refused by name before any work.

`docs/tasks.md` shows the same table; a test below holds it to what these find.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from obliviate import methods, workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import serves
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task
from obliviate.training.inference import mean_loss
from obliviate.training.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
SIZE, WORDS, LENGTH = 90, 12, 6


class Words(nn.Module):
    """Two layers on the mean embedding of a text; id 0 is padding."""

    vocabulary = WORDS

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 8, padding_idx=0)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.table(tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x if x.is_floating_point() else self.embed(x)).mean(1))


class Next(nn.Module):
    """The next token from this one and where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.place = nn.Embedding(WORDS, 16), nn.Embedding(LENGTH, 16)
        self.head = nn.Linear(16, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.table(x) + self.place(torch.arange(x.shape[1], device=x.device))))


class Column(nn.Sequential):
    def __init__(self, width: int = 1) -> None:
        super().__init__(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, width))


@dataclass(frozen=True)
class World:
    """A model that knows its training samples by heart, and samples that it has not seen."""

    task: Task
    recipe: Recipe
    train: Samples
    unseen: Samples
    original: nn.Module

    @property
    def split(self) -> Split:
        return Split.of(self.train, forget=self.train.ids[:12], holdout=self.unseen)

    def request(self, name: str) -> Split:
        """What a method is asked to forget: some samples, or a class where it forgets nothing else."""
        return Split.of(self.train, forget="class:2") if name == "trew" else self.split


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(seed: int) -> Tensor:
    return torch.randint(1, WORDS, (2 * SIZE, LENGTH), generator=torch.Generator().manual_seed(seed))


def images() -> tuple[Task, Recipe, Tensor, Tensor]:
    y = torch.arange(2 * SIZE) % 3
    x = (drawn(3, 1, 12, 12, seed=0)[y] + drawn(2 * SIZE, 1, 12, 12, seed=1)).sigmoid()
    recipe = Recipe(model="small_cnn", model_options={"classes": 3, "size": 12}, epochs=6, batch_size=16)
    return Classification(classes=3), recipe, x, y


def table() -> tuple[Task, Recipe, Tensor, Tensor]:
    y = torch.arange(2 * SIZE) % 3
    x = drawn(3, 5, seed=0)[y] + drawn(2 * SIZE, 5, seed=1)
    x[:, 3:] = (x[:, 3:] > 0).float()
    ranges = tuple(x.amin(0).tolist()), tuple(x.amax(0).tolist())
    task = Classification(classes=3, input_range=ranges, perturbable=(0, 1, 2))
    options = {"features": 5, "classes": 3, "hidden": (16,)}
    return task, Recipe(model="mlp", model_options=options, epochs=20, batch_size=16), x, y


def text() -> tuple[Task, Recipe, Tensor, Tensor]:
    x = tokens(0)
    y = (x == 1).sum(1).clamp(max=2)
    x[:, -1] = torch.where(torch.arange(2 * SIZE) % 2 == 0, 0, x[:, -1])
    return Classification(classes=3, tokens=True), Recipe(model=Words, epochs=20, batch_size=16), x, y


def labels() -> tuple[Task, Recipe, Tensor, Tensor]:
    x = drawn(2 * SIZE, 5, seed=1)
    y = (x[:, :3] + 0.5 * drawn(2 * SIZE, 3, seed=2) > 0).float()
    recipe = Recipe(model=Column, model_options={"width": 3}, epochs=20, batch_size=16)
    return MultiLabel(labels=3), recipe, x, y


def numbers() -> tuple[Task, Recipe, Tensor, Tensor]:
    x = drawn(2 * SIZE, 5, seed=1)
    return Regression(), Recipe(model=Column, epochs=20, batch_size=16), x, x.sum(1) + 0.5 * drawn(2 * SIZE, seed=2)


def language() -> tuple[Task, Recipe, Tensor, Tensor]:
    x = tokens(0)
    y = torch.cat([x[:, 1:], torch.full((len(x), 1), -100)], 1)
    return CausalLM(tokens=WORDS), Recipe(model=Next, epochs=20, batch_size=16), x, y


KINDS: dict[str, Callable[[], tuple[Task, Recipe, Tensor, Tensor]]] = {
    "images": images,
    "table": table,
    "text": text,
    "multi-label": labels,
    "regression": numbers,
    "language model": language,
}
METHODS = [name for name in methods.registry() if name != "sisa"]  # which begins from checkpoints, below
TAUGHT = [name for name, cls in methods.registry().items() if "teachers" in cls().needs]
SETTINGS: dict[str, dict[str, Any]] = {
    "ssd": {"alpha": 1.5},
    "never_seen": {"least_steps": 60},
    "nabla_tau": {"least_steps": 10},
}


def able(name: str, kind: str) -> bool:
    if name == "ct" and kind != "images":  # the others' models have no convolutions
        return False
    return serves(methods.find(name), KINDS[kind]()[0].kind)


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    by_name = {}
    for name, make in KINDS.items():
        task, recipe, x, y = make()
        ids = [f"{place:03d}" for place in range(len(x))]
        everything = Samples.from_tensors(x, y, ids=ids)
        train, unseen = everything.select(ids[:SIZE]), everything.select(ids[SIZE:])
        by_name[name] = World(task, recipe, train, unseen, workflow.train(Experiment(task, recipe, train)).model)
    return by_name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_serves_a_task_or_is_refused_by_name(name: str, kind: str, worlds: dict[str, World], tmp_path: Path):
    world = worlds[kind]
    method = methods.find(name)(**SETTINGS.get(name, {}))
    if not able(name, kind):
        with pytest.raises(MethodError, match=r"^expected .*, got .*; ") as error:
            workflow.unlearn(
                workflow.TrainedModel.given(world.original, world.task, recipe=world.recipe), world.split, method
            )
        assert name in str(error.value)
        return
    split, teachers = world.request(name), None
    if name in TAUGHT:
        teachers = workflow.train_references(
            Experiment(world.task, world.recipe, world.train, world.unseen), folder=tmp_path, models=4, workers=0
        )
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(world.original, world.task, recipe=world.recipe), split, method, teachers=teachers
    )
    losses = [mean_loss(unlearned.model, samples, world.task) for samples in (split.forget, split.kept)]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sisa_forgets_exactly_where_probabilities_can_be_averaged(kind: str, worlds: dict[str, World], tmp_path: Path):
    world, sisa = worlds[kind], methods.find("sisa")()
    recipe, checkpoints = replace(world.recipe, shards=2, slices=2, epochs=2), tmp_path / "checkpoints"
    if not able("sisa", kind):
        with pytest.raises(
            MethodError, match=r"^expected a task that sisa serves \(classification\), got .*; use one of "
        ):
            workflow.unlearn(
                workflow.TrainedModel.given(world.original, world.task, recipe=recipe, checkpoints=checkpoints),
                world.split,
                sisa,
            )
        return
    original = workflow.train(Experiment(world.task, recipe, world.train), checkpoints=checkpoints).model
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, world.task, recipe=recipe, checkpoints=checkpoints), world.split, sisa
    )
    assert unlearned.model(world.unseen.everything().x).shape == (SIZE, 3)
    assert np.isfinite(mean_loss(unlearned.model, world.split.kept, world.task))


CLIMBING: dict[str, dict[str, Any]] = {
    "gradient_ascent": {},
    "neg_grad_plus": {"beta": 0.3, "epochs": 4, "learning_rate": 1e-2},
    "nabla_tau": {"tau": 3.0, "epochs": 20, "learning_rate": 1e-2, "alpha": 0.9},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLIMBING)
def test_methods_that_climb_the_loss_raise_it_on_what_is_to_be_forgotten(
    name: str, kind: str, worlds: dict[str, World]
):
    world = worlds[kind]
    method = methods.find(name)(**CLIMBING[name])
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(world.original, world.task, recipe=world.recipe), world.split, method
    ).model
    before, after = (mean_loss(trained, world.split.forget, world.task) for trained in (world.original, unlearned))
    assert after > before


@pytest.mark.parametrize("name", ["amun", "mixunlearn", "boundary_shrink"])
def test_the_embeddings_of_a_hugging_face_model_are_trained_where_others_are_perturbed(name: str):
    pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = {"model_type": "bert", "vocab_size": WORDS, "max_position_embeddings": LENGTH, **sizes}
    options, settings = {"config": config, "classes": 3}, {"optimizer": "adamw", "learning_rate": 1e-2, "epochs": 3}
    task, _, x, y = text()
    samples = Samples.from_tensors(x[:60], y[:60])
    recipe = Recipe(model="huggingface", model_options=options, **settings)
    original: Any = workflow.train(Experiment(task, recipe, samples)).model
    split = Split.of(samples, forget=samples.ids[:20])
    unlearned: Any = workflow.unlearn(
        workflow.TrainedModel.given(original, task, recipe=recipe), split, methods.find(name)()
    ).model
    tables = [trained.model.get_input_embeddings().weight for trained in (original, unlearned)]
    assert (tables[0] != tables[1]).any(1).tolist() == [False, *[True] * (WORDS - 1)]


def test_the_refusal_names_methods_that_serve_the_task(worlds: dict[str, World]):
    world = worlds["regression"]
    with pytest.raises(MethodError) as error:
        workflow.unlearn(
            workflow.TrainedModel.given(world.original, world.task, recipe=world.recipe),
            world.split,
            methods.find("salun")(),
        )
    named = str(error.value).partition("use one of ")[2].split(", ")
    assert {"fine_tune", "nabla_tau", "scrub"} <= set(named)
    assert all(serves(methods.find(name), "regression") for name in named)


def cells() -> dict[str, dict[str, str]]:
    """The page's table: by method and kind of task the first word of each cell."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- methods -->")[2].partition("<!-- end of methods -->")[0]
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    words = [[cell.split()[0] for cell in row] for row in rows]
    return {row[0].strip("`"): dict(zip(heads[1:], row[1:], strict=True)) for row in words}


def test_the_page_says_which_method_serves_which_task():
    assert cells() == {
        name: {kind: "yes" if able(name, kind) else "no" for kind in KINDS} for name in methods.registry()
    }
