from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError, RecipeError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.methods.rum import memorisation
from obliviate.metrics.utility import recalls
from obliviate.references.member import Members
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.class_weights import balanced_weights
from obliviate.training.inference import outputs
from obliviate.training.progress import silent
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch

WEIGHTS = (0.5, 3.0, 20.0)


@pytest.fixture(scope="module")
def rare() -> Samples:
    """600 rows of which 5 % are of class 1, which overlaps with class 0."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(600) % 20 == 0).long()
    x = torch.randn(600, 4, generator=generator) + 1.2 * y[:, None]
    return Samples.from_tensors(x, y, ids=[f"r{i:03d}" for i in range(600)])


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    options = {"features": 4, "classes": 2, "hidden": (8,)}
    return Recipe(model="mlp", model_options=options, epochs=6, batch_size=32, precision="float32")


def rare_recall(model: nn.Module, samples: Samples) -> float:
    y = samples.everything().y.numpy()
    return recalls(outputs(model, samples).numpy().argmax(1) == y, y)[1]


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 2], [2, 1, 0]])
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    assert balanced_weights(torch.tensor(labels), 3) == pytest.approx(expected)


def test_a_class_without_samples_weighs_one_and_strange_labels_are_refused() -> None:
    assert balanced_weights(np.array([0, 0, 2, 2]), 3) == pytest.approx((2 / 3, 1.0, 2 / 3))
    for labels in ([], [3], [-1]):
        with pytest.raises(DataError, match=r"expected labels in \[0, 3\)"):
            balanced_weights(np.array(labels, dtype=int), 3)


def test_the_loss_that_is_trained_on_is_torchs_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 3), Batch(torch.randn(50, 4), torch.arange(50) % 3, np.arange(50).astype(str))
    task = Classification(classes=3)
    weighted = Run(task, recipe=Recipe(class_weights=WEIGHTS)).task
    expected = nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))(model(batch.x), batch.y)
    weighed = weighted.loss(model, batch)
    for loss in (weighed, weighted.losses(model, batch).mean()):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in (weighed, expected)]
    assert all(torch.allclose(*pair, rtol=1e-5, atol=1e-7) for pair in zip(*gradients, strict=True))


def test_what_audits_read_is_not_weighted_nor_is_the_task_that_was_given() -> None:
    task = Classification(classes=3)
    weighted = Run(task, recipe=Recipe(class_weights=WEIGHTS)).task
    output, y = torch.randn(9, 3), torch.arange(9) % 3
    for name in ("per_sample", "nll", "score", "correct", "observe", "signals"):
        assert getattr(weighted, name)(output, y).equal(getattr(task, name)(output, y))
    assert isinstance(weighted, Classification)
    assert (task.class_weights, weighted.class_weights) == (None, WEIGHTS)
    assert Run(task, recipe=Recipe()).task is task


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Regression(), "expected a classification task for class weights, got regression"),
        (MultiLabel(labels=3), "got multi-label"),
        (CausalLM(tokens=3), "got causal-lm"),
        (Classification(classes=2), "expected one class weight a class, 2, got 3"),
    ],
)
def test_tasks_that_have_no_such_classes_refuse_them_before_any_work(
    task: Task, message: str, tiny: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipe, "build", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(RecipeError, match=message):
        workflow.train(Experiment(task, Recipe(class_weights=WEIGHTS), tiny))
    with pytest.raises(RecipeError, match=message):
        workflow.unlearn(
            workflow.TrainedModel.given(nn.Linear(6, 3), task, recipe=Recipe(class_weights=WEIGHTS)),
            Split.of(tiny, forget=["s01"]),
            FineTune(),
        )


@pytest.mark.parametrize("weights", [(), (1.0, 0.0), (1.0, -2.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_weights_that_are_not_above_zero_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match="expected class weights above 0, one a class, got"):
        Recipe(class_weights=weights)


def test_balanced_weights_raise_the_recall_of_a_rare_class_in_training_and_retraining(
    rare: Samples, recipe: Recipe, two_classes: Classification
) -> None:
    weights = balanced_weights(rare.everything().y, 2)
    weighted = Recipe.from_dict(recipe.to_dict() | {"class_weights": list(weights)})
    split, recalls = Split.of(rare, forget=rare.ids[:60]), {}
    for name, trained_by in (("plain", recipe), ("weighted", weighted)):
        original = workflow.train(Experiment(two_classes, trained_by, rare)).model
        models: dict[str, Any] = {"original": original}
        for method in (Retrain(), FineTune(learning_rate=0.05)):
            models[method.name] = workflow.unlearn(
                workflow.TrainedModel.given(original, two_classes, recipe=trained_by), split, method
            ).model
        recalls[name] = {key: rare_recall(model, split.kept) for key, model in models.items()}
    for key in recalls["plain"]:
        assert recalls["weighted"][key] > recalls["plain"][key] + 0.2, (key, recalls)


def test_weights_of_one_change_nothing_and_references_have_those_of_the_recipe(
    tiny: Samples, tiny_recipe: Recipe, three_classes: Classification, tmp_path: Any
) -> None:
    def member(recipe: Recipe, name: str) -> str:
        job = Members(recipe, three_classes, tiny, 0, (name,), False, models=4)
        ((_, model, _),) = job.models_of(0, work={name: tmp_path / name}, progress=silent)
        return weights_sha256(model)

    values = tiny_recipe.to_dict()
    plain, ones, others = (
        Recipe.from_dict(values | extra) for extra in ({}, {"class_weights": (1, 1, 1)}, {"class_weights": WEIGHTS})
    )
    assert member(plain, "plain") == member(ones, "ones") != member(others, "others")


def test_what_is_memorised_is_is_known_of_the_plain_loss(tiny: Samples, three_classes: Classification) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    plain, weighted = (
        memorisation(model, tiny, Run(three_classes, recipe=Recipe(class_weights=weights)))["score"]
        for weights in (None, WEIGHTS)
    )
    assert plain.equal(weighted)
