"""Identical logits into our functions and into public implementations: ranks and figures must agree.

    python benchmarks/crosscheck.py [--ml-privacy-meter CHECKOUT] [--tensorflow-privacy CHECKOUT]
        [--unlearning-evaluation CHECKOUT] [--data-unlearning-bench CHECKOUT]

The checkouts are of github.com/privacytrustlab/ml_privacy_meter, tensorflow/privacy, RoyRin/data-unlearning-bench and
google-deepmind/unlearning_evaluation; one that is not given is skipped. Single files are run from them, without what
they depend on: modules that the compared functions do not use are empty in this process. What had to be changed for a
file to run, or for both sides to compute the same thing, is in `changed`; beside it stands the difference without that
change, where the file runs. The logits are simulated: 16 references of a balanced leave-half-out plan over 2,000
samples of 10 classes, and 24 unlearned and 24 retrained models.

Writes `benchmarks/results/crosscheck.json`; fails if a rank or a figure differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import provenance, save
from scipy.stats import rankdata

from obliviate.membership import lira, rmia
from obliviate.membership.moments import Moments
from obliviate.metrics import distance
from obliviate.metrics.utility import margin

TOLERANCE = 1e-6
SAMPLES, CLASSES, REFERENCES, MODELS = 2000, 10, 16, 24
# Points that are both asked about and in the population would be compared with themselves, where the peer's rounding
# decides whether 1 is above 1.
ASKED, POPULATION = np.arange(SAMPLES // 2), np.arange(SAMPLES // 2, SAMPLES)


class Logits:
    """Simulated logits: of a target, of references that kept half of the samples, of unlearned and retrained models."""

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, CLASSES, SAMPLES)
        self.included = rng.permuted(np.tile(np.arange(REFERENCES)[:, None] < REFERENCES // 2, SAMPLES), axis=0)
        difficulty = rng.normal(2, 2, SAMPLES)

        def train(members: np.ndarray) -> np.ndarray:
            logits = rng.normal(0, 1, (SAMPLES, CLASSES))
            logits[np.arange(SAMPLES), self.labels] += difficulty + 1.5 * members
            return logits.astype(np.float32)

        nobody = np.zeros(SAMPLES)
        self.target = train(np.arange(SAMPLES) < SAMPLES // 2)
        self.references = np.stack([train(row) for row in self.included])
        forget = np.arange(SAMPLES) < SAMPLES // 2
        self.unlearned = np.stack([train(0.5 * forget) for _ in range(MODELS)])
        self.retrained = np.stack([train(nobody) for _ in range(MODELS)])

    def margins(self, which: str) -> np.ndarray:
        """Our margins of the models of a group, (models, n)."""
        return np.stack([margin(logits, self.labels) for logits in getattr(self, which)])


def rank_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of a sample's rank, as a fraction of the samples; equal values share their mean rank.

    Values that agree to nine digits of the largest are equal here: many figures take few values, which both sides round
    differently in the sixteenth digit.
    """
    digits = 9 - int(np.floor(np.log10(max(np.abs(theirs).max(), 1e-300))))
    return float(np.abs(rankdata(ours.round(digits)) - rankdata(theirs.round(digits))).max() / len(ours))


def compared(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Rank and value differences of two figures a sample."""
    return {
        "max_rank_difference": rank_difference(ours, theirs),
        "max_value_difference": float(np.abs(ours - theirs).max()),
    }


# ------------------------------------------------------------------------------------------- their files


class Empty(types.ModuleType):
    """A module that stands for one that is not installed: every name in it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def pretending(*names: str) -> Iterator[None]:
    """Empty modules under these names while a file is loaded; what was there before comes back."""
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = Empty(name)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def load(path: Path, *, without: tuple[str, ...] = (), changes: Mapping[str, str] | None = None) -> types.ModuleType:
    """A module from one file, with pieces of its text replaced; a piece that is not there is an error."""
    text = path.read_text(encoding="utf-8")
    for old, new in (changes or {}).items():
        if old not in text:
            raise SystemExit(f"expected {old!r} in {path.name}, got a file without it; look at what changed there")
        text = text.replace(old, new)
    module = types.ModuleType(f"peer_{path.stem}")
    with pretending(*without):
        exec(compile(text, path.name, "exec"), module.__dict__)  # a checkout that the user names is run as it is
    return module


def commit(checkout: Path) -> str:
    """The commit of a checkout."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------- comparisons


def ml_privacy_meter(checkout: Path, logits: Logits) -> dict[str, Any]:
    """RMIA offline, γ = 1, softmax, balanced pool: `get_signals.get_softmax` and `rmia.run_rmia`."""
    signals = load(
        checkout / "get_signals.py",
        without=("tqdm", "transformers", "dataset", "dataset.utils"),
        changes={"from tqdm import tqdm": "tqdm = lambda batches, **options: batches"},
    )
    theirs = load(checkout / "modules/mia/attacks/rmia.py")
    labels = torch.from_numpy(logits.labels)

    def softmax(values: np.ndarray, temperature: float) -> np.ndarray:
        model = torch.nn.Identity()
        return signals.get_softmax(model, torch.from_numpy(values), labels, 500, "cpu", temperature)[:, 0]

    checks = {}
    for temperature in (1.0, 2.0):
        p_target = softmax(logits.target, temperature)
        p = np.stack([softmax(outputs, temperature) for outputs in logits.references], axis=1)
        ours = rmia.confidence(logits.target, logits.labels, temperature=temperature)
        moments = Moments.of(
            rmia.confidence(logits.references, logits.labels, temperature=temperature), logits.included
        )
        difference = float(np.abs(ours - p_target).max())
        checks[f"confidence, T = {temperature:g}"] = {"max_value_difference": difference}
        for a in (0.0, 0.3, 1.0):
            # Their softmax is in single precision; both attacks get ours, so that ranks can agree to the last one.
            wide = rmia.confidence(logits.references, logits.labels, temperature=temperature).T
            member = logits.included.T
            # The peer takes every z for unseen by all references: members' values are zeroed here as it zeroes x's.
            z = np.where(member, 0.0, wide)[POPULATION]
            scores = rmia.offline(ours, moments, POPULATION, a=a, gamma=1.0)[ASKED]
            share = np.floor(scores * len(POPULATION)) / len(POPULATION)

            def run(
                target: np.ndarray, values: np.ndarray, points: np.ndarray, a: float = a, member: np.ndarray = member
            ) -> np.ndarray:
                return theirs.run_rmia(target[ASKED], values[ASKED], member[ASKED], target[POPULATION], points, a)

            z_single = np.where(member, 0.0, p)[POPULATION]
            checks[f"offline, T = {temperature:g}, a = {a:g}"] = compared(share, run(ours, wide, z)) | {
                "with_their_softmax": compared(share, run(p_target, p, z_single)),
                "unchanged": compared(share, run(ours, wide, wide[POPULATION])),
            }
    return {
        "function": "modules/mia/attacks/rmia.py::run_rmia",
        "changed": "z's references: the values of those that trained on z are 0, as for x; without it the peer "
        "averages the highest half of all references, so that its shares differ",
        "checks": checks,
    }


def tensorflow_privacy(checkout: Path, logits: Logits) -> dict[str, Any]:
    """LiRA online and offline with pooled and own variances: `advanced_mia.compute_score_lira`."""
    folder = checkout / "tensorflow_privacy/privacy/privacy_tests/membership_inference_attack"
    prefix = "tensorflow_privacy.privacy.privacy_tests"
    theirs = load(
        folder / "advanced_mia.py",
        without=("tensorflow_privacy", "tensorflow_privacy.privacy", prefix, f"{prefix}.utils"),
    )
    target = margin(logits.target, logits.labels)
    values = logits.margins("references")
    moments = Moments.of(values, logits.included)
    inside, outside = (
        [values[logits.included[:, x] == side, x][:, None] for x in range(SAMPLES)] for side in (True, False)
    )

    def score(option: str, *, fixed: bool) -> np.ndarray:
        return theirs.compute_score_lira(target[:, None], inside, outside, option, fixed, "mean")

    # Their variance divides by the number of references, ours by one less. A common factor of pooled variances leaves
    # the order of a balanced pool alone; for own variances ours get their divisor.
    divided = replace(moments, squares=moments.squares * (moments.count - 1) / moments.count)
    checks = {
        "online, pooled": compared(lira.online(target, divided, variance="pooled"), -score("both", fixed=True))
        | {"unchanged": compared(lira.online(target, moments, variance="pooled"), -score("both", fixed=True))},
        "online, per_sample": compared(lira.online(target, divided, variance="per_sample"), -score("both", fixed=False))
        | {"unchanged": compared(lira.online(target, moments, variance="per_sample"), -score("both", fixed=False))},
    }
    return {
        "function": "advanced_mia.py::compute_score_lira, median_or_mean mean",
        "changed": "our variances are divided by the number of references (ddof 0), as theirs",
        "checks": checks,
    }


def unlearning_evaluation(checkout: Path, logits: Logits) -> dict[str, Any]:
    """The NeurIPS 2023 score: `metric.compute_logit_scaled_confidence`, `_get_epsilons`, forget score; 12 samples."""
    theirs = load(checkout / "metric.py", changes={".cuda()": "", "assert thr_eps, ": "assert len(thr_eps), "})
    few = np.linspace(0, SAMPLES // 2 - 1, 12).astype(int)  # 0.3 s a sample there
    unlearned, retrained = (logits.margins(which)[:, few] for which in ("unlearned", "retrained"))
    _, scaled = theirs.compute_logit_scaled_confidence(logits.target.astype(np.float64), logits.labels)
    median = np.median(retrained, axis=0) > np.median(unlearned, axis=0)
    positive, negative = np.where(median, retrained, unlearned), np.where(median, unlearned, retrained)
    with np.errstate(all="ignore"):  # thresholds that they leave out afterwards
        epsilon = np.asarray(theirs._get_epsilons(positive, negative, theirs.DELTA))
        forget_score = theirs.compute_forget_score_from_confs(unlearned, retrained)
    ours = distance.forgetting_epsilon(unlearned, retrained)
    quality = distance.forgetting_quality(ours, models=MODELS)
    score = distance.neurips_score(unlearned, retrained, retain_accuracy=(0.9, 1.0), test_accuracy=(0.8, 0.9))
    return {
        "function": "metric.py::compute_forget_score_from_confs",
        "changed": "no .cuda(); an assertion on an array, which numpy refuses, asks for its length",
        "checks": {
            "margin": compared(margin(logits.target, logits.labels), scaled),
            # Rates are in single precision there, and many samples share one epsilon up to that.
            "epsilon": {"max_value_difference": float(np.abs(ours - epsilon).max())},
            "forget score": {"max_value_difference": abs(quality - float(forget_score)), "ours": quality},
            "final score": {
                "max_value_difference": abs(score - float(forget_score) * 0.9 * (0.8 / 0.9)),
                "ours": score,
            },
        },
    }


def data_unlearning_bench(checkout: Path, logits: Logits) -> dict[str, Any]:
    """KLoM: `eval.get_margins_from_multimodel_logits` and `eval.compute_binned_KL_div`."""
    names = ("unlearning_bench", "unlearning_bench.paths", "tqdm")
    path = checkout / "unlearning_bench/eval.py"
    plain = load(path, without=names)
    closed = load(path, without=names, changes={"np.digitize(": "closed_digitize("})

    def closed_digitize(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """np.digitize, with the last edge in the last bin, as in np.histogram."""
        return np.minimum(np.digitize(values, bins), len(bins) - 1)

    closed.__dict__["closed_digitize"] = closed_digitize
    unlearned, retrained = logits.margins("unlearned"), logits.margins("retrained")
    theirs = plain.get_margins_from_multimodel_logits(
        torch.from_numpy(logits.unlearned.astype(np.float64)), torch.from_numpy(logits.labels), "cpu"
    ).numpy()

    def divergence(module: types.ModuleType) -> np.ndarray:
        pairs = zip(unlearned.T, retrained.T, strict=True)
        return np.array([module.compute_binned_KL_div(p, q) for p, q in pairs])

    ours = distance.klom(unlearned, retrained)
    return {
        "function": "unlearning_bench/eval.py::compute_binned_KL_div",
        "changed": "the largest margin of a sample counts in the last bin; np.digitize leaves that model out",
        "checks": {
            "margin": compared(unlearned.ravel(), theirs.ravel()),
            "KLoM": compared(ours, divergence(closed)) | {"unchanged": compared(ours, divergence(plain))},
        },
    }


PEERS: dict[str, Callable[[Path, Logits], dict[str, Any]]] = {
    "ml_privacy_meter": ml_privacy_meter,
    "tensorflow_privacy": tensorflow_privacy,
    "unlearning_evaluation": unlearning_evaluation,
    "data_unlearning_bench": data_unlearning_bench,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in PEERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, dest=name, metavar="CHECKOUT")
    options = parser.parse_args()
    logits, results, wrong = Logits(), {}, []
    for name, compare in PEERS.items():
        checkout = getattr(options, name)
        if checkout is None:
            print(f"{name}: skipped; give --{name.replace('_', '-')} a checkout of its repository")
            continue
        results[name] = {"commit": commit(checkout)} | compare(checkout, logits)
        for check, agreement in results[name]["checks"].items():
            print(f"{name}, {check}: {agreement}")
            # Of scores only the order counts; figures without one must be equal themselves.
            if not agreement.get("max_rank_difference", agreement["max_value_difference"]) <= TOLERANCE:
                wrong.append(f"{name}, {check}")
    if results:
        flags = " ".join(f"--{name.replace('_', '-')} CHECKOUT" for name in results)
        save(
            "crosscheck",
            provenance(f"python benchmarks/crosscheck.py {flags}") | {"tolerance": TOLERANCE, "peers": results},
        )
    if wrong:
        raise SystemExit(f"expected ranks and figures equal to {TOLERANCE}, got differences in {wrong}; see above")


if __name__ == "__main__":
    main()
