import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, DataError, RecipeError, TrainingError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.results.findings import Findings, Settings
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workflow import TrainedModel
from obliviate.workflow.models import read, save


@pytest.fixture(scope="module")
def parts(tiny: Samples) -> tuple[Samples, Samples]:
    """Forty training samples and twenty unseen ones."""
    return tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])


@pytest.fixture(scope="module")
def experiment(parts: tuple[Samples, Samples], three_classes: Classification, tiny_recipe: Recipe) -> Experiment:
    return Experiment(three_classes, tiny_recipe, *parts)


@pytest.fixture(scope="module")
def pool(
    parts: tuple[Samples, Samples],
    three_classes: Classification,
    tiny_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> ReferencePool:
    folder = tmp_path_factory.mktemp("pool")
    return workflow.train_references(Experiment(three_classes, tiny_recipe, *parts), folder=folder, models=6, workers=0)


@pytest.fixture(scope="module")
def split(parts: tuple[Samples, Samples]) -> Split:
    return Split.of(parts[0], forget=parts[0].ids[5:15])


@pytest.fixture(scope="module")
def models(
    parts: tuple[Samples, Samples], split: Split, three_classes: Classification, tiny_recipe: Recipe
) -> list[TrainedModel]:
    original = workflow.train(Experiment(three_classes, tiny_recipe, parts[0]))
    retrained = [workflow.unlearn(original, split, Retrain(), seed=seed) for seed in (1, 2)]
    return [original, *retrained]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fit", "epochs", "once", "train"):
        monkeypatch.setattr(Run, name, lambda *_, **__: pytest.fail("work has begun"))


# ------------------------------------------------------------------------------------------- train and unlearn


def test_training_is_a_function_of_the_seed(
    parts: tuple[Samples, Samples], three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    hashes = [
        weights_sha256(workflow.train(Experiment(three_classes, tiny_recipe, parts[0], seed=seed), folder=folder).model)
        for seed, folder in ((0, None), (0, tmp_path), (1, None))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("classes", "error"), [(2, DataError), (4, RecipeError)])
def test_samples_or_models_that_do_not_fit_are_refused_before_any_work(
    classes: int, error: type[Exception], parts: tuple[Samples, Samples], tiny_recipe: Recipe, split: Split
) -> None:
    task = Classification(classes=classes)
    with pytest.raises(error, match=r"expected .*, got "):
        workflow.train(Experiment(task, tiny_recipe, parts[0]))
    with pytest.raises(error, match=r"expected .*, got "):
        workflow.unlearn(
            workflow.TrainedModel.given(tiny_recipe.build(seed=0), task, recipe=tiny_recipe), split, GradientAscent()
        )


def test_a_model_of_ones_own_can_be_unlearned_without_a_recipe(split: Split, three_classes: Classification) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    before = copy.deepcopy(model.state_dict())
    method = FineTune(epochs=1, optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4, batch_size=16)
    unlearned = workflow.unlearn(workflow.TrainedModel.given(model, three_classes), split, method)
    assert unlearned.label == "FineTune"
    assert unlearned.method == repr(method)
    assert unlearned.seconds is not None
    assert unlearned.seconds > 0
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())


@pytest.mark.usefixtures("no_work")
def test_a_builder_that_returns_the_users_model_is_refused_before_it_is_trained_over(
    split: Split, parts: tuple[Samples, Samples], three_classes: Classification, tmp_path: Path
) -> None:
    net = nn.Linear(6, 3)
    before = weights_sha256(net)
    recipe = Recipe(model=lambda: net, epochs=1)
    again = (
        r"^expected a new model from .*<lambda>, got its last one again; return a new model at each call, for example"
    )
    with pytest.raises(RecipeError, match=again):
        workflow.train(Experiment(three_classes, recipe, parts[0]))
    with pytest.raises(RecipeError, match=again):
        workflow.train_references(Experiment(three_classes, recipe, *parts), folder=tmp_path / "pool")
    with pytest.raises(RecipeError, match="got the model that is to forget again; return a new model at each call"):
        workflow.unlearn(workflow.TrainedModel.given(net, three_classes, recipe=recipe), split, Retrain())
    with pytest.raises(RecipeError, match=again):
        workflow.unlearn(
            workflow.TrainedModel.given(copy.deepcopy(net), three_classes, recipe=recipe), split, Retrain()
        )
    assert weights_sha256(net) == before
    assert not (tmp_path / "pool").exists()


@pytest.mark.usefixtures("no_work")
def test_a_builder_that_shares_weights_with_the_model_to_unlearn_is_refused(
    split: Split, three_classes: Classification
) -> None:
    class Head(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))

    model = Head(nn.Linear(6, 4))
    recipe = Recipe(model=lambda: Head(model.body), epochs=1)
    with pytest.raises(RecipeError, match=r"got one that shares body.weight with the model that is to forget; return"):
        workflow.unlearn(workflow.TrainedModel.given(model, three_classes, recipe=recipe), split, Retrain())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "model",
    ["net.pth", Path("net.pth"), nn.Linear(2, 2).state_dict(), nn.Linear],
    ids=["text", "path", "weights", "class"],
)
def test_a_file_or_weights_are_no_model(model: object, three_classes: Classification) -> None:
    refused = r"^expected a model, got \w+; weights, in a file or a state dict, are taken over by `ob\.adopt\("
    with pytest.raises(RecipeError, match=refused):
        TrainedModel.given(model, three_classes)  # pyright: ignore[reportArgumentType]


def test_a_loss_that_is_not_finite_stops_the_work(split: Split, three_classes: Classification) -> None:
    with pytest.raises(TrainingError, match=r"expected a finite loss, got .*; lower the learning rate"):
        workflow.unlearn(
            workflow.TrainedModel.given(nn.Linear(6, 3), three_classes), split, FineTune(learning_rate=1e30, epochs=5)
        )


# ------------------------------------------------------------------------------------------- audit


def test_audit_compares_models_that_were_given(
    models: list[TrainedModel],
    experiment: Experiment,
    split: Split,
    parts: tuple[Samples, Samples],
    pool: ReferencePool,
) -> None:
    mine = TrainedModel.given(models[0].model, experiment.task, role="unlearned", name="mine")
    result = workflow.audit_models(experiment, [*models, mine], split, pool)
    first, *retrained, last = result.models
    assert [model.role for model in result.models] == ["original", "retrained", "retrained", "unlearned"]
    assert (last.name, last.seconds) == ("mine", None)
    assert last.attacks == first.attacks  # it is the same model
    assert last.weights_sha256 == first.weights_sha256
    assert {model.name for model in retrained} == {"Retrain (seed 1)", "Retrain (seed 2)"}


def test_audit_does_not_depend_on_the_order_of_the_pool_or_of_the_samples(
    models: list[TrainedModel],
    experiment: Experiment,
    split: Split,
    parts: tuple[Samples, Samples],
    pool: ReferencePool,
) -> None:
    order = np.random.default_rng(0).permutation(len(pool.ids))
    shuffled = replace(pool, ids=pool.ids[order], logits=pool.logits.rows(order), included=pool.included[:, order])
    unseen = parts[1].select(parts[1].ids[::-1])
    result = workflow.audit_models(experiment, models, split, pool)
    other = workflow.audit_models(replace(experiment, test=unseen), models, split, shuffled)
    for a, b in zip(result.models, other.models, strict=True):
        assert a.accuracy == b.accuracy
        for game in ("ft", "fr", "rt"):
            assert getattr(a.attacks["rmia"], game).value == pytest.approx(getattr(b.attacks["rmia"], game).value)


def test_audit_of_samples_outside_the_pool_is_refused(
    models: list[TrainedModel],
    experiment: Experiment,
    parts: tuple[Samples, Samples],
    split: Split,
    pool: ReferencePool,
) -> None:
    stranger = Samples.from_tensors(torch.rand(2, 6), torch.tensor([0, 1]), ids=["x", "y"])
    with pytest.raises(AuditError, match="expected samples of the reference pool, got 'x', 'y' outside it"):
        workflow.audit_models(replace(experiment, test=parts[1].joined(stranger)), models, split, pool)


def test_audit_on_samples_that_methods_could_see_is_refused(
    models: list[TrainedModel], experiment: Experiment, parts: tuple[Samples, Samples], pool: ReferencePool
) -> None:
    holdout = parts[1].select(["s41", "s43"])
    split = Split.of(parts[0], forget=parts[0].ids[5:15], holdout=holdout)
    with pytest.raises(AuditError, match="expected test samples that no method can see, got 's41', 's43' of the hold"):
        workflow.audit_models(experiment, models, split, pool)
    apart = parts[1].without(holdout.ids)
    assert len(workflow.audit_models(replace(experiment, test=apart), models, split, pool).models) == 3


def test_references_over_samples_in_both_roles_are_refused(
    parts: tuple[Samples, Samples], three_classes: Classification, tiny_recipe: Recipe
) -> None:
    both = parts[1].joined(parts[0].select(["s03"]))
    with pytest.raises(DataError, match="expected a test set without samples of the training set, got 's03' in both"):
        Experiment(three_classes, tiny_recipe, parts[0], both)


def test_a_report_is_one_file_with_the_figures_of_the_audit(
    models: list[TrainedModel],
    experiment: Experiment,
    split: Split,
    parts: tuple[Samples, Samples],
    pool: ReferencePool,
    tmp_path: Path,
) -> None:
    result = workflow.audit_models(experiment, models, split, pool, settings=AuditSettings(margin=0.1))
    path = tmp_path / "report.html"
    values = workflow.save_report(path, experiment, result, split, pool, data_name="rows")
    assert values.data.model_dump() == {
        "name": "rows",
        "train": 40,
        "forget": 10,
        "retain": 30,
        "holdout": 0,
        "test": 20,
        "forget_rule": "ids",
    }
    assert "rows" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("forget", "unseen", "width"), [(200, 200, 5.7), (1000, 1000, 2.5), (5000, 5000, 1.1)])
@pytest.mark.parametrize("baseline", ["retrained", "references"])
def test_limits_state_the_resolution_and_what_was_compared_with(
    forget: int, unseen: int, width: float, baseline: Literal["retrained", "references"]
) -> None:
    settings = Settings.model_construct(references=16, forget=forget, unseen=unseen)
    findings = Findings.model_construct(settings=settings, baseline=baseline, models=())
    text = " ".join(workflow.limits(findings))
    assert f"±{width:.1f} points" in text
    assert "16 reference models" in text
    assert "No finite set of attacks proves" in text
    assert ("no retrained models" in text) == (baseline == "references")
    assert "--no-pictures" not in text
    assert "--no-pictures" in " ".join(workflow.limits(findings, pictures=True))


# ------------------------------------------------------------------------------------------- a model as a file


def test_a_model_is_read_back_as_it_was_made(
    parts: tuple[Samples, Samples], three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    trained = replace(workflow.train(Experiment(three_classes, tiny_recipe, parts[0], seed=3)), notes={"share": 0.5})
    path = tmp_path / "new" / "model.safetensors"
    save(path, trained, data_sha256="0" * 64, ids=["a"], settings={"retain": True})
    again, manifest = read(path, three_classes, tiny_recipe)
    assert weights_sha256(again.model) == weights_sha256(trained.model)
    assert not again.model.training
    assert replace(again, model=trained.model).__dict__ == trained.__dict__
    assert (manifest.data_sha256, manifest.ids, manifest.settings["retain"]) == ("0" * 64, ["a"], True)
