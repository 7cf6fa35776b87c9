"""AMUN: fine-tune on the closest adversarial examples of the forget samples.

Ebrahimpour-Boroojeny, Sundaram, Chandrasekaran, "Not All Wrong is Bad: Using Adversarial Examples for Unlearning",
ICML 2025, arXiv 2503.00917.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate.adversarial.closest import SEARCHES, SearchName, initial_radius
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import WhenNone, check_inside, check_positive, check_schedule, input_space
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.training.saliency import saliency_mask
from obliviate.training.update import Update
from obliviate.types import Batch

WITH_RETAIN: Final = {"epochs": "20%", "learning_rate": "0.75x", "saliency": 1.0}
WITHOUT_RETAIN: Final = {"epochs": "25%", "learning_rate": "0.4x", "batch_size": 32, "saliency": 0.2}
TEXTS: Final = {"epochs": "35%", "learning_rate": "1.25x", "saliency": 1.0}
TEXTS_WITHOUT_RETAIN: Final = {"epochs": "60%", "learning_rate": "0.85x", "batch_size": 32, "saliency": 1.0}
"""Defaults, chosen on the tuning grounds of `benchmarks/grounds.py` (docs/methods/README.md).

Those of texts are longer and faster: most embeddings get few gradients.
"""

FIRST_STEP: Final = 0.005  # of `fgsm`, as a share of the input range; it doubles until the prediction flips
SUFFIX: Final = "/adversarial"  # what the id of an adversarial example adds to that of its sample


@dataclass(frozen=True, kw_only=True)
class AMUN:
    """Fine-tune on the closest adversarial examples of the forget samples, labelled as the model mispredicts them.

    What is None depends on whether the retain set is there, and on whether inputs are tokens, see `WITH_RETAIN`,
    `WITHOUT_RETAIN`, `TEXTS` and `TEXTS_WITHOUT_RETAIN`, or is the recipe's.
    `keep_forget` trains on D_F with its true labels as well, as the paper does unless D_F is very large.
    `saliency` = r is AMUN + SalUn: only the top share r of the weights, by gradient on D_F, may change; 1 is all.
    `examples` are adversarial examples found before: on another model (transferred), or on the first model of a
    sequence of requests (re-use); None searches on the model at hand (AMUN-A when the model was unlearned before).
    `radius` is the first ε of `pgd` (None chooses it by the 95 % rule) or the first step of `fgsm` in L∞.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], AMUN(learning_rate="0.1x")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "amun"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Ebrahimpour-Boroojeny et al., ICML 2025, arXiv 2503.00917"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    when_none: ClassVar[WhenNone] = {
        "with retain": WITH_RETAIN,
        "without retain": WITHOUT_RETAIN,
        "on texts": TEXTS,
        "on texts without retain": TEXTS_WITHOUT_RETAIN,
    }

    epochs: Length | None = None
    learning_rate: Rate | None = None
    batch_size: BatchSize = None
    saliency: float | None = None
    optimizer: OptimizerName = "recipe"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    keep_forget: bool = False
    search: SearchName = "boundary"
    radius: float | None = None
    examples: Samples | None = None

    @classmethod
    def paper(cls, **settings: Any) -> AMUN:
        """The settings of the paper and its authors' code; the paper searches the learning rate in 1e-6 … 1e-1.

        >>> AMUN.paper(learning_rate=0.03).batch_size
        128
        """
        published: dict[str, Any] = {"epochs": 10, "optimizer": "sgd", "learning_rate": 0.01, "batch_size": 128}
        published |= {"momentum": 0.9, "weight_decay": 5e-4, "schedule": "step_tenths"}
        published |= {"saliency": 1.0, "keep_forget": True, "search": "pgd"}
        return cls(**(published | settings))

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, *(name for name in ("saliency", "radius") if getattr(self, name) is not None))
        if self.saliency is not None and self.saliency > 1:
            raise MethodError(f"expected saliency in (0, 1], got {self.saliency}; 1 lets every weight change")
        if self.search not in SEARCHES:
            raise MethodError(f"expected a search of {', '.join(SEARCHES)}, got {self.search!r}; name one of them")
        check_schedule(self)

    def settled(self, split: Split) -> AMUN:
        """Fill in the hyperparameters that are None."""
        texts = not split.forget.take(torch.arange(1)).x.is_floating_point()
        cases = (TEXTS, TEXTS_WITHOUT_RETAIN) if texts else (WITH_RETAIN, WITHOUT_RETAIN)
        defaults = cases[split.retain is None]
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        me = self.settled(split)
        epochs, size = whole(me, "epochs", "batch_size")
        assert me.saliency is not None
        if self.examples is None:
            examples = adversarial_examples(model, split.forget, run, search=self.search, radius=self.radius)
        else:
            examples = _chosen(self.examples, split.forget)
        space = run.place(input_space(self, run.task, model))
        parents = split.forget.select([str(name).removesuffix(SUFFIX) for name in examples.ids])
        parts = [run.place(space.anchored_at(examples, parents))]
        if self.keep_forget:
            parts.append(space.anchored(run.augmented(split.forget)))
        if split.retain is not None:
            parts.append(space.anchored(run.augmented(split.retain)))
        data = parts[0].joined(*parts[1:])

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            return run.task.loss(model, replace(batch, x=space.live(model, batch.x)))

        mask = None
        if (share := me.saliency) < 1:
            mask = run.once("saliency", lambda: saliency_mask(model, split.forget, run.task, share=share))
        optimizer = run.optimizer(model, me)
        steps = epochs * len(run.batches(data, size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("amun", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.batches(data, size, epoch)
            run.fit(model, batches, loss, optimizer, scheduler=scheduler, update=Update(mask=mask))
        return model


def adversarial_examples(
    model: nn.Module, samples: Samples, run: Run, *, search: SearchName = "boundary", radius: float | None = None
) -> Samples:
    """Build D_A: the closest adversarial example of every sample, with the model's misprediction as its label.

    The ids are those of the samples with "/adversarial" added. A sample that the model already mispredicts stands
    for itself. Of texts it is the embeddings that are perturbed, and of tables the columns that may be.
    Raises MethodError when the task has no continuous inputs, or when no example was found.

    >>> from obliviate.task import Classification
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Linear(4, 2)
    >>> x = torch.rand(3, 4)
    >>> samples = Samples.from_tensors(x, model(x).argmax(1), ids=["a", "b", "c"])
    >>> adversarial_examples(model, samples, Run(Classification(classes=2), device="cpu")).ids.tolist()
    ['a/adversarial', 'b/adversarial', 'c/adversarial']
    """
    space = run.place(input_space(AMUN, run.task, model))

    def make() -> dict[str, Tensor]:
        batch = run.place(space.lifted(samples).everything())
        check_inside(space, batch.x)
        options: dict[str, Any] = {}
        if search == "pgd":
            options["radius"] = radius or initial_radius(model, batch.x, batch.y, space)
        elif search == "fgsm":  # a length in L∞, not the radius of the 95 % rule
            options["radius"] = radius or FIRST_STEP * space.width
        examples = SEARCHES[search](
            model,
            batch.x,
            batch.y,
            space,
            progress=lambda done, total: run.progress("search", done, total),
            **options,
        )
        return {
            "x": examples.x,
            "y": examples.y,
            "success": examples.success,
            "distance": examples.distance,
            "spent": examples.gradients,
        }

    with evaluating(model):
        searched = run.once("adversarial", make)
    flipped = searched["success"].cpu()
    if not bool(flipped.any()):
        raise MethodError(
            f"expected adversarial examples of {len(samples)} samples, got none; "
            "the model's prediction does not depend on its input: check the model"
        )
    run.notes |= {
        "adversarial_found": float(flipped.float().mean()),
        "adversarial_median_l2": float(searched["distance"].cpu()[flipped].median()),
        "gradients_per_sample": float(searched["spent"].float().mean()),
    }
    ids = [f"{name}{SUFFIX}" for name in samples.ids[flipped.numpy()]]
    return Samples.from_tensors(searched["x"].cpu()[flipped], searched["y"].cpu()[flipped], ids=ids)


def _chosen(examples: Samples, forget: Samples) -> Samples:
    """Pick the forget samples' examples out of a larger set, and make sure that none carries the true label."""
    chosen = examples.select([f"{name}{SUFFIX}" for name in forget.ids])
    same = chosen.everything().y.cpu() == forget.everything().y.cpu()
    if bool(same.any()):
        raise MethodError(
            f"expected adversarial examples labelled by mispredictions, got the true label for {int(same.sum())} of "
            f"{len(forget)}; make them with `adversarial_examples`"
        )
    return chosen
