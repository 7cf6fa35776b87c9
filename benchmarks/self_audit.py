"""The audit audited: does it reject models that remember, and accept models that never saw the forget set?

    python benchmarks/self_audit.py [--draws 40] [--retrained 4] [--references 128] [--out runs/self-audit]

The shipped images, training and test together, are split anew for every draw: 5,000 to train on, of which 500 are to be
forgotten, and 2,500 unseen. So forget and unseen samples are exchangeable, which is what p-values and intervals promise
something about; on one split alone, all forget sets would share the luck of its unseen samples. In every draw: an
original (it remembers), independent retrains (they never saw the forget set; each is judged against the others, and by
the references alone), a destroyed model (the original with noise on its weights) and an untrained one. The references
are one pool over all images, which serves every split; a draw takes 4, 8, 16, … of them, and draws take different ones
as long as there are.

Models and verdicts are kept, so the command can be interrupted. Writes `benchmarks/results/self-audit.json` and prints
its tables. Verdicts of one draw go together: intervals count a draw once, however many retrains it has, and uniformity
is tested on one retrain of each draw.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import provenance, save
from common import table as tabled
from ground import Log
from scipy.stats import beta, kstest

from obliviate import workflow
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool
from obliviate.data.samples import Samples
from obliviate.data.sources import EMBEDDED, load
from obliviate.data.split import Split
from obliviate.methods.retrain import Retrain
from obliviate.seeds import derive
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import Evaluation, Trained, models

RECIPE: Final = Recipe()
TASK: Final = Classification(classes=10)
FORGET: Final = 500
COUNTS: Final = (4, 8, 16, 32, 64, 128)
NOISE: Final = 1.5  # of a weight's own standard deviation: enough to destroy a small network
RIGHT: Final = {
    "original": ("leaks",),
    "retrained": ("consistent with retraining",),
    "destroyed": ("utility lost",),
    "untrained": ("utility lost",),
}
Entry = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Draw:
    """A split of all images by chance, and the models that are judged on it."""

    number: int
    split: Split
    unseen: Samples
    folder: Path

    @classmethod
    def of(cls, number: int, *, train: Samples, test: Samples, folder: Path) -> Draw:
        """As many to train on and unseen as there are, but others."""
        everything = train.joined(test)
        ids = np.random.default_rng(derive(number, "draw")).permutation(everything.ids)
        chosen = everything.select(np.sort(ids[: len(train)]))
        split = Split.of(chosen, forget=sorted(ids[:FORGET].tolist()))
        return cls(number, split, everything.select(np.sort(ids[len(train) :])), folder / f"draw-{number:03d}")

    @property
    def original(self) -> Trained:
        """Trained on all of the training samples."""
        train = self.split.forget.joined(self.split.kept)
        seed = derive(self.number, "original")
        return self._kept("original", train, lambda: workflow.train(RECIPE, train, TASK, seed=seed))

    def retrained(self, place: int) -> Trained:
        """Trained without the forget set."""
        model, seed = RECIPE.build(seed=0), derive(self.number, "retrained", place)
        make = partial(workflow.unlearn, model, self.split, Retrain(), TASK, recipe=RECIPE, seed=seed)
        return replace(self._kept(f"retrained-{place}", self.split.kept, make), role="retrained")

    def _kept(self, name: str, samples: Samples, make: Callable[[], Trained]) -> Trained:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            models.save(path, make(), RECIPE, data_sha256=samples.sha256, ids=samples.ids.tolist())
        return replace(models.read(path, RECIPE)[0], name=name)

    def candidates(self, evaluation: Evaluation, *, retrained: int) -> list[Candidate]:
        """What is judged, each with its outputs: the original first, retrained models last."""
        original = self.original
        untrained = RECIPE.build(seed=derive(self.number, "untrained")).eval()
        made = [
            replace(original, role="original"),
            destroyed(original, seed=self.number),
            Trained.given(untrained, role="unlearned", name="untrained"),
            *(self.retrained(place) for place in range(retrained)),
        ]
        return [evaluation.candidate(one) for one in made]


def destroyed(original: Trained, *, seed: int) -> Trained:
    """The original with noise on every matrix."""
    torch.manual_seed(derive(seed, "destroyed"))
    model = copy.deepcopy(original.model)
    with torch.no_grad():
        for one in model.parameters():
            if one.dim() > 1:
                one.add_(NOISE * one.std() * torch.randn_like(one))
    return Trained.given(model, role="unlearned", name="destroyed")


def judge(evaluation: Evaluation, made: Sequence[Candidate], references: slice, *, retrained: bool) -> Iterable[Entry]:
    """One audit by some of the references, with retrained models at hand or by the references alone."""
    pool = Pool(logits=evaluation.pool.logits[references], included=evaluation.pool.included[references])
    # Without retrained models at hand, the original is: that is why its owner unlearns.
    given = [one if retrained or one.role == "original" else replace(one, role="unlearned") for one in made]
    for found in audit(given, pool, evaluation.games, AuditSettings()).models:
        yield {
            "model": found.name.partition("-")[0],
            "references": len(pool.logits),
            "yardstick": "retrained" if retrained else "references",
            "verdict": found.verdict,
            "margin": found.margin,
            "differences": {name: one for name, one in found.difference.items() if name.startswith("ft_")},
            "test": found.difference["test_accuracy"],
        }


def examine(number: int, folder: Path, *, references: int, retrained: int) -> list[Entry]:
    """Everything about one draw, in a process of its own."""
    torch.set_num_threads(1)
    data = load(EMBEDDED)
    pool = workflow.load_references(RECIPE, data.train, data.test, folder=folder / "references", models=references)
    draw = Draw.of(number, train=data.train, test=data.test, folder=folder)
    evaluation = Evaluation.of(draw.split, draw.unseen, pool, TASK)
    made = draw.candidates(evaluation, retrained=retrained)
    entries: list[Entry] = []
    for count in (one for one in COUNTS if one <= references):
        begin = count * (number % (references // count))
        for given in (True, False):
            entries += judge(evaluation, made, slice(begin, begin + count), retrained=given)
    return [one | {"draw": number} for one in entries]


def share(hits: Mapping[int, Sequence[bool]]) -> dict[str, float]:
    """A share in percent over all verdicts, with its 95 % interval (Clopper & Pearson 1934), a draw counted once."""
    draws, runs = len(hits), sum(map(len, hits.values()))
    rate = sum(map(sum, hits.values())) / runs
    right = rate * draws  # not a whole number, which the beta distribution does not mind
    low = float(beta.ppf(0.025, right, draws - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, draws - right)) if right < draws else 1.0
    return {"share": 100 * rate, "low": 100 * low, "high": 100 * high, "runs": runs, "draws": draws}


def by_draw(entries: Sequence[Entry], hit: Callable[[Entry], bool]) -> dict[int, list[bool]]:
    """Which entries of every draw are hits."""
    found: dict[int, list[bool]] = {}
    for one in entries:
        found.setdefault(one["draw"], []).append(hit(one))
    return found


def summary(entries: Sequence[Entry]) -> Entry:
    """How often verdicts and attacks were right, by yardstick and number of references."""
    table: Entry = {}
    for key in sorted({(one["yardstick"], one["references"]) for one in entries}):
        chosen = [one for one in entries if (one["yardstick"], one["references"]) == key]
        of = {model: [one for one in chosen if one["model"] == model] for model in RIGHT}
        rows: Entry = {}
        for model, right in RIGHT.items():
            names = sorted({one["verdict"] for one in of[model]})
            rows[model] = {
                "right": share(by_draw(of[model], lambda one: one["verdict"] in right)),  # noqa: B023
                "verdicts": {name: sum(one["verdict"] == name for one in of[model]) for name in names},
                "margin": float(np.median([one["margin"] for one in of[model]])),
            }
        for attack in chosen[0]["differences"]:
            rows[attack] = of_attack(attack, leak=of["original"], null=of["retrained"])
        table[f"{key[0]}, {key[1]}"] = rows
    return table


def of_attack(attack: str, *, leak: Sequence[Entry], null: Sequence[Entry]) -> Entry:
    """How one attack tells originals, and how its p-values and intervals are on retrained models."""

    def shared(entries: Sequence[Entry], hit: Callable[[Mapping[str, float]], bool]) -> dict[str, float]:
        return share(by_draw(entries, lambda one: hit(one["differences"][attack])))

    first = list({one["draw"]: one["differences"][attack] for one in reversed(null)}.values())
    means = [
        np.mean([one["differences"][attack]["value"] for one in null if one["draw"] == draw])
        for draw in sorted({one["draw"] for one in null})
    ]
    return {
        "power": shared(leak, lambda one: one["p_above"] < 0.05),
        "false_alarms": shared(null, lambda one: one["p_above"] < 0.05),
        "coverage_90": shared(null, lambda one: one["low"] <= 0 <= one["high"]),
        "uniform_p": float(kstest([one["p_above"] for one in first], "uniform").pvalue),
        "bias": float(np.mean(means)),
        "bias_error": float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None,
    }


def markdown(table: Entry) -> str:
    """The summary as two tables."""
    verdicts, attacks = [], []
    for key, rows in table.items():
        where = key.split(", ")
        shares = [told(rows[model]["right"]) for model in ("retrained", "original", "destroyed", "untrained")]
        verdicts.append([*where, f"{rows['retrained']['margin']:.1f}", *shares])
        for attack in (name for name in rows if name.startswith("ft_")):
            one = rows[attack]
            shares = [told(one[name]) for name in ("power", "false_alarms", "coverage_90")]
            bias = f"{one['bias']:+.2f}" + ("" if one["bias_error"] is None else f" ± {one['bias_error']:.2f}")
            attacks.append([*where, attack.removeprefix("ft_"), *shares, f"{one['uniform_p']:.2f}", bias])
    heads = "compared with, references"
    first = f"{heads}, margin, retrains accepted, originals rejected, destroyed, untrained"
    second = (
        f"{heads}, attack, power at 5 %, false alarms at 5 %, 90 % intervals that hold 0, uniform p (KS), "
        "mean difference of retrains"
    )
    return "\n\n".join([tabled(first.split(", "), verdicts), tabled(second.split(", "), attacks)])


def told(found: Mapping[str, float]) -> str:
    """A share with its interval, as a cell."""
    return f"{found['share']:.0f} % ({found['low']:.0f}–{found['high']:.0f}; {found['runs']:.0f})"


def main() -> None:
    """Make what is missing, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--references", type=int, default=128)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/self-audit"))
    args = parser.parse_args()
    made_by = provenance(f"python benchmarks/self_audit.py --draws {args.draws} --references {args.references}")
    data = load(EMBEDDED)
    workflow.train_references(
        RECIPE, data.train, data.test, TASK,
        folder=args.out / "references", models=args.references, workers=args.workers,
    )  # fmt: skip
    log = Log(args.out / f"verdicts-{args.references}-{args.retrained}-{made_by['commit'].replace(' ', '-')}.jsonl")
    todo = [number for number in range(args.draws) if str(number) not in log.entries]
    work = partial(examine, folder=args.out, references=args.references, retrained=args.retrained)
    with ProcessPoolExecutor(args.workers or os.cpu_count(), mp_context=get_context("spawn")) as executor:
        for number, entries in zip(todo, executor.map(work, todo), strict=True):
            log.add(str(number), {"entries": entries})
            print(f"draw {number + 1} of {args.draws}", flush=True)
    table = summary([one for number in range(args.draws) for one in log.entries[str(number)]["entries"]])
    save("self-audit", {**made_by, "draws": args.draws, "retrained": args.retrained, "table": table})
    print(markdown(table))


if __name__ == "__main__":
    main()
