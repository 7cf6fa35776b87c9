"""The audit audited: does it reject models that remember, and accept models that never saw the forget set?

    python benchmarks/self_audit.py [--forget-seeds 10] [--retrained 4] [--references 64] [--out runs/self-audit]

On the shipped data, for every random forget set of 10 %: originals of three seeds (they remember), independent
retrains (they never saw it; each is judged against the others, and by the references alone), a destroyed model (the
original with noise on its weights) and an untrained one. References are the first 4, 8, 16, … of one pool. Models are
kept, so the command can be interrupted. Writes `benchmarks/results/self-audit.json` and prints its tables; shares have
Clopper–Pearson intervals, which take the runs as independent although forget sets and references are shared.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import provenance, save
from common import table as tabled
from ground import Ground, Request
from scipy.stats import kstest

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool
from obliviate.data.sources import EMBEDDED
from obliviate.metrics.intervals import clopper_pearson
from obliviate.seeds import derive
from obliviate.training.recipe import Recipe
from obliviate.workflow import Trained

SHARE: Final = 0.1
ORIGINALS: Final = (0, 1, 2)
NOISE: Final = 1.5  # of a weight's own standard deviation: enough to destroy a small network
RIGHT: Final = {
    "original": ("leaks",),
    "retrained": ("consistent with retraining",),
    "destroyed": ("utility lost",),
    "untrained": ("utility lost",),
}
Entry = dict[str, Any]


def destroyed(original: Trained, *, seed: int) -> Trained:
    """The original with noise on every weight."""
    torch.manual_seed(derive(seed, "destroyed"))
    return changed(original, "destroyed", lambda one: one + NOISE * one.std() * torch.randn_like(one))


def changed(original: Trained, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Trained:
    """A copy of a model with every matrix changed."""
    model = copy.deepcopy(original.model)
    with torch.no_grad():
        for one in model.parameters():
            if one.dim() > 1:
                one.copy_(change(one))
    return Trained.given(model, role="unlearned", name=name)


def candidates(request: Request, originals: Sequence[Trained], *, seed: int) -> list[Candidate]:
    """What is judged on one forget set, each with its outputs."""
    ground = request.ground
    others = [
        *(Trained.given(one.model, role="unlearned", name=f"original {place}") for place, one in enumerate(originals)),
        destroyed(originals[0], seed=seed),
        Trained.given(ground.recipe.build(seed=derive(seed, "untrained")).eval(), role="unlearned", name="untrained"),
    ]
    retrained = [
        replace(one, role="retrained", name=f"retrained {place}") for place, one in enumerate(request.yardstick)
    ]
    return [*(request.evaluation.candidate(one) for one in others), *retrained]


def judge(request: Request, models: Sequence[Candidate], references: int, *, retrained: bool) -> Iterable[Entry]:
    """One audit with so many references, with retrained models at hand or by the references alone."""
    pool, games = request.evaluation.pool, request.evaluation.games
    pool = Pool(logits=pool.logits[:references], included=pool.included[:references])
    # Without retrained models at hand, the original is: that is why its owner unlearns.
    first = replace(models[0], role="original")
    given = [first, *(one if retrained else replace(one, role="unlearned") for one in models[1:])]
    for found in audit(given, pool, games, AuditSettings()).models:
        differences = {name: one for name, one in found.difference.items() if name.startswith("ft_")}
        yield {
            "model": found.name.partition(" ")[0],
            "references": references,
            "yardstick": "retrained" if retrained else "references",
            "verdict": found.verdict,
            "margin": found.margin,
            "differences": differences,
            "test": found.difference["test_accuracy"],
        }


def share(hits: Sequence[bool]) -> dict[str, float]:
    """A share in percent with its exact 95 % interval, and the number of runs."""
    found = clopper_pearson(sum(hits), len(hits))
    return {"share": 100 * found.value, "low": 100 * found.low, "high": 100 * found.high, "runs": len(hits)}


def summary(entries: Sequence[Entry]) -> Entry:
    """How often verdicts and attacks were right, by yardstick and number of references."""
    table: Entry = {}
    for key in sorted({(one["yardstick"], one["references"]) for one in entries}):
        chosen = [one for one in entries if (one["yardstick"], one["references"]) == key]
        rows: Entry = {}
        for model, right in RIGHT.items():
            of_model = [one for one in chosen if one["model"] == model]
            rows[model] = {
                "right": share([one["verdict"] in right for one in of_model]),
                "verdicts": {name: sum(one["verdict"] == name for one in of_model) for name in verdicts(of_model)},
                "margin": float(np.median([one["margin"] for one in of_model])),
            }
        for attack in chosen[0]["differences"]:
            null = [one["differences"][attack] for one in chosen if one["model"] == "retrained"]
            leak = [one["differences"][attack] for one in chosen if one["model"] == "original"]
            rows[attack] = {
                "power": share([one["p_above"] < 0.05 for one in leak]),
                "false_alarms": share([one["p_above"] < 0.05 for one in null]),
                "coverage_90": share([one["low"] <= 0 <= one["high"] for one in null]),
                "uniform_p": float(kstest([one["p_above"] for one in null], "uniform").pvalue),
            }
        table[f"{key[0]}, {key[1]}"] = rows
    return table


def verdicts(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The verdicts that occur."""
    return sorted({one["verdict"] for one in entries})


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
            attacks.append([*where, attack.removeprefix("ft_"), *shares, f"{one['uniform_p']:.2f}"])
    heads = "compared with, references"
    first = f"{heads}, margin, retrains accepted, originals rejected, destroyed, untrained"
    second = f"{heads}, attack, power at 5 %, false alarms at 5 %, 90 % intervals that hold 0, uniform p (KS)"
    return "\n\n".join([tabled(first.split(", "), verdicts), tabled(second.split(", "), attacks)])


def told(found: Mapping[str, float]) -> str:
    """A share with its interval, as a cell."""
    return f"{found['share']:.0f} % ({found['low']:.0f}–{found['high']:.0f}; {found['runs']:.0f})"


def main() -> None:
    """Make what is missing, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forget-seeds", type=int, default=10)
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--references", type=int, default=64)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/self-audit"))
    args = parser.parse_args()
    command = f"python benchmarks/self_audit.py --forget-seeds {args.forget_seeds} --references {args.references}"
    made_by = provenance(command)  # the commit of the code that is loaded, whatever is committed meanwhile
    grounds = []
    for seed in ORIGINALS:
        pool = grounds[0].pool if grounds else None
        grounds.append(
            Ground(
                args.out / f"model-{seed}",
                source=EMBEDDED,
                recipe=Recipe(),
                seed=seed,
                references=args.references,
                workers=args.workers,
                pool=pool,
            )
        )
    originals = [one.original for one in grounds]
    counts = [count for count in (4, 8, 16, 32, 64, 128) if count <= args.references]
    entries: list[Entry] = []
    for place in range(args.forget_seeds):
        request = grounds[0].request(SHARE, 4001 + place, retrained=args.retrained)
        models = candidates(request, originals, seed=place)
        for count in counts:
            for retrained in (True, False):
                found = list(judge(request, models, count, retrained=retrained))
                entries += [one | {"forget_seed": 4001 + place} for one in found]
        print(f"forget set {place + 1} of {args.forget_seeds}", flush=True)
    table = summary(entries)
    save("self-audit", {**made_by, "retrained": args.retrained, "table": table})
    (args.out / "entries.json").write_text(json.dumps(entries), encoding="utf-8")
    print(markdown(table))


if __name__ == "__main__":
    main()
