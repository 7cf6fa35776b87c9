"""What is found inside models that forgot, that only hide what they know, and that never knew it."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import inspection, workflow
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.retrain import Retrain
from obliviate.metrics.distance import js_divergence
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import mean_loss, outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workflow import TrainedModel


@pytest.fixture(scope="module")
def parts(noise: Samples) -> tuple[Split, Samples]:
    """60 samples to forget, 60 to keep, 60 unseen."""
    train = noise.select(noise.ids[:120])
    return Split.of(train, forget=train.ids[:60]), noise.select(noise.ids[120:180])


@pytest.fixture(scope="module")
def experiment(parts: tuple[Split, Samples], two_classes: Classification, by_heart: Recipe) -> Experiment:
    split, unseen = parts
    return Experiment(two_classes, by_heart, split.forget.joined(split.kept), unseen)


@pytest.fixture(scope="module")
def models(parts: tuple[Split, Samples], two_classes: Classification, by_heart: Recipe) -> list[TrainedModel]:
    """The original, one that gives the opposite answer on purpose, and two retrained models."""
    split, _ = parts
    original = workflow.train(Experiment(two_classes, by_heart, split.forget.joined(split.kept)))
    hiding = copy.deepcopy(original.model)
    last = [layer for layer in hiding.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.copy_(0.02 * last.weight.flip(0))  # wrong answers from features that remember
        last.bias.copy_(0.02 * last.bias.flip(0))
    retrained = [workflow.unlearn(original, split, Retrain(), seed=seed) for seed in (1, 2)]
    return [original, TrainedModel.given(hiding, two_classes, role="unlearned", name="hiding"), *retrained]


def test_a_model_that_only_hides_its_memory_gets_it_back_from_retained_samples(
    models: list[TrainedModel], parts: tuple[Split, Samples], experiment: Experiment
) -> None:
    result = inspection.inspect_models(experiment, models, parts[0], epochs=8, learning_rate=0.1)
    original, hiding, first, second = (model.relearned for model in result.models)
    assert hiding.accuracy[0] < 20
    assert original.accuracy[0] > 90
    assert len(hiding.accuracy) == len(hiding.loss) == 9
    assert hiding.accuracy[-1] > 80
    for relearned, others in ((hiding, (first, second)), (first, (second,)), (second, (first,))):
        mean = np.mean([other.accuracy for other in others], axis=0)
        assert relearned.ahead == pytest.approx(
            max(a - b for a, b in zip(relearned.accuracy[1:], mean[1:], strict=True))
        )
    assert all(relearned.ahead is not None for relearned in (hiding, first, second))
    assert (hiding.ahead or 0) > max(first.ahead or 0, second.ahead or 0) + 15


def test_the_probe_reads_the_features_and_not_the_answers(
    models: list[TrainedModel], parts: tuple[Split, Samples], experiment: Experiment, by_heart: Recipe
) -> None:
    result = inspection.inspect_models(experiment, models, parts[0], epochs=1)
    assert result.learning_rate == pytest.approx(by_heart.learning_rate / 10)
    original, hiding, *retrained = [model.probe for model in result.models]
    assert original is not None
    assert original == hiding  # only the last layer differs
    for probe in retrained:
        assert probe is not None
        assert probe["low"] < 50 < probe["high"] + 10
    assert original["low"] < original["value"] < original["high"]


def test_zrf_is_one_less_the_divergence_from_an_untrained_model(
    models: list[TrainedModel], parts: tuple[Split, Samples], experiment: Experiment, by_heart: Recipe
) -> None:
    result = inspection.inspect_models(replace(experiment, seed=3), models, parts[0], epochs=1)
    untrained = outputs(by_heart.build(seed=derive(3, "untrained")), parts[0].forget).numpy()
    for inspected, model in zip(result.models, models, strict=True):
        mine = outputs(model.model, parts[0].forget).numpy()
        assert inspected.zrf == pytest.approx(1 - js_divergence(mine, untrained).mean())


def test_relearning_is_training_on_the_retain_set_only_and_leaves_the_model_alone(
    models: list[TrainedModel], parts: tuple[Split, Samples], two_classes: Classification, by_heart: Recipe
) -> None:
    split, model = parts[0], models[2].model
    before = weights_sha256(model)
    run = Run(two_classes, seed=7, recipe=by_heart)
    relearned = inspection.relearn(model, split.kept, split.forget, run, epochs=2, learning_rate=0.03)
    assert weights_sha256(model) == before

    again = copy.deepcopy(model)
    optimizer = torch.optim.SGD(again.parameters(), lr=0.03, momentum=by_heart.momentum)
    for epoch in range(2):
        again.train()
        for batch in Run(two_classes, seed=7, recipe=by_heart).batches(split.kept, 32, epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(again(batch.x), batch.y).backward()
            optimizer.step()
    assert relearned.loss[-1] == pytest.approx(mean_loss(again, split.forget, two_classes), rel=1e-4)


def test_an_inspection_is_a_function_of_the_seed(
    models: list[TrainedModel], parts: tuple[Split, Samples], experiment: Experiment
) -> None:
    first, again, other = (
        inspection.inspect_models(replace(experiment, seed=s), models[:2], parts[0], epochs=1) for s in (0, 0, 1)
    )
    assert first.to_dict() == again.to_dict()
    assert first.to_dict() != other.to_dict()
    assert first.models[0].relearned.ahead is None


def test_what_cannot_be_inspected_is_refused_before_any_work(
    models: list[TrainedModel],
    parts: tuple[Split, Samples],
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    two_classes: Classification,
    by_heart: Recipe,
) -> None:
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(AuditError, match="expected a retain set to relearn from, got none"):
        inspection.inspect_models(experiment, models, parts[0].without_retain())
    for options in ({"epochs": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}):
        with pytest.raises(AuditError, match="expected epochs >= 1 and a learning rate above 0"):
            inspection.inspect_models(experiment, models, parts[0], **options)  # pyright: ignore[reportArgumentType]


def test_a_model_without_a_last_linear_layer_is_named_and_not_probed(
    parts: tuple[Split, Samples], tmp_path: Path, two_classes: Classification, by_heart: Recipe
) -> None:
    split, unseen = parts
    recipe = replace(by_heart, shards=2, epochs=2)
    voting = workflow.train(Experiment(two_classes, recipe, split.forget.joined(split.kept)), checkpoints=tmp_path)
    result = inspection.inspect_models(
        Experiment(two_classes, recipe, split.forget.joined(split.kept), unseen), [voting], split, epochs=1
    )
    assert result.models[0].probe is None
    assert result.notes[0].startswith(
        "original was not probed: expected a model whose output is that of a linear layer"
    )
    few = replace(split, forget=split.forget.select(split.forget.ids[:4]))
    with pytest.raises(MethodError, match="expected at least 5 forget and 5 unseen samples, got 4"):
        inspection.probe_representation(voting.model, few.forget, unseen)


def test_what_the_last_layer_receives_is_read_sample_by_sample(
    models: list[TrainedModel], parts: tuple[Split, Samples]
) -> None:
    model = models[0].model
    layers = dict(model.named_modules())
    head = next(name for name in reversed(layers) if isinstance(layers[name], nn.Linear))
    features = inspection.represented(model, parts[1], head)
    with torch.no_grad():
        logits = layers[head](torch.from_numpy(features))
    np.testing.assert_allclose(logits.numpy(), outputs(model, parts[1]).numpy(), rtol=1e-5, atol=1e-5)
