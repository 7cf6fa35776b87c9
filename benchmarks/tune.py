"""Choose default hyperparameters: the same random search for every method, on forget sets that are never reported.

    python benchmarks/tune.py [--methods amun,salun] [--trials 16] [--out runs/tune]

Every method gets the same number of trials (its present defaults are the first) from the space below, on two forget
sets of one model. A trial's score is its mean average gap to three retrained models, under the attack of the audit; a
trial that takes more than the budget (15 % of one retraining) is kept in the record but cannot win. The forget sets
come from seeds that no report uses; the models reported are trained from other seeds as well. Trials are appended to
`<out>/trials.jsonl` as they end, so the search can be interrupted. Writes `benchmarks/results/tune.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from pathlib import Path
from typing import Any

from common import provenance, save

from obliviate import workflow
from obliviate.data.sources import EMBEDDED
from obliviate.data.split import Split, random_ids
from obliviate.errors import ObliviateError
from obliviate.methods import registry
from obliviate.methods.retrain import Retrain
from obliviate.seeds import derive
from obliviate.training.recipe import Recipe
from obliviate.workspace import Workspace

MODEL_SEED = 1000
FORGET_SEEDS = (1001, 1002)
SHARE = 0.1
BUDGET = 0.15

# For every method the values that its fields may take; the search draws from the product.
SPACES: dict[str, dict[str, list[Any]]] = {
    "amun": {
        "epochs": [2, 3],
        "learning_rate": [0.08, 0.1, 0.13, 0.16, 0.2],
        "batch_size": [128, 256],
        "schedule": ["cosine", "linear"],
    },
    "fine_tune": {"epochs": [2, 3], "learning_rate": [0.01, 0.03, 0.06, 0.1, 0.15, 0.2], "batch_size": [64, 128]},
    "gradient_ascent": {"epochs": [2, 5, 10], "learning_rate": [1e-3, 3e-3, 6e-3, 0.01, 0.015, 0.02]},
}


def candidates(name: str, trials: int) -> list[dict[str, Any]]:
    """The present defaults, then settings drawn without repetition from the method's space."""
    space = SPACES[name]
    everything = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(derive(0, "tune", name)).shuffle(everything)
    return [{}, *everything[: trials - 1]]


def main() -> None:
    """Search, or go on searching, and print the best trial of every method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(SPACES), help="names, separated by commas")
    parser.add_argument("--trials", type=int, default=16, help="settings per method")
    parser.add_argument("--out", type=Path, default=Path("runs/tune"))
    arguments = parser.parse_args()

    workspace = Workspace.create(arguments.out / "model", source=EMBEDDED, recipe=Recipe(), seed=MODEL_SEED)
    data, task, recipe = workspace.data, workspace.task, workspace.recipe
    original = workspace.train()
    pool = workflow.train_references(
        recipe, data.train, data.test, task, folder=arguments.out / "references", seed=MODEL_SEED
    )
    splits = {
        seed: Split.of(data.train, forget=random_ids(data.train, SHARE, seed=seed), reference=data.reference)
        for seed in FORGET_SEEDS
    }
    retrained = {
        seed: [
            workflow.unlearn(original.model, split, Retrain(), task, recipe=recipe, seed=seed + 10 * (1 + one))
            for one in range(3)
        ]
        for seed, split in splits.items()
    }

    record = arguments.out / "trials.jsonl"
    done = [json.loads(line) for line in record.read_text("utf-8").splitlines()] if record.exists() else []
    seen = {(one["method"], json.dumps(one["settings"], sort_keys=True)) for one in done}
    known = registry()
    for name in arguments.methods.split(","):
        for settings in candidates(name, arguments.trials):
            if (name, json.dumps(settings, sort_keys=True)) in seen:
                continue
            trial: dict[str, Any] = {"method": name, "settings": settings}
            try:
                of_each = []
                for seed, split in splits.items():
                    method = known[name](**settings)
                    made = workflow.unlearn(original.model, split, method, task, recipe=recipe, seed=seed)
                    result = workflow.audit_models([made, *retrained[seed]], split, data.test, pool)
                    of_each.append((made, result.models[0]))
                trial |= {
                    "described": of_each[0][0].method,
                    "average_gap": sum(one.average_gap for _, one in of_each) / len(of_each),
                    "share_of_retraining": sum(one.share_of_retraining or 0.0 for _, one in of_each) / len(of_each),
                    "accuracy": [one.accuracy for _, one in of_each],
                    "ft_auc": [one.attacks["rmia"]["ft"]["auc"] for _, one in of_each],
                }
            except ObliviateError as error:
                trial |= {"failed": str(error)}
            done.append(trial)
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(trial) + "\n")
            print(name, settings, {key: trial.get(key) for key in ("average_gap", "share_of_retraining", "failed")})

    best = {}
    for name in arguments.methods.split(","):
        trials = [one for one in done if one["method"] == name]
        valid = [one for one in trials if "failed" not in one and one["share_of_retraining"] <= BUDGET]
        ranked = sorted(valid, key=lambda one: one["average_gap"])
        best[name] = {"trials": len(trials), "failed": sum("failed" in one for one in trials), "best": ranked[:3]}
        if ranked:
            print(f"{name}: average gap {ranked[0]['average_gap']:.2f} with {ranked[0]['described']}")
    command = f"python benchmarks/tune.py --trials {arguments.trials}"
    content = {"budget": BUDGET, "model_seed": MODEL_SEED, "forget_seeds": FORGET_SEEDS, "spaces": SPACES}
    print(save("tune", {**provenance(command), **content, "methods": best}))


if __name__ == "__main__":
    main()
