import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.regun import ReGUn, drawn
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from same_weights import assert_same_weights


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    """With ten holdout samples of each class that were not trained on."""
    train, unseen = tiny.select(tiny.ids[:30]), tiny.select(tiny.ids[30:])
    return Split.of(train, forget=train.ids[1:30:5], holdout=unseen)


@pytest.fixture(scope="module")
def model(split: Split, three_classes: Classification, tiny_recipe: Recipe) -> nn.Module:
    return workflow.train(Experiment(three_classes, tiny_recipe, split.forget.joined(split.kept))).model


def method(**settings: float) -> ReGUn:
    return ReGUn(
        **{  # pyright: ignore[reportArgumentType]
            "epochs": 2,
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "schedule": "constant",
            "batch_size": 8,
            **settings,
        }
    )


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    """Where every holdout sample of a class has the same output, whichever are drawn, q is known."""
    assert split.holdout is not None
    batch = split.holdout.everything()
    firsts = torch.stack([batch.x[batch.y == label][0] for label in range(3)])
    same = Samples.from_tensors(firsts[batch.y], batch.y, ids=batch.ids.tolist())
    run = Run(three_classes, seed=3, precision="float32")
    unlearned = method(forget_weight=0.3)(copy.deepcopy(model), Split(split.forget, split.retain, same), run)

    expected = copy.deepcopy(model)
    said = F.softmax(model(firsts), 1).detach()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for forget, retain in run.paired(split.forget, split.kept, 8, epoch, steps="longest"):
            q = sum(said[label] for label in forget.y) / len(forget)
            p = F.softmax(expected(forget.x), 1)
            distance = (q * (q / p).log()).sum(1).mean()
            optimizer.zero_grad()
            (0.3 * distance + 0.7 * F.cross_entropy(expected(retain.x), retain.y)).backward()
            optimizer.step()
    assert_same_weights(unlearned, expected, atol=1e-5, rtol=1e-4)


def test_as_many_of_each_class_are_drawn_as_there_are_forget_samples_of_it() -> None:
    labels, y = torch.arange(40) % 4, torch.tensor([3, 0, 0, 3, 1, 3])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = torch.stack([drawn(labels, y) for _ in range(200)])
    assert (labels[draws] == y).all()
    assert len(draws[:, 0].unique()) == 10  # all samples of the class come up


def test_where_a_class_has_no_holdout_samples_any_may_be_drawn() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = drawn(torch.tensor([0, 1, 1]), torch.full((100,), 2))
    assert rows.unique().tolist() == [0, 1, 2]


def test_weights_out_of_range_are_refused() -> None:
    with pytest.raises(MethodError, match=r"expected forget_weight in \(0, 1\], got 1.5; "):
        ReGUn(forget_weight=1.5)
    with pytest.raises(MethodError, match="expected forget_weight above 0, got 0; correct the setting of regun"):
        ReGUn(forget_weight=0)
