import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.scrub import Scrub
from obliviate.task import Classification
from obliviate.task.divergence import divergence
from obliviate.training.run import Run
from same_weights import assert_same_weights


def test_training_is_that_of_the_formula_written_out(
    model: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, seed=3, precision="float32")
    method = Scrub(epochs=3, max_epochs=2, gamma=0.7, alpha=0.3, temperature=2.0, batch_size=16, forget_batch_size=5)
    unlearned = method(copy.deepcopy(model), split, run)

    expected, phases = copy.deepcopy(model), []
    assert isinstance(method.learning_rate, float)
    optimizer = torch.optim.Adam(expected.parameters(), lr=method.learning_rate, weight_decay=5e-4)

    def kl(x: Tensor) -> Tensor:
        # At the first step the student is the teacher, the gradient is rounding alone, and Adam makes a step of it:
        # only the same function gives the same step. `test_divergence.py` holds it to the formula.
        return divergence(expected(x), model(x).detach(), temperature=2.0)

    for epoch in range(3):
        for phase, samples, size in (("max", split.forget, 5), ("min", split.kept, 16)):
            if phase == "max" and epoch == 2:
                continue
            phases.append(phase)
            for batch in run.batches(samples, size, epoch):
                away = -kl(batch.x)
                near = 0.7 * F.cross_entropy(expected(batch.x), batch.y) + 0.3 * kl(batch.x)
                optimizer.zero_grad()
                (away if phase == "max" else near).backward()
                optimizer.step()
    assert phases == ["max", "min", "max", "min", "min"]
    assert_same_weights(unlearned, expected, atol=1e-6, rtol=1e-5)


def test_the_teacher_is_a_copy_that_never_changes_and_the_student_leaves_it(
    model: nn.Module, split: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, float]] = []

    def watching(task: Classification, student: Tensor, teacher: Tensor, y: Tensor, *, temperature: float) -> Tensor:
        value = divergence(student, teacher, temperature=temperature)
        assert not teacher.requires_grad
        seen.append((teacher.clone(), float(value.detach())))
        return value

    monkeypatch.setattr(Classification, "divergence", watching)
    run = Run(three_classes, precision="float32")
    Scrub(epochs=2, max_epochs=2, batch_size=60, forget_batch_size=4)(copy.deepcopy(model), split, run)
    with torch.no_grad():
        expected = [
            model(batch.x)
            for epoch in range(2)
            for batches in (run.batches(split.forget, 4, epoch), run.batches(split.kept, 60, epoch))
            for batch in batches
        ]
    assert len(seen) == len(expected) == 8
    for (teacher, _), logits in zip(seen, expected, strict=True):
        torch.testing.assert_close(teacher, logits)
    assert seen[0][1] == pytest.approx(0, abs=1e-6)
    assert max(value for _, value in seen) > 1e-4


def test_the_model_leaves_its_old_predictions_on_a_forgotten_class_only(
    original: nn.Module, few: Samples, task: Classification
) -> None:
    split = Split.of(few, forget=few.ids[(few.everything().y == 9).numpy()])
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, task),
        split,
        Scrub(epochs=3, max_epochs=2, alpha=0.05, batch_size=128, forget_batch_size=32),
    ).model
    with torch.no_grad():
        left, stayed = (
            float(divergence(unlearned(batch.x), original(batch.x)))
            for batch in (split.forget.everything(), split.kept.everything())
        )
    assert left > 0.5
    assert left > 2 * stayed


def test_settings_out_of_range_are_refused() -> None:
    for name in ("max_epochs", "temperature", "forget_batch_size"):
        with pytest.raises(MethodError, match=f"expected {name} above 0, got 0; correct the setting of scrub"):
            Scrub(**dict[str, Any]({name: 0}))
