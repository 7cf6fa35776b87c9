"""What a model should say that never saw the forget samples, as far as that can be known without training one.

With teachers (`references.teachers`) it is what those say of a sample that never saw it, made as right and as sure as
the original is on unseen samples. Without, it is how well the original knows unseen samples of the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from obliviate._util.seeds import derive
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.metrics.utility import FIGURES, margin
from obliviate.task import Classification, Task
from obliviate.training.opinions import Calibration, Opinions
from obliviate.training.teachers import Teachers
from obliviate.workflow.effect import NAMES
from obliviate.workflow.looks import Drawn, Look, Looks, drawn, forgotten_classes, look

MOST_LOST: Final = 100.0  # points that a figure can lose, so that a ruined R² is no more than ruin


@dataclass(frozen=True)
class Score:
    """How far a model is from what is expected, in points; lower is better.

    `forget`, `retain` and `unseen` are shares of right answers in percent, `expected` the share of forget samples that
    should be right. `auc` is how well forget samples are told from unseen ones by how much better they are known than
    teachers say, or simply by how well, and `distance` by how far they are from what teachers say, in either direction:
    a model that saw neither has 50 %. `lost` is the mean loss of utility. `total` is the mean of four gaps: of forget
    accuracy, of utility on retained and on unseen samples, and of the AUC, with teachers of both on average.
    `strength` is above 0 where utility suffers more than is still known, as of too high a learning rate.
    """

    forget: float
    expected: float
    retain: float | None
    unseen: float
    auc: float
    distance: float | None
    lost: float
    total: float
    strength: float

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is expected of a model that is to forget `parts["forget"]`; `score` says how far one is from that.

    `forget` is the share of forget samples that it should get right; `opinions` are the margins that it should have,
    where teachers tell. `weights` make the unseen samples as the forget samples are by class; `matched` are the forget
    samples of whose class there are some.
    """

    task: Task
    parts: Drawn
    before: Looks
    forget: float
    opinions: Mapping[str, Float[np.ndarray, " n"]]
    weights: Float[np.ndarray, " u"]
    matched: Bool[np.ndarray, " f"]

    @classmethod
    def of(
        cls, model: nn.Module, split: Split, task: Task, teachers: Teachers | None = None, *, seed: int = 0
    ) -> Expectation:
        """Ask the original, and teachers where there are any, about at most 2,000 samples of each part.

        Raises MethodError without unseen samples (`split.holdout`), or where these hold none of the classes to forget
        and no teacher is there to ask.
        """
        check_holdout(split)
        parts = drawn({"forget": split.forget, "retain": split.retain, "unseen": split.holdout}, seed=seed)
        before = look(model, parts, task)
        forget, unseen = before["forget"], before["unseen"]
        if not isinstance(task, Classification):
            every = np.ones(len(forget.loss), dtype=bool)
            return cls(task, parts, before, float(unseen.right.mean()), {}, _shares(np.ones(len(unseen.loss))), every)
        matched = np.isin(forget.targets, unseen.targets)
        if not matched.any() and teachers is None:
            raise MethodError(
                "expected holdout samples of the classes to forget, got none; give some to `Split.of(..., "
                "holdout=...)`, or tune by teachers"
            )
        weights = _matching(forget.targets, unseen.targets) if matched.any() else _shares(np.ones(len(unseen.loss)))
        matched = matched | (not matched.any())
        gone = _gone(split)
        kept = ~np.isin(forget.targets, gone)
        if teachers is None:
            expected, opinions = _of_unseen(forget.targets, unseen.targets, unseen.right), {}
        else:
            expected, opinions = _of_teachers(parts, before, teachers, np.isin(unseen.targets, gone), seed=seed)
        return cls(task, parts, before, float((expected * kept).mean()), opinions, weights, matched)

    def score(self, model: nn.Module) -> Score:
        """Ask a model and compare it; raises TrainingError for outputs that are not finite."""
        after = look(model, self.parts, self.task)
        forgotten, unseen = (self._surplus(name, after[name]) for name in ("forget", "unseen"))
        forgotten, middle = forgotten[self.matched], _median(unseen, self.weights)
        auc = 100 * _auc(forgotten, unseen, self.weights)
        distance = (
            100 * _auc(np.abs(forgotten - middle), np.abs(unseen - middle), self.weights) if self.opinions else None
        )
        told_apart = np.mean([abs(share - 50) for share in (auc, distance) if share is not None])
        forget, expected = 100 * float(after["forget"].right.mean()), 100 * self.forget
        losses = [self._lost(name, after[name]) for name in ("retain", "unseen") if name in after]
        gaps = [abs(forget - expected), *losses, float(told_apart)]
        lost, excess = float(np.mean(losses)), (forget - expected + auc - 50) / 2
        right = {name: 100 * float(seen.right.mean()) for name, seen in after.items()}
        return Score(
            forget=forget,
            expected=expected,
            retain=right.get("retain"),
            unseen=right["unseen"],
            auc=auc,
            distance=distance,
            lost=lost,
            total=float(np.mean(gaps)),
            strength=lost - excess,
        )

    def _surplus(self, name: str, after: Look) -> Float[np.ndarray, " n"]:
        """By how much each sample is better known than is expected: its margin, less that of teachers if any told."""
        if not isinstance(self.task, Classification):
            return -after.loss
        return margin(after.signals, after.targets) - self.opinions.get(name, np.zeros(len(after.loss)))

    def _lost(self, name: str, after: Look) -> float:
        """The most that any utility figure of a part has lost, in points, or accuracy changed; forgotten classes aside.

        Of a perplexity it is how much of the tokens' mean probability is gone.
        """
        before = self.before[name]
        if isinstance(self.task, Classification):
            kept = ~np.isin(before.targets, list(forgotten_classes(self.before)))
            if not kept.any():
                return 0.0
            before, after = before.at(kept), after.at(kept)
        old, new = (FIGURES[self.task.utility](seen.signals, seen.targets) for seen in (before, after))
        losses = [0.0]
        for figure in NAMES:
            if figure not in old or figure not in new:
                continue
            if figure == "perplexity":
                losses.append(1 - old[figure] / new[figure])
            else:
                losses.append(abs(old[figure] - new[figure]) if figure == "accuracy" else old[figure] - new[figure])
        return min(100 * max(losses), MOST_LOST)


def check_holdout(split: Split) -> None:
    """Refuse a request without unseen samples; raises MethodError."""
    if split.holdout is None or not len(split.holdout):
        raise MethodError(
            "expected a holdout set to tune by, got none; it needs unseen holdout samples: "
            "`train --holdout-size N`, or `Split.of(..., holdout=...)`"
        )


def _gone(split: Split) -> list[int]:
    """The classes of which samples are forgotten and none is retained; none without a retain set, which would tell."""
    if split.retain is None:
        return []
    return np.setdiff1d(split.forget.targets.numpy(), split.retain.targets.numpy()).tolist()


def _of_unseen(
    labels: Int[np.ndarray, " f"], unseen: Int[np.ndarray, " u"], right: Float[np.ndarray, " u"]
) -> Float[np.ndarray, " f"]:
    """The share of right answers that each forget sample should have: that of unseen samples of its class, or of all.

    >>> _of_unseen(np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([1.0, 0.0, 1.0])).round(2).tolist()
    [0.5, 1.0, 0.67]
    """
    expected = np.full(len(labels), right.mean())
    for label in np.unique(unseen):
        expected[labels == label] = right[unseen == label].mean()
    return expected


def _of_teachers(
    parts: Drawn, before: Looks, teachers: Teachers, aside: Bool[np.ndarray, " u"], *, seed: int
) -> tuple[Float[np.ndarray, " f"], dict[str, Float[np.ndarray, " n"]]]:
    """Whether each forget sample should be right, up to what the original has ahead of teachers, and all margins.

    `aside` are unseen samples of classes that are forgotten as a whole, on which nothing is calibrated.
    """
    seed, aside = derive(seed, "teachers"), aside & (not aside.all())
    opinions_of = {
        name: Opinions.of(teachers, parts[name][0], seed=derive(seed, name)) for name in ("forget", "unseen")
    }
    original, y = (torch.from_numpy(array[~aside]) for array in (before["unseen"].signals, before["unseen"].targets))
    calibration = Calibration.of(opinions_of["unseen"].at(torch.from_numpy(~aside)), original, y)
    logits = {name: calibration.logits(opinions).double().numpy() for name, opinions in opinions_of.items()}
    right = {name: logits[name].argmax(1) == before[name].targets for name in logits}
    ahead = float((before["unseen"].right - right["unseen"])[~aside].mean())
    margins = {name: margin(logits[name], before[name].targets) for name in logits}
    return np.clip(right["forget"] + ahead, 0.0, None), margins


def _matching(labels: Int[np.ndarray, " f"], unseen: Int[np.ndarray, " u"]) -> Float[np.ndarray, " u"]:
    """Weights by which unseen samples are of the forget samples' classes, in the same shares.

    >>> _matching(np.array([0, 0, 1]), np.array([0, 1, 1, 2])).round(3).tolist()
    [0.667, 0.167, 0.167, 0.0]
    """
    weights = np.zeros(len(unseen))
    for label in np.unique(unseen):
        weights[unseen == label] = (labels == label).sum() / (unseen == label).sum()
    return _shares(weights)


def _median(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """The value that half of the weights, which sum to 1, are at or below.

    >>> _median(np.array([5.0, 1.0, 9.0]), np.array([0.2, 0.2, 0.6]))
    9.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.searchsorted(np.cumsum(weights[order]), 0.5)
    return float(values[order][min(int(reached), len(values) - 1)])


def _shares(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return weights / weights.sum()


def _auc(above: Float[np.ndarray, " p"], below: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """How often a score above is above one of the weighted ones below, ties half.

    >>> _auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]), np.array([0.5, 0.5]))
    0.875
    """
    order = np.argsort(below, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
    places = (np.searchsorted(below[order], above, side=side) for side in ("left", "right"))
    return float(np.mean([cumulative[place] for place in places]))
