"""The tables of papers, remade: each is a plan (`benchmarks/tables/NAME.toml`) over the package's own engine.

    python benchmarks/table.py amun --tier tiny                     # shipped data, minutes; makes or resumes
    python benchmarks/table.py amun --tier cpu --data FOLDER        # CIFAR-10 in FOLDER/cifar10, as it is published
    python benchmarks/table.py amun --tier gpu --data FOLDER --executor slurm
    python benchmarks/table.py amun --tier tiny --list              # the ids of all cells, and which are done
    python benchmarks/table.py amun --tier tiny --cell ID           # one cell anew, with what it rests on
    python benchmarks/table.py amun --render                        # docs/evidence/amun.md and .svg, of all tiers

A cell is one method, with one forget set, under one training seed, judged beside retrained models. It lies under
`<out>/NAME/TIER` as the package keeps the cells of a plan, and its figures in
`benchmarks/results/tables/NAME-TIER.json`, with intervals, settings, cost, hashes, commit and machine, a line a cell:
several people may add lines. What is recorded there stays; `--cell` prints it beside what came of the cell now.
`--html FILE` writes the tables of what is recorded as a page of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from common import RESULTS, provenance

from obliviate.data.sources import BUILT_IN
from obliviate.plans import Plan, run_plan
from obliviate.plans.ground import Cell, ForgetSet, Ground
from obliviate.references.executors.by_name import opened

HERE: Final = Path(__file__).parent
TIERS: Final = ("tiny", "cpu", "gpu")

# ------------------------------------------------------------------------------------------- what a table is made of


def described(name: str) -> dict[str, Any]:
    """What a table's file says; SystemExit for a name without one."""
    path = HERE / "tables" / f"{name}.toml"
    if not path.exists():
        raise SystemExit(f"expected a table of {', '.join(names())}, got {name!r}; name one of them")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def names() -> list[str]:
    """Every table there is."""
    return sorted(path.stem for path in (HERE / "tables").glob("*.toml"))


def plan_of(name: str, tier: str, data: Path | None) -> Plan:
    """The plan of a table at one tier; `data` is the folder of the sets that the package does not ship."""
    values = described(name)
    values.pop("table")
    tiers: dict[str, dict[str, Any]] = values.pop("tiers")
    if tier not in tiers:
        raise SystemExit(f"expected a tier of {', '.join(tiers)} for {name}, got {tier!r}; name one of them")
    chosen = dict(tiers[tier])
    draws = chosen.pop("draws", None)
    if draws is not None:
        values["forget"] = [entry | ({"draws": draws} if "draws" in entry else {}) for entry in values["forget"]]
    source = chosen["data"]["source"]
    if data is None and source not in BUILT_IN:
        raise SystemExit(f"expected --data FOLDER with {source} in it for the tier {tier} of {name}, got none; give it")
    return Plan.of(values | chosen, folder=data or Path())


@cache
def labels_of(name: str) -> list[str]:
    """The names of a table's rows, in the order of its file."""
    methods = described(name)["method"]
    return [
        trial.label
        for trial in Plan.of({"data": {"source": "digits"}, "forget": [{"rule": "class:0"}], "method": methods}).trials
    ]


def command_of(name: str, tier: str) -> str:
    """What a reader types to make a tier of a table."""
    shipped = described(name)["tiers"][tier]["data"]["source"] in BUILT_IN
    return f"python benchmarks/table.py {name} --tier {tier}" + ("" if shipped else " --data FOLDER")


def record_of(name: str, tier: str) -> Path:
    return RESULTS / "tables" / f"{name}-{tier}.json"


def recorded(path: Path) -> dict[str, Any]:
    """What is kept of a table: facts that all cells share, and the cells by their ids."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": {}}


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """A line for every fact and for every cell, sorted, so that what two people add can be merged."""
    facts = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in content.items() if key != "cells"]
    cells = [f"{json.dumps(id_)}: {json.dumps(cell)}" for id_, cell in sorted(content["cells"].items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["{", *facts, '"cells": {', ",\n".join(cells), "}}"]) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------- cells


def compact(cell: Cell, values: Mapping[str, Any], sets: Sequence[ForgetSet], ground: Ground) -> dict[str, Any]:
    """What is kept of a cell of a plan: figures without curves, scores and samples."""
    forget = sets[cell.forget]
    labels = (
        set(ground.data.train.select(forget.chosen.ids).targets.tolist())
        if ground.data.kind == "classification"
        else set()
    )
    whole = labels if forget.rule.startswith("class:") else set()
    return {
        "label": ground.plan.trials[cell.trial].label if cell.kind == "method" else "",
        "seed": cell.seed,
        "forget": forget.rule,
        "draw": forget.draw,
        "forgotten": len(forget.chosen.ids),
        "failed": values["failed"],
        "models": [model_of(row, whole) for row in values["rows"]],
    }


def model_of(row: Mapping[str, Any], whole: set[int]) -> dict[str, Any]:
    """The figures of one model, in percent and points, with their limits where an audit has any."""
    model = row["model"]
    figures: dict[str, list[float]] = {}
    for part, share in model["accuracy"].items():
        figures[part] = limits(share)
    for name, outcome in model["attacks"].items():
        figures["ft_auc" if name == "rmia" else f"ft_{name}"] = limits(outcome["ft"])
    for name, balanced in model["cheap_attacks"].items():
        figures[name] = limits(balanced)
    for key, scale in (("average_gap", 1), ("share_of_retraining", 100), ("seconds", 1)):
        if model[key] is not None:
            figures["cost" if scale == 100 else key] = [round(scale * model[key], 4)]
    classes = {label: share for label, share in enumerate(row["classes"]) if share is not None}
    if whole and len(classes) > len(whole):
        parts = {"forgotten": whole & set(classes), "others": set(classes) - whole}
        figures |= {
            key: [round(statistics.fmean(classes[label] for label in some), 4)] for key, some in parts.items() if some
        }
    return {
        "name": model["name"],
        "role": model["role"],
        "settings": model["method"],
        "figures": figures,
        "verdict": model["verdict"],
        "damage": model["damage"],
        "margin": round(model["margin"], 4),
        "resolution": round(model["resolution"], 4),
        "weights_sha256": model["weights_sha256"],
    }


def limits(interval: Mapping[str, float]) -> list[float]:
    """A figure with its limits."""
    return [round(interval[key], 4) for key in ("value", "low", "high")]


class Recorder:
    """Keeps the figures of cells as they are made."""

    def __init__(self, name: str, tier: str, plan: Plan, folder: Path) -> None:
        self.path, self.folder = record_of(name, tier), folder
        self.ground = Ground.of(plan)
        self.sets = self.ground.forget_sets(None)
        self.cells = [cell for cell in self.ground.cells(self.sets) if cell.kind in {"controls", "method"}]
        self.content = recorded(self.path)
        identity = self.ground.identity
        recipe, data = identity["recipe"], identity["data_sha256"]
        facts = {"table": name, "tier": tier, "data_sha256": data, "recipe": recipe, "seeds": list(plan.seeds)}
        facts |= {
            "model": self.ground.experiment.recipe.model_name,
            "references": plan.references,
            "retrained": plan.retrained,
            "train": len(self.ground.data.train),
        }
        self.content = facts | {"cells": self.content["cells"]}
        self.command = command_of(name, tier)
        self.origin = provenance(self.command)  # of the code that is loaded, whatever is committed meanwhile
        self._origin = folder / "origin.json"

    def resume(self) -> None:
        """Record what an earlier run made and could not record, as made by its commit; from now on by this one."""
        if self._origin.exists():
            self.keep(json.loads(self._origin.read_text(encoding="utf-8")))

    def begin(self) -> None:
        """Note by which commit cells are made from now on."""
        self._origin.write_text(json.dumps(self.origin), encoding="utf-8")

    def keep(self, origin: Mapping[str, Any] | None = None, *, only: Sequence[str] = ()) -> int:
        """Record cells that are done and not recorded, those of `only` even then; return how many."""
        origin = origin or self.origin
        kept = 0
        for cell in self.cells:
            path = cell.file(self.folder)
            if not path.exists() or (cell.id in self.content["cells"] and cell.id not in only):
                continue
            values = json.loads(path.read_text(encoding="utf-8"))
            date = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d")
            facts = {"commit": origin["commit"], "made": date, "made_by": values["made_by"]}
            self.content["cells"][cell.id] = compact(cell, values, self.sets, self.ground) | facts
            kept += 1
        if kept:
            write_record(self.path, self.content)
        return kept

    def progress(self, stage: str, done: float, total: float) -> None:
        """Called by the engine: records what is new, and says how far it is."""
        if stage == "cells" and self.keep():
            print(f"{done:.0f} of {total:.0f}", file=sys.stderr, flush=True)


def make(arguments: argparse.Namespace) -> None:
    """Make what is missing of a table, or the cells that are named."""
    plan = plan_of(arguments.name, arguments.tier, arguments.data)
    folder = arguments.out / arguments.name / arguments.tier
    recorder = Recorder(arguments.name, arguments.tier, plan, folder)
    before = {id_: recorder.content["cells"].get(id_) for id_ in arguments.cell}
    if arguments.list:
        for cell in recorder.cells:
            mark = "done" if cell.id in recorder.content["cells"] else ""
            print(cell.id, mark)
        return
    recorder.resume()
    with opened(arguments.executor) as executor:
        options: dict[str, Any] = {"workers": arguments.workers, "executor": executor, "only": arguments.cell}
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_plan(plan, folder=folder, progress=Beginning(recorder), **options)
    recorder.keep()
    for id_, earlier in before.items():
        (cell,) = (cell for cell in recorder.cells if cell.id == id_)
        again = compact(cell, json.loads(cell.file(folder).read_text("utf-8")), recorder.sets, recorder.ground)
        print(json.dumps({"recorded": earlier, "made now": again}, indent=1))
    print(recorder.path)


class Beginning:
    """Progress that notes the commit once the folder is there, which the engine wants new or its own."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.begun = recorder, False

    def __call__(self, stage: str, done: float, total: float) -> None:
        if not self.begun and (self.recorder.folder / "plan.json").exists():
            self.recorder.begin()
            self.begun = True
        self.recorder.progress(stage, done, total)


def main() -> None:
    """Make, list, remake or render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"one of {', '.join(names())}")
    parser.add_argument("--tier", default="cpu", choices=TIERS)
    parser.add_argument("--data", type=Path, help="the folder of the sets that the package does not ship")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    parser.add_argument("--workers", type=int, help="processes that work side by side; one a core if left out")
    parser.add_argument("--executor", help="who makes cells: processes, ray, dask, slurm, or module:function")
    parser.add_argument("--cell", action="append", default=[], metavar="ID", help="only this cell; may be given again")
    parser.add_argument("--list", action="store_true", help="print the ids of all cells, and which are done")
    parser.add_argument("--render", action="store_true", help="write the page from what is recorded, and make nothing")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the tables of what is recorded into a file")
    arguments = parser.parse_args()
    if arguments.html is not None:
        from evidence import html

        arguments.html.write_text(html(arguments.name), encoding="utf-8")
    elif arguments.render:
        from evidence import render

        print(*render(arguments.name), sep="\n")
    else:
        make(arguments)


if __name__ == "__main__":
    main()
