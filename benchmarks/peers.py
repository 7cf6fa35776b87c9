"""Ours beside other packages: the same checkpoint, split, attack, retrained models and number of tuning trials.

    python benchmarks/peers.py [--ground digits embedded] [--out runs/peers] [--python PYTHON] [--again]
        [--torchunlearn CHECKOUT] [--erasure CHECKOUT] [--amun CHECKOUT] [--erasus SITE] [--supreme SITE]

A peer is a checkout of its repository, or the folder it was installed to (`pip install --no-deps --target`); one that
is not given is skipped. `--python` is an interpreter that has what the peers need (torch, torchvision, scikit-learn,
safetensors …). Each peer's method runs in a process of its own through its adapter in `benchmarks/peers/`: it receives
the original's weights and the split, and returns weights. It never sees test data.

Every method, ours and theirs, gets the same number of trials, the first with its own defaults, on one forget set and
one model that are not reported; the trial with the smallest average gap to three retrained models is what is reported.
Cost is process CPU time on one thread, without imports. Finished runs are kept in `--out`, those of ours by their
`repr`, so that after a change of our defaults the same command does only what changed; `--again` runs ours again in any
case. Writes `benchmarks/results/peers.json`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, provenance, save, spread
from safetensors.torch import load_file, save_file
from torch import nn

from obliviate import workflow
from obliviate.data.sources import EMBEDDED, Data, load
from obliviate.data.split import Split, random_ids
from obliviate.errors import ObliviateError
from obliviate.files import write_atomically, write_json
from obliviate.methods import registry
from obliviate.methods.amun import WITH_RETAIN
from obliviate.methods.base import settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.workflow import Trained

OURS = "obliviate"
ADAPTERS = Path(__file__).parent / "peers"
SHARE = 0.1
TUNING = (1000, 1001)  # the seeds of the model and of the forget set that trials are judged on
RETRAINED = 3
REFERENCES = 16
LIMIT = 900  # seconds of CPU time for one run of a peer
COLLAPSE = 15.0  # points of test accuracy below the original

Pair = tuple[int, int]
"""The seed of the original model and the seed of the forget set."""


# ------------------------------------------------------------------------------------------- the grounds


@dataclass(frozen=True, eq=False)
class Ground:
    """Data and a recipe, with everything that the methods are compared on: originals, retrained models, references."""

    name: str
    folder: Path
    read: Callable[[Path], Data]
    recipe: Recipe

    @cached_property
    def data(self) -> Data:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.read(self.folder)

    @property
    def task(self) -> Classification:
        return Classification(classes=self.data.classes)

    @cache  # noqa: B019 - two grounds live as long as the process
    def split(self, seed: int) -> Split:
        """The forget set of this seed."""
        return Split.of(self.data.train, forget=random_ids(self.data.train, SHARE, seed=seed))

    @cache  # noqa: B019
    def original(self, seed: int) -> Trained:
        """The model that is to forget."""
        return self._kept(
            f"original-{seed}", "original", lambda: workflow.train(self.recipe, self.data.train, self.task, seed=seed)
        )[0]

    @cache  # noqa: B019
    def retrained(self, seed: int) -> tuple[list[Trained], float]:
        """Models that never saw this forget set, and the mean CPU time of one."""
        base, split = self.original(TUNING[0]).model, self.split(seed)
        made = [
            self._kept(
                f"retrained-{seed}-{one}",
                "retrained",
                lambda one=one: workflow.unlearn(base, split, Retrain(), self.task, recipe=self.recipe, seed=one),
            )
            for one in range(RETRAINED)
        ]
        return [one for one, _ in made], sum(seconds for _, seconds in made) / RETRAINED

    @cached_property
    def pool(self) -> ReferencePool:
        """The references of the attack, over all training and test samples."""
        data, folder = self.data, self.folder / "references"
        return workflow.train_references(
            self.recipe, data.train, data.test, self.task, folder=folder, models=REFERENCES, workers=1
        )

    def figures(self, model: nn.Module, pair: Pair) -> dict[str, Any]:
        """Audit one unlearned model; test accuracy COLLAPSE points below the original's counts as collapsed."""
        split, original = self.split(pair[1]), self.original(pair[0])
        judged = [Trained.given(model, role="unlearned", name="judged"), original, *self.retrained(pair[1])[0]]
        result = workflow.audit_models(judged, split, self.data.test, self.pool)
        one, before = result.models[0], result.models[1]
        moved = [(new - old).float() for new, old in zip(model.parameters(), original.model.parameters(), strict=True)]
        size = sum(float(old.detach().square().sum()) for old in original.model.parameters())
        return {
            "accuracy": one.accuracy,
            "ft_auc": one.attacks["rmia"]["ft"]["auc"],
            "average_gap": one.average_gap,
            "verdict": one.verdict,
            "weights_moved": (sum(float(part.detach().square().sum()) for part in moved) / size) ** 0.5,
            "collapsed": one.accuracy["test"] < before.accuracy["test"] - COLLAPSE,
            "floor": result.floor["average_gap_mean"],
        }

    def yardsticks(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """The same figures for the originals and the retrained models."""
        rows: dict[str, list[dict[str, Any]]] = {"original": [], "retrained": []}
        for pair in pairs:
            models = [self.original(pair[0]), *self.retrained(pair[1])[0]]
            for one in workflow.audit_models(models, self.split(pair[1]), self.data.test, self.pool).models:
                figures = {"accuracy": one.accuracy, "ft_auc": one.attacks["rmia"]["ft"]["auc"]}
                rows[one.role].append({**figures, "average_gap": one.average_gap, "verdict": one.verdict})
        seconds = [self.retrained(pair[1])[1] for pair in pairs]
        return {name: summary(of_each) for name, of_each in rows.items()} | {"retraining_cpu_seconds": spread(seconds)}

    def _kept(self, name: str, role: Any, make: Callable[[], Trained]) -> tuple[Trained, float]:
        folder = self.folder / "models" / f"{self.recipe.fingerprint}-{self.data.sha256[:12]}"
        path = folder / f"{name}.safetensors"
        model = self.recipe.build(seed=0)
        if not path.with_suffix(".json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            began = time.process_time()
            made = make().model
            seconds = time.process_time() - began
            save_file(state(made), path)
            write_json(path.with_suffix(".json"), {"cpu_seconds": seconds})
        model.load_state_dict(load_file(path))
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        seed = int(name.rpartition("-")[2])
        return Trained(model.eval(), role, role, seed, facts["cpu_seconds"], name=name), facts["cpu_seconds"]


def digits(folder: Path) -> Data:
    """The 1,797 images of 8×8 pixels that scikit-learn ships: 1,200 to train on, the others to test."""
    from sklearn.datasets import load_digits

    path = folder / "digits.npz"
    if not path.exists():
        bunch: Any = load_digits()
        order = np.random.default_rng(0).permutation(len(bunch.target))
        x, y = (bunch.images[order] / 16).astype(np.float32), bunch.target[order].astype(np.int64)
        arrays = {"train_x": x[:1200], "train_y": y[:1200], "test_x": x[1200:], "test_y": y[1200:]}
        write_atomically(path, lambda temporary: np.savez(temporary.open("wb"), **arrays))
    return load(path)


def grounds(out: Path) -> dict[str, Ground]:
    """Where the methods meet; both in float32, which is what the peers compute in."""
    small = Recipe(model_options={"size": 8}, epochs=30, precision="float32")
    return {
        "digits": Ground("digits", out / "digits", digits, small),
        "embedded": Ground("embedded", out / "embedded", lambda _: load(EMBEDDED), Recipe(precision="float32")),
    }


# ------------------------------------------------------------------------------------------- who takes part


@dataclass(frozen=True)
class Entry:
    """One method of one tool, its trials (the first are its defaults), and the pairs of seeds it is reported on."""

    tool: str
    name: str
    trials: tuple[dict[str, Any], ...]
    pairs: tuple[Pair, ...]
    same_idea_as: str = ""


def scaled(settings: Mapping[str, Any], rate: float) -> tuple[dict[str, Any], ...]:
    """Four trials: the method's own learning rate, and three others."""
    return tuple({**settings, "learning_rate": float(f"{rate * factor:.3g}")} for factor in (1, 0.1, 0.3, 3))


def ours_scaled(name: str) -> tuple[dict[str, Any], ...]:
    """The same four trials for a method of ours."""
    method = registry()[name]()
    if not hasattr(method, "learning_rate"):
        return ({},)
    return ({}, *scaled({}, method.learning_rate or WITH_RETAIN["learning_rate"])[1:])


def theirs(method: str, **options: Any) -> dict[str, Any]:
    """A trainer of torchunlearn with the epochs and the batch size of its README."""
    return {"method": method, "options": options, "epochs": 5, "batch_size": 128}


def entries(ground: str) -> list[Entry]:
    """Who is compared on a ground."""
    if ground == "digits":
        everything = tuple((model, forget) for forget in (2001, 2002) for model in (0, 1, 2))
        few = ((0, 2001), (1, 2002), (2, 2001))
        quick = ({"learning_rate": 0.01}, *({"learning_rate": one, "epochs": 2} for one in (0.03, 0.06, 0.1)))
        slow = ({"learning_rate": 0.01}, *({"learning_rate": one, "epochs": 1} for one in (0.01, 0.03, 0.1)))
        return [
            Entry(OURS, "amun", ours_scaled("amun"), everything),
            Entry(
                "torchunlearn",
                "AMUN, attack=pgd",
                tuple({**theirs("AMUN", attack="pgd"), **one} for one in quick),
                everything,
                "amun",
            ),
            Entry("torchunlearn", "AMUN", tuple({**theirs("AMUN"), **one} for one in slow), few, "amun"),
        ]
    pairs = ((0, 2001),)
    readme = {"torchunlearn": 0.01, "erasure": 1e-3, "erasus": 1e-4}  # the rate of their README, or of their code
    shared = {
        "fine_tune": (("torchunlearn", "Finetune"), ("erasure", "Finetuning"), ("supreme", "finetune")),
        "gradient_ascent": (
            ("torchunlearn", "NegGrad"),
            ("erasure", "NegGrad"),
            ("erasus", "negative_gradient"),
            ("supreme", "neg_grad"),
        ),
        "neg_grad_plus": (("erasure", "AdvancedNegGrad"), ("erasus", "gradient_ascent")),
        "random_label": (
            ("torchunlearn", "RandomLabel"),
            ("erasure", "SuccessiveRandomLabels"),
            ("supreme", "random_labeling"),
        ),
        "salun": (("torchunlearn", "SalUn"), ("erasus", "saliency_unlearning")),
        "l1_sparse": (("torchunlearn", "L1Sparse"),),
        "scrub": (("torchunlearn", "SCRUB"), ("erasure", "Scrub"), ("erasus", "scrub"), ("supreme", "scrub")),
        "bad_teacher": (("torchunlearn", "BadTeacher"),),
        "boundary_shrink": (("torchunlearn", "BoundaryShrink"),),
        "influence": (("torchunlearn", "Influence"),),
        "ssd": (("erasure", "SelectiveSynapticDampening"), ("supreme", "ssd")),
        "amun": (("torchunlearn", "AMUN"),),
    }
    made: list[Entry] = []
    for ours_name, others in shared.items():
        made.append(Entry(OURS, ours_name, ours_scaled(ours_name), pairs))
        for tool, name in others:
            settings: dict[str, Any] = {"method": name}
            if tool == "torchunlearn" and name != "Influence":
                options = {"attack": "pgd"} if name == "AMUN" else {}  # DeepFool would take hours here
                settings = theirs(name, **options)
            if name in {"Influence", "SelectiveSynapticDampening"} or (tool == "supreme" and name != "scrub"):
                trials: tuple[dict[str, Any], ...] = (settings,)  # no learning rate, or one that is written in its code
            elif tool == "supreme":
                trials = scaled({**settings, "rate_is_called": "sgda_learning_rate"}, 5e-4)
            else:
                trials = scaled(settings, readme[tool])
            made.append(Entry(tool, name + (", attack=pgd" if name == "AMUN" else ""), trials, pairs, ours_name))
    return made


# ------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True, eq=False)
class Bench:
    """Runs entries, and reads finished runs back."""

    out: Path
    checkouts: Mapping[str, Path]
    python: str
    again: bool

    def run(self, ground: Ground, entry: Entry, settings: Mapping[str, Any], pair: Pair) -> dict[str, Any]:
        """The figures of one run, or why there are none."""
        original, split = ground.original(pair[0]).model, ground.split(pair[1])
        method: Any = None
        if entry.tool == OURS:
            try:
                method = settle(registry()[entry.name](**settings), split)
            except ObliviateError as error:
                return {"failed": str(error)}
            identity = repr(method)
        else:
            identity = f"{version_of(self.checkouts[entry.tool])} {json.dumps(settings, sort_keys=True)}"
        key = hashlib.sha256(f"{identity} {pair} {weights_sha256(original)} {split.forget.sha256}".encode()).hexdigest()
        path = self.out / ground.name / "runs" / f"{entry.tool}-{key[:16]}.json"
        if path.exists() and not (self.again and entry.tool == OURS):
            return json.loads(path.read_text(encoding="utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {"tool": entry.tool, "name": entry.name, "pair": pair, "settings": identity}
        try:
            if entry.tool == OURS:
                model, seconds = ours(ground, method, original, split, pair[1])
            else:
                model, seconds, facts["torch"] = self._theirs(ground, entry, settings, pair)
        except (ObliviateError, PeerError) as error:
            return {**facts, "failed": str(error)}
        facts |= {"cpu_seconds": seconds, **ground.figures(model, pair)}
        write_json(path, facts)
        return facts

    def _theirs(
        self, ground: Ground, entry: Entry, settings: Mapping[str, Any], pair: Pair
    ) -> tuple[nn.Module, float, str]:
        original, split = ground.original(pair[0]).model, ground.split(pair[1])
        work = (self.out / ground.name / "work").resolve()
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        forget, retain = split.forget.everything(), split.kept.everything()
        save_file(state(original), work / "original.safetensors")
        np.savez(
            work / "split.npz",
            forget_x=forget.x.numpy(),
            forget_y=forget.y.numpy(),
            retain_x=retain.x.numpy(),
            retain_y=retain.y.numpy(),
            outputs=outputs(original, split.forget).numpy(),
        )
        network = {"classes": ground.data.classes, "channels": forget.x.shape[1], "size": forget.x.shape[2]}
        write_json(work / "job.json", {"network": network, "settings": dict(settings), "seed": pair[1], "limit": LIMIT})
        command = [self.python, str(ADAPTERS / f"{entry.tool}_adapter.py"), str(work), str(self.checkouts[entry.tool])]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        log = self.out / ground.name / f"{entry.tool}.log"
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**environment, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                check=False,
            )
        if done.returncode == -signal.SIGXCPU:
            raise PeerError(f"it took more than {LIMIT} s of CPU time")
        if done.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise PeerError(lines[-1] if lines else f"exit status {done.returncode}")
        facts = json.loads((work / "done.json").read_text(encoding="utf-8"))
        model = copy.deepcopy(original)
        weights = load_file(work / "unlearned.safetensors")
        if not all(bool(torch.isfinite(one).all()) for one in weights.values()):
            raise PeerError("its weights are not finite")
        model.load_state_dict(weights)
        return model.eval(), facts["cpu_seconds"], facts["torch"]

    def compare(self, ground: Ground, entry: Entry) -> dict[str, Any]:
        """Try the entry's settings where nothing is reported, then report its defaults and the best of them."""
        defaults = self.run(ground, entry, entry.trials[0], entry.pairs[0])
        trials = [self.run(ground, entry, settings, TUNING) for settings in entry.trials]
        valid = [number for number, one in enumerate(trials) if "failed" not in one]
        row: dict[str, Any] = {
            "tool": entry.tool,
            "name": entry.name,
            "same_idea_as": entry.same_idea_as,
            "defaults": defaults,
            "trials": [
                {"settings": dict(settings), **{key: one.get(key) for key in ("average_gap", "cpu_seconds", "failed")}}
                for settings, one in zip(entry.trials, trials, strict=True)
            ],
        }
        if not valid:
            return {**row, "failed": trials[0]["failed"]}
        best = min(valid, key=lambda number: trials[number]["average_gap"])
        row["chosen"] = dict(entry.trials[best])
        runs = [self.run(ground, entry, entry.trials[best], pair) for pair in entry.pairs]
        row["runs"] = runs
        if failed := [one["failed"] for one in runs if "failed" in one]:
            return {**row, "failed": failed[0]}
        row |= summary(runs)
        row["share_of_retraining"] = spread(
            [100 * one["cpu_seconds"] / ground.retrained(one["pair"][1])[1] for one in runs]
        )
        return row


class PeerError(Exception):
    """A peer's run that gave no weights, with its last words."""


@cache
def warm_up(ground: Ground) -> None:
    """Let what happens once in a process happen before anything is timed, as the adapters do."""
    workflow.unlearn(ground.original(TUNING[0]).model, ground.split(TUNING[1]), FineTune(epochs=1), ground.task)


def ours(ground: Ground, method: Any, original: nn.Module, split: Split, seed: int) -> tuple[nn.Module, float]:
    """Run a method of ours, and the CPU time that it took."""
    warm_up(ground)
    began = time.process_time()
    made = workflow.unlearn(original, split, method, ground.task, recipe=ground.recipe, seed=seed)
    return made.model, time.process_time() - began


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and range of every figure over a few runs."""
    row: dict[str, Any] = {
        f"{part}_accuracy": spread([one["accuracy"][part] for one in runs]) for part in ("forget", "retain", "test")
    }
    for key in ("ft_auc", "average_gap", "cpu_seconds", "weights_moved"):
        if key in runs[0]:
            row[key] = spread([one[key] for one in runs])
    row["collapsed"] = sum(bool(one.get("collapsed")) for one in runs)
    row["verdicts"] = {
        verdict: sum(one["verdict"] == verdict for one in runs) for one in runs if (verdict := one["verdict"])
    }
    return row


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights, as safetensors takes them."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}


def version_of(checkout: Path) -> str:
    """The commit of a checkout, or the version of what is installed in a folder."""
    for facts in sorted(checkout.glob("*.dist-info")):
        name, _, number = facts.name.removesuffix(".dist-info").rpartition("-")
        return f"{name} {number}"
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# ------------------------------------------------------------------------------------------- the table


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of docs/peers.md."""
    columns = {
        "forget %": ("forget_accuracy", 1),
        "retain %": ("retain_accuracy", 1),
        "test %": ("test_accuracy", 1),
        "FT-AUC": ("ft_auc", 1),
        "average gap": ("average_gap", 2),
        "CPU s": ("cpu_seconds", 2),
    }
    lines = [["tool", "method", "runs", *columns], ["---"] * (3 + len(columns))]
    for row in rows:
        if "failed" in row:
            lines.append([row["tool"], row["name"], "0", f"no figures: {row['failed']}", *[""] * (len(columns) - 1)])
            continue
        cells = []
        for key, digits_shown in columns.values():
            one = row.get(key)
            if one is None:
                cells.append("")
            elif one["min"] == one["max"]:
                cells.append(f"{one['mean']:.{digits_shown}f}")
            else:
                low, high = (f"{one[end]:.{digits_shown}f}" for end in ("min", "max"))
                cells.append(f"{one['mean']:.{digits_shown}f} ({low}–{high})")
        lines.append([row["tool"], row["name"], str(len(row.get("runs", []))), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Compare, or go on comparing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ground", nargs="+", default=["digits", "embedded"], choices=["digits", "embedded"])
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has what the peers need")
    parser.add_argument("--again", action="store_true", help="run our methods again even where they were run before")
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, help=f"where {name} is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    checkouts = {name: path.resolve() for name in PEERS if (path := getattr(arguments, name)) is not None}
    for name, path in checkouts.items():
        if not path.is_dir():
            parser.error(f"expected a folder with {name}, got {path}; give a checkout, or leave --{name} out")
    for name in PEERS:
        if name not in checkouts:
            print(f"skipping {name}: no --{name} was given", flush=True)
    bench = Bench(arguments.out, checkouts, arguments.python, arguments.again)
    path = RESULTS / "peers.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"grounds": {}}
    for name in arguments.ground:
        ground = grounds(arguments.out)[name]
        rows = []
        for entry in entries(name):
            if entry.tool != OURS and entry.tool not in checkouts:
                continue
            began = time.monotonic()
            rows.append(bench.compare(ground, entry))
            gap = rows[-1].get("average_gap", {}).get("mean", float("nan"))
            print(f"{name} {entry.tool} {entry.name}: gap {gap:.2f}, {time.monotonic() - began:.0f} s", flush=True)
        pairs = sorted({pair for entry in entries(name) for pair in entry.pairs})
        yardsticks = ground.yardsticks(pairs)
        beside = [{"tool": "", "name": role, **yardsticks[role]} for role in ("original", "retrained")]
        print(markdown([*beside, *rows]))
        content["grounds"][name] = {
            "samples": {"train": len(ground.data.train), "test": len(ground.data.test), "share_forgotten": SHARE},
            "recipe": ground.recipe.to_dict(),
            "tuned_on": TUNING,
            "yardsticks": yardsticks,
            "rows": rows,
            **provenance(
                f"python benchmarks/peers.py --ground {name}" + "".join(f" --{one} PATH" for one in checkouts)
            ),
            "peers": {one: version_of(where) for one, where in checkouts.items()},
        }
    print(save("peers", {"grounds": content["grounds"]}))


PEERS = ("torchunlearn", "erasure", "amun", "erasus", "supreme")

if __name__ == "__main__":
    main()
