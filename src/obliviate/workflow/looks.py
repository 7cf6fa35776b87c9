"""A model's answers before and after unlearning, and whether their difference looks like ruin, or like nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from scipy.stats import binom
from torch import nn

from obliviate._util.modes import evaluating
from obliviate._util.seeds import derive
from obliviate.data.loading import Batches, bounded
from obliviate.data.samples import Samples
from obliviate.errors import TrainingError
from obliviate.metrics.paired import fell, higher, rose
from obliviate.metrics.utility import FIGURES, recalls
from obliviate.task import Classification, Task
from obliviate.training.compute import Compute
from obliviate.training.randomness import seeded
from obliviate.workflow.effect import NAMES, Effect, Part, Verdict, pair

MOST: Final = 2000  # samples of each part that are measured
CERTAIN: Final = 0.01  # largest p-value of a change that is told
FALL: Final = 0.05  # of a share in [0, 1], or of R², that is damage
RATIO: Final = 1.1  # of perplexities that is
SHARE: Final = 0.1  # of the way to unseen samples that is hardly any
LEAST_GAP: Final = 0.05  # of the unseen loss, or of accuracy in [0, 1], that can be spoken of

WHERE: Final = {"retain": "retained samples", "unseen": "unseen samples"}


@dataclass(frozen=True, eq=False)
class Look:
    """What a model says of the drawn samples of one part, which has `whole` of them."""

    whole: int
    signals: Float[np.ndarray, "n k"]
    loss: Float[np.ndarray, " n"]
    right: Float[np.ndarray, " n"]
    targets: Shaped[np.ndarray, " n ..."]

    def at(self, chosen: Bool[np.ndarray, " n"]) -> Look:
        """The chosen samples alone."""
        return Look(self.whole, self.signals[chosen], self.loss[chosen], self.right[chosen], self.targets[chosen])


Looks = Mapping[str, Look]


Drawn = Mapping[str, tuple[Samples, int]]
"""What was drawn of each part, and how many samples the whole part has."""


def drawn(parts: Mapping[str, Samples | None], *, seed: int) -> Drawn:
    """Draw at most 2,000 samples of every part that is there, by the seed."""
    subsets: dict[str, tuple[Samples, int]] = {}
    for name, samples in parts.items():
        if samples is None or not len(samples):
            continue
        chosen = np.zeros(len(samples), dtype=bool)
        rng = np.random.default_rng(derive(seed, "measured", name))
        chosen[rng.permutation(len(samples))[:MOST]] = True
        subsets[name] = samples.at(chosen), len(samples)
    return subsets


@torch.no_grad()
def look(model: nn.Module, parts: Drawn, task: Task) -> dict[str, Look]:
    """Ask a model about every part, without autocast; raises TrainingError for outputs that are not finite.

    A model that draws random numbers even now draws the same ones each time, and none of anybody else's.
    """
    with seeded(0):
        return {name: _asked(model, samples, whole, task, name) for name, (samples, whole) in parts.items()}


def _asked(model: nn.Module, samples: Samples, whole: int, task: Task, name: str) -> Look:
    device, rows = next(model.parameters()).device, []
    with evaluating(model):
        for batch in (
            batch.to(device) for batch in Batches(samples, bounded(samples, Compute.current().evaluation_batch))
        ):
            output = task.ask(model, batch.x).float()
            tensors = task.signals(output, batch.y), task.nll(output, batch.y), task.correct(output, batch.y), batch.y
            rows.append([tensor.cpu() for tensor in tensors])
    signals, loss, right, targets = (torch.cat(column) for column in zip(*rows, strict=True))
    if not bool(torch.isfinite(signals).all()):
        raise TrainingError(
            f"expected finite outputs, got NaN or Inf from {type(model).__name__} on {name} samples; "
            "lower the learning rate"
        )
    return Look(whole, signals.double().numpy(), loss.double().numpy(), right.double().numpy(), targets.numpy())


def compared(before: Looks, after: Looks, task: Task, *, judged: bool = True) -> Effect:
    """Put what a model said before beside what it says after; without `judged` there is no verdict."""
    figures = FIGURES[task.utility]
    parts = {
        name: Part(len(look.loss), figures(look.signals, look.targets), figures(after[name].signals, look.targets))
        for name, look in before.items()
    }
    if not judged:
        return Effect(parts)
    for name in ("retain", "unseen"):
        if name in before and (reason := _damage(name, before, after, task)):
            return Effect(parts, "damaged", reason)
    if reason := _idle(before, after, classes=isinstance(task, Classification)):
        return Effect(parts, "hardly changed", reason)
    return Effect(parts)


def _damage(name: str, before: Looks, after: Looks, task: Task) -> str:
    """Say by which figure a part fares clearly worse: by more than its limit, and with certainty; "" if by none."""
    first, second, without = before[name], after[name], ""
    if isinstance(task, Classification):
        forgotten = forgotten_classes(before)
        chosen = ~np.isin(first.targets, list(forgotten))
        if not chosen.any():
            return ""
        first, second = first.at(chosen), second.at(chosen)
        without = f" (classes {', '.join(map(task.class_name, sorted(forgotten)))} left out)" if forgotten else ""
    figures = [FIGURES[task.utility](look.signals, look.targets) for look in (first, second)]
    for figure in NAMES:
        if figure not in figures[0] or figure not in figures[1]:
            continue
        old, new = (values[figure] for values in figures)
        lost = new / old > RATIO if figure == "perplexity" else old - new > FALL
        if lost and _p_value(figure, first, second) < CERTAIN:
            verb = "rose" if figure == "perplexity" else "fell"
            text = f"{NAMES[figure]} on {WHERE[name]} {verb} from {pair(figure, old, new, 'to')}"
            if figure == "balanced_accuracy" and isinstance(task, Classification):
                text += _worst(first, second, task)
            return text + without
    return ""


def _p_value(figure: str, before: Look, after: Look) -> float:
    """How likely so clear a fall of a figure would be if nothing had become worse, at most."""
    if figure not in {"accuracy", "balanced_accuracy"}:
        return rose(before.loss, after.loss)
    if not all(np.isin(look.right, (0.0, 1.0)).all() for look in (before, after)):
        return rose(after.right, before.right)
    old, new = (look.right > 0.5 for look in (before, after))
    whole = fell(old, new)
    if figure == "accuracy":
        return whole
    p_values = [
        fell(old[members], new[members]) for members in (before.targets == label for label in np.unique(before.targets))
    ]
    # A rare class shows by itself, at the price of having looked at all.
    return min(whole, len(p_values) * min(p_values))


def _worst(before: Look, after: Look, task: Classification) -> str:
    """Say of which class most recall is gone."""
    old, new = (recalls(look.right > 0.5, look.targets) for look in (before, after))
    worst = max(old, key=lambda label: old[label] - new[label])
    return f"; recall of class {task.class_name(worst)} from {pair('recall', old[worst], new[worst], 'to')}"


def forgotten_classes(looks: Looks) -> set[int]:
    """Classes whose recall should fall: of which more than half is forgotten, as far as the drawn samples tell.

    Without retained samples, those that are far more common among forget samples than among unseen ones, beyond chance.
    """
    forget, classes = looks["forget"], set[int]()
    for label in np.unique(forget.targets):
        count = int((forget.targets == label).sum())
        if "retain" in looks:
            retain = looks["retain"]
            kept = (retain.targets == label).mean() * retain.whole
            forgotten = count / len(forget.targets) * forget.whole > kept
        else:
            usual = float((looks["unseen"].targets == label).mean())
            forgotten = (
                count > 1.5 * usual * len(forget.targets) and binom.sf(count - 1, len(forget.targets), usual) < CERTAIN
            )
        if forgotten:
            classes.add(int(label))
    return classes


def _idle(before: Looks, after: Looks, *, classes: bool) -> str:
    """Say that the forget samples are about as well known as before, where they were better known than unseen ones."""
    if "unseen" not in before:
        return ""
    old, new, unseen = before["forget"], after["forget"], before["unseen"]
    if classes and (same_classes := np.isin(unseen.targets, old.targets)).any():
        unseen = unseen.at(same_classes)
    gap = float(unseen.loss.mean() - old.loss.mean())
    if gap < LEAST_GAP * float(unseen.loss.mean()) or higher(old.loss, unseen.loss) >= CERTAIN:
        return ""
    moved = float(new.loss.mean() - old.loss.mean())
    if moved >= SHARE * gap:
        return ""
    ahead = float(old.right.mean() - unseen.right.mean())
    certain = higher(unseen.right, old.right) < CERTAIN and ahead >= LEAST_GAP
    if certain and float(old.right.mean() - new.right.mean()) >= SHARE * ahead:
        return ""
    return (
        f"the mean loss of the forget samples went from {pair('loss', old.loss.mean(), new.loss.mean(), 'to')}, where "
        f"that of unseen samples was {unseen.loss.mean():.3f}"
    )


def next_settings(method: object, verdict: Verdict) -> dict[str, float]:
    """Hyperparameters to try next: a quarter or four times the learning rate, else half or twice the epochs."""
    factor = {"damaged": 0.25, "hardly changed": 4.0}.get(verdict)
    if factor is None:
        return {}
    rate, epochs = getattr(method, "learning_rate", None), getattr(method, "epochs", None)
    if isinstance(rate, float):
        return {"learning_rate": float(f"{factor * rate:.3g}")}
    if isinstance(epochs, int) and (fewer := math.ceil(epochs * factor**0.5)) != epochs:
        return {"epochs": fewer}
    return {}
