"""Choose default hyperparameters: the same random search for every method, on forget sets that are never reported.

    python benchmarks/tune.py [--methods amun,salun] [--trials 32] [--out runs/tune]

Every method gets the same number of settings, drawn from the space below, each tried on two forget sets of one model;
no earlier choice of defaults enters. A setting's score is its mean average gap to three retrained models, under the
attack of the audit. From the best down, settings are timed again (the median of five runs); the first that takes no
more than the budget (15 % of one retraining, in processor time) wins. The forget sets come from seeds that no report
uses, and the model does too. What was tried is appended to `<out>/trials.jsonl` at once, so the search can be
interrupted. Writes `benchmarks/results/tune.json`.

"amun (no retain set)" stands for the method without access to D_R, whose defaults are its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import provenance, save
from ground import Ground, Log, Request, key_of

from obliviate.data.sources import EMBEDDED
from obliviate.errors import ObliviateError
from obliviate.methods import registry
from obliviate.methods.base import Method
from obliviate.seeds import derive
from obliviate.training.recipe import Recipe

MODEL_SEED = 1000
FORGET_SEEDS = (1001, 1002)
SHARE = 0.1
BUDGET = 15.0  # % of a retraining
TIMED = 5  # runs whose median time counts
SHOWN = ("average_gap", "share_of_retraining")
NO_RETAIN = " (no retain set)"

RATES = [0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2]
SLOW_RATES = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 8e-3, 0.012, 0.02]
ADAM_RATES = [2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3]
SCHEDULES = ["constant", "cosine"]

# For every method the values that its fields may take; the search draws from the product.
SPACES: dict[str, dict[str, list[Any]]] = {
    "amun": {
        "epochs": [1, 2],
        "learning_rate": [*RATES[4:], 0.25, 0.3],
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
    },
    "fine_tune": {"epochs": [2, 3], "learning_rate": [*RATES, 0.3], "batch_size": [64, 128], "schedule": SCHEDULES},
    "neg_grad_plus": {
        "beta": [0.8, 0.85, 0.9, 0.95, 0.98, 0.99],
        "epochs": [1, 2],
        "learning_rate": RATES,
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
    },
    "random_label": {
        "epochs": [1, 2, 3],
        "learning_rate": RATES,
        "momentum": [0.5, 0.9],
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
    },
    "salun": {
        "saliency": [0.3, 0.5, 0.7],
        "epochs": [1, 2, 3],
        "learning_rate": RATES,
        "momentum": [0.5, 0.9],
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
    },
    "l1_sparse": {
        "gamma": [1e-5, 3e-5, 1e-4, 2e-4, 5e-4],
        "epochs": [2, 3],
        "learning_rate": RATES,
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
    },
    "scrub": {
        "epochs": [1, 2, 3],
        "max_epochs": [1, 2],
        "alpha": [0.001, 0.05, 0.5],
        "learning_rate": ADAM_RATES,
        "batch_size": [64, 128],
        "forget_batch_size": [64, 128, 256],
        "schedule": SCHEDULES,
    },
    "bad_teacher": {
        "epochs": [1, 2],
        "learning_rate": ADAM_RATES,
        "temperature": [1.0, 2.0, 4.0],
        "batch_size": [64, 128, 256],
    },
    "ssd": {
        "alpha": [1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0],
        "dampening": [0.1, 0.3, 0.5, 1.0],
    },
    "influence": {
        "alpha": [1.0, 3.0, 10.0, 30.0, 100.0],
        "damping": [0.03, 0.1, 0.3],
        "steps": [3, 5, 10],
        "samples": [500, 1000],
        "radius": [0.02, 0.05, 0.1],
    },
    "rum": {
        "medium_epochs": [1, 2],
        "high_epochs": [1, 2],
        "learning_rate": RATES,
        "momentum": [0.5, 0.9],
        "saliency": [0.3, 0.5, 0.7],
        "batch_size": [64, 128],
    },
    "mixunlearn": {
        "epochs": [None, 4, 6, 8],
        "learning_rate": [1e-3, 1.5e-3, 2e-3, 3e-3],
        "batch_size": [64, 128],
        "schedule": SCHEDULES,
        "tau_mix": [2.0, 3.0, 5.0, 10.0],
        "tau_real": [1.0, 1.5, 2.0, 3.0, 4.0],
    },
    "laf": {
        "learning_rate": [3e-5, 1e-4, 3e-4],
        "align_learning_rate": [1e-3, 2e-3, 4e-3, 8e-3],
        "batch_size": [64, 128],
        "tau": [1.2, 1.5, 2.0, 3.0, 5.0],
        "repair_learning_rate": [1e-3, 3e-3],
    },
    "nabla_tau": {
        "retain_passes": [0.75, 1.0, 1.25, 1.5],
        "learning_rate": [1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3],
        "batch_size": [64, 128, 256],
        "refresh": [1, 2, 5],
        "schedule": ["linear_to_tenth", "cosine"],
    },
    "amun (no retain set)": {
        "epochs": [3, 5, 10],
        "learning_rate": [0.003, 0.005, 0.008, 0.01, 0.013, 0.016, 0.02, 0.03],
        "batch_size": [32, 64, 128],
        "saliency": [0.05, 0.1, 0.2, 0.5],
    },
    "gradient_ascent (no retain set)": {
        "epochs": [1, 2, 5, 10],
        "learning_rate": SLOW_RATES,
        "momentum": [0.0, 0.9],
        "batch_size": [64, 128, 256],
    },
    "boundary_shrink (no retain set)": {
        "epochs": [1, 2, 5, 10],
        "learning_rate": SLOW_RATES,
        "bound": [0.03, 0.1, 0.2],
        "batch_size": [64, 128, 256],
    },
}


def settings_of(name: str, trials: int) -> list[dict[str, Any]]:
    """Settings drawn without repetition from the method's space."""
    space = SPACES[name]
    everything = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(derive(0, "tune", name)).shuffle(everything)
    return everything[:trials]


def search(
    method: Callable[..., Method], name: str, choices: list[dict[str, Any]], requests: Sequence[Request], log: Log
) -> dict[str, Any]:
    """Try settings of one method, then time the best of them until one keeps to the budget."""
    retain = not name.endswith(NO_RETAIN)
    trials = []
    for settings in choices:
        key = key_of(name, settings)
        if key not in log.entries:
            entry: dict[str, Any] = {"method": name, "settings": settings}
            try:
                audits = [request.trial(method(**settings), retain=retain) for request in requests]
            except ObliviateError as error:
                entry |= {"failed": str(error)}
            else:
                entry["figures"] = audits
                for one in ("average_gap", "share_of_retraining"):
                    entry[one] = statistics.fmean(audit[one] for audit in audits)
            log.add(key, entry)
            print(name, settings, {one: entry.get(one) for one in (*SHOWN, "failed")}, flush=True)
        trials.append(log.entries[key])
    ranked = sorted((one for one in trials if "failed" not in one), key=lambda one: one["average_gap"])
    rejected, best = [], None
    for trial in ranked:
        settings = trial["settings"]
        key = key_of(name, settings, "timed")
        if key not in log.entries:
            shares = [requests[0].trial(method(**settings), retain=retain)[SHOWN[1]] for _ in range(TIMED)]
            log.add(key, {"timed": name, "settings": settings, "shares": shares})
        share = statistics.median(log.entries[key]["shares"])
        if share <= BUDGET:
            best = {**trial, "share_of_retraining": share}
            break
        rejected.append({"settings": settings, "average_gap": trial["average_gap"], "share_of_retraining": share})
    return {
        "space": SPACES[name],
        "tried": len(trials),
        "failed": sum("failed" in one for one in trials),
        "better but too dear": rejected,
        "best": best,
    }


def main() -> None:
    """Search, or go on searching, and print the best setting of every method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(SPACES), help="names, separated by commas")
    parser.add_argument("--trials", type=int, default=32, help="settings per method")
    parser.add_argument("--out", type=Path, default=Path("runs/tune"))
    arguments = parser.parse_args()
    names = [one.strip() for one in arguments.methods.split(",")]
    budget = f"{arguments.trials} settings × {len(FORGET_SEEDS)} forget sets"
    print(f"every method: {budget}, at most {BUDGET:g} % of one retraining", flush=True)

    ground = Ground(arguments.out, source=EMBEDDED, recipe=Recipe(), seed=MODEL_SEED)
    requests = [ground.request(SHARE, seed) for seed in FORGET_SEEDS]
    log = Log(arguments.out / "trials.jsonl")
    known = registry()
    found = {
        name: search(
            known[name.removesuffix(NO_RETAIN)],
            name,
            settings_of(name, arguments.trials),
            requests,
            log,
        )
        for name in names
    }
    for name, one in found.items():
        line = "nothing within the budget"
        if best := one["best"]:
            line = f"average gap {best['average_gap']:.2f} at {best['share_of_retraining']:.1f} % with "
            line += json.dumps(best["settings"])
        print(f"{name}: {line} ({one['tried']} tried, {len(one['better but too dear'])} better but too dear)")
    content = {"budget": BUDGET, "model_seed": MODEL_SEED, "forget_seeds": FORGET_SEEDS, "trials": arguments.trials}
    save_as = {**provenance(f"python benchmarks/tune.py --trials {arguments.trials}"), **content, "methods": found}
    if names == list(SPACES):
        print(save("tune", save_as))


if __name__ == "__main__":
    main()
