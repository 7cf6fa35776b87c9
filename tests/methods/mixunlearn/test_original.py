from typing import Any

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.mixunlearn import original as module
from obliviate.methods.mixunlearn.original import Original, Targets, frozen
from obliviate.methods.mixunlearn.views import ImageView
from obliviate.task import Classification, InputSpace
from obliviate.training.run import Run
from obliviate.types import Batch


class Net(nn.Module):
    """A convolution and a linear layer, which count the images that they are asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last, self.asked = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 36, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        return self.last(self.conv(x).flatten(1))


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(30, 1, 6, 6, generator=generator), torch.arange(30) % 3
    samples = Samples.from_tensors(x, y, ids=[f"s{place:02d}" for place in range(30)])
    return Split.of(samples, forget=samples.ids[3:24:3])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


AWARE = Targets(classes=3, aware=True, unlabelled=(), temperature=0.3)
PARTLY = Targets(classes=3, aware=True, unlabelled=("s03", "s20"), temperature=0.3)


def original_of(net: Net, targets: Targets = PARTLY, *, paired: bool = True) -> tuple[Original, Any]:
    """The original, and the model that it asks."""
    run = Run(Classification(classes=3), precision="float32")
    unchanged = frozen(net)
    return Original(unchanged, ImageView("conv", "conv"), targets, InputSpace(0.0, 1.0), run, paired=paired), unchanged


def batches(split: Split) -> tuple[Batch, Batch]:
    return split.forget.take(torch.tensor([4, 0, 2])), split.kept.take(torch.tensor([20, 1, 3, 7]))


@pytest.mark.parametrize("targets", [AWARE, PARTLY, Targets(classes=3, aware=False, unlabelled=(), temperature=None)])
def test_what_is_remembered_is_what_it_shows_when_asked_again(net: Net, split: Split, targets: Targets) -> None:
    asking, _ = original_of(net, targets)
    remembering, unchanged = original_of(net, targets)
    remembering.remember(split.forget, split.kept, visits=30)
    before = unchanged.asked
    for _ in range(2):
        for remembered, again in zip(remembering.shown(*batches(split)), asking.shown(*batches(split)), strict=True):
            for part in ("maps", "vectors", "targets"):
                torch.testing.assert_close(getattr(remembered, part), getattr(again, part))
    assert unchanged.asked == before


@pytest.mark.parametrize(
    ("visits", "targets", "paired", "most", "change", "asked"),
    [
        (30, AWARE, True, 2**28, None, 31),  # one of them to know how much memory each takes
        (29, AWARE, True, 2**28, None, 0),  # fewer visits than samples
        (30, AWARE, False, 2**28, None, 0),  # labels suffice, and nothing is mixed
        (30, PARTLY, False, 2**28, None, 31),
        (30, AWARE, True, 30 * 4 * (4 * 36 + 4 * 16 + 3) - 1, None, 1),  # a byte too much
        (30, AWARE, True, 2**28, lambda x: x, 0),  # inputs are transformed as they are read
    ],
)
def test_all_samples_are_asked_about_once_where_that_is_less_work_and_fits(
    net: Net,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    visits: int,
    targets: Targets,
    paired: bool,
    most: int,
    change: Any,
    asked: int,
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", most)
    original, unchanged = original_of(net, targets, paired=paired)
    original.remember(split.forget.transformed(change), split.kept, visits=visits)
    assert unchanged.asked == asked
    original.shown(*batches(split))
    remembers, needed = asked > 1, targets.predicted or paired
    assert unchanged.asked == asked + (0 if remembers or not needed else 7)


def test_targets_are_labels_or_sharpened_predictions(split: Split) -> None:
    run = Run(Classification(classes=3), precision="float32")
    batch, logits = split.kept.take(torch.tensor([0, 3])), torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    labels, p = torch.eye(3)[batch.y], logits.softmax(1)
    sharp = p ** (1 / 0.3) / (p ** (1 / 0.3)).sum(1, keepdim=True)
    assert AWARE.of(batch, None, run).equal(labels)
    hidden = Targets(classes=3, aware=True, unlabelled=(str(batch.ids[1]),), temperature=0.3)
    torch.testing.assert_close(hidden.of(batch, logits, run), torch.stack([labels[0], sharp[1]]))
    torch.testing.assert_close(Targets(3, False, (), 0.3).of(batch, logits, run), sharp)
    torch.testing.assert_close(Targets(3, False, (), None).of(batch, logits, run), p)
    assert [each.predicted for each in (AWARE, hidden, Targets(3, False, (), None))] == [False, True, True]


def test_a_frozen_copy_shares_nothing_with_the_model_and_has_no_gradients(net: Net) -> None:
    copied = frozen(net.train())
    assert not copied.training
    assert net.training
    assert not any(weight.requires_grad for weight in copied.parameters())
    assert all(weight.requires_grad for weight in net.parameters())
    with torch.no_grad():
        net.last.weight.zero_()
    assert bool(copied.get_parameter("last.weight").any())
