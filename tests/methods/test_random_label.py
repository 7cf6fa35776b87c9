import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.random_label import RandomLabel
from obliviate.task import Classification, Regression
from obliviate.training.random_labels import wrong_labels
from obliviate.training.run import Run
from obliviate.types import Batch
from same_weights import assert_same_weights


@dataclass(frozen=True)
class Recording(Classification):
    """Remembers the ids and labels that the loss was asked for."""

    seen: list[dict[str, int]] = field(default_factory=list)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        self.seen.append({str(name): int(label) for name, label in zip(batch.ids, batch.y, strict=True)})
        return super().losses(model, batch)


SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.06}


def labels(samples: Samples) -> dict[str, int]:
    batch = samples.everything()
    return {str(name): int(label) for name, label in zip(batch.ids, batch.y, strict=True)}


def test_every_epoch_is_wrong_labels_of_the_forget_set_and_then_the_retain_set(model: nn.Module, split: Split) -> None:
    task = Recording(classes=3)
    RandomLabel(epochs=2, batch_size=6, **SGD)(copy.deepcopy(model), split, Run(task))
    forget, retain = len(split.forget), len(split.kept)  # 12 and 48: 2 and 8 batches
    assert (forget, retain, len(task.seen)) == (12, 48, 20)
    taught = []
    for epoch in (task.seen[:10], task.seen[10:]):
        first = {name: label for batch in epoch[:2] for name, label in batch.items()}
        then = {name: label for batch in epoch[2:] for name, label in batch.items()}
        assert set(first) == set(split.forget.ids.tolist())
        assert then == labels(split.kept)
        assert all(label != labels(split.forget)[name] for name, label in first.items())
        taught.append(first)
    assert taught[0] == taught[1]
    assert list(task.seen[0]) != list(task.seen[10])  # the order is another one


def test_another_seed_draws_other_wrong_labels(model: nn.Module, split: Split) -> None:
    drawn = []
    for seed in (0, 0, 1):
        task = Recording(classes=3)
        RandomLabel(epochs=1, batch_size=64, **SGD)(copy.deepcopy(model), split, Run(task, seed=seed))
        drawn.append(task.seen[0])
    assert drawn[0] == drawn[1] != drawn[2]


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    steps: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 5e-4}
    method = RandomLabel(epochs=2, schedule="linear", batch_size=16, **steps)
    unlearned = method(copy.deepcopy(model), split, run)

    expected, step = copy.deepcopy(model), 0
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.5, weight_decay=5e-4)
    for epoch in range(2):
        for samples in (split.forget, split.kept):
            for batch in run.batches(samples, 16, epoch):
                y = batch.y
                if samples is split.forget:
                    y = wrong_labels(y, batch.ids, classes=3, seed=3)
                optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 8)  # 1 + 3 batches an epoch
                optimizer.zero_grad()
                F.cross_entropy(expected(batch.x), y).backward()
                optimizer.step()
                step += 1
    assert_same_weights(unlearned, expected, atol=1e-6, rtol=1e-5)


def test_tasks_without_classes_are_refused_before_any_work(
    model: nn.Module, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("fit", "epochs", "once"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(MethodError, match="expected a classification task for random_label, got regression; use"):
        RandomLabel()(model, split, Run(Regression()))
