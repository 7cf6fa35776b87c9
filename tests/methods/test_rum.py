import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.rum import RUM, memorisation, thirds
from obliviate.task import Classification
from obliviate.training.run import Run
from obliviate.training.saliency import saliency_mask


@dataclass
class Pass:
    """One call of `Run.fit`: labels by id, weights before it, and the mask."""

    labels: dict[str, int]
    before: dict[str, Tensor]
    mask: Any
    loss: float


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Pass]:
    seen: list[Pass] = []
    fit = Run.fit

    def recording(self: Run, model: nn.Module, batches: Iterable[Any], loss: Any, *rest: Any, **options: Any) -> float:
        kept = list(batches)
        labels = {str(name): int(y) for batch in kept for name, y in zip(batch.ids, batch.y, strict=True)}
        before = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            first = float(loss(model.eval(), kept[0]))
        update = options.get("update")
        seen.append(Pass(labels, before, None if update is None else update.mask, first))
        return fit(self, model, kept, loss, *rest, **options)

    monkeypatch.setattr(Run, "fit", recording)
    return seen


@pytest.fixture
def split(few: Samples) -> Split:
    return Split.of(few, forget=few.ids[40:101])


def ids(samples: Samples) -> set[str]:
    return set(samples.ids.tolist())


def test_the_parts_are_ordered_by_the_loss_of_the_original(
    original: nn.Module, split: Split, task: Classification
) -> None:
    scores = memorisation(original, split.forget, Run(task, device="cpu"))["score"]
    low, medium, high = thirds(split.forget, scores)
    assert [len(low), len(medium), len(high)] == [20, 20, 21]
    assert ids(low) | ids(medium) | ids(high) == ids(split.forget)

    def losses(part: Samples) -> Tensor:
        batch = part.everything()
        with torch.no_grad():
            return F.cross_entropy(original(batch.x), batch.y, reduction="none")

    assert losses(low).max() <= losses(medium).min()
    assert losses(medium).max() <= losses(high).min()


@pytest.mark.parametrize(("n", "sizes"), [(1, [0, 0, 1]), (2, [0, 1, 1]), (3, [1, 1, 1]), (5, [1, 2, 2])])
def test_what_does_not_divide_by_three_goes_upwards(tiny: Samples, n: int, sizes: list[int]) -> None:
    part = tiny.select(tiny.ids[:n])
    assert [len(third) for third in thirds(part, torch.arange(n).float())] == sizes


def test_the_low_third_is_untouched_the_middle_fine_tuned_the_high_relabelled_in_this_order(
    original: nn.Module, split: Split, task: Classification, passes: list[Pass]
) -> None:
    run = Run(task, precision="float32", device="cpu")
    model = copy.deepcopy(original)
    _, _, high = thirds(split.forget, memorisation(model, split.forget, run)["score"])
    unlearned = RUM(medium_epochs=2, high_epochs=2, saliency=0.3)(model, split, run)

    trained_on = [set(step.labels) for step in passes]
    retain = ids(split.kept)
    assert trained_on == [retain, retain, ids(high), retain, ids(high), retain]
    assert [step.mask is None for step in passes] == [True, True, False, False, False, False]

    truth = {str(name): int(y) for name, y in zip(split.forget.ids, split.forget.everything().y, strict=True)}
    before = copy.deepcopy(original)
    before.load_state_dict(passes[2].before)
    right = task.loss(before.eval(), high.everything())
    assert {name: truth[name] for name in passes[2].labels} == passes[2].labels  # wrong labels come in the loss
    assert passes[2].loss > float(right.detach()) + 1  # which is that of other labels

    expected = saliency_mask(before, high, task, share=0.3)
    for name, weight in unlearned.named_parameters():
        assert passes[2].mask[name].equal(expected[name])
        assert weight.detach()[~expected[name]].equal(passes[2].before[name][~expected[name]])
        assert not weight.detach().equal(passes[2].before[name])


def test_a_single_sample_is_forgotten_as_a_memorised_one(
    original: nn.Module, few: Samples, task: Classification, passes: list[Pass]
) -> None:
    split = Split.of(few, forget=few.ids[:1])
    RUM()(copy.deepcopy(original), split, Run(task, precision="float32", device="cpu"))
    assert set(few.ids[:1].tolist()) in [set(step.labels) for step in passes]
