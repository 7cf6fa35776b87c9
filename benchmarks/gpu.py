"""ResNet-18 on all of CIFAR-10, in stages that fit ten minutes of a lent GPU and go on where they stopped.

    python benchmarks/gpu.py --data FOLDER [FOLDER …] --out FOLDER [--stage all] [--minutes 9] [--resume FOLDER]
    python benchmarks/gpu.py --toy --out FOLDER             # the whole path on a processor, in two minutes

Stages, in the order in which `all` runs those from `data` on:

    check       on small images: every method on the GPU beside the processor, and pytest where it is installed
    data        collect the mosaics of the data folders; nothing more where some are still missing
    train       measure the pace, choose the epochs that fit, train the original and the retrained models
    references  half-size models over training and test samples, for the audit
    unlearn     one cell for each method, with and without the retain set; `never_seen` with its teachers: half-size
                models over training and holdout samples
    audit       the figures of all cells against the retrained models; needs no GPU (`--resume` an earlier `--out`)
    page        at home: keep the figures of a `--resume` folder in benchmarks/results/gpu.json and docs/comparison.md

10 % of the 50,000 training samples are forgotten; 2,000 of the 10,000 test samples are the holdout set of methods,
the rest is the audit's. Weights and data stay in `--work`, which a machine may lose. What is needed to go on elsewhere
is packed into `--out` after every step, in a few files of at most 15 MiB: `cells.json`, which holds the figures so far,
and `state-*.tar` (plan, cells, outputs of models and of references), which `--resume` unpacks. Where weights are lost
the original and the teachers are trained again by their seeds, if cells are still to be made. Nothing is begun that the
time left does not hold, and what runs into the end is stopped: the same command goes on. Cells that failed are tried
again. `benchmarks/gpu.sh` says how to run all this on a bare machine.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import insert, save, table
from ground import figures
from safetensors import safe_open
from safetensors.torch import save_file

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.sources import EMBEDDED, load_data
from obliviate.data.split import Split
from obliviate.errors import ObliviateError
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.methods.base import Method
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workflow import Evaluation, TrainedModel, models

ROOT: Final = Path(__file__).parent.parent
STAGES: Final = ("check", "data", "train", "references", "unlearn", "audit", "page")
SHARE, FORGET_SEED, TEACHER_SEED = 0.1, 2001, 1
METHODS: Final = (  # what matters most first
    "amun", "mixunlearn", "nabla_tau", "never_seen", "fine_tune", "salun", "gradient_ascent", "random_label", "scrub",
)  # fmt: skip
LEFT_OUT: Final = ("sisa", "trew")  # of the check: they need slice checkpoints, and a class to forget
LEAST_EPOCHS, ENOUGH_EPOCHS, MOST_EPOCHS = 8, 14, 20
PART, ALL_PARTS = 15 * 2**20, 60 * 2**20  # bytes of the largest archive in `--out`, and of all of them
AFTER: Final = 130  # seconds for loading, unlearning and packing, which the epochs leave free
AUDIT: Final = 30.0  # seconds that the audit is left with
LAST: Final = 8.0  # seconds before the end at which whatever runs is stopped, to pack what there is
TESTS: Final = ("tests/methods/test_contract.py", "tests/workflow")  # which run on a GPU (CONTRIBUTING.md)
DEVICE: Final = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TimeUp(Exception):
    """The time is over; everything that is done is kept."""


@dataclass
class Clock:
    """The time that a command was given, of which some seconds may be kept for what comes later."""

    minutes: float
    began: float
    kept: float = 0.0

    @property
    def left(self) -> float:
        """In seconds."""
        return self.began + 60 * self.minutes - time.monotonic() - self.kept

    def need(self, seconds: float, name: str) -> None:
        """Refuse to begin what would not be done in time; raises TimeUp."""
        if self.left < seconds + LAST:
            raise TimeUp(f"{name} takes about {seconds:.0f} s, and {max(self.left, 0):.0f} s are left")

    def tick(self, stage: str, done: float, total: float) -> None:
        """Be told of progress, and stop it at the end."""
        if self.left < LAST:
            raise TimeUp(f"stopped in {stage}, {done:.1f} of {total:g}")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is."""

    recipe: Recipe
    train_size: int | None = None
    test: int | None = None
    holdout: int = 2000
    references: int = 8
    teachers: int = 8
    most_retrained: int = 3
    paced: int = 20000
    epochs: int | None = None


FULL: Final = Scale(
    recipe=Recipe(
        model="resnet18",
        model_options={"classes": 10},
        batch_size=512,
        learning_rate=0.3,
        schedule="one_cycle",
        augmentation="crop_flip",
    )
)
TOY: Final = Scale(
    recipe=replace(FULL.recipe, model_options={"classes": 10, "width": 8}, batch_size=64, learning_rate=0.1),
    train_size=600,
    test=300,
    holdout=100,
    references=4,
    teachers=4,
    most_retrained=2,
    paced=200,
    epochs=2,
)


@dataclass(frozen=True)
class Folders:
    """Where everything is kept; `work` stays on the machine, `out` goes back."""

    work: Path
    out: Path

    def state(self) -> list[Path]:
        """The small files that another machine needs to go on."""
        names = ("plan.json", "check.json", "cells/*.json", "references/*/pool.json", "references/*/member-???.json")
        outputs = ("references/*/member-???.logits.safetensors", "candidates/*.safetensors")
        return [path for name in (*names, *outputs) for path in sorted(self.work.glob(name))]

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the work folder, None where it is not yet written."""
        path = self.work / name
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file of the work folder, whole or not at all."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)

    def pack(self) -> None:
        """Write what goes back: a summary to read, and the state in files of bounded size."""
        self.out.mkdir(parents=True, exist_ok=True)
        parts: list[list[Path]] = [[]]
        total = 0
        for path in self.state():
            total += path.stat().st_size + 1024
            if total > ALL_PARTS:
                say(f"{path.name} and what follows is not packed: the archives would be too large")
                break
            if parts[-1] and sum(other.stat().st_size + 1024 for other in (*parts[-1], path)) > PART:
                parts.append([])
            parts[-1].append(path)
        for number, paths in enumerate(parts):
            partial = self.out / f"state-{number}.partial"
            with tarfile.open(partial, "w") as archive:
                for path in paths:
                    archive.add(path, path.relative_to(self.work))
            partial.replace(self.out / f"state-{number}.tar")
        for path in self.out.glob("state-*.tar"):
            if int(path.stem.removeprefix("state-")) >= len(parts):
                path.unlink()
        cells = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(self.work.glob("cells/*.json"))}
        summary = {"plan": self.read("plan.json"), "check": self.read("check.json"), "cells": cells}
        text = json.dumps(summary, indent=1, ensure_ascii=False)
        (self.out / "cells.json").write_text(text + "\n", encoding="utf-8")

    def resume(self, earlier: Path) -> None:
        """Unpack the state that an earlier command left, without replacing anything that is here."""
        archives = sorted(earlier.glob("state-*.tar"))
        if not archives:
            raise SystemExit(
                f"expected state-*.tar in {earlier}, got none; give the --out folder of an earlier command"
            )
        for path in archives:
            with tarfile.open(path) as archive:
                members = [member for member in archive.getmembers() if not (self.work / member.name).exists()]
                archive.extractall(self.work, members=members, filter="data")


class Bench:
    """The models and cells of one work folder, made when they are first asked for."""

    def __init__(self, scale: Scale, folders: Folders, clock: Clock, source: str | Path) -> None:
        self.scale, self.folders, self.clock, self.source = scale, folders, clock, source

    # ------------------------------------------------------------------------------------------------- samples

    @cached_property
    def _parts(self) -> tuple[Samples, Samples, Samples]:
        data = load_data(self.source, train_size=self.scale.train_size)
        if len(data.test) <= self.scale.holdout:
            raise SystemExit(f"expected over {self.scale.holdout} test samples, got {len(data.test)}; use other data")
        test = data.test if self.scale.test is None else data.test.select(data.test.ids[: self.scale.test])
        holdout = random_ids(test, self.scale.holdout / len(test), seed=0)
        for samples in (data.train, test):
            _ = samples.inputs  # hashed once, for all that is selected from them
        say(f"{len(data.train)} training samples, {len(test) - len(holdout)} unseen, {len(holdout)} holdout")
        return data.train, test.without(holdout), test.select(holdout)

    @property
    def train(self) -> Samples:
        """The training samples."""
        return self._parts[0]

    @property
    def unseen(self) -> Samples:
        """The test samples of the audit."""
        return self._parts[1]

    @cached_property
    def split(self) -> Split:
        """The request."""
        ids = random_ids(self.train, SHARE, seed=FORGET_SEED)
        return Split.of(self.train, forget=ids, holdout=self._parts[2])

    @cached_property
    def task(self) -> Classification:
        """What all models are trained for."""
        return Classification(classes=10)

    # --------------------------------------------------------------------------------------------------- plan

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The pace of this machine, and the epochs and retrained models that fit the time; chosen once."""
        earlier = self.folders.read("plan.json")
        if earlier is not None:
            return earlier
        few = self.train.select(self.train.ids[: self.scale.paced])
        recipe = replace(self.recipe_of(1), epochs=1)
        seconds: list[float] = []
        for _ in range(2):  # the first chooses kernels
            run = Run(self.task, recipe=recipe)
            run.train(few)
            synchronize()
            seconds.append(run.seconds)
        pace = len(few) / seconds[-1]
        n, unseen, holdout = len(self.train), len(self.unseen), self.scale.holdout
        pools = self.scale.references * (n + unseen) / 2
        if "never_seen" in registry():
            pools += self.scale.teachers * (n + holdout) / 2
        free = max(self.clock.left - AFTER, 60)
        fitting = {count: int(pace * free / (n + count * (1 - SHARE) * n + pools)) for count in (2, 3)}
        retrained = 3 if self.scale.most_retrained > 2 and fitting[3] >= ENOUGH_EPOCHS else 2
        epochs = self.scale.epochs or min(max(fitting[retrained], LEAST_EPOCHS), MOST_EPOCHS)
        plan = {
            "samples_per_second": round(pace),
            "epochs": epochs,
            "retrained": retrained,
            "recipe": self.recipe_of(epochs).to_dict(),
            "train": n,
            "unseen": unseen,
            "holdout": holdout,
            **machine(),
        }
        self.folders.write("plan.json", plan)
        say(f"{pace:.0f} samples a second: {epochs} epochs, {retrained} retrained models")
        return plan

    def recipe_of(self, epochs: int) -> Recipe:
        """The recipe, for the images at hand."""
        channels = int(self.train.take(torch.zeros(1, dtype=torch.long)).x.shape[1])
        options = {**self.scale.recipe.model_options, "channels": channels}
        return replace(self.scale.recipe, epochs=epochs, model_options=options)

    @cached_property
    def recipe(self) -> Recipe:
        """With the epochs of the plan."""
        return self.recipe_of(self.plan["epochs"])

    def training(self, samples: float) -> float:
        """The seconds that a training on so many samples takes."""
        return samples * self.plan["epochs"] / self.plan["samples_per_second"]

    # ------------------------------------------------------------------------------------------------- models

    @cached_property
    def original(self) -> TrainedModel:
        """The model that is to forget."""
        return self._kept(
            "original",
            self.train,
            lambda: workflow.train(Experiment(self.task, self.recipe, self.train), progress=self.clock.tick),
        )

    def retrained(self, number: int) -> TrainedModel:
        """A model that never saw the forget set."""
        seed = FORGET_SEED + 10 * (1 + number)
        return self._kept(f"retrained-{number}", self.split.kept, lambda: self._unlearned(Retrain(), self.split, seed))

    def _kept(self, name: str, samples: Samples, make: Callable[[], TrainedModel]) -> TrainedModel:
        path = self.folders.work / "models" / f"{name}.safetensors"
        if path.with_suffix(".json").exists():
            trained, _ = models.read(path, self.task, self.recipe)
            Run(self.task, recipe=self.recipe).precision.prepare(trained.model)
            return trained
        self.clock.need(self.training(len(samples)), name)
        trained = make()
        models.save(path, trained, data_sha256=samples.sha256, ids=samples.ids.tolist())
        accuracy = percent_right(trained, self.unseen)
        say(f"{name}: {trained.seconds:.1f} s, test accuracy {accuracy:.2f} %")
        return trained

    def pool(self, folder: str, unseen: Samples, count: int, seed: int) -> ReferencePool:
        """References over the training samples and others; what is there of them is opened."""
        if len(list((self.folders.work / folder).glob("*/member-???.json"))) < count:
            self.clock.need(self.training((len(self.train) + len(unseen)) / 2), folder)
        return workflow.train_references(
            Experiment(self.task, self.recipe, self.train, unseen, seed=seed),
            folder=self.folders.work / folder,
            models=count,
            workers=0,
            keep_weights=folder == "teachers",
            progress=self.clock.tick,
        )

    @cached_property
    def references(self) -> ReferencePool:
        """Those of the audit."""
        return self.pool("references", self.unseen, self.scale.references, 0)

    @cached_property
    def teachers(self) -> ReferencePool:
        """Those of `never_seen`."""
        assert self.split.holdout is not None
        return self.pool("teachers", self.split.holdout, self.scale.teachers, TEACHER_SEED)

    def _unlearned(self, method: Method, split: Split, seed: int, name: str = "") -> TrainedModel:
        extra: dict[str, Any] = {"teachers": self.teachers} if method.name == "never_seen" else {}
        return workflow.unlearn(
            workflow.TrainedModel.given(self.original.model, self.task, recipe=self.recipe),
            split,
            method,
            seed=seed,
            progress=self.clock.tick,
            measure=None,
            **extra,
        ).named(name)

    # -------------------------------------------------------------------------------------------------- cells

    @cached_property
    def evaluation(self) -> Evaluation:
        """What all candidates are asked about."""
        return Evaluation.of(Experiment(self.task, self.recipe, self.train, self.unseen), self.split, self.references)

    def outputs_of(self, name: str) -> Path:
        """Where a model's outputs are kept."""
        return self.folders.work / "candidates" / f"{name}.safetensors"

    def candidate(self, name: str, make: Callable[[], TrainedModel]) -> Candidate:
        """A model's outputs, kept; the model is made where they are not there yet."""
        path = self.outputs_of(name)
        if not path.exists():
            self._write(path, self.evaluation.candidate(make()))
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["candidate"])
            return Candidate(logits=file.get_tensor("logits"), **facts)

    def _write(self, path: Path, candidate: Candidate) -> None:
        names = [field.name for field in fields(Candidate) if field.name not in ("logits", "shadows")]
        facts = {name: getattr(candidate, name) for name in names}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        logits = torch.from_numpy(np.ascontiguousarray(candidate.logits))
        save_file({"logits": logits}, partial, metadata={"candidate": json.dumps(facts)})
        partial.replace(path)

    def yardstick(self) -> list[Candidate]:
        """The original, and then the retrained models."""
        original = self.candidate("original", lambda: self.original)
        numbers = range(self.plan["retrained"])
        return [
            original,
            *(self.candidate(f"retrained-{number}", lambda n=number: self.retrained(n)) for number in numbers),
        ]

    def cell(self, name: str, method: Method, *, retain: bool) -> None:
        """Run one method and keep its outputs and quick figures; a failure is written down, for the next command."""
        entry = self.folders.read(f"cells/{name}.json")
        if entry is not None and "failed" not in entry:
            say(f"{name}: done before")
            return
        self.clock.need(10, name)
        split = self.split if retain else self.split.without_retain()
        entry = {"method": method.name, "retain": retain, "original_sha256": self.yardstick()[0].weights_sha256}
        try:
            candidate = self.candidate(name, lambda: self._unlearned(method, split, FORGET_SEED, name))
        except TimeUp:
            raise
        except (ObliviateError, RuntimeError, TypeError, ValueError) as error:  # other cells can still be had
            entry |= {"failed": f"{type(error).__name__}: {error}", "trace": traceback.format_exc().splitlines()[-12:]}
            say(f"{name}: failed, {entry['failed']}")
        else:
            entry |= {
                "settings": candidate.method,
                "seconds": candidate.seconds,
                "notes": dict(candidate.settings),
                **self.quick(candidate),
            }
            if "teachers" in method.needs:
                entry["seconds_of_teachers"] = self.teachers.seconds
            say(f"{name}: {json.dumps({key: entry[key] for key in ('seconds', 'forget', 'retained', 'test')})}")
        self.folders.write(f"cells/{name}.json", entry)
        self.folders.pack()

    def quick(self, candidate: Candidate) -> dict[str, float]:
        """The accuracies, which need no references."""
        audited = self.evaluation.audited
        assert audited.labels is not None
        right = candidate.logits.argmax(1) == audited.labels
        parts = {"forget": audited.forget, "retained": audited.retain, "test": audited.unseen}
        return {name: 100 * float(right[index].mean()) for name, index in parts.items()}


# ---------------------------------------------------------------------------------------------------------- stages


def check(bench: Bench, minutes: float) -> None:
    """Every method on a small network, on the GPU and on the processor; and some tests, where pytest is installed."""
    folders, report = bench.folders, {**machine(), "methods": dict[str, Any]()}
    twin = folders.work / "check-on-processor"
    process = None
    if DEVICE.type != "cpu":  # another process does the same without the GPU, at the same time
        command = [sys.executable, __file__, "--stage", "check", "--minutes", str(minutes)]
        command += ["--work", str(twin), "--out", str(twin / "out")]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    data = load_data(EMBEDDED, train_size=600)
    recipe, task = Recipe(epochs=8, augmentation="crop_flip"), Classification(classes=10)
    split = Split.of(data.train, forget=random_ids(data.train, SHARE, seed=1), holdout=data.holdout)
    original = Run(task, recipe=recipe, device="cpu").train(data.train)
    report["original"] = {"test": right_share(original, data.test)}
    here = Run(task, recipe=recipe).precision.prepare(copy.deepcopy(original))
    difference = (outputs(here, data.test) - outputs(original, data.test)).abs().max()
    report["largest_difference_of_outputs"] = float(difference)
    for name, method in sorted(registry().items()):
        if name in LEFT_OUT or "teachers" in method.needs:
            continue
        try:
            trained = workflow.unlearn(
                workflow.TrainedModel.given(original, task, recipe=recipe),
                split,
                method(),
                seed=1,
                progress=bench.clock.tick,
                measure=None,
            )
            entry: dict[str, Any] = {
                "forget": right_share(trained.model, split.forget),
                "test": right_share(trained.model, data.test),
                "seconds": trained.seconds,
            }
        except TimeUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever goes wrong on this device is what is looked for
            entry = {"failed": f"{type(error).__name__}: {error}", "trace": traceback.format_exc().splitlines()[-12:]}
        report["methods"][name] = entry
        say(f"check {name}: {json.dumps({key: value for key, value in entry.items() if key != 'trace'})}")
        folders.write("check.json", report)
    if process is not None:
        process.wait(timeout=max(bench.clock.left, 1))
        beside = json.loads((twin / "check.json").read_text("utf-8"))
        report["on_processor"] = beside["methods"]
        away = {
            name: abs(entry["test"] - beside["methods"][name]["test"])
            for name, entry in report["methods"].items()
            if "test" in entry and "test" in beside["methods"].get(name, {})
        }
        report["points_of_test_accuracy_away"] = away
        say(f"points of test accuracy away from the processor: {json.dumps(away)}")
        if importlib.util.find_spec("pytest") is not None and bench.clock.left > 30:
            report["tests"] = tests(min(bench.clock.left - 15, 45))
            say("\n".join(report["tests"]))
    folders.write("check.json", report)


def tests(seconds: float) -> list[str]:
    """The last lines of some tests, which run on the GPU; the options of the project need more packages."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-o", "addopts=", "-W", "default"]
    command += ["-p", "no:cacheprovider", "--import-mode=importlib", *TESTS]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=os.environ | {"OBLIVIATE_TEST_GPU": "1"},
        )
    except subprocess.TimeoutExpired as error:
        return [f"the tests took more than {seconds:.0f} s", *(error.stdout or b"").decode().splitlines()[-5:]]
    return done.stdout.splitlines()[-15:]


def collect(folders: list[Path], work: Path) -> Path | None:
    """Bring the mosaics of several folders together; None, with a word on which, while some are missing."""
    together = work / "mosaics"
    together.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for path in sorted(folder.glob("*.*")):
            if not (together / path.name).exists():
                shutil.copyfile(path, together / path.name)
    wanted = [f"train_{number:02d}.webp" for number in range(25)] + [f"test_{number:02d}.webp" for number in range(5)]
    wanted += ["train_labels.npy", "test_labels.npy"]
    if missing := [name for name in wanted if not (together / name).exists()]:
        say(f"{len(wanted) - len(missing)} of {len(wanted)} data files; still missing: {missing[0]} … {missing[-1]}")
        return None
    say(f"all {len(wanted)} data files are in {together}")
    return together


def train(bench: Bench) -> None:
    """The original and the retrained models."""
    _ = bench.original
    for number in range(bench.plan["retrained"]):
        if not bench.outputs_of(f"retrained-{number}").exists():
            bench.retrained(number)


def references(bench: Bench) -> None:
    """The references of the audit, and what the models say that are there already."""
    say(f"{len(bench.references)} references, {bench.references.seconds:.0f} s")
    bench.yardstick()


def unlearn(bench: Bench, only: tuple[str, ...]) -> None:
    """All cells, of every method at its defaults."""
    methods = registry()
    for name in METHODS:
        if only and name not in only:
            continue
        if name not in methods:
            say(f"{name}: not among the methods of this version, left out")
            continue
        bench.cell(f"{name}-with", methods[name](), retain=True)
        if "retain" not in methods[name]().needs:
            bench.cell(f"{name}-without", methods[name](), retain=False)


def audit(bench: Bench) -> None:
    """The figures of all cells that have outputs, against the retrained models."""
    names = [
        path.stem for path in sorted(bench.folders.work.glob("cells/*.json")) if path.stem not in ("audit", "yardstick")
    ]
    entries = {name: bench.folders.read(f"cells/{name}.json") or {} for name in names}
    entries = {name: entry for name, entry in entries.items() if bench.outputs_of(name).exists()}
    if not entries:
        raise TimeUp("no cell is done yet")
    original, *retrained = bench.yardstick()
    ours = [replace(bench.candidate(name, lost), name=name) for name in entries]
    result = bench.evaluation.audit([original, *ours, *retrained], AuditSettings())
    rows: list[list[str]] = []
    yardstick: dict[str, Any] = {
        "controls": result.findings.controls.model_dump(),
        "floor": result.findings.floor.model_dump(),
        "models": {},
    }
    for model in result.models:
        share = model.share_of_retraining
        values = figures(model) | {
            "seconds": model.seconds,
            "share_of_retraining": None if share is None else 100 * share,
            "reason": model.reason,
            "margin": model.margin,
            "difference": {f"ft_{name}": difference.model_dump() for name, difference in model.differences.items()}
            | {"test_accuracy": model.test_accuracy_difference.model_dump()},
        }
        if model.name in entries:
            bench.folders.write(f"cells/{model.name}.json", entries[model.name] | {"audit": values})
        else:
            yardstick["models"][model.name] = values
        columns = ("forget", "retain", "test", "ft_auc", "average_gap", "seconds", "share_of_retraining")
        cells = ["" if values[key] is None else f"{values[key]:.2f}" for key in columns]
        rows.append([model.name, *cells, str(values["verdict"])])
    bench.folders.write("cells/yardstick.json", yardstick)
    heads = [
        "model",
        "forget %",
        "retain %",
        "test %",
        "FT-AUC",
        "average gap",
        "seconds",
        "% of a retraining",
        "verdict",
    ]
    say(table(heads, rows))


def page(folder: Path) -> None:
    """Keep the figures that came back, and put their table into the documentation."""
    summary = json.loads((folder / "cells.json").read_text("utf-8"))
    check = summary["check"] or {}
    kept = {key: check[key] for key in ("points_of_test_accuracy_away", "tests") if key in check}
    save("gpu", {"plan": summary["plan"], "check": kept, "cells": summary["cells"]})
    cells = dict(summary["cells"])
    models = cells.pop("yardstick")["models"]
    rows = [("original", models.pop("original"), None), *(("retrained", model, None) for model in models.values())]
    rows += [(f"`{cell['method']}`", cell["audit"], cell["retain"]) for cell in cells.values() if "audit" in cell]
    lines = [
        [
            name if retain is not False else f"{name} (no retain set)",
            *(f"{values[key]:.1f}" for key in ("forget", "retain", "test", "ft_auc")),
            f"{values['average_gap']:.2f}",
            f"{values['share_of_retraining']:.0f}",
            values["verdict"],
        ]
        for name, values, retain in sorted(rows, key=lambda row: row[1]["average_gap"])
    ]
    heads = ["model", "forget %", "retain %", "test %", "FT-AUC", "average gap", "cost, %", "verdict"]
    insert(ROOT / "docs" / "comparison.md", "gpu", table(heads, lines))


# ---------------------------------------------------------------------------------------------------------- helpers


def lost() -> TrainedModel:
    """Stand for a model whose outputs should be kept."""
    raise SystemExit("expected the outputs of every cell that is audited, got a cell without; begin the audit again")


def right_share(model: torch.nn.Module, samples: Samples) -> float:
    """In percent."""
    return 100 * float((outputs(model, samples).argmax(1) == samples.everything().y).float().mean())


def percent_right(trained: TrainedModel, samples: Samples) -> float:
    """The accuracy of a trained model, in percent."""
    return right_share(trained.model, samples)


def machine() -> dict[str, Any]:
    """What this runs on, and the commit where git can tell it."""
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else workflow.cpu_name()
    return {"device": device, "torch": torch.__version__, "commit": commit()}


def commit() -> str:
    """The commit, or an empty text where the files came without their history."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return os.environ.get("COMMIT", "")
    return done.stdout.strip() or os.environ.get("COMMIT", "")


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def say(text: str) -> None:
    """Print at once, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders that hold the mosaics among them")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or "build/gpu-out"), help="small files")
    parser.add_argument("--work", type=Path, default=Path("build/gpu"), help="everything else, kept on the machine")
    parser.add_argument("--resume", type=Path, help="the --out folder of an earlier command")
    parser.add_argument("--stage", default="all", help=f"of {', '.join(STAGES)}, with commas; all is from data on")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which whatever runs is stopped")
    parser.add_argument("--epochs", type=int, help="instead of as many as fit")
    parser.add_argument("--methods", default="", help="names, separated by commas; all of them if left out")
    parser.add_argument("--toy", action="store_true", help="a narrow network on 600 images for two epochs")
    return parser.parse_args()


def main() -> None:
    """Run the stages that were asked for, as far as the time goes."""
    began, arguments = time.monotonic(), options()
    clock, folders = Clock(arguments.minutes, began), Folders(arguments.work, arguments.out)
    folders.work.mkdir(parents=True, exist_ok=True)
    scale = TOY if arguments.toy else FULL
    if arguments.epochs:
        scale = replace(scale, epochs=arguments.epochs)
    if arguments.stage == "page":
        page(arguments.resume or folders.out)
        return
    if arguments.resume is not None:
        folders.resume(arguments.resume)
    say(f"{machine()}, {arguments.minutes:g} minutes")
    source: str | Path | None = EMBEDDED
    if not arguments.toy or arguments.data:
        source = collect(arguments.data, folders.work) if arguments.stage != "check" else EMBEDDED
        if source is None or arguments.stage == "data":
            return
    only = tuple(name for name in arguments.methods.split(",") if name)
    bench = Bench(scale, folders, clock, source or EMBEDDED)
    steps: dict[str, Callable[[], None]] = {
        "check": lambda: check(bench, arguments.minutes),
        "train": lambda: train(bench),
        "references": lambda: references(bench),
        "unlearn": lambda: unlearn(bench, only),
        "audit": lambda: audit(bench),
    }
    asked = STAGES[1:-1] if arguments.stage == "all" else arguments.stage.split(",")
    if unknown := sorted(set(asked) - set(STAGES)):
        raise SystemExit(f"expected stages of {', '.join(STAGES)}, got {', '.join(unknown)}; correct --stage")
    chosen = [name for name in STAGES if name in asked and name != "data"]
    over = False
    for name in chosen:
        if over and name != "audit":
            continue
        started, clock.kept = time.monotonic(), AUDIT if "audit" in chosen and name != "audit" else 0.0
        try:
            steps[name]()
        except TimeUp as error:
            say(f"{name}: {error}; the same command goes on here, and one with --resume elsewhere")
            over = True
        else:
            say(f"{name}: done in {time.monotonic() - started:.1f} s, {max(clock.left, 0):.0f} s left")
        finally:
            folders.pack()


if __name__ == "__main__":
    main()
