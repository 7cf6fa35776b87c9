"""What the tables of MixUnlearn and ∇τ share: models and rows that are kept, and the figures of one model."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from obliviate import workflow
from obliviate.attacks.membership import boosted_trees, logistic
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.base import Method, settle
from obliviate.metrics.intervals import Interval, balanced_accuracy
from obliviate.task import Classification
from obliviate.training import checkpoint
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe

MODEL_SEEDS: Final = (0, 1, 2)
FORGET_SEED: Final = 2001
RETRAINED: Final = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """A folder of models and rows; what is there is not made again, so that every command can be interrupted.

    Times are process CPU time of one thread.
    """

    folder: Path
    test: Samples
    task: Classification = dataclasses.field(default_factory=lambda: Classification(classes=10))
    recipe: Recipe = dataclasses.field(default_factory=Recipe)

    def original(self, train: Samples, seed: int, *, what: str = "clean") -> nn.Module:
        """The model trained on all samples from this seed."""
        path = self.folder / "models" / f"{what}-{seed}-{self.recipe.fingerprint}-{train.sha256[:8]}.safetensors"
        model = self.recipe.build(seed=0)
        if path.exists():
            checkpoint.load(path, model)
            return model.eval()
        made = workflow.train(self.recipe, train, self.task, seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(
            path,
            made.model,
            role="original",
            method=made.method,
            seed=seed,
            recipe=self.recipe.to_dict(),
            data_sha256=train.sha256,
            ids=train.ids.tolist(),
            settings={},
            seconds=made.seconds or 0.0,
        )
        return made.model

    def row(self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The row of this key; made and appended to `rows.jsonl` if it is not there."""
        path = self.folder / "rows.jsonl"
        wanted = json.loads(json.dumps(dict(key)))
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        for one in map(json.loads, lines):
            if one["key"] == wanted:
                return one
        made = {"key": wanted, **make()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made) + "\n")
        print(json.dumps(made), flush=True)
        return made

    def unlearned(
        self,
        original: Callable[[], nn.Module],
        split: Split,
        method: Method,
        figures: Callable[[nn.Module], Mapping[str, float]],
        *,
        seed: int,
        key: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The figures of one unlearning (or retraining) and its CPU seconds."""
        settled = settle(method, split)
        named = dataclasses.replace(settled, unlabelled=None) if getattr(settled, "unlabelled", None) else settled  # pyright: ignore

        def make() -> dict[str, Any]:
            model = original()
            began = time.process_time()
            made = workflow.unlearn(model, split, method, self.task, recipe=self.recipe, seed=seed)
            seconds = time.process_time() - began
            return {"cpu_seconds": seconds, **figures(made.model)}

        # Thousands of ids stand in no key: the rest of it says which they are.
        return self.row({**key, "method": repr(named), "seed": seed, "sha256": split.forget.sha256[:8]}, make)

    def logits(self, model: nn.Module, samples: Samples) -> Float[np.ndarray, "n classes"]:
        return outputs(model, samples).numpy()

    def asr(self, model: nn.Module, split: Split, test: Samples) -> Interval:
        """The success rate of boosted trees in percent, with its 95 % interval."""
        parts = (boosted_trees.sorted_softmax(self.logits(model, one)) for one in (split.forget, split.kept, test))
        return percent(balanced_accuracy(*boosted_trees.success(*parts)))

    def mia(self, model: nn.Module, split: Split, test: Samples) -> dict[str, Interval]:
        """MIA_L and MIA_E in percent, with their 95 % intervals."""
        logits = np.concatenate([self.logits(model, one) for one in (split.forget, test)])
        members = np.arange(len(logits)) < len(split.forget)
        features = {"mia_l": logistic.loss(logits, labels(split.forget, test)), "mia_e": logistic.entropy(logits)}
        found = {name: logistic.scores(one, members) for name, one in features.items()}
        return {name: percent(balanced_accuracy(one[members], one[~members])) for name, one in found.items()}

    def accuracy(self, model: nn.Module, samples: Samples) -> float:
        """In percent."""
        return 100 * float((self.logits(model, samples).argmax(1) == labels(samples)).mean())


def labels(*parts: Samples) -> np.ndarray:
    return np.concatenate([one.everything().y.numpy() for one in parts])


def flat(found: Mapping[str, Interval]) -> dict[str, float]:
    """Each interval's value under its name, and its limits beside it."""
    return {
        name + suffix: value
        for name, one in found.items()
        for suffix, value in (("", one.value), ("_low", one.low), ("_high", one.high))
    }


def percent(one: Interval) -> Interval:
    return Interval(100 * one.value, 100 * one.low, 100 * one.high)


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def cost(rows: Sequence[Mapping[str, Any]], retrained: Sequence[Mapping[str, Any]]) -> float:
    """Median CPU time as a share of the median of retraining: a busy machine makes single runs look dear."""
    return float(np.median([row["cpu_seconds"] for row in rows]) / np.median([row["cpu_seconds"] for row in retrained]))


def cell(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Mean and range of a figure over the rows."""
    values = [row[name] for row in rows]
    if max(values) - min(values) < 0.05:
        return f"{np.mean(values):.1f}"
    return f"{np.mean(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def within(rows: Sequence[Mapping[str, Any]], retrained: Sequence[Mapping[str, Any]], name: str, points: float) -> bool:
    """Whether the mean of a figure lies in the range of the retrained models, widened by so many points."""
    values = [row[name] for row in retrained]
    return min(values) - points <= mean(rows, name) <= max(values) + points


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def insert(page: Path, name: str, text: str) -> None:
    """Put the text between the marks of this name on a page of the documentation."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    if not found or end not in rest:
        raise SystemExit(
            f"expected the marks {begin} and {end} in {page.name}, got none; put them where the table goes"
        )
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def one_thread() -> None:
    """Times of several threads say little on a shared machine."""
    torch.set_num_threads(1)
