"""LAF: unlearn at the level of representations, without labels.

Shen et al., "Label-Agnostic Forgetting: A Supervision-Free Unlearning in Deep Models", ICLR 2024, arXiv 2404.00506.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from obliviate._util.modes import training_only
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import WhenNone, check_classification, check_positive, check_schedule, needs_less
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.models.vae import VAE, elbo_loss
from obliviate.training.features import head_layer, representation
from obliviate.training.mixup_losses import contrast
from obliviate.training.optimizers import Adam
from obliviate.training.randomness import seeded
from obliviate.training.run import Run
from obliviate.training.saved_state import Stateful
from obliviate.types import Batch

Labels = Literal["aware", "agnostic"]

LEAST_STEPS: Final = 12


@dataclass(frozen=True, kw_only=True)
class LAF:
    """Move the forget set's representations off their distribution, and hold the retain set's where they were.

    Two VAEs learn how the original represents the retain set and the forget set. `labels="agnostic"` reads no label
    and leaves the classifier alone; "aware" (LAF+R) trains the classifier on the retain set afterwards. `epochs` None
    is as many as take a third of a pass over the retain set, and no fewer than `LEAST_STEPS` steps. `layer` names the
    classifier, whose input is the representation; None chooses it (see `training.features.head_layer`).

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], LAF(labels="agnostic")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "laf"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Shen et al., ICLR 2024, arXiv 2404.00506"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    when_none: ClassVar[WhenNone] = {
        "always": {"epochs": f"a third of a pass over the retain set, no fewer than {LEAST_STEPS} steps"}
    }

    epochs: Length | None = None
    optimizer: OptimizerName = "adam"
    learning_rate: Rate = 3e-5
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 0.0
    align_learning_rate: Rate = 4e-3
    batch_size: BatchSize = 64
    schedule: str = "cosine"
    labels: Labels = "aware"
    tau: float = 1.2
    latent: int = 8
    vae_epochs: int = 2
    vae_learning_rate: float = 1e-3
    beta: float = 0.025
    repair_epochs: Length = 1
    repair_learning_rate: Rate = 1e-3
    layer: str | None = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "tau", "latent", "vae_epochs", "vae_learning_rate", "beta")
        check_schedule(self)
        if self.labels not in get_args(Labels):
            raise MethodError(
                f"expected labels of {', '.join(get_args(Labels))}, got {self.labels!r}; "
                f"correct the setting of {self.name}"
            )
        if self.labels == "agnostic":
            needs_less(self, "labels")

    def settled(self, split: Split) -> LAF:
        """Fill in the number of epochs if it is None."""
        if self.epochs is not None:
            return self
        (size,) = whole(self, "batch_size")
        forget, retain = (math.ceil(len(samples) / size) for samples in (split.forget, split.kept))
        return replace(self, epochs=math.ceil(max(retain / 3, LEAST_STEPS) / forget))

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        check_classification(self, run.task)
        epochs, size = whole(self.settled(split), "epochs", "batch_size")
        original = copy.deepcopy(model).eval().requires_grad_(False)
        first = split.forget.take(torch.arange(min(2, len(split.forget))))
        head = head_layer(original, run.place(first).x, name=self.layer)
        of_forget = self._vae("forget", split.forget, original, head, run)
        of_retain = self._vae("retain", split.kept, original, head, run)

        def unlearning(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            near, apart = representation(model, retain.x, head), representation(model, forget.x, head)
            return misfit(of_retain(near)[0].float(), near).sum() - misfit(of_forget(apart)[0].float(), apart).sum()

        def alignment(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            x, sizes = torch.cat([forget.x, retain.x]), [len(forget), len(retain)]
            with torch.no_grad():
                before = representation(original, x, head)
            moved = 1 - F.cosine_similarity(representation(model, x, head), before, dim=1)
            apart, near = moved.split(sizes)
            return contrast(near, apart, self.tau)

        unlearner = run.optimizer(model, self)
        aligner = run.optimizer(model, self, learning_rate=self.align_learning_rate)
        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        steps = epochs * len(run.paired(forget, retain, size, 0))
        falling, scheduler = (run.schedule(self.schedule, optimizer, steps=steps) for optimizer in (unlearner, aligner))

        def first_unlearn(forget: Batch, retain: Batch) -> tuple[Batch, Batch]:
            run.step(model, (forget, retain), unlearning, unlearner)
            falling.step()
            return forget, retain

        state: dict[str, Stateful] = {"model": model, "unlearner": unlearner, "aligner": aligner}
        for epoch in run.epochs("laf", epochs, **state, falling=falling, scheduler=scheduler):
            batches = run.paired(forget, retain, size, epoch)
            run.fit(model, batches, alignment, aligner, scheduler=scheduler, training=False, prepare=first_unlearn)
        return self._repaired(model, head, retain, run) if self.labels == "aware" else model

    def _vae(self, name: str, samples: Samples, original: nn.Module, head: str, run: Run) -> nn.Module:
        def make() -> dict[str, Tensor]:
            with torch.no_grad(), run.precision.autocast():
                parts = [representation(original, run.place(batch).x, head) for batch in run.in_order(samples)]
            return {"representations": torch.cat(parts)}

        x = run.once(f"laf_{name}", make)["representations"]
        rows = Samples.from_tensors(x, torch.zeros(len(x), device=x.device), ids=samples.ids)
        with seeded(derive(run.seed, "vae", name)):
            vae = run.place(VAE(x.shape[1], latent=self.latent))
        optimizer = run.optimizer(vae, Adam(learning_rate=self.vae_learning_rate))

        def loss(vae: nn.Module, batch: Batch) -> Tensor:
            return elbo_loss(vae, batch.x, beta=self.beta)

        (size,) = whole(self, "batch_size")
        for epoch in run.epochs(f"laf_vae_{name}", self.vae_epochs, vae=vae, optimizer=optimizer):
            run.fit(vae, run.batches(rows, size, epoch), loss, optimizer)
        return vae.eval().requires_grad_(False)

    def _repaired(self, model: nn.Module, head: str, retain: Samples, run: Run) -> nn.Module:
        classifier = model.get_submodule(head)
        optimizer = run.optimizer(classifier, self, learning_rate=self.repair_learning_rate)
        epochs, size = whole(self, "repair_epochs", "batch_size")
        with training_only(model, classifier):
            for epoch in run.epochs("laf_repair", epochs, model=model, optimizer=optimizer):
                batches = run.batches(retain, size, epoch)
                run.fit(model, batches, run.task.loss, optimizer, training=False)
        return model


def misfit(reconstruction: Float[Tensor, "n features"], e: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
    """Return exp(d / (d + 1)) with d = ‖ê − e‖², in [1, e): how far a representation is from what its VAE gives back.

    >>> misfit(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    tensor([1.0000, 1.6487])
    """
    distance = (reconstruction - e).square().sum(1)
    return (distance / (distance + 1)).exp()
