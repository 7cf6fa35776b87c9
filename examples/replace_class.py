"""Replace an outdated class: forget what a label meant, then learn what it means now from a few samples.

A model knows nine kinds of clothing. Label 8 was for bags, which are no longer sold; from now on it is for ankle boots,
of which there are a few labelled images. A model that only goes on training calls the boots by their label soon enough,
and still calls bags by it too. Forgetting the bags, before that or in the same run, should leave less of that residue.

    python examples/replace_class.py --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

import obliviate as ob

SLOT = 8  # the label that changes its meaning: bags so far …
NEW = 9  # … ankle boots from now on, which the shipped data have under label 9


def with_random_labels(samples: ob.Samples, label: int) -> ob.Samples:
    """Give all samples one label; ids stay as they are."""
    batch = samples.everything()
    return ob.Samples.from_tensors(batch.x, torch.full_like(batch.y, label), ids=batch.ids)


def of_class(samples: ob.Samples, label: int) -> ob.Samples:
    return samples.select(ob.class_ids(samples, label))


@dataclass(frozen=True)
class Meaning:
    """Percent of test images: of the new meaning and of the others that are called right, of the old still SLOT."""

    new: float
    others: float
    residue: float

    @classmethod
    def of(cls, model: nn.Module, test: ob.Samples) -> Meaning:
        batch = test.everything()
        called = ob.outputs(model, test).argmax(1)
        old, new = batch.y == SLOT, batch.y == NEW
        others = ~(old | new)
        right = [called[new] == SLOT, called[others] == batch.y[others], called[old] == SLOT]
        return cls(*(100 * float(one.float().mean()) for one in right))


FORGETTING: tuple[ob.Method, ...] = (ob.AMUN(), ob.MixUnlearn(), ob.NablaTau(tau="log_classes"))

PLAIN: ob.Method = ob.FineTune()  # learns the retained samples, and never looks at what is to be forgotten


def run(
    seed: int = 0,
    *,
    few: int = 50,
    train_size: int | None = None,
    epochs: int = 20,
    methods: Sequence[ob.Method] = FORGETTING,
) -> dict[str, tuple[Meaning, float]]:
    """Train on the old meaning, replace it in several ways, and return meanings and processor seconds by way."""
    data = ob.load_data("fashion_mnist_5k", train_size=train_size, seed=seed)
    task, recipe = ob.Classification(classes=NEW), ob.Recipe(epochs=epochs, model_options={"classes": NEW})
    train = data.train.without(ob.class_ids(data.train, NEW))
    boots = of_class(data.train, NEW)
    chosen = torch.randperm(len(boots), generator=torch.Generator().manual_seed(seed))[:few].sort().values
    boots = with_random_labels(boots.select(boots.ids[chosen.numpy()]), SLOT)

    assert data.holdout is not None  # nabla_tau asks for one, though its τ is that of a model that knows nothing
    unseen = data.holdout.without(ob.class_ids(data.holdout, NEW))
    old = ob.Split.of(train, forget=ob.class_ids(train, SLOT), holdout=unseen)
    now = replace(old, retain=old.kept.joined(boots))  # what the label means from now on

    original = ob.train(ob.Experiment(task, recipe, train, seed=seed))
    found = {"original": (Meaning.of(original.model, data.test), 0.0)}

    def way(name: str, *steps: tuple[ob.Split, ob.Method]) -> None:
        model, began = original, time.process_time()
        for split, method in steps:
            model = ob.unlearn(model, split, method, seed=seed)
        found[name] = Meaning.of(model.model, data.test), time.process_time() - began

    way("learn the new", (now, PLAIN))
    for method in methods:
        way(f"{method.name}: forget", (old, method))
        way(f"{method.name}: forget, then learn", (old, method), (now, PLAIN))
        way(f"{method.name}: forget and learn at once", (now, method))  # the new samples are among the retained
    way("retrain on what holds now", (now, ob.Retrain()))
    return found


def table(runs: Sequence[dict[str, tuple[Meaning, float]]]) -> str:
    """Lay the runs out as rows of Markdown: mean (least–greatest)."""

    def cell(values: list[float]) -> str:
        return f"{statistics.mean(values):.1f} ({min(values):.1f}–{max(values):.1f})"

    lines = ["| way | new meaning | other classes | residue of the old | cost |", "| --- | --- | --- | --- | --- |"]
    for name in runs[0]:
        found = [one[name][0] for one in runs]
        cells = [cell([getattr(one, part) for one in found]) for part in ("new", "others", "residue")]
        cost = statistics.mean(100 * one[name][1] / one["retrain on what holds now"][1] for one in runs)
        lines.append(f"| {name} | " + " | ".join(cells) + (f" | {cost:.0f} % |" if cost else " |  |"))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--few", type=int, default=50, help="labelled images of the new meaning")
    chosen = parser.parse_args()
    started = time.monotonic()
    runs = [run(int(seed), few=chosen.few) for seed in chosen.seeds.split(",")]
    print(table(runs))
    print(f"\n{len(runs)} seeds, {time.monotonic() - started:.0f} seconds")


if __name__ == "__main__":
    main()
