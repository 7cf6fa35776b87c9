import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.boundary_shrink import BoundaryShrink, nearest_labels
from obliviate.task import Classification, InputSpace
from obliviate.training.run import Run

WEIGHT = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])


class Planes(nn.Module):
    """Logits W·x, whose FGSM step is known: the sign of Wᵀ(p − y)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(WEIGHT.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(3)), torch.arange(40) % 3


@pytest.mark.parametrize("bound", [0.01, 0.1, 0.6])
def test_labels_are_those_of_the_closed_form_step(points: tuple[Tensor, Tensor], bound: float) -> None:
    x, y = points
    labels, flipped = nearest_labels(Planes(), x, y, InputSpace(0, 1), bound=bound)
    for i in range(len(x)):
        error = (WEIGHT @ x[i]).softmax(0) - nn.functional.one_hot(y[i], 3)
        logits = WEIGHT @ (x[i] + bound * (WEIGHT.T @ error).sign()).clamp(0, 1)
        ranked = logits.argsort(descending=True).tolist()
        assert bool(flipped[i]) == (ranked[0] != y[i])
        assert int(labels[i]) == (ranked[0] if flipped[i] else ranked[1])


def test_a_step_that_does_not_flip_falls_back_to_the_second_class(points: tuple[Tensor, Tensor]) -> None:
    x, _ = points
    y = (x @ WEIGHT.T).argmax(1)
    labels, flipped = nearest_labels(Planes(), x, y, InputSpace(0, 1), bound=1e-6)
    assert not flipped.any()
    assert (labels != y).all()
    assert labels.equal((x @ WEIGHT.T).topk(2, 1).indices[:, 1])


def test_trains_on_the_wrong_labels_of_the_original_with_their_own_ids(
    original: nn.Module, few: Samples, task: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Split.of(few, forget=few.ids[40:100])
    batch = split.forget.everything()
    space = task.space(original)
    assert space is not None
    run = Run(task, precision="float32")
    model = run.precision.prepare(copy.deepcopy(original))
    expected, flipped = nearest_labels(model, batch.x, batch.y, space, bound=0.1)
    seen: list[dict[str, int]] = []
    fit = Run.fit

    def recording(self: Run, model: nn.Module, batches: list, *rest, **options) -> float:  # pyright: ignore
        kept = list(batches)
        seen.append({str(name): int(y) for batch in kept for name, y in zip(batch.ids, batch.y, strict=True)})
        return fit(self, model, kept, *rest, **options)

    monkeypatch.setattr(Run, "fit", recording)
    BoundaryShrink(epochs=2, bound=0.1)(model, split.without_retain(), run)
    assert seen == [dict(zip(map(str, split.forget.ids), expected.tolist(), strict=True))] * 2
    assert all(int(y) != seen[0][str(name)] for name, y in zip(batch.ids, batch.y, strict=True))
    assert run.notes["flipped_share"] == pytest.approx(float(flipped.float().mean()))


def test_the_bound_is_a_share_of_the_input_range(original: nn.Module, few: Samples, task: Classification) -> None:
    split = Split.of(few, forget=few.ids[40:100])
    notes = []
    for scale, bound in ((1.0, 0.1), (4.0, 0.1), (4.0, 0.4)):
        scaled = split.forget.everything()
        samples = Samples.from_tensors(scaled.x * scale, scaled.y, ids=scaled.ids.tolist())
        run = Run(replace(task, input_range=(0.0, scale)), precision="float32")
        model = nn.Sequential(Rescaled(scale), run.precision.prepare(copy.deepcopy(original)))
        BoundaryShrink(epochs=1, bound=bound)(model, Split(samples, None), run)
        notes.append(run.notes["flipped_share"])
    assert notes[0] == pytest.approx(notes[1], abs=0.02)
    assert notes[2] > notes[0]


class Rescaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x / self.scale


def test_a_task_without_continuous_inputs_is_refused(original: nn.Module, few: Samples) -> None:
    split = Split.of(few, forget=few.ids[:5])
    with pytest.raises(MethodError, match="expected a task with continuous inputs"):
        BoundaryShrink()(original, split, Run(Classification(classes=10, input_range=None)))


def test_inputs_outside_the_range_are_refused(original: nn.Module, few: Samples) -> None:
    split = Split.of(few, forget=few.ids[:5])
    with pytest.raises(MethodError, match=r"expected inputs in \[0, 0\.1\], got"):
        BoundaryShrink()(original, split, Run(Classification(classes=10, input_range=(0.0, 0.1))))


def test_the_step_leaves_categories_and_padding_as_they_are() -> None:
    seen: list[Tensor] = []

    def recording(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach())

    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(3))
    y = torch.arange(40) % 3
    model = Planes()
    model.register_forward_pre_hook(recording)
    space = InputSpace(0.0, 1.0, free=torch.tensor([True, False]))
    nearest_labels(model, x, y, space, bound=0.3)
    assert seen[-1][:, 1].equal(x[:, 1])
    assert (seen[-1][:, 0] != x[:, 0]).all()
    x[::2] = 0.0  # one token of two values, or padding
    nearest_labels(model, x, y, InputSpace(0.0, 1.0, token=2), bound=0.3)
    assert not seen[-1][::2].any()
    assert (seen[-1][1::2] != x[1::2]).any(1).all()
