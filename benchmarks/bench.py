"""What the package's speed comes to, in pairs timed in one run: ours beside the straightforward way, and the machine.

    python benchmarks/bench.py [--quick] [--parts PART …] [--amun CHECKOUT]

Every row times both sides in turns in this process, on one thread, by its processor time, and states the least, the
median and the greatest ratio of neighbours. Beside it stands what the machine could do, measured in the same run:
the rate of matrix products or of copying memory, and the share of it that ours reaches. The result of each is held
against that of the slow way, and a result that is worse ends the command. Where a target is missed, the operators that
take the time are listed.

`--amun` is a checkout of github Ali-E/AMUN, whose search is timed as well. `--parts` takes only some parts of the rows.
Each part is kept in `benchmarks/results/bench.json` as soon as it is measured, with the machine's limits at that time,
and the table of `docs/performance.md` is made of what is kept. `--quick` takes a minute or two, and keeps nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pool
import rmia_speed
import search
import torch
import torch.nn.functional as F
from common import RESULTS, insert, provenance, save, table
from pairs import Limits, Range, alternate, hottest, operations, slope
from torch import Tensor, nn

from obliviate import workflow
from obliviate._util.files import sha256_of
from obliviate.adversarial.closest import boundary
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool
from obliviate.data import sources
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN
from obliviate.methods.base import Method
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.never_seen import NeverSeen
from obliviate.methods.retrain import Retrain
from obliviate.references.logits import StoredLogits, write_logits
from obliviate.references.plan import leave_half_out
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.precision import Precision
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch
from obliviate.workflow import TrainedModel
from obliviate.workspace import Portion, Workspace

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
SYSTEMS: Final[tuple[Method, ...]] = (AMUN(), MixUnlearn(), NablaTau())
FIRST_RADIUS, PGD_STEPS, DOUBLINGS = 0.04, 50, 20  # of the search in AMUN's paper; 0.04 is its code's
GIGA: Final = 1e9


# ------------------------------------------------------------------------------------------- what a row is


@dataclass(frozen=True)
class Target:
    """A bound on the median of what is measured."""

    bound: float
    at_least: bool = True
    digits: int = 0
    unit: str = "×"

    def met(self, reached: Range) -> bool:
        """Whether the median keeps to the bound."""
        return reached.median >= self.bound if self.at_least else reached.median <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: what was timed, beside what, and what came of it.

    `share` is what is reached of a limit of the machine, which `limit` names; None where none bounds it. `check` says
    how the result compares with that of the slow way. `hottest` are the operators that take most of the time, where the
    target is missed.
    """

    name: str
    beside: str
    target: Target
    reached: Range
    seconds: Range
    limit: str
    share: float | None
    check: str
    hottest: tuple[tuple[str, float], ...] = ()

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.target.met(self.reached)

    def cells(self) -> list[str]:
        """The row of the page's table."""
        share = "" if self.share is None else f"{100 * self.share:.0f} % of "
        return [
            self.name,
            self.beside,
            str(self.target),
            f"{self.reached.shown(self.target.digits)}{'' if self.met else ', **missed**'}",
            f"{self.seconds.median:.3g}",
            share + self.limit,
            self.check,
        ]


HEADS: Final = ("what", "beside", "target", "reached", "CPU s", "of the machine", "held against the slow way")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large everything is, and how often it is done."""

    rounds: int
    images: int  # shipped training images that originals learn from
    searched: int
    search_passes: int
    scored: int  # targets, and as many population points, of RMIA
    pools: Mapping[str, tuple[int, int, int]]  # training samples, passes and batch of each network
    passes: tuple[int, ...]  # of the recipes of which methods are a share
    points: float  # of test accuracy that a fast way may be below the slow one; noise of small models
    parts: tuple[int, ...]  # sizes of D
    forgotten: int  # of each of them
    references: tuple[int, ...]
    outputs: int  # samples of each reference's outputs
    trained: tuple[int, ...]  # sizes of a table
    limits: float = 0.3  # seconds for each limit of the machine


FULL: Final = Size(
    rounds=3,
    images=1200,
    searched=32,
    search_passes=6,
    scored=10_000,
    pools={"small_cnn": (3750, 2, 64), "mlp": (3750, 4, 64), "resnet8": (512, 4, 32)},
    passes=(20, 100),
    points=5,
    parts=(500, 1500, 4500),
    forgotten=50,
    references=(8, 16, 32, 64),
    outputs=10_000,
    trained=(10_000, 100_000, 1_000_000),
)
QUICK: Final = replace(
    FULL,
    rounds=2,
    images=600,
    searched=24,
    search_passes=3,
    pools={"small_cnn": (1280, 2, 64), "mlp": (1280, 4, 64), "resnet8": (384, 4, 32)},
    passes=(20,),
    parts=(500, 1500),
    references=(4, 8, 16),
    outputs=5000,
    trained=(10_000, 100_000),
)
TOY: Final = replace(
    QUICK,
    rounds=1,
    images=160,
    searched=8,
    search_passes=8,
    scored=2000,
    pools={"mlp": (256, 2, 64)},
    passes=(6,),
    points=40,
    parts=(200, 400),
    forgotten=20,
    references=(4, 8),
    outputs=1000,
    trained=(1000, 2000),
    limits=0.05,
)


@dataclass(frozen=True, eq=False)
class Bench:
    """What every row is measured with."""

    size: Size
    limits: Limits
    amun: Path | None = None

    @cached_property
    def data(self) -> sources.Data:
        """The shipped images."""
        return sources.embedded()

    @cached_property
    def task(self) -> Classification:
        return Classification(classes=10)

    @property
    def format(self) -> str:
        """The number format that recipes which leave it to the machine are trained in here."""
        dtype = Precision.choose("auto", torch.device("cpu")).dtype
        return "bfloat16" if dtype is torch.bfloat16 else "float32"

    def products(self, count: float, seconds: float, form: str) -> tuple[str, float]:
        """How the limit is named that so many operations in so many seconds stand beside, and the share of it."""
        rate = getattr(self.limits, form)
        return f"{rate / GIGA:.0f} GFLOP/s, products in {form}", count / seconds / rate

    def copied(self, count: float, seconds: float) -> tuple[str, float]:
        """The same for bytes that have to be read or written."""
        return f"{self.limits.memory / GIGA:.0f} GB/s, memory", count / seconds / self.limits.memory

    def accuracy(self, model: nn.Module) -> float:
        """On the shipped test images, in percent."""
        labels = self.data.test.everything().y
        return 100 * float(self.task.correct(outputs(model, self.data.test), labels).float().mean())

    def hold(self, name: str, *, condition: bool, text: str) -> str:
        """Return the text where a fast result is as good as the slow one; raises SystemExit where it is not."""
        if not condition:
            raise SystemExit(f"expected a result as good as the slow way's in {name!r}, got {text}; mend it first")
        return text


Rows = Callable[[Bench], Iterator[Row]]


def missed(row: Row, work: Callable[[], object]) -> Row:
    """The row, with a profile of our side where its target is missed."""
    return row if row.met else replace(row, hottest=tuple(hottest(work)))


# ------------------------------------------------------------------------------------------- search


def pgd_l2(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The search of AMUN's Algorithm 1, written down plainly: L2 PGD in a ball that doubles until the prediction flips.

    The whole batch takes steps together, each sample until its first misprediction. The point stays when the radius
    doubles, as the closer examples come from that. Raises RuntimeError for samples that never flip.
    """
    at, left, radius = x.clone(), torch.arange(len(x)), FIRST_RADIUS
    for _ in range(DOUBLINGS):
        for _ in range(PGD_STEPS):
            point = at[left].requires_grad_()
            logits = model(point)
            going = logits.argmax(1) == y[left]
            gradient = torch.autograd.grad(F.cross_entropy(logits, y[left], reduction="sum"), point)[0]
            direction = gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
            offset = point.detach() + radius / 10 * direction - x[left]
            length = offset.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
            moved = (x[left] + offset * (radius / length).clamp(max=1)).clamp(0, 1)
            at[left[going]] = moved[going]
            left = left[going]
            if not len(left):
                return at
        radius *= 2
    raise RuntimeError(f"expected all samples to flip, got {len(left)} of {len(x)} that do not; train the model longer")


def of_the_authors(checkout: Path) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    """Take `PGDL2` from a checkout of AMUN's code, with the settings that it has by default."""
    sys.path.insert(0, str(checkout))
    try:
        finder = importlib.import_module("pgdl2_modified").PGDL2
    finally:
        sys.path.remove(str(checkout))
    return lambda model, x, y: finder(model)(x, y)[0]


def searches(bench: Bench) -> Iterator[Row]:
    """The closest adversarial example of each sample, on a residual network."""
    size, data = bench.size, bench.data
    recipe = Recipe(model="resnet8", model_options={"channels": 1}, epochs=size.search_passes, precision="float32")
    train = data.train.select(data.train.ids[: size.images])
    model = workflow.train(Experiment(bench.task, recipe, train)).model.eval()
    everything = train.select(train.ids[: size.searched]).everything()
    batch = Batch(everything.x, everything.y, everything.ids)
    space = bench.task.space(model)
    assert space is not None
    ours = partial(boundary, model, batch.x, batch.y, space)
    ways: dict[str, Callable[[int], Tensor]] = {
        "ours": lambda _: ours().x,
        "PGD-L2 by the paper's algorithm": lambda _: pgd_l2(model, batch.x, batch.y),
    }
    if bench.amun is not None:
        authors = of_the_authors(bench.amun)
        ways["`PGDL2` of AMUN's authors"] = lambda _: authors(model, batch.x, batch.y)
    timed = alternate(ways, size.rounds)
    figures = {name: search.judged(timed.results[name].detach(), model, batch) for name in ways}
    limit, share = bench.products(operations(ours), timed.range("ours").median, "float32")
    own = figures["ours"]
    for name in ways:
        if name == "ours":
            continue
        other = figures[name]
        check = bench.hold(
            "search",
            condition=own["found"] == 100 and own["median_l2"] <= other["median_l2"],
            text=f"{own['found']:.0f} % flipped ({other['found']:.0f}), median L2 {own['median_l2']:.3f} "
            f"({other['median_l2']:.3f})",
        )
        row = Row(
            name=f"search, {size.searched} images, resnet8",
            beside=name,
            target=Target(15),
            reached=timed.times(name, "ours"),
            seconds=timed.range("ours"),
            limit=limit,
            share=share,
            check=check,
        )
        yield missed(row, ours)


# ------------------------------------------------------------------------------------------- scores


def scores(bench: Bench) -> Iterator[Row]:
    """RMIA of as many targets as population points."""
    scored = bench.size.scored
    figures = rmia_speed.measure(scored, scored, bench.size.rounds, whole=True)
    difference, seconds = figures["max_share_difference"], Range(**figures["seconds"]["ours"])
    check = bench.hold("rmia", condition=difference == 0, text=f"shares differ by {difference:g}")
    arrays = 6  # the outputs, sums and counts of both kinds of references, and the scores
    limit, share = bench.copied(8 * arrays * 2 * scored, seconds.median)
    words = {"one matrix": "the definition, in one matrix", "pairwise": "the definition, in blocks that fit the cache"}
    for name, ratio in figures["ratio"].items():
        yield Row(
            name=f"RMIA scores, {scored:,} × {scored:,}",
            beside=words[name],
            target=Target(100),
            reached=Range(**ratio),
            seconds=seconds,
            limit=limit,
            share=share,
            check=check,
        )


# ------------------------------------------------------------------------------------------- training


def members(bench: Bench) -> Iterator[Row]:
    """The training of a pool's member, beside a plain loop in float32."""
    for model, (count, passes, batch) in bench.size.pools.items():
        residual = model.startswith("resnet")
        options = {"channels": 1} if residual else {}
        recipe = Recipe(model=model, model_options=options, epochs=passes, batch_size=batch)
        figures = pool.speed(recipe, count, repeats=bench.size.rounds, seed=0)
        half = pool.half_of_the_shipped(count, seed=0)
        train = partial(Run(bench.task, recipe=recipe).train, half)
        visits = passes * figures["samples"]
        rates = figures["rates"]["pool"]
        seconds = Range(visits / rates["max"], visits / rates["median"], visits / rates["min"])
        limit, share = bench.products(operations(train), seconds.median, bench.format)
        accuracy = [figures["accuracy"][name]["median"] for name in ("pool", "plain")]
        check = bench.hold(
            f"a member, {model}",
            condition=accuracy[0] >= accuracy[1] - bench.size.points * (3 if residual else 1),  # after few steps
            text=f"test accuracy {accuracy[0]:.1f} % ({accuracy[1]:.1f})",
        )
        row = Row(
            name=f"a pool's member, {model}",
            beside="`DataLoader` loop in float32",
            target=Target(2.5 if residual else 3, digits=2),
            reached=Range(**figures["ratios"]["pool"]),
            seconds=seconds,
            limit=limit,
            share=share,
            check=f"{check}; {figures['ratios']['pool in float32']['median']:.2f} × in float32",
        )
        yield missed(row, train)


def table_of(count: int, features: int = 20) -> Samples:
    """Rows of numbers in two classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, features, generator=generator)
    y = (x[:, 0] + x[:, 1] > 1).long()
    return Samples.from_tensors(x, y, ids=[str(place) for place in range(count)])


def growing(bench: Bench) -> Iterator[Row]:
    """One pass of a training over more and more samples."""
    sizes, task = bench.size.trained, Classification(classes=2)
    options = {"features": 20, "classes": 2, "hidden": [32]}
    recipe = Recipe(model="mlp", model_options=options, epochs=1, batch_size=256, precision="float32")
    tables = {count: table_of(count) for count in sizes}
    timed = alternate(
        {
            str(count): lambda seed, count=count: Run(task, seed=seed, recipe=recipe).train(tables[count])
            for count in sizes
        },
        bench.size.rounds,
    )
    powers = [slope(sizes, times) for times in zip(*timed.seconds.values(), strict=True)]
    smallest, largest = tables[sizes[0]], str(sizes[-1])

    def accuracy(model: nn.Module) -> float:
        return 100 * float(task.correct(outputs(model, smallest), smallest.everything().y).float().mean())

    ours, other = accuracy(timed.results[str(sizes[0])]), accuracy(pool.plain(recipe, smallest, seed=0))
    check = bench.hold(
        "training", condition=ours >= other - bench.size.points, text=f"accuracy {ours:.0f} % (plain loop {other:.0f})"
    )
    count = operations(lambda: Run(task, recipe=recipe).train(smallest)) * sizes[-1] / sizes[0]
    limit, share = bench.products(count, timed.range(largest).median, "float32")
    yield Row(
        name=f"training against {sizes[0]:,} … {sizes[-1]:,} samples",
        beside="its own smaller sizes",
        target=Target(1.05, at_least=False, digits=2, unit="as power"),
        reached=Range.of(powers),
        seconds=timed.range(largest),
        limit=limit,
        share=share,
        check=check,
    )


# ------------------------------------------------------------------------------------------- methods


def request(size: Size, passes: int) -> tuple[TrainedModel, Split]:
    """A model of the shipped images by a recipe of so many passes, and a split of which a tenth is to be forgotten."""
    data = sources.embedded()
    count = size.images if passes < 100 else size.images // 2
    train = data.train.select(data.train.ids[:count])
    original = workflow.train(Experiment(Classification(classes=10), Recipe(epochs=passes), train))
    return original, Split.of(train, forget=random_ids(train, 0.1, seed=1), holdout=data.holdout)


def systems(bench: Bench) -> Iterator[Row]:
    """AMUN, MixUnlearn and ∇τ at their defaults, beside one retraining; a tenth is forgotten."""
    size = bench.size
    for passes in size.passes:
        original, split = request(size, passes)

        def by(method: Method, seed: int, split: Split = split, original: TrainedModel = original) -> TrainedModel:
            return workflow.unlearn(original, split, method, seed=seed, measure=None)

        ways = {method.name: partial(by, method) for method in (Retrain(), *SYSTEMS)}
        timed = alternate(ways, size.rounds)
        retrained = bench.accuracy(timed.results["retrain"].model)
        for method in SYSTEMS:
            percent = [100 * a / b for a, b in zip(timed.seconds[method.name], timed.seconds["retrain"], strict=True)]
            accuracy = bench.accuracy(timed.results[method.name].model)
            work = partial(by, method, 0)
            limit, share = bench.products(operations(work), timed.range(method.name).median, bench.format)
            check = bench.hold(
                method.name,
                condition=accuracy >= retrained - size.points,
                text=f"test accuracy {accuracy:.1f} % ({retrained:.1f})",
            )
            row = Row(
                name=f"`{method.name}`, {passes} passes",
                beside="one retraining",
                target=Target(8 if passes >= 100 else 30, at_least=False, digits=1, unit="%"),
                reached=Range.of(percent),
                seconds=timed.range(method.name),
                limit=limit,
                share=share,
                check=check,
            )
            yield missed(row, work)


def without_the_rest(bench: Bench) -> Iterator[Row]:
    """AMUN and `never_seen` without the retain set, where the rest of D is more and more.

    `never_seen` takes fewer steps than by default, so that what depends on D would be seen beside them.
    """
    size, data, recipe = bench.size, bench.data, Recipe(epochs=10)
    parts = {count: data.train.select(data.train.ids[:count]) for count in size.parts}
    forget = data.train.ids[: size.forgotten]
    splits = {
        count: Split.of(part, forget=forget, holdout=data.holdout).without_retain() for count, part in parts.items()
    }
    original = workflow.train(Experiment(bench.task, recipe, parts[size.parts[0]]))
    with tempfile.TemporaryDirectory() as folder:
        pools = {
            count: workflow.train_references(
                Experiment(bench.task, recipe, part), folder=Path(folder) / str(count), models=4, workers=0
            )
            for count, part in parts.items()
        }
        for method in (AMUN(), NeverSeen(least_steps=50)):
            taught = "teachers" in method.needs

            def by(count: int, seed: int, method: Method = method, taught: bool = taught) -> TrainedModel:
                teachers = pools[count] if taught else None
                return workflow.unlearn(original, splits[count], method, seed=seed, teachers=teachers, measure=None)

            timed = alternate({str(count): partial(by, count) for count in parts}, size.rounds)
            powers = [slope(size.parts, times) for times in zip(*timed.seconds.values(), strict=True)]
            smallest, largest = (bench.accuracy(timed.results[str(size.parts[end])].model) for end in (0, -1))
            before = bench.accuracy(original.model)
            work = partial(by, size.parts[-1], 0)
            seconds = timed.range(str(size.parts[-1]))
            limit, share = bench.products(operations(work), seconds.median, bench.format)
            check = bench.hold(
                f"{method.name} without D_R",
                condition=min(smallest, largest) >= before - 2 * size.points,
                text=f"test accuracy {smallest:.1f} and {largest:.1f} % (original {before:.1f})",
            )
            row = Row(
                name=f"`{method.name}` without D_R, D of {size.parts[0]:,} … {size.parts[-1]:,}",
                beside="its own smaller sizes",
                target=Target(0.05, at_least=False, digits=2, unit="as power"),
                reached=Range.of(powers),
                seconds=seconds,
                limit=limit,
                share=share,
                check=check,
            )
            yield missed(row, work)


# ------------------------------------------------------------------------------------------- audit


def audits(bench: Bench) -> Iterator[Row]:
    """One audit of one model by more and more references, whose outputs lie on disk."""
    size, classes, count = bench.size, 10, bench.size.outputs
    labels = np.arange(count) % classes
    own = np.random.default_rng(0).normal(size=(count, classes)).astype(np.float32)
    forget, retain, unseen = np.split(np.arange(count), [count // 12, 10 * count // 12])
    parts = AuditSamples(labels=labels, forget=forget, retain=retain, unseen=unseen)
    model = Candidate(name="a", role="unlearned", method="", seed=0, logits=own, seconds=None, weights_sha256="")
    with tempfile.TemporaryDirectory() as folder:
        paths, generator = list[Path](), torch.Generator().manual_seed(0)
        for member in range(max(size.references)):
            path = Path(folder) / f"member-{member:03d}.logits.safetensors"
            write_logits(path, torch.randn(count, classes, generator=generator))
            paths.append(path)
        hashes = [sha256_of(path) for path in paths]

        def by(references: int, _: int, *, in_memory: bool = False) -> Any:
            stored = StoredLogits.open(paths[:references], hashes[:references], samples=count)
            logits = list(stored) if in_memory else stored
            pool_of = Pool(logits=logits, included=leave_half_out(references, count, seed=0))
            return audit([model], pool_of, parts, AuditSettings()).models[0].attacks["rmia"].ft.value

        timed = alternate({str(count): partial(by, count) for count in size.references}, size.rounds)
        powers = [slope(size.references, times) for times in zip(*timed.seconds.values(), strict=True)]
        largest = size.references[-1]
        difference = abs(by(largest, 0, in_memory=True) - timed.results[str(largest)])
        check = bench.hold("audit", condition=difference == 0, text=f"all in memory: AUC differs by {difference:g}")
        seconds = timed.range(str(largest))
        limit, share = bench.copied(largest * count * classes * 4, seconds.median)
        yield Row(
            name=f"audit against {size.references[0]} … {largest} references of {count:,} samples",
            beside="its own smaller sizes",
            target=Target(1.05, at_least=False, digits=2, unit="as power"),
            reached=Range.of(powers),
            seconds=seconds,
            limit=f"{limit}, for what all references say",
            share=share,
            check=check,
        )


# ------------------------------------------------------------------------------------------- commands


def of_children() -> float:
    """Processor seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(bench: Bench) -> Iterator[Row]:
    """What a user waits for before any work: imports and commands, each in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def run(*words: str) -> Callable[[int], str]:
        command = [sys.executable, *words]
        return lambda _: subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        recipe = Recipe(model="mlp", model_options={"features": 64, "classes": 10}, epochs=1)
        Workspace.create(folder, source="digits", recipe=recipe, seed=0, portion=Portion(train_size=200)).train()
        ways = {
            "torch": run("-c", "import torch"),
            "obliviate": run("-c", "import obliviate"),
            "training": run("-c", "import obliviate; obliviate.train"),
            "--help": run("-m", "obliviate", "--help"),
            "status": run("-m", "obliviate", "status", "--out", str(folder)),
        }
        timed = alternate(ways, bench.size.rounds, clock=of_children)
    printed = "Usage" in timed.results["--help"] and "small" not in timed.results["--help"]
    check = bench.hold("--help", condition=printed, text="prints the commands")
    for name, text in (("obliviate", "`import obliviate`"), ("training", "`import obliviate; obliviate.train`")):
        yield Row(
            name=text,
            beside="`import torch`",
            target=Target(1.2, at_least=False, digits=2),
            reached=timed.times(name, "torch"),
            seconds=timed.range(name),
            limit="",
            share=None,
            check="",
        )
    for name, bound, text in (("--help", 0.3, check), ("status", 0.5, "names the folder's state")):
        yield Row(
            name=f"`obliviate {name}`",
            beside="",
            target=Target(bound, at_least=False, digits=2, unit="CPU s"),
            reached=timed.range(name),
            seconds=timed.range(name),
            limit="",
            share=None,
            check=bench.hold(name, condition=bool(timed.results[name].strip()), text=text),
        )


PARTS: Final[Mapping[str, Rows]] = {
    "search": searches,
    "rmia": scores,
    "pool": members,
    "systems": systems,
    "without-retain": without_the_rest,
    "audit": audits,
    "training": growing,
    "commands": commands,
}


# ------------------------------------------------------------------------------------------- the whole


def measure(size: Size, part: str, *, amun: Path | None = None) -> tuple[Limits, list[Row]]:
    """Measure the machine and then the rows of a part."""
    torch.set_num_threads(1)
    limits = Limits.measured(size.limits).best(Limits.measured(size.limits))
    rows = list[Row]()
    for row in PARTS[part](Bench(size, limits, amun)):
        rows.append(row)
        print(f"{part}: {' | '.join(row.cells())}", *row.hottest, flush=True)
    return limits, rows


def content(limits: Limits, rows: Sequence[Row]) -> dict[str, Any]:
    """What is kept of a part, besides where and when it was measured."""
    return {"limits": asdict(limits), "rows": [{**asdict(row), "met": row.met} for row in rows]}


def rows_of(kept: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a part that was kept."""
    for values in kept["rows"]:
        row = {name: value for name, value in values.items() if name != "met"}
        row |= {name: Range(**row[name]) for name in ("reached", "seconds")}
        row["hottest"] = tuple((name, share) for name, share in row["hottest"])
        row["target"] = Target(**row["target"])
        yield Row(**row)


def page(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The generated part of `docs/performance.md`, of the parts that are kept."""
    parts = {name: parts[name] for name in PARTS if name in parts}
    sources = dict[str, list[str]]()
    for name, kept in parts.items():
        machine = kept["machine"]
        where = f"{machine['cores']} cores ({machine['cpu']}), torch {machine['torch']}"
        sources.setdefault(f"`{kept['command']}`, commit {kept['commit']}; {where}", []).append(name)
    rows = [row for kept in parts.values() for row in rows_of(kept)]
    lines = [f"{source} ({', '.join(names)})." for source, names in sources.items()]
    lines += ["", table(HEADS, [row.cells() for row in rows])]
    slow = [row for row in rows if row.hottest]
    if slow:
        lines += [
            "",
            "Where a target is missed, the time of ours goes to (torch's operators, as shares of a profile):",
            "",
        ]
    for row in slow:
        shares = ", ".join(f"`{name}` {100 * share:.0f} %" for name, share in row.hottest)
        lines.append(f"* {row.name}: {shares}")
    return "\n".join(lines)


def kept_parts() -> dict[str, Any]:
    """The parts that were kept before, by name."""
    path = RESULTS / "bench.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main() -> None:
    """Measure and print, and keep each part as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, for a look; nothing is kept")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--amun", type=Path, help="a checkout of github Ali-E/AMUN")
    options = parser.parse_args()
    command = "python benchmarks/bench.py" + (" --amun CHECKOUT" if options.amun else "")
    for part in options.parts:
        limits, rows = measure(QUICK if options.quick else FULL, part, amun=options.amun)
        if not options.quick:
            save("bench", kept_parts() | {part: provenance(command) | content(limits, rows)})
            insert(PAGE, "bench", page(kept_parts()))


if __name__ == "__main__":
    main()
