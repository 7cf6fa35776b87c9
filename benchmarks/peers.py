"""Ours beside other packages: the same checkpoint, split, attack, retrained models and number of tuning trials.

    python benchmarks/peers.py [--ground digits embedded] [--out runs/peers] [--python PYTHON]
        [--torchunlearn CHECKOUT] [--erasure CHECKOUT] [--amun CHECKOUT] [--erasus SITE] [--supreme SITE]
    python benchmarks/peers.py --render        # the tables of docs/peers.md, from what is recorded

A peer is a checkout of its repository, or the folder it was installed to (`pip install --no-deps --target`); one that
is not given is skipped. `--python` is an interpreter that has what the peers need (torch, torchvision, scikit-learn,
safetensors …). Each peer's method runs in a process of its own through its adapter in `benchmarks/peers/`: it receives
the original's weights and the split, and returns weights. It never sees test data.

Every method, ours and theirs, gets the same number of trials, the first with its own defaults, on one forget set and
one model that are not reported; the trial with the smallest average gap to three retrained models is what is reported.
Cost is process CPU time on one thread, without imports. The weights that a peer returned are kept in `--out`, so the
command can be interrupted; ours run anew. Writes `benchmarks/results/peers.json`, and its tables to `docs/peers.md`.
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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, insert, provenance, save
from ground import COLUMNS, Ground, Request, markdown, scaled, timed_figures
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from obliviate._util.files import write_atomically, write_json
from obliviate.data.sources import EMBEDDED
from obliviate.errors import ObliviateError
from obliviate.methods import registry
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel

OURS = "obliviate"
ADAPTERS = Path(__file__).parent / "peers"
PAGE = Path(__file__).parents[1] / "docs" / "peers.md"
SHARE = 0.1
LIMIT = 300  # seconds of CPU time for one run of a peer

Pair = tuple[int, int]
"""The seed of the original model and the seed of the forget set."""
TUNING: Pair = (1000, 1001)  # where trials are judged; never reported

RATES = {"torchunlearn": 0.01, "erasure": 1e-3, "amun": 0.01, "erasus": 1e-4, "supreme": 5e-4}
"""The peers, and the learning rate of their README or of their code."""
ALIKE = {
    "amun": {"torchunlearn": "AMUN", "amun": "amun"},
    "fine_tune": {"torchunlearn": "Finetune", "erasure": "Finetuning", "supreme": "finetune"},
    "random_label": {
        "torchunlearn": "RandomLabel",
        "erasure": "SuccessiveRandomLabels",
        "supreme": "random_labeling",
    },
    "scrub": {"torchunlearn": "SCRUB", "erasure": "Scrub", "erasus": "scrub", "supreme": "scrub"},
    "gradient_ascent": {
        "torchunlearn": "NegGrad",
        "erasure": "NegGrad",
        "erasus": "negative_gradient",
        "supreme": "neg_grad",
    },
    "salun": {"torchunlearn": "SalUn", "erasus": "saliency_unlearning"},
    "ssd": {"erasure": "SelectiveSynapticDampening", "supreme": "ssd"},
}
"""Our methods, and what the peers call the same idea."""
OPTIONS = {"AMUN": {"attack": "pgd"}, "NegGrad": {"retain_lambda": 0.5}, "RandomLabel": {"retain_lambda": 0.5}}
"""What torchunlearn's methods are given: a search that fits the time, and the weight that its README shows."""


# ------------------------------------------------------------------------------------------- who takes part


@dataclass(frozen=True)
class Entry:
    """One method of one tool, and its trials; the first are its defaults."""

    tool: str
    name: str
    trials: tuple[dict[str, Any], ...]
    like: str

    @classmethod
    def ours(cls, name: str, factors: tuple[float, ...]) -> Entry:
        """A method of ours; the trials multiply its learning rates, where it has one."""
        tried = factors if hasattr(registry()[name](), "learning_rate") else (1,)
        return cls(OURS, name, tuple({"factor": factor} for factor in tried), name)

    @classmethod
    def theirs(cls, tool: str, name: str, like: str, factors: tuple[float, ...], options: Mapping[str, Any]) -> Entry:
        """A method of a peer; one without a learning rate, or with one that is written in its code, has one trial."""
        settings: dict[str, Any] = {"method": name}
        if tool == "torchunlearn":  # the epochs and the batch of its README
            settings |= {"options": dict(options), "epochs": 5, "batch_size": 128}
        title = ", ".join([name, *(f"{key}={value}" for key, value in options.items())])
        if name == "SelectiveSynapticDampening" or (tool == "supreme" and name != "scrub"):
            return cls(tool, title, (settings,), like)
        tried = (float(f"{RATES[tool] * factor:.3g}") for factor in factors)
        return cls(tool, title, tuple({**settings, "learning_rate": rate} for rate in tried), like)


@dataclass(frozen=True, eq=False)
class Arena:
    """Data and a recipe, who meets there, with which multiples of their learning rates, and where it is reported."""

    folder: Path
    source: str
    recipe: Recipe
    methods: tuple[str, ...]
    factors: tuple[float, ...]
    pairs: tuple[Pair, ...]

    @cache  # noqa: B019 - two arenas live as long as the process
    def ground(self, seed: int) -> Ground:
        """The original of this seed; all of them are attacked with the references of the first."""
        folder, pool = self.folder / f"model-{seed}", None if seed == TUNING[0] else self.ground(TUNING[0]).pool
        return Ground(folder, source=self.source, recipe=self.recipe, seed=seed, workers=1, pool=pool)

    def request(self, pair: Pair) -> Request:
        """What is asked of every method."""
        return self.ground(pair[0]).request(SHARE, pair[1])

    @property
    def entries(self) -> list[Entry]:
        """Who is compared here."""
        entries: list[Entry] = []
        for like in self.methods:
            entries.append(Entry.ours(like, self.factors))
            for tool, name in ALIKE[like].items():
                options = OPTIONS.get(name, {}) if tool == "torchunlearn" else {}
                entries.append(Entry.theirs(tool, name, like, self.factors, options))
        if self.source != EMBEDDED:  # where 45 CPU seconds an epoch can be afforded
            defaults = Entry.theirs("torchunlearn", "AMUN", "amun", (1,), {}).trials[0]
            fewer = ((0.001, 1), (0.003, 1), (0.003, 2))
            trials = [{**defaults, "learning_rate": rate, "epochs": epochs} for rate, epochs in fewer]
            entries.append(Entry("torchunlearn", "AMUN", (defaults, *trials), "amun"))
        return entries


def arenas(out: Path) -> dict[str, Arena]:
    """Where the methods meet; both in float32, which is what the peers compute in."""
    small, large = Recipe(model_options={"size": 8}, epochs=30, precision="float32"), Recipe(precision="float32")
    common = ("amun", "fine_tune", "random_label", "scrub")
    three: tuple[Pair, ...] = ((0, 2001), (1, 2002), (2, 2001))
    return {
        "digits": Arena(out / "digits", str(digits(out)), small, common, (1, 0.1, 0.3, 3), three),
        "embedded": Arena(out / "embedded", EMBEDDED, large, tuple(ALIKE), (1, 0.3, 3), three[:2]),
    }


def digits(out: Path) -> Path:
    """The 1,797 images of 8×8 pixels that scikit-learn ships: 1,200 to train on, the others to test."""
    from sklearn.datasets import load_digits

    path = out / "digits.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        bunch: Any = load_digits()
        order = np.random.default_rng(0).permutation(len(bunch.target))
        x, y = (bunch.images[order] / 16).astype(np.float32), bunch.target[order].astype(np.int64)
        arrays = {"train_x": x[:1200], "train_y": y[:1200], "test_x": x[1200:], "test_y": y[1200:]}
        write_atomically(path, lambda temporary: np.savez(temporary.open("wb"), **arrays))
    return path


# ------------------------------------------------------------------------------------------- runs


class PeerError(Exception):
    """A peer's run that gave no weights, with its last words."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Runs entries, and reads what peers returned before."""

    out: Path
    checkouts: Mapping[str, Path]
    python: str

    def compare(self, arena: Arena, entry: Entry) -> dict[str, Any]:
        """Try the entry's settings where nothing is reported, then report the best of them."""
        tried = [self.measure(arena, entry, settings, TUNING) for settings in entry.trials]
        keys = ("average_gap", "cpu_seconds", "failed")
        row: dict[str, Any] = {
            "tool": entry.tool,
            "name": entry.name,
            "like": entry.like,
            "trials": [
                {"settings": settings, **{key: figures[key] for key in keys if key in figures}}
                for settings, figures in zip(entry.trials, tried, strict=True)
            ],
        }
        best = min(range(len(tried)), key=lambda place: tried[place].get("average_gap", float("inf")))
        if "failed" in tried[best]:
            return {**row, "runs": tried[:1]}
        settings = entry.trials[best]
        return {**row, "chosen": settings, "runs": [self.measure(arena, entry, settings, pair) for pair in arena.pairs]}

    def measure(self, arena: Arena, entry: Entry, settings: Mapping[str, Any], pair: Pair) -> dict[str, Any]:
        """The figures of one run, or why there are none."""
        request = arena.request(pair)
        try:
            if entry.tool == OURS:
                method = scaled(registry()[entry.name](), settings["factor"], request.split, request.ground.recipe)
                unlearned = request.ground.unlearn(method, request.split, seed=pair[1])
            else:
                unlearned = self._theirs(entry.tool, settings, request)
        except (ObliviateError, PeerError) as error:
            return {"failed": str(error)}
        return timed_figures(request.audit(request.evaluation.candidate(unlearned))[0])

    def _theirs(self, tool: str, settings: Mapping[str, Any], request: Request) -> TrainedModel:
        """What a peer makes of the original, or made of it before."""
        original, split, pair = request.ground.original.model, request.split, (request.ground.seed, request.seed)
        identity = f"{version_of(self.checkouts[tool])} {json.dumps(settings, sort_keys=True)}"
        key = hashlib.sha256(f"{identity} {pair} {weights_sha256(original)} {split.forget.sha256}".encode()).hexdigest()
        path = self.out / "returned" / f"{tool}-{key[:16]}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._run(tool, settings, request).rename(path)
        with safe_open(path, "pt") as file:
            seconds = float(file.metadata()["cpu_seconds"])
        weights = load_file(path)
        if not all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            raise PeerError("its weights are not finite")
        model = copy.deepcopy(original)
        model.load_state_dict(weights)
        return replace(
            request.ground.original,
            model=model.eval(),
            role="unlearned",
            method=tool,
            seed=request.seed,
            seconds=seconds,
            name="",
        )

    def _run(self, tool: str, settings: Mapping[str, Any], request: Request) -> Path:
        """Run the adapter in a folder of its own; returns the file that it wrote."""
        work = (self.out / "work").resolve()
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        forget, retain = request.split.forget.everything(), request.split.kept.everything()
        original = request.ground.original.model
        save_file(
            {name: value.contiguous() for name, value in original.state_dict().items()}, work / "original.safetensors"
        )
        np.savez(
            work / "split.npz",
            forget_x=forget.x.numpy(),
            forget_y=forget.y.numpy(),
            retain_x=retain.x.numpy(),
            retain_y=retain.y.numpy(),
            outputs=outputs(original, request.split.forget).numpy(),
        )
        network = {"classes": request.ground.data.classes, "channels": forget.x.shape[1], "size": forget.x.shape[2]}
        write_json(work / "job.json", {"network": network, "settings": settings, "seed": request.seed, "limit": LIMIT})
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.python, str(ADAPTERS / f"{tool}_adapter.py"), str(work), str(self.checkouts[tool])],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode == -signal.SIGXCPU:
            raise PeerError(f"it took more than {LIMIT} s of CPU time")
        if done.returncode:
            raise PeerError((done.stdout.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        return work / "unlearned.safetensors"


def version_of(checkout: Path) -> str:
    """The commit of a checkout, or the version of what is installed in a folder."""
    for facts in sorted(checkout.glob("*.dist-info")):
        name, _, number = facts.name.removesuffix(".dist-info").rpartition("-")
        return f"{name} {number}"
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def yardsticks(arena: Arena) -> dict[str, list[dict[str, Any]]]:
    """The originals and the retrained models under the same audit."""
    rows: dict[str, list[dict[str, Any]]] = {"original": [], "retrained": []}
    for pair in arena.pairs:
        request = arena.request(pair)
        for result in request.audit(request.evaluation.candidate(request.ground.original)):
            rows[result.role].append(timed_figures(result))
    return rows


def titles(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The runs of every row under the title that they have in the table, with the trial that was chosen."""
    shown = {"factor": "rate ×", "learning_rate": "rate", "epochs": "epochs"}
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        chosen = row.get("chosen", {})
        settings = [f"{word} {chosen[key]:g}" for key, word in shown.items() if key in chosen]
        who = "AMUN's authors" if row["tool"] == "amun" else f"{row['tool']} {row['name']}"
        runs[", ".join([who, *settings])] = row["runs"]
    return runs


def report_of(ground: Mapping[str, Any]) -> str:
    """The table of a ground, under the commits and the machine that it is of."""
    machine = ground["machine"]
    return (
        f"Mean (least–greatest) of {len(ground['reported_on'])} runs; commit of ours `{ground['commit']}`; "
        f"{machine['cores']} cores ({machine['cpu']}), no GPU, torch {machine['torch']}; "
        "[`peers.json`](../benchmarks/results/peers.json) has every trial.\n\n"
        + markdown({**ground["yardsticks"], **titles(ground["rows"])}, COLUMNS | {"CPU s": ("cpu_seconds", 2)})
    )


def render(content: Mapping[str, Mapping[str, Any]], page: Path = PAGE) -> None:
    """Put the tables of all grounds on their page."""
    for name, ground in content.items():
        insert(page, name, report_of(ground))


def main() -> None:
    """Compare, or go on comparing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ground", nargs="+", default=["digits", "embedded"], choices=["digits", "embedded"])
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--render", action="store_true", help="write the tables from what is recorded, and run nothing")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has what the peers need")
    for name in RATES:
        parser.add_argument(f"--{name}", type=Path, help=f"where {name} is")
    arguments = parser.parse_args()
    path = RESULTS / "peers.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if arguments.render:
        render(content)
        return

    checkouts = {name: path.resolve() for name in RATES if (path := getattr(arguments, name)) is not None}
    for name in RATES:
        if name not in checkouts:
            print(f"skipping {name}: no --{name} was given", flush=True)
        elif not checkouts[name].is_dir():
            parser.error(f"expected a folder with {name}, got {checkouts[name]}; give a checkout, or leave it out")
    bench = Bench(arguments.out, checkouts, arguments.python)
    for name in arguments.ground:
        arena, rows = arenas(arguments.out)[name], []
        for entry in arena.entries:
            if entry.tool == OURS or entry.tool in checkouts:
                rows.append(bench.compare(arena, entry))
                print(name, json.dumps(rows[-1]), flush=True)
        beside = yardsticks(arena)
        flags = "".join(f" --{peer} PATH" for peer in checkouts)
        content[name] = {
            **provenance(f"python benchmarks/peers.py --ground {name} --python PYTHON{flags}"),
            "peers": {peer: version_of(where) for peer, where in checkouts.items()},
            "recipe": arena.recipe.to_dict(),
            "tuned_on": TUNING,
            "reported_on": arena.pairs,
            "yardsticks": beside,
            "rows": rows,
        }
        print(save("peers", content))
        render(content)
        print(report_of(content[name]))


if __name__ == "__main__":
    main()
