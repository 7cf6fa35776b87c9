"""Grounds for the self-audit: data, and splits by chance, with models that remember, never saw, or are ruined.

What is kept of every model is its outputs over all samples of its ground, one small file a model, so that everything
resumes. Splits are drawn anew for every draw; the references are one pool over all samples, which serves every split.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from obliviate import workflow
from obliviate._util.files import write_atomically
from obliviate._util.seeds import derive
from obliviate.audit.inputs import AuditSamples, Candidate, Pool, Role
from obliviate.data.samples import Samples
from obliviate.data.sources import load_data
from obliviate.experiment import Experiment
from obliviate.metrics.memorisation import largest, memorisation
from obliviate.metrics.utility import correct, margin
from obliviate.references.plan import leave_half_out
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe

NOISE: Final = 1.5  # of a weight's own standard deviation: enough to destroy a small network
SHARE: Final = 0.7  # of a class
LENGTH: Final = 48  # tokens of a text
GROUPS: Final = 5  # newsgroups
CLUSTERS: Final = 10  # of each class of images
LOW: Final = -20.0  # the logit of a class that is never answered


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Data that are split anew for every draw: how many are trained on, and how many of these are to be forgotten."""

    name: str
    classes: int
    train: int
    forget: int
    recipe: Recipe
    read: Callable[[Path], tuple[torch.Tensor, torch.Tensor]]

    @property
    def task(self) -> Classification:
        """The task of its data."""
        return Classification(classes=self.classes, tokens=self.name == "texts")


def images(_: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The images that the package ships, without its reference set."""
    data = load_data("fashion_mnist_5k")
    batch = data.train.joined(data.test).everything()
    return batch.x, batch.y


def kinds(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """6,000 of these images in 100 classes: each of the ten is cut into ten clusters (k-means on pixels)."""
    from sklearn.cluster import KMeans

    x, y = images(folder)
    finer = torch.zeros_like(y)
    for label in range(10):
        rows = y == label
        cut = KMeans(CLUSTERS, n_init="auto", random_state=0).fit_predict(x[rows].flatten(1).numpy())
        finer[rows] = CLUSTERS * label + torch.from_numpy(cut).long()
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(x))[:6000])
    return x[chosen], finer[chosen]


def table(folder: Path, *, positives: float, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of Adult, so drawn that this share has the larger income."""
    batch = load_data(folder / "adult").train.everything()
    generator = np.random.default_rng(0)
    count = round(positives * size)
    parts = [
        generator.choice(np.flatnonzero(batch.y.numpy() == label), number, replace=False)
        for label, number in ((1, count), (0, size - count))
    ]
    rows = torch.from_numpy(generator.permutation(np.concatenate(parts)))
    return batch.x[rows], batch.y[rows]


def rows_of_12(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """9,000 rows, 12 % positive."""
    return table(folder, positives=0.12, size=9000)


def rows_of_2(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """12,000 rows, 2 % positive."""
    return table(folder, positives=0.02, size=12000)


def texts(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The first five newsgroups, their texts cut to 48 tokens."""
    batch = load_data(folder / "newsgroups20").train.everything()
    rows = batch.y < GROUPS
    return batch.x[rows, :LENGTH].contiguous(), batch.y[rows]


MLP: Final = Recipe(
    model="mlp", model_options={"features": 108, "classes": 2, "hidden": [128, 64]}, epochs=30, optimizer="adamw",
    learning_rate=5e-3, weight_decay=0.0,
)  # fmt: skip
TEXT: Final = Recipe(
    model="text_transformer", model_options={"classes": GROUPS, "vocabulary": 10000, "length": LENGTH, "width": 32},
    epochs=8, optimizer="adamw", learning_rate=3e-3, precision="float32",
)  # fmt: skip
GROUNDS: Final = {
    ground.name: ground
    for ground in (
        Ground(name="images", classes=10, train=5000, forget=500, recipe=Recipe(), read=images),
        Ground(name="12 % positives", classes=2, train=6000, forget=600, recipe=MLP, read=rows_of_12),
        Ground(name="2 % positives", classes=2, train=8000, forget=1600, recipe=MLP, read=rows_of_2),
        Ground(
            name="100 classes", classes=100, train=3000, forget=300, recipe=Recipe(model_options={"classes": 100}),
            read=kinds,
        ),
        Ground(name="texts", classes=GROUPS, train=1800, forget=360, recipe=TEXT, read=texts),
    )
}  # fmt: skip


@cache
def samples_of(name: str, folder: Path) -> Samples:
    """All samples of a ground; their ids are their numbers."""
    x, y = GROUNDS[name].read(folder)
    return Samples.from_tensors(x, y, ids=[f"{row:05d}" for row in range(len(x))])


@dataclass(frozen=True)
class Shop:
    """Where the outputs of a ground's models are kept, and made."""

    ground: Ground
    data: Path
    out: Path

    @property
    def samples(self) -> Samples:
        """All samples of the ground."""
        return samples_of(self.ground.name, self.data)

    @cached_property
    def labels(self) -> np.ndarray:
        """Their classes."""
        return self.samples.everything().y.numpy()

    def path(self, name: str) -> Path:
        """The file of a model's outputs."""
        return self.out / self.ground.name.replace(" ", "-").replace("%", "percent") / f"{name}.npy"

    def outputs(self, name: str) -> np.ndarray:
        """The outputs of a model that was made."""
        return np.load(self.path(name), allow_pickle=False)

    def keep(self, name: str, model: nn.Module) -> None:
        """Keep a model's outputs."""
        path, logits = self.path(name), outputs(model, self.samples).numpy()
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, logits, allow_pickle=False)

        write_atomically(path, write)

    def trained(self, rows: np.ndarray, seed: int, recipe: Recipe | None = None) -> nn.Module:
        """A model trained on these rows, as `train`, `retrain` and the references train one."""
        chosen = self.samples.select(self.samples.ids[np.sort(rows)])
        return workflow.train(Experiment(self.ground.task, recipe or self.ground.recipe, chosen, seed=seed)).model

    # ------------------------------------------------------------------------------------------- what is made

    def reference(self, number: int) -> None:
        """One reference; which half it is trained on is that of `leave_half_out`."""
        if not self.path(f"reference-{number:03d}").exists():
            included = leave_half_out(number + 1 + (number + 1) % 2 + 2, len(self.samples), seed=0)[number]
            model = self.trained(np.flatnonzero(included), derive(0, "reference", number))
            self.keep(f"reference-{number:03d}", model)

    def draw(self, number: int) -> None:
        """The models of one draw: original, ruined ones, one trained on from the original, and retrained ones."""
        split, ground = Split.of(self, number), self.ground
        if not self.path(f"draw-{number:03d}-checkpoint").exists():
            original = self.trained(np.concatenate([split.forget, split.retain]), derive(number, "original"))
            self.keep(f"draw-{number:03d}-original", original)
            self.keep(f"draw-{number:03d}-destroyed", destroyed(original, derive(number, "destroyed")))
            fresh = ground.recipe.build(seed=derive(number, "untrained")).eval()
            self.keep(f"draw-{number:03d}-untrained", fresh)
            again = replace(ground.recipe, model=lambda: copy.deepcopy(original).train(), model_options={})
            model = self.trained(split.retain, derive(number, "checkpoint"), again)
            self.keep(f"draw-{number:03d}-checkpoint", model)
        self.retrained(split, number, "retrained")

    def retrained(self, split: Split, number: int, name: str, count: int = 4) -> None:
        """Retrained models of a split."""
        for place in range(count):
            if not self.path(f"draw-{number:03d}-{name}-{place}").exists():
                model = self.trained(split.retain, derive(number, name, place))
                self.keep(f"draw-{number:03d}-{name}-{place}", model)


def destroyed(model: nn.Module, seed: int) -> nn.Module:
    """A copy with noise on every matrix."""
    copied = copy.deepcopy(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in copied.parameters():
            if parameter.dim() > 1:
                parameter.add_(NOISE * parameter.std() * torch.randn_like(parameter))
    return copied


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of a draw that are to be forgotten, retained, and were never trained on."""

    forget: np.ndarray
    retain: np.ndarray
    unseen: np.ndarray
    grouped: bool = False

    @classmethod
    def of(cls, shop: Shop, number: int) -> Split:
        """At random."""
        ground = shop.ground
        rows = np.random.default_rng(derive(number, "draw", ground.name)).permutation(len(shop.samples))
        forget, retain, unseen = np.split(rows, [ground.forget, ground.train])
        return cls(np.sort(forget), np.sort(retain), np.sort(unseen))

    @classmethod
    def memorised(cls, shop: Shop, number: int, pool: Pool) -> Split:
        """The training samples that these references memorise most."""
        split = cls.of(shop, number)
        rows = np.sort(np.concatenate([split.forget, split.retain]))
        right = np.array([correct(logits[rows], shop.labels[rows]) for logits in pool.logits], np.float64)
        margins = np.array([margin(logits[rows], shop.labels[rows]) for logits in pool.logits])
        included = pool.included[:, rows]
        places = largest(memorisation(right, included), memorisation(margins, included), shop.ground.forget)
        return cls(np.sort(rows[places]), np.setdiff1d(rows, rows[places]), split.unseen)

    @classmethod
    def of_class(cls, shop: Shop, number: int) -> Split:
        """Seven tenths of one class, another in every draw."""
        split = cls.of(shop, number)
        rows = np.sort(np.concatenate([split.forget, split.retain]))
        own = rows[shop.labels[rows] == number % shop.ground.classes]
        chosen = np.random.default_rng(number).choice(own, int(SHARE * len(own)), replace=False)
        return cls(np.sort(chosen), np.setdiff1d(rows, chosen), split.unseen, grouped=True)


@dataclass(frozen=True, eq=False)
class Case:
    """One split, with the outputs of its models and of the references; all that an audit is given."""

    shop: Shop
    number: int
    split: Split
    name: str = "retrained"
    count: int = 4

    @property
    def audited(self) -> AuditSamples:
        """What plays which part."""
        split = self.split
        return AuditSamples(
            labels=self.shop.labels, forget=split.forget, retain=split.retain, unseen=split.unseen,
            grouped=split.grouped,
        )  # fmt: skip

    def kept(self, name: str, role: Role) -> Candidate:
        """A model that was made."""
        return self.candidate(name, role, self.shop.outputs(f"draw-{self.number:03d}-{name}"))

    def candidate(self, name: str, role: Role, logits: np.ndarray) -> Candidate:
        """A model with these outputs."""
        return Candidate(
            name=name, role=role, method=name, seed=self.number, logits=logits.astype(np.float32), seconds=None,
            weights_sha256="",
        )  # fmt: skip

    @cached_property
    def original(self) -> Candidate:
        """It remembers."""
        return self.kept("original", "original")

    @cached_property
    def retrained(self) -> list[Candidate]:
        """They never saw."""
        return [self.kept(f"{self.name}-{place}", "retrained") for place in range(self.count)]

    @property
    def impostors(self) -> list[Candidate]:
        """Models that no audit may acquit; most of them are a retrained model's outputs, ruined in one way."""
        base, labels = self.shop.outputs(f"draw-{self.number:03d}-{self.name}-0"), self.shop.labels
        classes = self.shop.ground.classes
        seen = np.concatenate([self.split.forget, self.split.retain])
        prior = np.log(np.bincount(labels[seen], minlength=classes) / len(seen) + 1e-6)
        generator = np.random.default_rng(derive(self.number, "impostors"))
        noisy = prior + 0.3 * generator.normal(size=base.shape)
        by_name = {
            "constant": np.tile(prior, (len(base), 1)),
            "prior and noise": noisy,
            "one class destroyed": never(base, [self._class(generator)]),
            "retain accuracy down by 5": self._wrong(base, generator, 0.05),
        }
        if classes >= 10:
            by_name["a tenth of the classes destroyed"] = never(
                base, generator.choice(classes, classes // 10, replace=False).tolist()
            )
        candidates = [self.candidate(name, "unlearned", logits) for name, logits in by_name.items()]
        return [*(self.kept(name, "unlearned") for name in ("destroyed", "untrained", "checkpoint")), *candidates]

    def _class(self, generator: np.random.Generator) -> int:
        """The rare one of two; any one of more."""
        return 1 if self.shop.ground.classes == 2 else int(generator.integers(self.shop.ground.classes))

    def _wrong(self, base: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
        """As many retained samples as lower accuracy by this share are answered wrong; the others stay as they are."""
        logits, retain = base.copy(), self.split.retain
        right = retain[logits[retain].argmax(axis=1) == self.shop.labels[retain]]
        rows = generator.choice(right, round(share * len(retain)), replace=False)
        order = np.argsort(logits[rows], axis=1)
        best, second = order[:, -1], order[:, -2]
        logits[rows, best], logits[rows, second] = logits[rows, second].copy(), logits[rows, best].copy()
        return logits


def never(logits: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Outputs that never name these classes."""
    changed = logits.copy()
    changed[:, list(classes)] = changed.min(axis=1, keepdims=True) + LOW
    return changed


def references(shop: Shop, count: int) -> Pool:
    """The first references."""
    logits = [shop.outputs(f"reference-{number:03d}") for number in range(count)]
    return Pool(logits=logits, included=leave_half_out(count, len(shop.samples), seed=0))


Job = tuple[str, str, int]
"""A ground, what is to be made there, and its number."""


def make(job: Job, *, data: Path, out: Path) -> str:
    """Make what one job is for, in a process of its own, if it is not there."""
    torch.set_num_threads(1)
    ground, kind, number = job
    shop = Shop(GROUNDS[ground], data, out)
    if kind == "reference":
        shop.reference(number)
    elif kind == "draw":
        shop.draw(number)
    elif kind == "class":
        shop.retrained(Split.of_class(shop, number), number, "retrained-class")
    else:
        pool = references(shop, int(kind.rpartition(" ")[2]))
        begin = 32 * (number % (len(pool.logits) // 32))
        by = Pool(logits=pool.logits[begin : begin + 16], included=pool.included[begin : begin + 16])
        shop.retrained(Split.memorised(shop, number, by), number, "retrained-memorised")
    return f"{ground}: {kind} {number}"


def jobs(references_of: Mapping[str, int], draws: Mapping[str, int], *, extra: bool) -> tuple[list[Job], list[Job]]:
    """Everything that is to be made: references and draws, and what needs the references (with `extra`)."""
    first: list[Job] = []
    for ground, count in references_of.items():
        first += [(ground, "reference", number) for number in range(count)]
        first += [(ground, "draw", number) for number in range(draws[ground])]
    if not extra:
        return first, []
    then: list[Job] = [("images", "class", number) for number in range(draws["images"] // 4)]
    chosen = f"memorised {references_of['images']}"
    return first, then + [("images", chosen, number) for number in range(draws["images"] // 2)]


def processes(asked: int | None) -> int:
    """How many processes work side by side."""
    return asked or os.cpu_count() or 1


def facts(shop: Shop) -> dict[str, Any]:
    """What a ground is, for the results."""
    ground = shop.ground
    counts = np.bincount(shop.labels, minlength=ground.classes)
    return {
        "train": ground.train,
        "forget": ground.forget,
        "unseen": len(shop.samples) - ground.train,
        "classes": ground.classes,
        "rarest_class": float(counts.min() / counts.sum()),
        "recipe": ground.recipe.to_dict(),
    }
