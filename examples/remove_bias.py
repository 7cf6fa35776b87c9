"""Remove a spurious correlation: forget the samples that taught it, and measure each group of images before and after.

Most training images of one class carry a bright patch in a corner, as if one photographer had taken them all. The model
learns "patch" for "this class": without the patch it finds the class less often, and with the patch it finds the class
where it is not. The request is what a rule finds: every training image of the class whose corner is bright.

    python examples/remove_bias.py --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import obliviate as ob

PATCH = 3  # pixels on a side, in the top left corner


def with_patch(x: Tensor) -> Tensor:
    """Return the images with the patch."""
    x = x.clone()
    x[..., :PATCH, :PATCH] = 1.0
    return x


def has_patch(x: Tensor) -> Tensor:
    """The rule that finds biased images: the corner is bright. It needs no record of which images were changed."""
    return x[..., :PATCH, :PATCH].flatten(1).mean(1) > 0.9


def biased(samples: ob.Samples, label: int, share: float, seed: int) -> ob.Samples:
    """Put the patch on a share of the images of one class; ids stay as they are."""
    batch = samples.everything()
    of_class = (batch.y == label).nonzero().flatten()
    order = torch.randperm(len(of_class), generator=torch.Generator().manual_seed(seed))
    x = batch.x.clone()
    chosen = of_class[order[: round(share * len(of_class))]]
    x[chosen] = with_patch(x[chosen])
    return ob.Samples.from_tensors(x, batch.y, ids=batch.ids)


@dataclass(frozen=True)
class Groups:
    """Accuracy in percent on test images of the class and of the others, each without and with the patch."""

    class_plain: float
    class_patch: float
    others_plain: float
    others_patch: float

    @classmethod
    def of(cls, model: nn.Module, test: ob.Samples, label: int) -> Groups:
        batch = test.everything()
        inside = batch.y == label
        rates = []
        for x in (batch.x, with_patch(batch.x)):
            right = ob.outputs(model, ob.Samples.from_tensors(x, batch.y, ids=batch.ids)).argmax(1) == batch.y
            rates.append([100 * float(right[one].float().mean()) for one in (inside, ~inside)])
        (class_plain, others_plain), (class_patch, others_patch) = rates
        return cls(class_plain, class_patch, others_plain, others_patch)

    @property
    def values(self) -> tuple[float, float, float, float]:
        return self.class_plain, self.class_patch, self.others_plain, self.others_patch

    @property
    def worst(self) -> float:
        return min(self.values)

    @property
    def gap(self) -> float:
        return max(self.values) - min(self.values)


METHODS: tuple[ob.Method, ...] = (ob.AMUN(), ob.MixUnlearn(), ob.NablaTau(), ob.FineTune(), ob.Retrain())


def run(
    seed: int = 0,
    *,
    label: int = 7,
    share: float = 0.6,
    train_size: int | None = None,
    epochs: int = 20,
    methods: Sequence[ob.Method] = METHODS,
) -> dict[str, tuple[Groups, float]]:
    """Train on biased images, forget those that the rule finds, and return groups and processor seconds by model."""
    data = ob.load_data("fashion_mnist_5k", train_size=train_size, seed=seed)
    task, recipe = ob.Classification(classes=data.classes), ob.Recipe(epochs=epochs)
    train = biased(data.train, label, share, seed)

    batch = train.everything()
    request = train.ids[(has_patch(batch.x) & (batch.y == label)).numpy()]
    # nabla_tau brings the loss of the forget set to that of the holdout set: unseen images of the class, unpatched.
    assert data.holdout is not None
    like_them = data.holdout.select(ob.class_ids(data.holdout, label))
    split = ob.Split.of(train, forget=request, holdout=like_them)

    original = ob.train(ob.Experiment(task, recipe, train, seed=seed))
    found = {"original": (Groups.of(original.model, data.test, label), 0.0)}
    for method in methods:
        began = time.process_time()
        made = ob.unlearn(original, split, method, seed=seed).model
        found[method.name] = Groups.of(made, data.test, label), time.process_time() - began
    # The same images without the patch: out of reach.
    fair = ob.train(ob.Experiment(task, recipe, data.train, seed=seed)).model
    return found | {"never biased": (Groups.of(fair, data.test, label), 0.0)}


def table(runs: Sequence[dict[str, tuple[Groups, float]]]) -> str:
    """Lay the runs out as rows of Markdown: mean (least–greatest)."""

    def cell(values: list[float]) -> str:
        return f"{statistics.mean(values):.1f} ({min(values):.1f}–{max(values):.1f})"

    columns = ("class", "class + patch", "others", "others + patch", "worst group", "gap")
    lines = ["| model | " + " | ".join(columns) + " | cost |", "| --- " * (len(columns) + 2) + "|"]
    for name in runs[0]:
        rows = [(*one[name][0].values, one[name][0].worst, one[name][0].gap) for one in runs]
        costs = [100 * one[name][1] / one["retrain"][1] for one in runs if one[name][1]]
        cells = [cell([row[column] for row in rows]) for column in range(len(columns))]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{statistics.mean(costs):.0f} %" if costs else ""]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--label", type=int, default=7, help="the class that carries the patch; 7 is sneakers")
    parser.add_argument("--share", type=float, default=0.6, help="of the class that carries it")
    chosen = parser.parse_args()
    started = time.monotonic()
    runs = [run(int(seed), label=chosen.label, share=chosen.share) for seed in chosen.seeds.split(",")]
    print(table(runs))
    print(f"\n{len(runs)} seeds, {time.monotonic() - started:.0f} seconds")


if __name__ == "__main__":
    main()
