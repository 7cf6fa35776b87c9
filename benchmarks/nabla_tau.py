"""∇τ against retraining at random forget sets of 3, 10, 15 and 30 % of the embedded data, under its own attacks.

    python benchmarks/nabla_tau.py [--shares 0.03,0.1,0.15,0.3] [--forget-seeds 2001] [--out runs/tables]

Models of three seeds, each beside three retrained ones; the holdout set is the shipped one (500 unseen samples). The
attacks are MIA_L and MIA_E, forget against test (2,500 samples): the balanced accuracy of cross-validated logistic
regressions on the loss and on the entropy. The cost is processor time as a share of one retraining's, the yardstick
taken anew beside every run. Rows are appended to `<out>/nabla_tau.jsonl` as they end, so the command can be
interrupted; they are made again where a method's settings have changed. Takes about six minutes of one core. Writes
`benchmarks/results/nabla_tau.json` and the table of `docs/methods/nabla_tau.md`.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path
from typing import Any, Final

from common import cell, insert, mean, provenance, save, table
from ground import MODEL_SEEDS, RETRAINED, Bench, Log, Rows, accuracy, compare, mia
from mixunlearn import original
from torch import nn

from obliviate.data import sources
from obliviate.data.rules import random_ids
from obliviate.data.split import Split
from obliviate.methods.base import Method
from obliviate.methods.nabla_tau import NablaTau
from obliviate.task import Classification
from obliviate.training.recipe import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "methods" / "nabla_tau.md"
VARIANTS: Final[dict[str, Method]] = {
    "∇τ": NablaTau(),
    "∇τ, as published": NablaTau.paper(),
    "∇τ, half as long": NablaTau(retain_passes="6.25%"),
}


def rows_of(
    bench: Bench, folder: Path, log: Log, data: sources.Data, share: float, forget_seed: int
) -> dict[str, Rows]:
    """The originals, three retrained models, and every variant from every original, for one forget set."""
    split = Split.of(data.train, forget=random_ids(data.train, share, seed=forget_seed), holdout=data.holdout)

    def figures(model: nn.Module) -> dict[str, float]:
        known = {"forget": accuracy(model, split.forget), "test": accuracy(model, data.test)}
        return {**known, **mia(model, split, data.test)}

    originals = {seed: partial(original, bench, folder / "models", data.train, "clean", seed) for seed in MODEL_SEEDS}
    return compare(bench, log, ["random", share, forget_seed], split, originals, VARIANTS, figures)


def targets(rows: dict[str, Rows], label: str) -> dict[str, float]:
    """Distances to the mean of the retrained models in points, and the median share of a retraining in percent."""
    apart = {name: mean(rows[label], name) - mean(rows["retrained"], name) for name in ("mia_l", "mia_e", "test")}
    return {**apart, "cost": statistics.median(row["share_of_retraining"] for row in rows[label])}


def main() -> None:
    """Compute what is missing, print the table and put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", default="0.03,0.1,0.15,0.3")
    parser.add_argument("--forget-seeds", default="2001")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    arguments = parser.parse_args()

    data = sources.embedded()
    bench, log = (
        Bench(recipe=Recipe(), task=Classification(classes=10), train=data.train),
        Log(arguments.out / "nabla_tau.jsonl"),
    )
    found: list[dict[str, Any]] = []
    lines: list[list[str]] = []
    for share in map(float, arguments.shares.split(",")):
        rows: dict[str, Rows] = {}
        for seed in map(int, arguments.forget_seeds.split(",")):
            for label, some in rows_of(bench, arguments.out, log, data, share, seed).items():
                rows.setdefault(label, []).extend(some)
        reached = {label: targets(rows, label) for label in VARIANTS}
        found.append({"share": share, "to_retrained": reached, "rows": rows})
        for label, some in rows.items():
            half = max((row[f"{name}_high"] - row[f"{name}_low"]) / 2 for row in some for name in ("mia_l", "mia_e"))
            cells = [cell(some, name) for name in ("forget", "test", "mia_l", "mia_e")]
            extra = ["", "", ""]
            if label in reached:
                apart = reached[label]
                met = [abs(apart[name]) <= 1.0 for name in ("mia_l", "mia_e", "test")]
                signed = (f"{apart[name]:+.1f}".replace("-", "−") for name in ("mia_l", "mia_e", "test"))
                met_text = " / ".join("yes" if one else "**no**" for one in met)
                extra = [" / ".join(signed), met_text, f"{apart['cost']:.1f}"]
            lines.append([f"{100 * share:g} %", label, *cells, f"± {half:.1f}", *extra])
    heads = ["forget set", "model", "forget", "test", "MIA_L", "MIA_E", "95 %", "to retrained: L / E / test"]
    text = table([*heads, "within 1 point", "cost, %"], lines)
    print(text)
    insert(PAGE, "random forget sets", text)
    command = f"python benchmarks/nabla_tau.py --shares {arguments.shares} --forget-seeds {arguments.forget_seeds}"
    content = {"model_seeds": MODEL_SEEDS, "retrained": RETRAINED, "shares": found}
    print(save("nabla_tau", {**provenance(command), **content}))


if __name__ == "__main__":
    main()
