"""What models that never saw a sample say of it, pooled into one opinion: a logarithmic opinion pool.

Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986: the pool's log-probabilities are the
mean of its members', up to a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.training.teachers import Teachers

WEIGHTS: Final = tuple(step / 10 for step in range(11))
GUESS: Final = 0.5  # the single opinion's weight where no holdout tells a better one
LEAST_SPREAD: Final = 1e-6
CHANCE: Final = 2.0  # standard errors that a difference may be by chance


@dataclass(frozen=True, eq=False)
class Opinions:
    """Centred log-probabilities of models that never saw a sample: their `mean`, and those of a `single` one of them.

    The mean of many knows more than any model of its size, a single one of half the data less than a whole model;
    `blended` lies between the two.
    """

    mean: Float[Tensor, "n classes"]
    single: Float[Tensor, "n classes"]

    @classmethod
    def of(
        cls, teachers: Teachers, samples: Samples, *, seed: int, gone: Bool[Tensor, " classes"] | None = None
    ) -> Opinions:
        """Ask all teachers; the single one is drawn for each sample by the seed.

        Classes that are `gone` are left out, as if nobody had known them. Raises MethodError where all teachers saw a
        sample.
        """
        generator = np.random.default_rng(seed)
        total, single, count = torch.zeros(()), torch.zeros(()), torch.zeros(len(samples), dtype=torch.long)
        for outputs, never_saw in teachers.answers(samples):
            opinion = centred(outputs if gone is None else outputs[:, ~gone]) * never_saw[:, None]
            total = total + opinion
            count += never_saw
            # Each of the models so far is the single one with the same probability (reservoir sampling).
            drawn = torch.from_numpy(generator.random(len(samples))) * count < 1
            single = torch.where((drawn & never_saw)[:, None], opinion, single)
        if len(known := samples.ids[(count == 0).numpy()]):
            raise MethodError(
                f"expected teachers of which some never saw each sample, got {shown(known)} known to all "
                f"{len(teachers)}; train teachers over the training samples and the holdout set"
            )
        return cls(total / count[:, None], single)

    def at(self, included: Bool[Tensor, " n"]) -> Opinions:
        """Keep what is said of the samples where the mask is true."""
        return Opinions(self.mean[included], self.single[included])

    def blended(self, weight: float) -> Float[Tensor, "n classes"]:
        """Move from the mean opinion (0) to the single one (1)."""
        return self.mean.lerp(self.single, weight)


@dataclass(frozen=True)
class Calibration:
    """What makes opinions as right and as sure as a model is where it never saw the samples either.

    `weight` is that of the single opinion (`blend`), `sharpness` an inverse temperature, and `hint` what the logit of
    the label is raised by. The defaults are for want of samples to learn them from.
    """

    weight: float = GUESS
    sharpness: float = 1.0
    hint: float = 0.0

    @classmethod
    def of(
        cls,
        opinions: Opinions,
        model: Float[Tensor, "n classes"],
        labels: Int[Tensor, " n"],
        *,
        weight: float | None = None,
    ) -> Calibration:
        """Learn it from what both say of unseen samples, the sharpness alone where the weight is given.

        Labels are places among the classes of the opinions.
        """
        if weight is not None:
            return cls(weight, sharpness(opinions.blended(weight), model))
        weight = blend(opinions, model, labels)
        calibrated = cls(weight, sharpness(opinions.blended(weight), model))
        return calibrated if weight else replace(calibrated, hint=hint(calibrated.logits(opinions), model, labels))

    def logits(self, opinions: Opinions, labels: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n classes"]:
        """Return calibrated opinions, whose softmax are probabilities; labels below 0 are those of no class here."""
        logits = self.sharpness * opinions.blended(self.weight)
        if labels is None or not self.hint:
            return logits
        return logits + self.hint * (labels[:, None] == torch.arange(logits.shape[1]))


def centred(outputs: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
    """Return log-probabilities up to a constant a sample, so that their mean over classes is 0.

    >>> centred(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """
    return outputs - outputs.mean(1, keepdim=True)


def spread(opinions: Float[Tensor, "n classes"]) -> float:
    """How sure opinions are: the median over samples of their standard deviation over classes.

    >>> spread(torch.tensor([[-1.0, 1.0], [-3.0, 3.0], [2.0, -2.0]]))
    2.0
    """
    return float(opinions.std(1, correction=0).median())


def sharpness(opinions: Float[Tensor, "n classes"], model: Float[Tensor, "n classes"]) -> float:
    """The factor that makes opinions as sure as a model is that never saw the samples either (a temperature's inverse).

    >>> round(sharpness(torch.tensor([[-1.0, 1.0]]), torch.tensor([[0.0, 3.0]])), 6)
    1.5
    """
    return spread(centred(model)) / max(spread(opinions), LEAST_SPREAD)


def hint(opinions: Float[Tensor, "n classes"], model: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> float:
    """What the label's logit must be raised by for opinions to be right about unseen samples as often as a model.

    Models of half the data are wrong about more of them than a whole one, and a mean of few makes up for a part of it.
    Whole models know a little more of every sample: a constant for all says so. It is 0 where opinions are right more
    often, or less by no more than two standard errors of the paired difference.

    >>> opinions, labels = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0]]), torch.zeros(3).long()
    >>> hint(opinions, torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), labels)  # all three, where none was right
    3.0
    """
    right = (model.argmax(1) == labels).double()
    advantage = (opinions.argmax(1) == labels).double() - right
    if float(advantage.mean()) >= -CHANCE * float(advantage.std(correction=0)) / len(labels) ** 0.5:
        return 0.0
    wanted = int(right.sum())
    own = opinions.gather(1, labels[:, None])[:, 0]
    lacking = opinions.scatter(1, labels[:, None], -torch.inf).amax(1) - own
    return float(lacking.sort().values[wanted - 1])


def blend(opinions: Opinions, model: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> float:
    """The least weight of the single opinion at which a pool is right about unseen samples no more often than a model.

    Of the weights 0, 0.1, …, 1 it is the first at which the pool's advantage is within two standard errors of the
    paired difference, 1 if there is none. Labels are places among the classes of the opinions.

    >>> single = torch.eye(3)[[1, 2, 0]]
    >>> blend(Opinions(torch.eye(3), single), torch.eye(3), torch.arange(3))  # as often right as the mean
    0.0
    >>> blend(Opinions(torch.eye(3), single), single, torch.arange(3))  # never right
    0.6
    """
    right = (model.argmax(1) == labels).double()
    for weight in WEIGHTS:
        advantage = (opinions.blended(weight).argmax(1) == labels).double() - right
        if float(advantage.mean()) <= CHANCE * float(advantage.std(correction=0)) / len(labels) ** 0.5:
            return weight
    return WEIGHTS[-1]
