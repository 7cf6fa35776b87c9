"""MixUnlearn: unlearn on adversarial mixtures of forget and retain samples.

Peng, Tang, Yang, "Adversarial Mixup Unlearning", ICLR 2025, arXiv 2502.10288.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.ids import shown
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import (
    WhenNone,
    check_classification,
    check_positive,
    check_schedule,
    input_space,
    needs_less,
)
from obliviate.methods.mixunlearn.mix_block import MixBlock
from obliviate.methods.mixunlearn.neighbours import nearest
from obliviate.methods.mixunlearn.original import Original, Targets, frozen
from obliviate.methods.mixunlearn.views import view_of
from obliviate.methods.relative import (
    BatchSize,
    Length,
    Momentum,
    OptimizerName,
    Passes,
    Rate,
    WeightDecay,
    check,
    passes,
    whole,
)
from obliviate.task import InputSpace
from obliviate.training.mixup_losses import contrast, mixed_contrast, sim_loss
from obliviate.training.optimizers import Adam
from obliviate.training.randomness import seeded
from obliviate.training.run import Run
from obliviate.training.saved_state import Stateful
from obliviate.training.update import Update
from obliviate.types import Batch

Labels = Literal["aware", "agnostic"]
Steps = Literal["forget", "longest"]
Pairing = Literal["nearest", "position"]

LEAST_STEPS: Final = 24
UNEVEN: Final = Update(uneven=True)  # its losses are of whole batches alone
LEVEL: Final = "forget_level"  # where forgetting stops, on average; 0: D_R knows the forgotten answers; 1: it does not
GAP: Final = "mask_mean_minus_lambda"  # towards +½: all masks show the forget sample, the generator no longer mixes
SPREAD: Final = "mask_spread"  # standard deviation over positions and pairs; 0: the masks are flat


@dataclass(frozen=True, kw_only=True)
class MixUnlearn:
    """Pull mixtures of forget and retain samples towards the retained targets, and away from the forgotten ones.

    A generator learns, against the model, the masks (of pixels, columns, tokens) that bring the forgotten targets back.
    `labels="agnostic"` takes the original model's sharpened predictions as targets; `unlabelled` names the ids for
    which only this is done. τ is the strength of forgetting: the smaller, the stronger. A forget sample is pushed no
    further than its level: the SimLoss, for its target, of the mean target of its nearest `neighbours` in the retain
    set; None never stops. `layer` names the layer of the original whose output the generator sees; None chooses it (see
    `views`). By `pairing` a forget sample is mixed with the nearest retain sample of the batch, or with that
    at its position. `epochs` None is as many as take `retain_passes` over the retain set, and no fewer than 2 epochs or
    `LEAST_STEPS` steps.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], MixUnlearn(labels="agnostic")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "mixunlearn"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Peng, Tang, Yang, ICLR 2025, arXiv 2502.10288"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    when_none: ClassVar[WhenNone] = {
        "always": {"epochs": f"retain_passes passes over the retain set, no fewer than 2 epochs or {LEAST_STEPS} steps"}
    }

    epochs: Length | None = None
    retain_passes: Passes = "7%"
    optimizer: OptimizerName = "adam"
    learning_rate: Rate = "1.4x"
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 0.0
    batch_size: BatchSize = 128
    schedule: str = "cosine"
    steps: Steps = "forget"
    labels: Labels = "aware"
    unlabelled: tuple[str, ...] | None = None
    tau_gen: float = 3.0
    tau_mix: float = 3.0
    tau_real: float = 1.5
    omega: float = 1.0
    alpha: float = 0.75
    temperature: float = 0.3
    neighbours: int | None = 10
    pairing: Pairing = "nearest"
    layer: str | None = None
    generator_learning_rate: float = 1e-2
    generator_every: int = 4
    adversary_momentum: float = 0.0
    mask_penalty: float = 0.0
    exclude_same_class: bool = False
    mix: bool = True
    real: bool = True
    sharpen: bool = True
    generator: bool = True

    @classmethod
    def paper(cls, **settings: Any) -> MixUnlearn:
        """The method as published, which knows no levels, at the paper's rate for ResNets.

        The number of epochs stays as it is by default, for the paper has one for each of its data sets.

        >>> MixUnlearn.paper(learning_rate=1e-4).pairing  # as for the paper's small networks
        'position'
        """
        published: dict[str, Any] = {"optimizer": "adam", "learning_rate": 5e-5, "schedule": "constant"}
        published |= {"momentum": 0.9, "weight_decay": 0.0, "neighbours": None, "pairing": "position"}
        published |= {"tau_gen": 5.0, "tau_mix": 5.0, "tau_real": 5.0, "retain_passes": 2 / 3}
        return cls(**(published | settings))

    def __post_init__(self) -> None:
        if self.neighbours is not None:
            check_positive(self, "neighbours")
        check_schedule(self)
        check(self)
        check_positive(self, "tau_gen", "tau_mix", "tau_real", "omega")
        check_positive(self, "alpha", "temperature", "generator_learning_rate", "generator_every")
        for name, kind in (("labels", Labels), ("steps", Steps), ("pairing", Pairing)):
            if getattr(self, name) not in (choices := get_args(kind)):
                raise MethodError(
                    f"expected {name} of {', '.join(choices)}, got {getattr(self, name)!r}; name one of them"
                )
        if not 0 <= self.adversary_momentum < 1:
            raise MethodError(
                f"expected adversary_momentum in [0, 1), got {self.adversary_momentum}; 0 is the current model, "
                "0.999 a slow copy"
            )
        if not self.mask_penalty >= 0:
            raise MethodError(f"expected mask_penalty of 0 or more, got {self.mask_penalty}; 0 is none")
        if not (self.mix or self.real):
            raise MethodError("expected a loss on mixed or on real samples, got neither; set mix=True or real=True")
        if self.labels == "agnostic" and self.unlabelled is not None:
            raise MethodError(
                f"expected no ids of unlabelled samples where no label is used, got {len(self.unlabelled)}; "
                "use labels='aware'"
            )
        if self.labels == "agnostic":
            needs_less(self, "labels")

    def settled(self, split: Split) -> MixUnlearn:
        """Fill in the number of epochs if it is None."""
        if self.epochs is not None:
            return self
        (size,) = whole(self, "batch_size")
        forget, retain = (math.ceil(len(samples) / size) for samples in (split.forget, split.kept))
        per_epoch = forget if self.steps == "forget" else max(forget, retain)
        return replace(self, epochs=max(2, math.ceil(max(passes(self) * retain, LEAST_STEPS) / per_epoch)))

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        space = run.place(self.check(model, split, run))
        epochs, size = whole(self.settled(split), "epochs", "batch_size")
        mixing = _Mixing(self, model, split, space, run)
        optimizer = run.optimizer(model, self)
        forget, retain = (run.augmented(samples) for samples in (split.forget, split.kept))
        per_epoch = len(run.paired(forget, retain, size, 0, steps=self.steps))
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs * per_epoch)
        pair = sum(min(size, len(samples)) for samples in (forget, retain))
        mixing.original.remember(forget, retain, visits=epochs * per_epoch * pair)

        def loss(model: nn.Module, pairs: _Pairs, mixture: _Mixture | None, real: _Both | None, lam: float) -> Tensor:
            outputs: list[Tensor] = []
            if mixture is not None:
                outputs.append(model(mixing.mixed(model, *mixture)))
            if real is not None:
                outputs += model(torch.cat(real)).split([len(x) for x in real])
            logits, parts = run.whole_batch(*outputs), list[Tensor]()
            if mixture is not None:
                parts.append(mixed_contrast(logits[0], *pairs.targets, lam, self.tau_mix, pairs.kept, pairs.level))
            if real is not None:
                losses = sim_loss(torch.cat(logits[-2:]), torch.cat([pairs.forget_target, pairs.retain_target]))
                forget, retain = losses.split([len(pairs.forget_target), len(pairs.retain_target)])
                parts.append(self.omega * contrast(retain, forget.minimum(pairs.level), self.tau_real))
            return torch.stack(parts).sum()

        state: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler, **mixing.state}
        for epoch in run.epochs("mixunlearn", epochs, **state):
            batches = run.paired(forget, retain, size, epoch, steps=self.steps)
            prepare = partial(mixing.prepare, model)
            run.fit(model, batches, loss, optimizer, scheduler=scheduler, prepare=prepare, update=UNEVEN)
        run.notes |= mixing.notes
        return model

    def check(self, model: nn.Module, split: Split, run: Run) -> InputSpace:
        """Refuse tasks, inputs and ids that the method cannot use, and say what is mixed; raises MethodError."""
        task = check_classification(self, run.task)
        shape = tuple(split.forget.take(torch.arange(1)).x.shape[1:])
        if len(shape) not in ((1,) if task.tokens else (1, 3)):
            raise MethodError(
                f"expected images (channels height width), rows of a table or tokens for {self.name}, got samples of "
                f"shape {shape}; reshape them, or use a method that needs only a loss"
            )
        ids = np.concatenate([split.forget.ids, split.kept.ids])
        if len(unknown := np.setdiff1d(np.array(self.unlabelled or (), dtype=str), ids)):
            raise MethodError(
                f"expected unlabelled ids of the forget or the retain set, got {shown(unknown)} of neither; "
                "correct the list"
            )
        if len(shape) == 3 and task.space(model) is None:
            return InputSpace(-math.inf, math.inf)  # between two images there is no limit to respect
        return input_space(self, task, model)


_Both: TypeAlias = tuple[Shaped[Tensor, " f ..."], Shaped[Tensor, " r ..."]]
"""Something of the forget samples of a step, and of its retained ones."""
_Pair: TypeAlias = tuple[Shaped[Tensor, " n ..."], Shaped[Tensor, " n ..."]]
"""Something of the two samples of each pair."""
_Mixture: TypeAlias = tuple[Shaped[Tensor, " n ..."], Shaped[Tensor, " n ..."], Float[Tensor, " n ..."] | float]
"""The inputs of each pair, and the share of the first."""


@dataclass(frozen=True)
class _Pairs:
    """What is known of the samples of one step: targets p(x), levels, and which of them are mixed with each other.

    Where samples are paired by position and there are more to forget than to retain, the last have no partner.
    """

    forget_target: Float[Tensor, "f classes"]
    retain_target: Float[Tensor, "r classes"]
    level: Float[Tensor, " f"]
    partner: Int[Tensor, " n"]
    kept: Bool[Tensor, " n"] | None

    @property
    def targets(self) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n classes"]]:
        """Those of the forget and of the retain sample of each pair."""
        return self.forget_target[: len(self.partner)], self.retain_target[self.partner]

    def of(self, forget: Shaped[Tensor, " f ..."], retain: Shaped[Tensor, " r ..."]) -> _Pair:
        """What the two samples of each pair have of something that is there for all."""
        return forget[: len(self.partner)], retain[self.partner]


class _Mixing:
    """Everything beside the model being unlearned: the frozen original f_D, the generator G and its adversary."""

    def __init__(self, method: MixUnlearn, model: nn.Module, split: Split, space: InputSpace, run: Run) -> None:
        self.method, self.run, self.samples, self.space = method, run, split.forget, space
        unchanged = frozen(model)
        self.watch: dict[str, Any] = {"steps": 0} | dict.fromkeys((GAP, SPREAD), torch.zeros((), device=run.device))
        x = run.place(space.lifted(split.forget).take(torch.arange(min(2, len(split.forget))))).x
        maps = method.generator or method.layer is not None
        compared = (split.forget, split.kept)
        self.view = view_of(unchanged, space, x, compared, name=method.layer, maps=maps, run=run)
        targets = Targets(
            classes=check_classification(method, run.task).classes,
            aware=method.labels == "aware",
            unlabelled=method.unlabelled or (),
            temperature=method.temperature if method.sharpen else None,
        )
        self.original = Original(unchanged, self.view, targets, space, run, paired=method.mix)
        self.level = run.once("levels", lambda: {"level": self._levels(split)})["level"]
        self.generates = method.mix and method.generator
        if self.generates:
            channels = self.view.map(self.original.look(x, self.view.layer)[0], x).shape[1]
            with seeded(derive(run.seed, "generator")):
                self.generator = run.place(MixBlock(channels))
            self.optimizer = run.optimizer(self.generator, Adam(learning_rate=method.generator_learning_rate))
            self.adversary = frozen(model)

    @property
    def state(self) -> dict[str, Stateful | dict[str, Any]]:
        """What a resumed run must find again."""
        if not self.generates:
            return {}
        generator = {"generator": self.generator, "generator_optimizer": self.optimizer}
        return {**generator, "adversary": self.adversary, "watch": self.watch}

    @property
    def notes(self) -> dict[str, float]:
        """The mean level, and what the masks were like, on average over the steps of the model."""
        masks = {key: float(self.watch[key]) / self.watch["steps"] for key in (GAP, SPREAD)} if self.generates else {}
        return {LEVEL: float(self.level.mean()), **masks}

    def prepare(
        self, model: nn.Module, forget: Batch, retain: Batch
    ) -> tuple[_Pairs, _Mixture | None, _Both | None, float]:
        """Take the generator's step if it is its turn, and say what the model's is to mix, with a new λ."""
        pairs, points, maps = self._pairs(forget, retain)
        real, inputs = (forget.x, retain.x) if self.method.real else None, pairs.of(forget.x, retain.x)
        if not self.method.mix:
            return pairs, None, real, 0.0
        if not self.generates:
            lam = self._lambda()
            return pairs, (*inputs, lam), real, lam
        its_turn = self.watch["steps"] % self.method.generator_every == 0
        if its_turn or self.method.adversary_momentum:
            _follow(self.adversary, self.run.whole(model), self.method.adversary_momentum)
        if its_turn:
            parts = (pairs, inputs, points, maps, self._lambda())
            self.run.step(self.generator, parts, self._generator_loss, self.optimizer, update=UNEVEN)
        lam = self._lambda()
        with torch.no_grad(), self.run.precision.autocast():
            mask = self._mask(self.generator, points, maps, lam)
        self.watch["steps"] += 1
        self.watch |= {GAP: self.watch[GAP] + mask.mean() - lam, SPREAD: self.watch[SPREAD] + mask.std()}
        return pairs, (*inputs, self.view.share(mask)), real, lam

    def mixed(self, model: nn.Module, first: Tensor, second: Tensor, share: Tensor | float) -> Float[Tensor, "n ..."]:
        """Mix the inputs of pairs as a model has them; its gradients go into embeddings, if it has such."""
        return self.space.mixed(self.space.live(model, first), self.space.live(model, second), share)

    def _generator_loss(
        self, generator: nn.Module, pairs: _Pairs, inputs: _Pair, points: _Pair, maps: _Pair, lam: float
    ) -> Tensor:
        mask = self._mask(generator, points, maps, lam)
        logits = self.adversary(self.mixed(self.adversary, *inputs, self.view.share(mask)))
        logits, gap = self.run.whole_batch(logits, mask.mean((1, 2, 3)) - lam)
        value = -mixed_contrast(logits, *pairs.targets, lam, self.method.tau_gen, pairs.kept)
        return value + self.method.mask_penalty * gap.square().sum()

    def _mask(self, generator: nn.Module, points: _Pair, maps: _Pair, lam: float) -> Float[Tensor, "n 1 height width"]:
        first, second = (self.view.present(x) for x in points)
        present = None if first is None or second is None else (first, second)
        return generator(*maps, lam, self.view.size(points[0]), present)

    def _lambda(self) -> float:
        return float(torch.distributions.Beta(self.method.alpha, self.method.alpha).sample())

    def _levels(self, split: Split) -> Float[Tensor, " n"]:
        """How far each forget sample's target is from what the retained ones beside it say; 1 is the most."""
        if self.method.neighbours is None:
            return torch.ones(len(split.forget), device=self.run.device)
        forget, targets = (torch.cat(parts) for parts in zip(*self.original.likeness(split.forget), strict=True))
        neighbouring = nearest(forget, self.original.likeness(split.kept), self.method.neighbours).mean(1)
        return 1 - F.cosine_similarity(neighbouring, targets)

    def _pairs(self, forget: Batch, retain: Batch) -> tuple[_Pairs, _Pair, _Pair]:
        """What is known of two batches, and of each pair what the original makes of its samples: points and maps."""
        first, second = self.original.shown(forget, retain)
        partner = torch.arange(min(len(forget), len(retain)), device=first.targets.device)
        if self.method.mix and self.method.pairing == "nearest":
            partner = (first.vectors @ second.vectors.T).argmax(1)
        kept = None
        if self.method.exclude_same_class:
            kept = first.targets[: len(partner)].argmax(1) != second.targets[partner].argmax(1)
        level = self.level[self.run.place(self.samples.places(forget.ids))]
        pairs = _Pairs(first.targets, second.targets, level, partner, kept)
        inputs = pairs.of(forget.x, retain.x)
        return pairs, (self.space.points(inputs[0]), self.space.points(inputs[1])), pairs.of(first.maps, second.maps)


@torch.no_grad()
def _follow(copied: nn.Module, model: nn.Module, momentum: float) -> None:
    """Move a copy's weights towards the model's, and take over its buffers."""
    for mine, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1 - momentum)
    for mine, theirs in zip(copied.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
