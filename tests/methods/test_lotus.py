import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.lotus import LoTUS, accuracy
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from same_weights import assert_same_weights

SETTINGS: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant"}


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    train, unseen = tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])
    return Split.of(train, forget=train.ids[1:40:4], holdout=unseen)


@pytest.fixture(scope="module")
def model(split: Split, three_classes: Classification, tiny_recipe: Recipe) -> nn.Module:
    return workflow.train(Experiment(three_classes, tiny_recipe, split.forget.joined(split.kept))).model


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets without noise, so that training can be written out: plain softmax, and the largest class."""

    def gumbel_softmax(logits: torch.Tensor, tau: float = 1.0, hard: bool = False) -> torch.Tensor:
        return F.one_hot(logits.argmax(1), logits.shape[1]).float() if hard else (logits / tau).softmax(1)

    monkeypatch.setattr(F, "gumbel_softmax", gumbel_softmax)


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = iter([0.8, 0.9, 0.85])  # the original on the holdout set, then the model before each epoch
    monkeypatch.setattr("obliviate.methods.lotus.accuracy", lambda *_: next(ahead))
    run = Run(three_classes, seed=3, precision="float32")
    method = LoTUS(epochs=2, alpha=4.0, learning_rate=0.05, batch_size=16, **SETTINGS)
    unlearned = method(copy.deepcopy(model), split, run)

    expected, data = copy.deepcopy(model), split.forget.joined(split.kept)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    for epoch, temperature in enumerate((torch.tensor(0.4).exp(), torch.tensor(0.2).exp())):
        for batch in run.batches(data, 16, epoch):
            optimizer.zero_grad()
            log_p, logits = F.log_softmax(expected(batch.x), 1), model(batch.x).detach()
            losses = []
            for row, name in enumerate(batch.ids):
                soft = F.softmax(logits[row] / temperature, 0)
                aim = soft if name in split.forget.ids else F.one_hot(logits[row].argmax(), 3)
                losses.append(-(aim * log_p[row]).sum())
            torch.stack(losses).mean().backward()
            optimizer.step()
    assert_same_weights(unlearned, expected, atol=1e-5, rtol=1e-4)
    assert run.notes["temperature"] == pytest.approx(float(torch.tensor(0.2).exp()))


@pytest.mark.parametrize(("reached", "epochs"), [((0.8, 0.9, 0.9), 2), ((0.8, 0.9, 0.79), 1), ((0.8, 0.1, 0.1), 1)])
def test_it_stops_once_forget_samples_are_less_often_right_than_unseen_ones(
    reached: tuple[float, ...],
    epochs: int,
    model: nn.Module,
    split: Split,
    three_classes: Classification,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accuracies, fits, fit = iter(reached), [], Run.fit
    monkeypatch.setattr("obliviate.methods.lotus.accuracy", lambda *_: next(accuracies))
    monkeypatch.setattr(Run, "fit", lambda *arguments, **options: fits.append(fit(*arguments, **options)))
    method = LoTUS(epochs=2, learning_rate=0.05, batch_size=16, **SETTINGS)
    method(copy.deepcopy(model), split, Run(three_classes, precision="float32"))
    assert len(fits) == epochs


def test_of_a_class_that_is_forgotten_as_a_whole_nothing_shall_be_right(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    train = split.forget.joined(split.kept)
    whole = Split.of(train, forget=train.ids[(train.everything().y == 1).numpy()], holdout=split.holdout)
    run = Run(three_classes, precision="float32")
    method = LoTUS(epochs=1, alpha=2.0, learning_rate=0.05, batch_size=16, **SETTINGS)
    method(copy.deepcopy(model), whole, run)
    assert run.notes["temperature"] == pytest.approx(2.718281828 ** (2 * accuracy(model, whole.forget)))


def test_alpha_must_be_positive() -> None:
    with pytest.raises(MethodError, match="expected alpha above 0, got 0; correct the setting of lotus"):
        LoTUS(alpha=0)
