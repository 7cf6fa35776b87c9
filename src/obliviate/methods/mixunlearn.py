"""MixUnlearn: unlearn on adversarial mixtures of forget and retain images.

Peng, Tang, Yang, "Adversarial Mixup Unlearning", ICLR 2025, arXiv 2502.10288.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from obliviate.data.ids import shown
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import WhenNone, check_classification, check_positive, check_schedule
from obliviate.models.mix_block import MixBlock
from obliviate.seeds import derive
from obliviate.training.features import feature_layer, features, with_features
from obliviate.training.mixup_losses import contrast, mixed_contrast, sharpen, sim_loss
from obliviate.training.neighbours import direction, nearest
from obliviate.training.randomness import seeded
from obliviate.training.run import Run, Stateful
from obliviate.types import Batch

Labels = Literal["aware", "agnostic"]
Steps = Literal["forget", "longest"]
Pairing = Literal["nearest", "position"]

RETAIN_SHARE: Final = 2 / 3
LEAST_STEPS: Final = 24
CHUNK: Final = 500  # images that the original looks at together
LEVEL: Final = "forget_level"  # where forgetting stops, on average; 0: D_R knows the forgotten answers; 1: it does not
GAP: Final = "mask_mean_minus_lambda"  # towards +½: all masks show the forget image, the generator no longer mixes
SPREAD: Final = "mask_spread"  # standard deviation over pixels and pairs; 0: the masks are flat


@dataclass(frozen=True, kw_only=True)
class MixUnlearn:
    """Pull mixtures of forget and retain images towards the retained targets, and away from the forgotten ones.

    A generator learns, against the model, the pixel masks that bring the forgotten targets back. `labels="agnostic"`
    takes the original model's sharpened predictions as targets; `unlabelled` names the ids for which only this is done.
    τ is the strength of forgetting: the smaller, the stronger. A forget image is pushed no further than its level:
    the SimLoss, for its target, of the mean target of its nearest `neighbours` in the retain set; None never stops.
    `layer` names the layer of the original whose output the generator sees; None chooses it (see
    `training.features.feature_layer`). By `pairing` a forget image is mixed with the nearest retain image of the batch,
    or with that at its position. `epochs` None is as many as take two thirds of a pass over the retain set, and no
    fewer than 2 epochs or `LEAST_STEPS` steps.
    """

    name: ClassVar[str] = "mixunlearn"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Peng, Tang, Yang, ICLR 2025, arXiv 2502.10288"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    when_none: ClassVar[WhenNone] = {
        "always": {"epochs": f"two thirds of a pass over the retain set, no fewer than 2 epochs or {LEAST_STEPS} steps"}
    }

    epochs: int | None = None
    learning_rate: float = 2e-3
    batch_size: int = 128
    schedule: str = "constant"
    steps: Steps = "forget"
    labels: Labels = "aware"
    unlabelled: tuple[str, ...] | None = None
    tau_gen: float = 3.0
    tau_mix: float = 5.0
    tau_real: float = 3.0
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

    def __post_init__(self) -> None:
        check_positive(self, *(name for name in ("epochs", "neighbours") if getattr(self, name) is not None))
        check_schedule(self)
        check_positive(self, "learning_rate", "batch_size", "tau_gen", "tau_mix", "tau_real", "omega")
        check_positive(self, "alpha", "temperature", "generator_learning_rate", "generator_every")
        for name, kind in (("labels", Labels), ("steps", Steps), ("pairing", Pairing)):
            if getattr(self, name) not in (known := get_args(kind)):
                raise MethodError(
                    f"expected {name} of {', '.join(known)}, got {getattr(self, name)!r}; name one of them"
                )
        if not 0 <= self.adversary_momentum < 1:
            raise MethodError(
                f"expected adversary_momentum in [0, 1), got {self.adversary_momentum}; 0 is the current model, "
                "0.999 a slow copy"
            )
        if not self.mask_penalty >= 0:
            raise MethodError(f"expected mask_penalty of 0 or more, got {self.mask_penalty}; 0 is none")
        if not (self.mix or self.real):
            raise MethodError("expected a loss on mixed or on real images, got neither; set mix=True or real=True")
        if self.labels == "agnostic" and self.unlabelled is not None:
            raise MethodError(
                f"expected no ids of unlabelled samples where no label is used, got {len(self.unlabelled)}; "
                "use labels='aware'"
            )

    def settled(self, split: Split) -> MixUnlearn:
        """Fill in the number of epochs if it is None."""
        if self.epochs is not None:
            return self
        forget, retain = (math.ceil(len(one) / self.batch_size) for one in (split.forget, split.kept))
        per_epoch = forget if self.steps == "forget" else max(forget, retain)
        return replace(self, epochs=max(2, math.ceil(max(RETAIN_SHARE * retain, LEAST_STEPS) / per_epoch)))

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        self.check(split, run)
        epochs = self.settled(split).epochs
        assert epochs is not None
        mixing = _Mixing(self, model, split, run)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        per_epoch = len(run.paired(forget, retain, self.batch_size, 0, steps=self.steps))
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs * per_epoch)

        def loss(model: nn.Module, pairs: _Pairs, mixed: Tensor | None, lam: float) -> Tensor:
            parts: list[Tensor] = []
            if mixed is not None:
                parts.append(mixed_contrast(model(mixed), *pairs.targets, lam, self.tau_mix, pairs.kept, pairs.level))
            if self.real:
                logits = model(torch.cat([pairs.forget, pairs.retain]))
                losses = sim_loss(logits, torch.cat([pairs.forget_target, pairs.retain_target]))
                forget, retain = losses.split([len(pairs.forget), len(pairs.retain)])
                parts.append(self.omega * contrast(retain, forget.minimum(pairs.level), self.tau_real))
            return torch.stack(parts).sum()

        state: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler, **mixing.state}
        for epoch in run.epochs("mixunlearn", epochs, **state):
            batches = run.paired(forget, retain, self.batch_size, epoch, steps=self.steps)
            prepare = partial(mixing.prepare, model)
            run.fit(model, batches, loss, optimizer, scheduler=scheduler, prepare=prepare)
        run.notes |= mixing.notes
        return model

    def check(self, split: Split, run: Run) -> None:
        """Refuse tasks, inputs and ids that the method cannot use; raises MethodError."""
        check_classification(self, run.task)
        shape = tuple(split.forget.take(torch.arange(1)).x.shape[1:])
        if len(shape) != 3:
            raise MethodError(
                f"expected images (channels height width) for {self.name}, got samples of shape {shape}; "
                "reshape them, or use a method that needs only a loss"
            )
        known = np.concatenate([split.forget.ids, split.kept.ids])
        if len(unknown := np.setdiff1d(np.array(self.unlabelled or (), dtype=str), known)):
            raise MethodError(
                f"expected unlabelled ids of the forget or the retain set, got {shown(unknown)} of neither; "
                "correct the list"
            )


@dataclass(frozen=True)
class _Pairs:
    """What one step works on: images, their targets p(x), and which retain image is mixed with which forget image.

    `features` are those of the forget images and of their partners. Where images are paired by position and there are
    more forget than retain images, the last have no partner.
    """

    forget: Float[Tensor, "f channels height width"]
    retain: Float[Tensor, "r channels height width"]
    forget_target: Float[Tensor, "f classes"]
    retain_target: Float[Tensor, "r classes"]
    level: Float[Tensor, " f"]
    partner: Int[Tensor, " n"]
    features: tuple[Tensor, Tensor]
    kept: Bool[Tensor, " n"] | None

    @property
    def targets(self) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n classes"]]:
        """Those of the forget and of the retain image of each pair."""
        return self.forget_target[: len(self.partner)], self.retain_target[self.partner]

    def mixed(self, mask: Float[Tensor, "n 1 ..."] | float) -> Float[Tensor, "n channels height width"]:
        """Mix as the mask says: 1 is the forget image."""
        return mask * self.forget[: len(self.partner)] + (1 - mask) * self.retain[self.partner]


class _Mixing:
    """Everything beside the model being unlearned: the frozen original f_D, the generator G and its adversary."""

    def __init__(self, method: MixUnlearn, model: nn.Module, split: Split, run: Run) -> None:
        self.method, self.run, self.samples = method, run, split.forget
        self.classes = check_classification(method, run.task).classes
        self.original = copy.deepcopy(model).eval().requires_grad_(False)
        self.labels_suffice = method.labels == "aware" and not method.unlabelled  # then nothing need be predicted
        self.watch: dict[str, Any] = {"steps": 0} | dict.fromkeys((GAP, SPREAD), torch.zeros((), device=run.device))
        x = run.precision.inputs(split.forget.take(torch.arange(min(2, len(split.forget)))).x)
        self.layer, self.likeness = None, None
        if method.generator or method.layer is not None:
            self.layer = feature_layer(self.original, x, name=method.layer)
            side = min(with_features(self.original, x, self.layer)[1].shape[2:])
            self.likeness = feature_layer(self.original, x, least=2 * side)  # deeper ones know the forget set by heart
        self.level = run.once("levels", lambda: {"level": self._levels(split)})["level"]
        self.generates = method.mix and method.generator
        if self.generates:
            assert self.layer is not None
            channels = with_features(self.original, x, self.layer)[1].shape[1]
            with seeded(derive(run.seed, "generator")):
                self.generator = run.precision.prepare(MixBlock(channels))
            self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=method.generator_learning_rate)
            self.adversary = copy.deepcopy(self.original)

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

    def prepare(self, model: nn.Module, forget: Batch, retain: Batch) -> tuple[_Pairs, Tensor | None, float]:
        """Take the generator's step if it is its turn, and mix the pairs for the step of the model, with a new λ."""
        pairs = self._pairs(forget, retain)
        if not self.method.mix:
            return pairs, None, 0.0
        if not self.generates:
            lam = self._lambda()
            return pairs, pairs.mixed(lam), lam
        _follow(self.adversary, model, self.method.adversary_momentum)
        if self.watch["steps"] % self.method.generator_every == 0:
            self.run.step(self.generator, (pairs, self._lambda()), self._generator_loss, self.optimizer)
        lam = self._lambda()
        with torch.no_grad(), self.run.precision.autocast():
            mask = self._mask(self.generator, pairs, lam)
        self.watch["steps"] += 1
        self.watch |= {GAP: self.watch[GAP] + mask.mean() - lam, SPREAD: self.watch[SPREAD] + mask.std()}
        return pairs, pairs.mixed(mask), lam

    def _generator_loss(self, generator: nn.Module, pairs: _Pairs, lam: float) -> Tensor:
        mask = self._mask(generator, pairs, lam)
        value = -mixed_contrast(self.adversary(pairs.mixed(mask)), *pairs.targets, lam, self.method.tau_gen, pairs.kept)
        return value + self.method.mask_penalty * (mask.mean((1, 2, 3)) - lam).square().sum()

    def _mask(self, generator: nn.Module, pairs: _Pairs, lam: float) -> Float[Tensor, "n 1 height width"]:
        return generator(*pairs.features, lam, tuple(pairs.forget.shape[2:]))

    def _lambda(self) -> float:
        return float(torch.distributions.Beta(self.method.alpha, self.method.alpha).sample())

    def _levels(self, split: Split) -> Float[Tensor, " n"]:
        """How far each forget image's target is from what the retained images beside it say; 1 is the most."""
        if self.method.neighbours is None:
            return torch.ones(len(split.forget), device=self.run.device)
        forget, targets = (torch.cat(parts) for parts in zip(*self._looked_at(split.forget), strict=True))
        said = nearest(forget, self._looked_at(split.kept), self.method.neighbours).mean(1)
        return 1 - F.cosine_similarity(said, targets)

    def _looked_at(self, samples: Samples) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n classes"]]]:
        """What all samples are compared by, and their targets, chunk by chunk."""
        for batch in Batches(samples.to(self.run.device), CHUNK):
            maps, logits = self._look(self.run.precision.inputs(batch.x), self.likeness)
            yield direction(maps), self._targets(batch, logits)

    @torch.no_grad()
    def _look(self, x: Tensor, layer: str | None) -> tuple[Tensor, Tensor | None]:
        """What a layer of the original shows of images (without one, the images), and the logits if they are needed."""
        with self.run.precision.autocast():
            if layer is None:
                return x, None if self.labels_suffice else self.original(x)
            if self.labels_suffice:
                return features(self.original, x, layer), None
            logits, found = with_features(self.original, x, layer)
            return found, logits

    def _pairs(self, forget: Batch, retain: Batch) -> _Pairs:
        x, y, ids = torch.cat([forget.x, retain.x]), torch.cat([forget.y, retain.y]), (forget.ids, retain.ids)
        maps, logits = self._look(x, self.layer if self.method.mix else None)
        sizes = [len(forget), len(retain)]
        p, q = self._targets(Batch(x, y, np.concatenate(ids)), logits).split(sizes)
        first, second = maps.split(sizes)
        partner = torch.arange(min(sizes), device=x.device)
        if self.method.mix and self.method.pairing == "nearest":
            partner = (direction(first) @ direction(second).T).argmax(1)
        kept = p[: len(partner)].argmax(1) != q[partner].argmax(1) if self.method.exclude_same_class else None
        level = self.level[self.samples.places(forget.ids).to(x.device)]
        return _Pairs(forget.x, retain.x, p, q, level, partner, (first[: len(partner)], second[partner]), kept)

    def _targets(self, batch: Batch, logits: Tensor | None) -> Float[Tensor, "n classes"]:
        known = F.one_hot(batch.y, self.classes).float()
        if logits is None:
            return known
        predicted = logits.float().softmax(1)
        if self.method.sharpen:
            predicted = sharpen(predicted, self.method.temperature)
        if self.method.labels == "agnostic":
            return predicted
        hidden = np.isin(batch.ids, np.array(self.method.unlabelled or (), dtype=str))
        return torch.where(torch.from_numpy(hidden).to(batch.y.device)[:, None], predicted, known)


@torch.no_grad()
def _follow(copied: nn.Module, model: nn.Module, momentum: float) -> None:
    """Move a copy's weights towards the model's, and take over its buffers."""
    for mine, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1 - momentum)
    for mine, theirs in zip(copied.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
