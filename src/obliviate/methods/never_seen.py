"""Never seen: teach the model what models that never saw the forget samples say of them.

Ours. Nearest relatives: oracle matching by datamodels (Georgiev et al., ICLR 2025, arXiv 2410.23232), Split-AI in
SELENA (Tang et al., USENIX Security 2022, arXiv 2110.08324), targets from held-out samples in ReGUn (arXiv 2603.11210).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples, original_id
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import WhenNone, check_classification, check_positive, check_schedule
from obliviate.methods.relative import (
    BatchSize,
    LeastSteps,
    Length,
    Momentum,
    OptimizerName,
    Rate,
    WeightDecay,
    check,
    whole,
)
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.opinions import Calibration, Opinions
from obliviate.training.run import Run
from obliviate.types import Batch

WITH_RETAIN: Final = {
    "epochs": "20%",
    "optimizer": "recipe",
    "learning_rate": "1x",
    "repeats": 5,
    "hold": 0,
    "below": 0.2,
    "least_steps": 0,
}
WITHOUT_RETAIN: Final = {
    "epochs": "100%",
    "optimizer": "adam",
    "learning_rate": "0.7x",
    "momentum": 0.9,
    "weight_decay": 0.0,
    "batch_size": 32,
    "repeats": 1,
    "hold": 1,
    "below": 0.1,
    "least_steps": 500,
}
"""Defaults, chosen on the tuning grounds of `benchmarks/grounds.py` (docs/methods/README.md)."""


@dataclass(frozen=True, kw_only=True)
class NeverSeen:
    """Teach the model what models that never saw the forget samples say of them, and go on training on the rest.

    The target of a forget sample x is softmax(s · p(x)): p is the mean of centred log-probabilities over the teachers
    that were not trained on x, moved by a weight towards those of one of them, drawn for each sample. Weight and
    sharpness s make targets of *holdout* samples as right and as sure as the model itself is there, which never saw
    them; without a holdout set s is 1 and the weight ½. `single_opinion` gives the weight instead: 1 makes targets as
    various as models are, which the strongest attacks tell less, and forgets more than retraining does. A class that is
    forgotten as a whole is left out of what teachers say.

    The loss is the cross-entropy with these targets on forget samples, with labels on retained ones. It counts whole
    where the margin of a forget sample's label is above that of its target, `below` times where it is not: what is
    known less than its target needs no teaching, and soft targets make a model unsure of other samples too. `repeats`
    says how often a forget sample comes in an epoch, at most as often as makes forget samples as many as retained ones;
    `hold` how often holdout samples come, with what the original says of them; `least_steps` are taken whatever
    `epochs` come to, for a small request has few batches. What is None depends on whether there
    is a retain set, see `WITH_RETAIN` and `WITHOUT_RETAIN`.

    >>> sorted(NeverSeen().needs)
    ['labels', 'teachers']
    >>> NeverSeen(single_opinion=1.0).single_opinion
    1.0
    """

    name: ClassVar[str] = "never_seen"
    needs: ClassVar[frozenset[str]] = frozenset({"teachers", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "obliviate; after Georgiev et al., ICLR 2025, arXiv 2410.23232"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    when_none: ClassVar[WhenNone] = {"with retain": WITH_RETAIN, "without retain": WITHOUT_RETAIN}

    epochs: Length | None = None
    optimizer: OptimizerName | None = None
    learning_rate: Rate | None = None
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None
    repeats: int | None = None
    hold: int | None = None
    below: float | None = None
    single_opinion: float | None = None
    least_steps: LeastSteps = None

    def __post_init__(self) -> None:
        check(self)
        check_schedule(self)
        if self.repeats is not None:
            check_positive(self, "repeats")
        if self.hold is not None and self.hold < 0:
            raise MethodError(f"expected hold of 0 or more, got {self.hold}; 0 holds no holdout samples")
        if self.below is not None and not 0 <= self.below <= 1:
            raise MethodError(f"expected below in [0, 1], got {self.below}; 1 teaches all forget samples alike")
        if self.single_opinion is not None and not 0 <= self.single_opinion <= 1:
            raise MethodError(
                f"expected single_opinion in [0, 1], got {self.single_opinion}; leave it out to calibrate it"
            )

    def settled(self, split: Split) -> NeverSeen:
        """Fill in what depends on whether there is a retain set."""
        defaults = WITHOUT_RETAIN if split.retain is None else WITH_RETAIN
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size, repeats, hold, least = whole(self, "epochs", "batch_size", "repeats", "hold", "least_steps")
        task = check_classification(self, run.task)
        assert self.below is not None  # settled, as the whole numbers are
        lesson = _Lesson.of(model, split, run, task, below=self.below, weight=self.single_opinion)
        if split.retain is not None:
            repeats = max(1, min(repeats, len(split.retain) // len(split.forget)))
        parts = [run.augmented(split.forget).repeated(repeats)]
        if split.retain is not None:
            parts.append(run.augmented(split.retain))
        if split.holdout is not None and hold:
            parts.append(run.place(split.holdout).repeated(hold))
        data = parts[0].joined(*parts[1:])
        lesson.find(data)
        optimizer = run.optimizer(model, self)
        steps = len(run.batches(data, size, 0))
        epochs = max(epochs, math.ceil(least / steps))
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs * steps)
        for epoch in run.epochs("never_seen", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            run.fit(model, run.batches(data, size, epoch), lesson.loss, optimizer, scheduler=scheduler)
        run.notes |= lesson.notes
        return model


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What is taught: a target for each forget sample, and for holdout samples what the original says of them."""

    task: Classification
    targets: Float[Tensor, "n classes"]  # of the forget samples, then of the holdout samples
    forgotten: int  # how many of them are of forget samples
    rows: dict[str, int]  # by id, where a sample's target stands
    below: float
    weights: Float[Tensor, " classes"] | None
    notes: dict[str, float]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        split: Split,
        run: Run,
        task: Classification,
        *,
        below: float,
        weight: float | None = None,
    ) -> _Lesson:
        """Ask the teachers, and make them as right and as sure as the model is on the holdout samples."""
        teachers, seed, classes = run.teachers, derive(run.seed, "teachers"), task.classes
        assert teachers is not None
        gone = _gone(split, classes)
        opinions, holdout = Opinions.of(teachers, split.forget, seed=seed, gone=gone), split.holdout
        calibration = Calibration() if weight is None else Calibration(weight)
        parts, ids = list[Tensor](), split.forget.ids.tolist()
        places = torch.where(gone, -1, (~gone).cumsum(0) - 1)
        if holdout is not None:
            holdout = holdout.at(~gone[holdout.targets].numpy())
            original = outputs(model, holdout)
            unseen = Opinions.of(teachers, holdout, seed=derive(seed, "reference"), gone=gone)
            calibration = Calibration.of(unseen, original[:, ~gone], places[holdout.targets], weight=weight)
            parts, ids = [original.softmax(1)], [*ids, *holdout.ids.tolist()]
        forget = torch.zeros(len(split.forget), classes)
        forget[:, ~gone] = calibration.logits(opinions, places[split.forget.targets]).softmax(1)
        weights = task.weights(run.place(torch.arange(classes)))
        notes = {"teachers": float(len(teachers))}
        notes |= {"single_opinion": calibration.weight, "sharpness": calibration.sharpness, "hint": calibration.hint}
        rows = {str(name): row for row, name in enumerate(ids)}
        return cls(task, run.place(torch.cat([forget, *parts])), len(forget), rows, below, weights, notes)

    def find(self, samples: Samples) -> None:
        """Note for samples, repeated ones too, which row is theirs."""
        for name in samples.ids.tolist():
            if (row := self.rows.get(original_id(name))) is not None:
                self.rows[name] = row

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        """The cross-entropy with targets where there are some and with labels elsewhere, in the recipe's weights."""
        rows = torch.tensor([self.rows.get(name, -1) for name in batch.ids.tolist()], device=batch.y.device)
        aims = F.one_hot(batch.y, self.targets.shape[1]).float()
        aims = torch.where((rows >= 0)[:, None], self.targets[rows], aims)
        logits = model(batch.x).float()
        weights = torch.ones_like(logits[:, 0]) if self.weights is None else aims @ self.weights
        losses = weights * F.cross_entropy(logits, aims, reduction="none")
        with torch.no_grad():
            less = self.task.score(logits, batch.y) <= self.task.score(self.targets[rows].log(), batch.y)
        losses = torch.where(less & (rows >= 0) & (rows < self.forgotten), self.below * losses, losses)
        return losses.sum() / weights.sum()


def _gone(split: Split, classes: int) -> Bool[Tensor, " classes"]:
    """The classes of which samples are forgotten and none is retained; none without a retain set, which would tell."""
    gone = torch.zeros(classes, dtype=torch.bool)
    if split.retain is not None:
        gone[split.forget.targets] = True
        gone[split.retain.targets] = False
    return gone
