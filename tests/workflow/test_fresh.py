import copy
import re
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import RecipeError
from obliviate.experiment import Experiment
from obliviate.methods.bad_teacher import BadTeacher
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.models.mlp import MLP
from obliviate.task import Classification, Regression
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workflow import check_fresh

TASK = Classification(classes=2)


def rows(n: int, *, seed: int, shift: float = 0.0, wrong: float = 0.25, often: float = 0.5) -> Samples:
    """Rows in two classes, `often` the share of class 1, with a share of wrong labels and moved inputs."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=generator) < often).long()
    x = torch.randn(n, 20, generator=generator) + shift
    x[:, 0] += 4.0 * y - 2.0
    flipped = torch.rand(n, generator=generator) < wrong
    return Samples.from_tensors(x, torch.where(flipped, 1 - y, y), ids=[f"{seed}/{row}" for row in range(n)])


@dataclass(frozen=True)
class Known:
    """A model that has learnt noisy labels by heart, what it was trained on and by, and a builder that hands it out."""

    train: Samples
    unseen: Samples
    recipe: Recipe
    model: nn.Module

    @property
    def split(self) -> Split:
        return Split.of(self.train, forget=self.train.ids[::4])

    @property
    def loads(self) -> Recipe:
        weights = self.model.state_dict()

        def build() -> nn.Module:
            model = MLP(features=20, classes=2, hidden=(128,))
            model.load_state_dict(copy.deepcopy(weights))
            return model

        return replace(self.recipe, model=build, model_options={})


@pytest.fixture(scope="module")
def memorised() -> Known:
    train, unseen = rows(500, seed=0), rows(250, seed=1)
    options = {"features": 20, "classes": 2, "hidden": (128,)}
    recipe = Recipe(model="mlp", model_options=options, epochs=40, batch_size=50, weight_decay=0.0, precision="float32")
    return Known(train, unseen, recipe, workflow.train(Experiment(TASK, recipe, train)).model)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fit", "epochs", "once", "train"):
        monkeypatch.setattr(Run, name, lambda *_, **__: pytest.fail("work has begun"))


REFUSED = (
    r"^expected a builder whose models do not know the training set, got one whose fresh models get (\d+\.\d) % of "
    r"{what} right and (\d+\.\d) % of unseen ones \(.*build\); it loads a trained checkpoint: build new weights$"
)


@pytest.mark.usefixtures("no_work")
def test_references_by_a_builder_that_loads_the_trained_checkpoint_are_refused(
    memorised: Known, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as info:
        workflow.train_references(
            Experiment(TASK, memorised.loads, memorised.train, memorised.unseen), folder=tmp_path / "pool"
        )
    match = re.match(REFUSED.format(what="the training samples"), str(info.value))
    assert match is not None
    right, wrong = (float(share) for share in match.groups())
    assert right > 90
    assert 60 < wrong < 80
    assert not (tmp_path / "pool").exists()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("method", [Retrain(), BadTeacher()], ids=attrgetter("name"))
def test_a_retraining_by_a_builder_that_loads_the_trained_checkpoint_is_refused(memorised: Known, method) -> None:
    split = replace(memorised.split, holdout=memorised.unseen)
    with pytest.raises(RecipeError, match=REFUSED.format(what="the samples to forget")):
        workflow.unlearn(workflow.TrainedModel.given(memorised.model, TASK, recipe=memorised.loads), split, method)


def test_methods_that_build_no_model_are_not_held_up_by_its_builder(memorised: Known) -> None:
    split = replace(memorised.split, holdout=memorised.unseen)
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(memorised.model, TASK, recipe=memorised.loads), split, FineTune(epochs=1)
    )
    assert unlearned.role == "unlearned"


def test_without_unseen_samples_nothing_can_be_compared(memorised: Known) -> None:
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(memorised.model, TASK, recipe=replace(memorised.loads, epochs=1)),
        memorised.split,
        Retrain(),
    )
    assert unlearned.role == "retrained"


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("often", [0.5, 0.05])
def test_new_weights_pass_whatever_the_unseen_samples_are(memorised: Known, shift: float, often: float) -> None:
    """Unseen samples from elsewhere, of other classes, and with other labels are told from known ones by any model."""
    unseen = rows(400, seed=2, shift=shift, wrong=0.4, often=often)
    for seed in range(10):
        check_fresh(memorised.recipe, memorised.train, unseen, TASK, seed=seed)


def test_new_weights_that_begin_with_the_frequency_of_the_classes_pass(memorised: Known) -> None:
    """A usual first bias where classes are rare; unseen samples of which more are rare fare worse with each seed."""

    def build() -> nn.Module:
        model = MLP(features=20, classes=2, hidden=(32,))
        nn.init.constant_(list(model.parameters())[-1][0], 3.0)
        return model

    train, unseen = rows(400, seed=3, often=0.05, wrong=0.0), rows(400, seed=4, often=0.5, wrong=0.0)
    for seed in range(10):
        check_fresh(Recipe(model=build, epochs=1), train, unseen, TASK, seed=seed)


def test_large_random_weights_that_hit_the_classes_by_luck_pass() -> None:
    """Rows in two clear classes, which every second random direction tells apart, and unseen ones that are noise."""

    def large() -> nn.Module:
        model = MLP(features=20, classes=2, hidden=(32,))
        for weights in model.parameters():
            nn.init.normal_(weights, std=1.0)
        return model

    train, unseen = rows(400, seed=0, wrong=0.0), rows(400, seed=1, wrong=0.5)
    for seed in range(10):
        check_fresh(Recipe(model=large, epochs=1), train, unseen, TASK, seed=seed)


def test_a_pretrained_backbone_with_a_new_head_passes(memorised: Known) -> None:
    assert isinstance(memorised.model, MLP)
    backbone = copy.deepcopy(memorised.model.layers[:-1])  # it has seen the very samples, and its head has not

    def build() -> nn.Module:
        return nn.Sequential(copy.deepcopy(backbone), nn.Linear(128, 2))

    for seed in range(5):
        check_fresh(Recipe(model=build, epochs=1), memorised.train, memorised.unseen, TASK, seed=seed)


def test_a_whole_model_that_was_pretrained_on_other_samples_passes(memorised: Known) -> None:
    others = workflow.train(Experiment(TASK, memorised.recipe, rows(500, seed=5, wrong=0.0))).model
    check_fresh(replace(memorised, model=others).loads, memorised.train, memorised.unseen, TASK)


@pytest.mark.parametrize("sizes", [(19, 250), (500, 19)])
def test_too_few_samples_tell_nothing(
    memorised: Known, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, unseen = (
        samples.select(samples.ids[:size])
        for samples, size in zip((memorised.train, memorised.unseen), sizes, strict=True)
    )
    monkeypatch.setattr(Recipe, "build", lambda *_, **__: pytest.fail("built a model"))
    check_fresh(memorised.loads, train, unseen, TASK)


def test_models_of_other_tasks_are_found_by_their_losses() -> None:
    """A regression of noise that was learnt by heart."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 20, generator=generator), torch.randn(200, generator=generator)
    train, unseen = Samples.from_tensors(x[:100], y[:100]), Samples.from_tensors(x[100:], y[100:])
    solution = torch.linalg.lstsq(torch.cat([x[:100].tanh(), x[:100] ** 2, x[:100]], 1), y[:100, None]).solution

    class Learnt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(solution.clone())

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x.tanh(), x**2, x], 1) @ self.weights

    with pytest.raises(RecipeError, match="expected a builder whose models do not know the training set"):
        check_fresh(Recipe(model=Learnt), train, unseen, Regression(tolerance=0.5))
    fresh = Recipe(model="mlp", model_options={"features": 20, "classes": 1})
    check_fresh(fresh, train, unseen, Regression(tolerance=0.5))
