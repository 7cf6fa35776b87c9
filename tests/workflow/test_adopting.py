"""Taking over models that were trained elsewhere: whatever they answer with, and what is said of how well they know."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.experiment import Experiment
from obliviate.task import Classification, MultiLabel, Task
from obliviate.training.recipe import Recipe
from obliviate.workflow.adopting import Knowledge


class OneLogit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).squeeze(1)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(x), "features": x}


class Double(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("model", "several"), [(OneLogit, False), (Named, False), (Named, True), (Double, False), (Double, True)]
)
def test_models_are_adopted_whatever_they_answer_with(tiny: Samples, model: type[nn.Module], several: bool) -> None:
    batch = tiny.everything()
    y = torch.stack([batch.y == 1, batch.y == 2], 1).float() if several else (batch.y == 1).long()
    samples = Samples.from_tensors(batch.x, y, ids=tiny.ids)
    task: Task = MultiLabel(labels=2) if several else Classification(classes=2)
    train, test = samples.select(samples.ids[:40]), samples.select(samples.ids[40:])
    experiment = Experiment(task, Recipe(model=model, train="unknown"), train, test)
    state = model().state_dict()
    adopted = workflow.adopt(state, experiment)
    assert all(torch.equal(held, state[name]) for name, held in adopted.model.state_dict().items())
    right = task.correct(task.ask(adopted.model, train.everything().x).float(), train.everything().y)
    assert adopted.notes["knows_train"] == pytest.approx(100 * float(right.float().mean()))


@dataclass(frozen=True)
class Answers:
    """How many of so many training samples and unseen ones a model gets right."""

    train: int
    unseen: int
    of: int = 400


def knowledge(answers: Answers, three_classes: Classification) -> Knowledge:
    """What is known of a model that looks its answers up, with losses that are the same for all that is right."""
    rows = torch.arange(2 * answers.of)
    right = torch.where(rows < answers.of, rows < answers.train, rows - answers.of < answers.unseen)
    y = rows % 3
    x = nn.functional.one_hot(torch.where(right, y, (y + 1) % 3), 3).float() + 1e-6 * rows[:, None]
    samples = Samples.from_tensors(x, y, ids=np.arange(2 * answers.of).astype(str))
    train, test = samples.select(samples.ids[: answers.of]), samples.select(samples.ids[answers.of :])
    return Knowledge.of(nn.Sequential(nn.Identity(), Scaled()), Experiment(three_classes, Recipe(), train, test))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.round()


def test_a_model_that_gets_more_training_samples_right_is_believed(
    three_classes: Classification,
) -> None:
    seen = knowledge(Answers(train=378, unseen=350), three_classes)  # 94.5 % and 87.5 %: an AUC of 53.5 % only
    assert seen.auc == pytest.approx(53.5, abs=0.1)
    assert seen.warning == ""


def test_what_nothing_shows_is_not_called_false(three_classes: Classification) -> None:
    alike = knowledge(Answers(train=352, unseen=350), three_classes)
    assert alike.p_value is not None
    assert alike.p_value > 0.5
    assert ": nothing shows that it knows the training samples better than unseen ones (p = " in alike.warning
    assert "was trained on others" not in alike.warning
