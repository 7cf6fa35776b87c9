"""Every method at its defaults, side by side: the same models, forget sets, attack and retrained models.

    python benchmarks/methods.py [--model-seeds 0,1,2] [--forget-seeds 2001,2002] [--methods amun,salun]
    python benchmarks/methods.py --data FOLDER --name cifar10 --train-size 20000 --holdout-size 2000 \\
        --model resnet8 --batch-size 128 --references 8 --model-seeds 0 --out runs/methods-cifar10

Defaults were chosen on another model and forget sets (`benchmarks/grounds.py`). With `--factors 1,0.25` every method
that has learning rates is first tried with these multiples of them on a forget set of its own (`--tuning-seed`, two
retrained models), and the best is taken: what suits one network need not suit another. Times are processor time of one
thread, as a share of one retraining. Figures are appended to `<out>/figures.jsonl` as they are made, so the command can
be interrupted; they are made again where a method's settings have changed. Writes
`benchmarks/results/methods-<name>.json` and prints its tables: mean (least–greatest) over models and forget sets.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import provenance, save
from ground import Ground, Log, Request, figures, key_of, markdown, scaled

from obliviate.data.sources import EMBEDDED
from obliviate.errors import ObliviateError
from obliviate.methods import registry
from obliviate.methods.base import Method, settle
from obliviate.training.recipe import Recipe
from obliviate.training.scale import Scale

SHARE = 0.1
EITHER = ("amun",)  # methods that use the retain set where there is one


def measure(
    request: Request, log: Log, name: str, method: Method, *, retain: bool, where: Sequence[int]
) -> dict[str, Any]:
    """One method on one request, or what was found when it ran before."""
    split = request.split if retain else request.split.without_retain()
    settled = repr(settle(method, split, Scale.of(request.ground.recipe)))
    key = key_of(*where, settled, retain)
    if key not in log.entries:
        entry: dict[str, Any] = {"name": name, "where": list(where), "method": settled}
        try:
            entry |= request.trial(method, retain=retain)
        except ObliviateError as error:
            entry |= {"failed": str(error)}
        log.add(key, entry)
        print(
            name, where, {one: entry.get(one) for one in ("average_gap", "share_of_retraining", "failed")}, flush=True
        )
    return log.entries[key]


def best(
    request: Request,
    log: Log,
    name: str,
    method: Method,
    factors: Sequence[float],
    *,
    retain: bool,
    where: Sequence[int],
) -> tuple[Method, float]:
    """The method with those of its learning rates that come closest to retraining on a forget set of their own."""
    if not hasattr(method, "learning_rate"):
        return method, 1.0
    split = request.split if retain else request.split.without_retain()
    tried = {one: scaled(method, one, split, request.ground.recipe) for one in factors}
    gaps = {
        one: measure(request, log, name, made, retain=retain, where=where).get("average_gap", float("inf"))
        for one, made in tried.items()
    }
    factor = min(gaps, key=lambda one: gaps[one])
    return tried[factor], factor


def yardsticks(request: Request, ground: Ground, log: Log, where: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """The original and the retrained models themselves, under the same audit."""
    key = key_of(*where, "yardsticks")
    if key not in log.entries:
        original, *retrained = request.audit(request.evaluation.candidate(ground.original))
        log.add(key, {"original": [figures(original)], "retrained": [figures(one) for one in retrained]})
    return log.entries[key]


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-seeds", default="0,1,2")
    parser.add_argument("--forget-seeds", default="2001,2002")
    parser.add_argument("--methods", default="", help="names, separated by commas; all of them if left out")
    parser.add_argument("--data", default=EMBEDDED, help="a folder or file of data; the embedded set if left out")
    parser.add_argument("--name", default="embedded", help="names the results file")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--holdout-size", type=int)
    parser.add_argument("--model", default="small_cnn")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--references", type=int, default=16)
    parser.add_argument("--workers", type=int, help="processes that train references; one a core if left out")
    parser.add_argument("--factors", default="1", help="multiples of the learning rates to try")
    parser.add_argument("--tuning-seed", type=int, default=1001, help="of the forget set that they are tried on")
    parser.add_argument("--prepare", action="store_true", help="train the models to compare with, and stop")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    return parser.parse_args()


def command_of(arguments: argparse.Namespace) -> str:
    """What a reader types to repeat this."""
    command = (
        f"python benchmarks/methods.py --model-seeds {arguments.model_seeds} --forget-seeds {arguments.forget_seeds}"
    )
    if arguments.data != EMBEDDED:
        command += f" --data FOLDER --name {arguments.name} --train-size {arguments.train_size} "
        command += f"--holdout-size {arguments.holdout_size} --model {arguments.model} "
        command += (
            f"--epochs {arguments.epochs} --batch-size {arguments.batch_size} --references {arguments.references}"
        )
    if arguments.factors != "1":
        command += f" --factors {arguments.factors} --tuning-seed {arguments.tuning_seed}"
    return command


def main() -> None:
    """Run every method on every forget set of every model, and print the tables."""
    arguments = options()
    recipe = Recipe(model=arguments.model, epochs=arguments.epochs, batch_size=arguments.batch_size)
    factors = [float(one) for one in arguments.factors.split(",")]
    names = {one.strip() for one in arguments.methods.split(",") if one}
    known = {name: made() for name, made in registry().items() if not made.exact and (not names or name in names)}
    log, chosen = Log(arguments.out / "figures.jsonl"), dict[str, float]()
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {"with": {}, "without": {}}
    for seed in (int(one) for one in arguments.model_seeds.split(",")):
        ground = Ground(
            arguments.out / f"model-{seed}",
            source=arguments.data,
            recipe=recipe,
            seed=seed,
            train_size=arguments.train_size,
            holdout_size=arguments.holdout_size,
            references=arguments.references,
            workers=arguments.workers,
        )
        wanted = [int(one) for one in arguments.forget_seeds.split(",")]
        requests = {(seed, forget_seed): ground.request(SHARE, forget_seed) for forget_seed in wanted}
        if arguments.prepare:
            continue
        for where, request in requests.items():
            for table, (name, entries) in itertools.product(
                tables.values(), yardsticks(request, ground, log, where).items()
            ):
                if name in ("original", "retrained"):
                    table.setdefault(name, []).extend(entries)
        for (name, method), (kind, table) in itertools.product(known.items(), tables.items()):
            retain = kind == "with"
            if ("retain" in method.needs) != retain and name not in EITHER:
                continue
            made = method
            if len(factors) > 1:
                tuning, there = ground.request(SHARE, arguments.tuning_seed, retrained=2), (seed, arguments.tuning_seed)
                made, factor = best(tuning, log, name, method, factors, retain=retain, where=there)
                chosen[f"{name}, {kind} the retain set, model {seed}"] = factor
            for where, request in requests.items():
                entry = measure(request, log, name, made, retain=retain, where=where)
                table.setdefault(name, []).append(entry)
    if arguments.prepare:
        return
    for kind, rows in tables.items():
        tables[kind] = dict(sorted(rows.items(), key=lambda one: _gap(one[1])))
        print(f"\n{kind} the retain set\n\n{markdown(tables[kind])}")
    content = {"recipe": recipe.to_dict(), "factors": chosen, "tables": tables}
    print(save(f"methods-{arguments.name}", {**provenance(command_of(arguments)), **content}))


def _gap(entries: list[dict[str, Any]]) -> float:
    return statistics.fmean(one.get("average_gap", float("inf")) for one in entries)


if __name__ == "__main__":
    main()
