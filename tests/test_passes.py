"""Where passes go: samples and steps are counted exactly, every moment once, and the page is that of the figures."""

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods import amun
from obliviate.methods.amun import AMUN
from obliviate.methods.base import Method
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.nabla_tau import NablaTau
from obliviate.task import Classification
from obliviate.training.run import Run
from pages import DOCS
from repository_scripts import BENCHMARKS, benchmark

PAGE = DOCS / "performance.md"


@pytest.fixture(scope="module")
def passes() -> Iterator[ModuleType]:
    """The script, and nothing of it left behind."""
    with benchmark("passes") as module:
        yield module


class Net(nn.Module):
    """A convolution, so that there are maps to mix by."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.conv(x).relu().flatten(1))


@pytest.fixture(scope="module")
def split() -> Split:
    """22 images of 3 classes, of which 6 are to be forgotten, and 10 unseen ones."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(32, 1, 8, 8, generator=generator), torch.arange(32) % 3
    samples = Samples.from_tensors(x, y, ids=[f"s{place:02d}" for place in range(32)])
    train, unseen = samples.select(samples.ids[:22]), samples.select(samples.ids[22:])
    return Split.of(train, forget=train.ids[:6], holdout=unseen)


def run_of(method: Method, split: Split) -> None:
    torch.manual_seed(0)
    method(Net(), split, Run(Classification(classes=3), device="cpu", precision="float32"))


NUMBERS: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "batch_size": 4,
}


@pytest.mark.parametrize(
    ("method", "steps", "trained", "looked_at"),
    [
        # 2 passes in steps of 4 over 16 to retain and an example for each of 6 to forget.
        (AMUN(epochs=2, saliency=1.0, **NUMBERS), 12, 2 * 22, 0),
        # Pairs of 4 + 4 and 2 + 4, each with as many mixtures as are to be forgotten. Looked at are two images for the
        # layers (twice, and once more for the channels), all for the levels, and all once more, with one to know how
        # large that is.
        (MixUnlearn(epochs=2, **NUMBERS), 4, 2 * (4 + 4 + 4 + 2 + 4 + 2), 4 * 2 + 22 + 1 + 22),
        # The same pairs; the loss of 10 unseen samples at each of 3 forget-epochs.
        (NablaTau(alpha=0.3, epochs=3, refresh=1, **NUMBERS), 6, 3 * (4 + 4 + 2 + 4), 3 * 10),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_steps_and_samples_of_a_method_are_counted(
    passes: ModuleType, split: Split, method: Method, steps: int, trained: int, looked_at: int
) -> None:
    done = passes.watched(Net, lambda: run_of(method, split))
    assert (done.steps, done.trained, done.looked_at) == (steps, trained, looked_at)
    assert (done.searched > 0) is (method.name != "nabla_tau")
    assert (done.seconds["search"] > 0) is (method.name != "nabla_tau")
    assert all(done.seconds[kind] > 0 for kind in ("forward", "backward", "update", "other"))
    assert sum(map(done.share, passes.KINDS)) == pytest.approx(1)


def test_every_moment_counts_once_and_inside_a_search_as_search(passes: ModuleType) -> None:
    now = [0.0]
    meter = passes.Meter(nn.Linear, clock=lambda: now[0])
    for act in ("forward", None, "search", "backward", "forward", None, None, None, "update", None):
        now[0] += 1.0
        meter.end() if act is None else meter.begin(act)
    # Before and between: other. Between "search" and its end all is search.
    assert {kind: spent for kind, spent in meter.passes().seconds.items() if spent} == {
        "other": 3.0, "forward": 1.0, "search": 5.0, "update": 1.0,
    }  # fmt: skip


def test_watching_leaves_nothing_behind_when_it_is_broken_off(passes: ModuleType) -> None:
    before = torch.Tensor.backward, Run.step, amun.adversarial_examples
    layer, x = nn.Linear(2, 2), torch.ones(3, 2)
    meters: list[Any] = []

    def work() -> None:
        with passes.Meter(nn.Linear).watching() as meter:
            try:
                layer(x)
                raise RuntimeError("stopped")
            finally:
                meters.append(meter)

    with pytest.raises(RuntimeError, match="stopped"):
        work()
    layer(x)
    assert meters[0].passes().trained == 3
    assert before == (torch.Tensor.backward, Run.step, amun.adversarial_examples)


def test_a_call_that_is_broken_off_ends_where_it_does(passes: ModuleType) -> None:
    """The features of a layer are taken by an exception, which is how what follows the layer is spared."""

    def stop(*_: object) -> None:
        raise ValueError("enough")

    net, meter = Net(), passes.Meter(Net)
    net.conv.register_forward_hook(stop)
    with meter.watching():
        for _ in range(2):
            with torch.no_grad(), pytest.raises(ValueError, match="enough"):
                net(torch.zeros(5, 1, 8, 8))
    assert meter.passes().looked_at == 10


def test_the_page_is_that_of_the_figures(passes: ModuleType) -> None:
    kept = json.loads((BENCHMARKS / "results" / "passes.json").read_text(encoding="utf-8"))
    lines = passes.lines_of(kept)
    assert {(line.method, line.recipe) for line in lines} == {
        (name, recipe) for name in ("retrain", "amun", "mixunlearn", "nabla_tau") for recipe in (20, 100)
    }
    text = PAGE.read_text(encoding="utf-8")
    assert f"<!-- passes -->\n{passes.page(lines, passes.source_of(kept))}\n<!-- end of passes -->" in text
