"""Models whose outputs would mislead: probabilities for logits, chance in evaluation, a state that evaluation moves."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import RecipeError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.task import CausalLM, Classification, MultiLabel, Task
from obliviate.training.recipe import Recipe

TASK = Classification(classes=3)


class Net(nn.Module):
    """Four inputs, eight hidden units, `classes` outputs; `end` is what is done with them."""

    def __init__(self, classes: int = 3, end: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.last, self.end = nn.Linear(4, 8), nn.Linear(8, classes), end or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.last(F.relu(self.hidden(x))))


class Always(nn.Module):
    """Dropout, and draws from every generator there is, that evaluation mode does not switch off."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5) + random.random() + np.random.rand()


class Counting(nn.Module):
    """Counts its calls in a buffer, as a batch norm does that trains in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Noise(nn.Module):
    """Adds what the order of a sum can make of a float32."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size, self.sign = size, 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.sign = -self.sign
        return x * (1 + self.sign * self.size)


def rows(n: int = 12, classes: int = 3) -> Samples:
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    return Samples.from_tensors(x, torch.arange(n) % classes, ids=[f"r{i}" for i in range(n)])


class Tokens(nn.Module):
    """Logits of the next of five tokens, or their softmax."""

    def __init__(self, *, softmax: bool) -> None:
        super().__init__()
        self.embedding, self.softmax = nn.Embedding(5, 5), softmax

    def forward(self, x: Tensor) -> Tensor:
        output = self.embedding(x)
        return output.softmax(2) if self.softmax else output


@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("half", [False, True])
def test_a_softmax_at_the_end_is_refused_with_the_remedy(n: int, half: bool):
    model = nn.Sequential(Net(end=nn.Softmax(dim=1)))
    if half:
        model.append(Halved())
    with pytest.raises(RecipeError, match=r"^expected logits, got rows that are probabilities .*; remove the softmax"):
        TASK.check_model(model, rows(n))


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.bfloat16()


@pytest.mark.parametrize("end", [nn.Identity(), nn.LogSoftmax(dim=1), nn.Sigmoid(), nn.Hardtanh(0, 1)])
def test_whatever_is_no_distribution_may_be_logits(end: nn.Module):
    TASK.check_model(Net(end=end), rows())


def test_a_softmax_over_tokens_is_refused():
    tokens = torch.randint(0, 5, (6, 7), generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(tokens, tokens.roll(-1, 1))
    CausalLM(tokens=5).check_model(Tokens(softmax=False), samples)
    with pytest.raises(RecipeError, match=r"^expected logits, got rows that are probabilities .* from Tokens"):
        CausalLM(tokens=5).check_model(Tokens(softmax=True), samples)


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Softmax(dim=1), nn.Sequential(nn.Sigmoid(), nn.Flatten())])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_sigmoid_at_the_end_of_several_labels_is_refused(end: nn.Module, frozen: bool):
    samples = Samples.from_tensors(torch.rand(6, 4), torch.ones(6, 2))
    model = Net(classes=2, end=end).requires_grad_(not frozen)
    with pytest.raises(RecipeError, match=r"^expected logits, got probabilities .* from Net; remove it"):
        MultiLabel(labels=2).check_model(model, samples)
    assert all(weight.grad is None for weight in model.parameters())


def test_logits_of_several_labels_that_lie_in_the_unit_interval_by_chance_are_served():
    model = Net(classes=2)
    with torch.no_grad():
        model.last.weight.zero_()
        model.last.bias.fill_(0.4)
    MultiLabel(labels=2).check_model(model, Samples.from_tensors(torch.rand(6, 4), torch.ones(6, 2)))


@pytest.mark.parametrize(("task", "y"), [(TASK, torch.arange(12) % 3), (MultiLabel(labels=3), torch.ones(12, 3))])
def test_dropout_in_evaluation_is_refused_and_random_states_are_left_alone(task: Task, y: Tensor):
    samples, model = Samples.from_tensors(torch.rand(12, 4), y), Net(end=Always())
    np.random.seed(0)
    state, python = torch.get_rng_state(), random.getstate()
    with pytest.raises(RecipeError, match=r"^expected the same output twice .*; .*training=self.training to F.dropout"):
        task.check_model(model, samples)
    assert torch.get_rng_state().equal(state)
    assert random.getstate() == python
    drawn = np.random.rand()
    np.random.seed(0)
    assert drawn == np.random.rand()


def test_dropout_that_evaluation_switches_off_is_served():
    TASK.check_model(Net(end=nn.Dropout()), rows())


@pytest.mark.parametrize(("size", "refused"), [(1e-7, False), (1e-3, True)])
def test_rounding_is_no_randomness(size: float, refused: bool):
    model = Net(end=Noise(size))
    if refused:
        with pytest.raises(RecipeError, match=r"outputs that differ by .* from Net"):
            TASK.check_model(model, rows())
    else:
        TASK.check_model(model, rows())


def test_a_model_that_evaluation_changes_is_refused_and_given_its_state_back():
    model = Net(end=Counting())
    with pytest.raises(RecipeError, match=r"^expected a model that evaluation leaves as it is, got another end.calls"):
        TASK.check_model(model, rows())
    assert model.state_dict()["end.calls"] == 0


def test_batch_norm_without_running_statistics_is_served():
    TASK.check_model(Net(end=nn.BatchNorm1d(3, track_running_stats=False)), rows())


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), Always()])
def test_such_models_are_refused_before_training_unlearning_and_audits(end: nn.Module, tmp_path: Path):
    train, unseen = rows(), Samples.from_tensors(torch.rand(8, 4), torch.arange(8) % 3)
    recipe = Recipe(model=Net, model_options={"end": end}, epochs=1, batch_size=4)
    sound = Recipe(model=Net, epochs=1, batch_size=4)
    split = Split.of(train, forget=["r0", "r1"])
    with pytest.raises(RecipeError, match=r"^expected (logits|the same output)"):
        workflow.train(Experiment(TASK, recipe, train))
    with pytest.raises(RecipeError, match=r"^expected (logits|the same output)"):
        workflow.unlearn(workflow.TrainedModel.given(Net(end=end), TASK, recipe=sound), split, FineTune(epochs=1))
    with pytest.raises(RecipeError, match=r"^expected (logits|the same output)"):
        workflow.train_references(Experiment(TASK, recipe, train, unseen), folder=tmp_path, models=4, workers=0)
    pool = workflow.train_references(Experiment(TASK, sound, train, unseen), folder=tmp_path, models=4, workers=0)
    models = [
        workflow.TrainedModel.given(Net(), TASK),
        workflow.TrainedModel.given(Net(end=end), TASK, role="unlearned"),
    ]
    with pytest.raises(RecipeError, match=r"^expected (logits|the same output)"):
        workflow.audit_models(Experiment(TASK, sound, train, unseen), models, split, pool)
