"""The tables of MixUnlearn on the embedded data: classes, parts of classes, and samples whose labels are wrong.

    python benchmarks/mixunlearn.py [--methods laf,scrub] [--out runs/tables]

1. class level: classes 3 and 7, each forgotten by models of three seeds, with the ablations of the method;
2. data level: 40 % of the samples of classes 5 to 9 (forget seed 2001);
3. noisy labels: 60 % of the labels of classes 0 to 4 are replaced by random wrong ones, the original is trained on
   these data, and the samples with wrong labels are forgotten.

Each beside three retrained models; `--methods` names others to stand beside it at class level, with their defaults.
The cost is processor time as a share of one retraining's, the yardstick taken anew beside every run. Rows are appended
to `<out>/mixunlearn.jsonl` as they end, so the command can be interrupted; they are made again where a method's
settings have changed. Takes about eight minutes of one core. Writes `benchmarks/results/mixunlearn.json` and the
tables of `docs/methods/mixunlearn.md`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from common import cell, insert, mean, provenance, save, table
from ground import FORGET_SEED, MODEL_SEEDS, RETRAINED, Bench, Log, Rows, accuracy, asr, compare
from torch import nn

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.data.stores import TensorStore
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.methods.base import Method
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.task import Classification
from obliviate.training.recipe import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "methods" / "mixunlearn.md"
CLASSES: Final = (3, 7)
PART, PART_OF = 0.4, range(5, 10)
NOISE, NOISY = 0.6, range(5)

# What the paper says of the same comparison, for retained classes on CIFAR-10 at class level.
PAPER: Final = {
    "label-aware": "87.1, retrained 86.8",
    "label-agnostic": "86.3, retrained 86.8",
    "without L_real": "29",
}


def variants(split: Split) -> dict[str, Method]:
    """The method and its ablations."""
    everybody = np.concatenate([split.forget.ids, split.kept.ids])
    hidden = np.random.default_rng(derive(FORGET_SEED, "unlabelled")).permutation(everybody)[: len(everybody) // 2]
    return {
        "label-aware": MixUnlearn(),
        "label-agnostic": MixUnlearn(labels="agnostic"),
        "half of the labels unknown": MixUnlearn(unlabelled=tuple(hidden.tolist())),
        "agnostic, not sharpened": MixUnlearn(labels="agnostic", sharpen=False),
        "without L_mix": MixUnlearn(mix=False),
        "without L_real": MixUnlearn(real=False),
        "vanilla mixup (no generator)": MixUnlearn(generator=False, layer="conv2"),
        "paired by position": MixUnlearn(pairing="position"),
        "without levels": MixUnlearn(neighbours=None),
        "neither, as published": MixUnlearn(neighbours=None, pairing="position"),
        "no pairs of one class": MixUnlearn(exclude_same_class=True),
    }


def labels(samples: Samples) -> np.ndarray:
    return samples.everything().y.numpy()


def part(samples: Samples, chosen: np.ndarray) -> Samples:
    return samples.select(samples.ids[chosen])


def share_of_classes(train: Samples, classes: Sequence[int], share: float, purpose: str) -> np.ndarray:
    """Ids of so many samples of each of the classes."""
    y, random = labels(train), np.random.default_rng(derive(FORGET_SEED, purpose))
    drawn = [random.permutation(np.flatnonzero(y == one)) for one in classes]
    return train.ids[np.sort(np.concatenate([one[: round(share * len(one))] for one in drawn]))]


def mislabelled(train: Samples, ids: np.ndarray) -> Samples:
    """The same samples, those of the ids with a random wrong label."""
    batch, random = train.everything(), np.random.default_rng(derive(FORGET_SEED, "wrong"))
    y, places = batch.y.clone(), train.places(ids)
    y[places] = (y[places] + torch.from_numpy(random.integers(1, 10, len(ids)))) % 10
    return Samples(TensorStore(batch.x, y), train.ids, torch.arange(len(train)))


class Tables:
    """The rows of every setting; `rows[setting][name]` are those of one model after another."""

    def __init__(self, folder: Path, data: sources.Data) -> None:
        self.folder, self.data, self.log = folder, data, Log(folder / "mixunlearn.jsonl")
        self.bench = Bench(recipe=Recipe(), task=Classification(classes=10), train=data.train)
        self.rows: dict[str, dict[str, Rows]] = {}

    def setting(
        self,
        name: str,
        split: Split,
        methods: Mapping[str, Method],
        figures: Callable[[nn.Module], Mapping[str, float]],
        originals: Mapping[int, Callable[[], nn.Module]] | None = None,
    ) -> None:
        """Fill the rows of one setting."""
        originals = originals or self.originals(self.data.train, "clean")
        self.rows[name] = compare(self.bench, self.log, [name], split, originals, methods, figures)

    def originals(self, train: Samples, what: str) -> dict[int, Callable[[], nn.Module]]:
        return {seed: partial(original, self.bench, self.folder / "models", train, what, seed) for seed in MODEL_SEEDS}

    def class_level(self, others: Mapping[str, Method]) -> None:
        train, test = self.data.train, self.data.test
        for one in CLASSES:
            split = Split.of(train, forget=train.ids[labels(train) == one], holdout=self.data.holdout)
            forgotten, rest = part(test, labels(test) == one), part(test, labels(test) != one)

            def figures(model: nn.Module) -> dict[str, float]:
                known = {"forgotten": accuracy(model, forgotten), "rest": accuracy(model, rest)}  # noqa: B023
                return {**known, **asr(model, split, test)}  # noqa: B023

            # There are no pairs of one class, and levels are at their most.
            alike = ("no pairs of one class", "without levels", "neither, as published")
            methods = {name: method for name, method in variants(split).items() if name not in alike}
            self.setting(f"class {one}", split, {**methods, **others}, figures)

    def data_level(self) -> None:
        train, test = self.data.train, self.data.test
        ids = share_of_classes(train, PART_OF, PART, "part")
        split = Split.of(train, forget=ids, holdout=self.data.holdout)

        def figures(model: nn.Module) -> dict[str, float]:
            known = {"forget": accuracy(model, split.forget), "test": accuracy(model, test)}
            return {**known, **asr(model, split, test)}

        chosen = [name for name in variants(split) if not name.startswith(("agnostic", "half"))]
        self.setting("data level", split, {name: variants(split)[name] for name in chosen}, figures)

    def noisy(self) -> None:
        ids = share_of_classes(self.data.train, NOISY, NOISE, "noise")
        train = mislabelled(self.data.train, ids)
        split = Split.of(train, forget=ids, holdout=self.data.holdout)

        def figures(model: nn.Module) -> dict[str, float]:
            return {"forget": accuracy(model, split.forget), "test": accuracy(model, self.data.test)}

        chosen = ("label-aware", "label-agnostic", "without L_mix", "without levels")
        methods = {name: variants(split)[name] for name in chosen}
        self.setting("noisy labels", split, methods, figures, self.originals(train, "noisy"))

    def cost(self, label: str, *settings: str) -> str:
        """The median share of a retraining's processor time, in percent: on a busy machine single runs look dear."""
        if label in ("original", "retrained"):
            return ""
        shares = [row["share_of_retraining"] for one in settings for row in self.rows[one][label]]
        return f"{statistics.median(shares):.1f}"

    def of_classes(self, label: str) -> Rows:
        return [row for one in CLASSES for row in self.rows[f"class {one}"][label]]

    def verdict(self, label: str) -> dict[str, bool]:
        """The targets at class level, for both classes together."""
        names = [f"class {one}" for one in CLASSES]
        return {
            "forgotten class at most 1 %": mean(self.of_classes(label), "forgotten") <= 1.0,
            "other classes within 1 point of retraining": all(
                abs(mean(self.rows[one][label], "rest") - mean(self.rows[one]["retrained"], "rest")) <= 1.0
                for one in names
            ),
            "ASR within the range of the retrained": all(
                min(reached) <= mean(self.rows[one][label], "asr") <= max(reached)
                for one in names
                for reached in ([row["asr"] for row in self.rows[one]["retrained"]],)
            ),
        }

    def gained(self, label: str) -> float:
        """Gain of test accuracy on noisy labels, as a share of what retraining gains."""
        rows = self.rows["noisy labels"]
        before = mean(rows["original"], "test")
        return (mean(rows[label], "test") - before) / (mean(rows["retrained"], "test") - before)

    def show(self) -> dict[str, str]:
        """The tables in markdown."""
        yes = {True: "yes", False: "**no**"}
        tables: dict[str, str] = {}
        lines = []
        for label in self.rows[f"class {CLASSES[0]}"]:
            cells = [
                cell(self.rows[f"class {one}"][label], name) for one in CLASSES for name in ("forgotten", "rest", "asr")
            ]
            reached = ""
            if label not in ("original", "retrained"):
                reached = " / ".join(yes[met] for met in self.verdict(label).values())
            lines.append(
                [label, *cells, self.cost(label, *(f"class {one}" for one in CLASSES)), reached, PAPER.get(label, "")]
            )
        heads = [f"class {one}: {name}" for one in CLASSES for name in ("forgotten", "others", "ASR")]
        tables["class level"] = table(["", *heads, "cost, %", "targets met", "paper: others"], lines)
        rows = self.rows["data level"]
        tables["data level"] = table(
            ["", "forget set", "test", "ASR", "cost, %"],
            [
                [label, *(cell(some, name) for name in ("forget", "test", "asr")), self.cost(label, "data level")]
                for label, some in rows.items()
            ],
        )
        rows = self.rows["noisy labels"]
        tables["noisy labels"] = table(
            ["", "forget set, as labelled", "test", "share of retraining's gain", "cost, %"],
            [
                [
                    label,
                    cell(some, "forget"),
                    cell(some, "test"),
                    f"{100 * self.gained(label):.0f} %".replace("-", "−"),
                    self.cost(label, "noisy labels"),
                ]
                for label, some in rows.items()
            ],
        )
        return tables


def original(bench: Bench, folder: Path, train: Samples, what: str, seed: int) -> nn.Module:
    """The model trained on all samples from this seed."""
    path = folder / f"{what}-{seed}-{bench.recipe.fingerprint}-{train.sha256[:8]}.safetensors"
    return bench.kept(path, train, lambda: workflow.train(Experiment(bench.task, bench.recipe, train, seed=seed))).model


def main() -> None:
    """Compute what is missing, print the tables and put them where they belong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="", help="other methods at class level, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    arguments = parser.parse_args()

    tables = Tables(arguments.out, sources.embedded())
    others = {name: registry()[name]() for name in arguments.methods.split(",") if name}
    tables.class_level(others)
    tables.data_level()
    tables.noisy()
    for name, text in tables.show().items():
        print(f"\n{name}\n\n{text}")
        insert(PAGE, name, text)
    command = "python benchmarks/mixunlearn.py" + (f" --methods {arguments.methods}" if others else "")
    content = {
        "model_seeds": MODEL_SEEDS,
        "forget_seed": FORGET_SEED,
        "retrained": RETRAINED,
        "targets": {name: tables.verdict(name) for name in ("label-aware", "label-agnostic")},
        "share_of_the_gain_with_noisy_labels": {
            name: tables.gained(name) for name in tables.rows["noisy labels"] if name not in ("original", "retrained")
        },
        "settings": tables.rows,
    }
    print(save("mixunlearn", {**provenance(command), **content}))


if __name__ == "__main__":
    main()
