"""The tables of papers, remade: each is a plan (`benchmarks/tables/NAME.toml`) over the package's own engine.

    python benchmarks/table.py amun --tier tiny                     # shipped data, minutes; makes or resumes
    python benchmarks/table.py amun --tier cpu --data FOLDER        # CIFAR-10 in FOLDER/cifar10, as it is published
    python benchmarks/table.py amun --tier gpu --data FOLDER --executor slurm
    python benchmarks/table.py amun --tier tiny --list              # the ids of all cells, and which are done
    python benchmarks/table.py amun --tier tiny --cell ID           # one cell anew, with what it rests on
    python benchmarks/table.py amun --render                        # docs/evidence/amun.md and .svg, of all tiers

A cell is one method, with one forget set, under one training seed, judged beside retrained models. It is kept under
`<out>/NAME/TIER` as the package keeps the cells of a plan, and its figures in `benchmarks/results/tables/NAME-TIER.json`
with their intervals, settings, cost, hashes, commit and machine, a line a cell: several people may add lines. A cell
that is recorded there is made again only by `--cell`, which prints both, or with another `--out` and `--again`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from common import RESULTS, provenance
from scipy.stats import t as student

from obliviate.comparison.figures import Compared, Comparison, Figure
from obliviate.comparison.plot import svg
from obliviate.data.sources import BUILT_IN
from obliviate.plans import Plan, run_plan
from obliviate.plans.ground import Cell, ForgetSet, Ground
from obliviate.references.executors.by_name import opened

HERE: Final = Path(__file__).parent
PAGES: Final = HERE.parent / "docs" / "evidence"
TIERS: Final = ("tiny", "cpu", "gpu")
HEADS: Final = {
    "forget": "forget, %",
    "retain": "retain, %",
    "test": "test, %",
    "forgotten": "forgotten class, %",
    "others": "other classes, %",
    "ft_auc": "FT-AUC (RMIA)",
    "ft_lira": "FT-AUC (LiRA)",
    "mia_loss": "MIA_L",
    "mia_entropy": "MIA_E",
    "asr": "ASR",
    "gain": "share of retraining's gain, %",
    "average_gap": "average gap",
    "cost": "cost, % of a retraining",
}
Model = Mapping[str, Any]
Row = tuple[str, dict[str, "Mean | None"], str]


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
            key: [round(statistics.fmean(classes[one] for one in some), 4)] for key, some in parts.items() if some
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
        self.command = f"python benchmarks/table.py {name} --tier {tier}" + (
            "" if plan.source in BUILT_IN else " --data FOLDER"
        )
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
            made = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d")
            facts = {"commit": origin["commit"], "made": made, "made_by": values["made_by"]}
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


# ------------------------------------------------------------------------------------------- tables


class Mean:
    """A mean over training seeds of means over draws, with half of Student's 95 % interval where there are two seeds."""

    def __init__(self, by_seed: Mapping[int, Sequence[float]]) -> None:
        means = [statistics.fmean(some) for some in by_seed.values()]
        self.value, self.seeds, self.half = statistics.fmean(means), len(means), None
        if len(means) > 1:
            self.half = float(student.ppf(0.975, len(means) - 1)) * statistics.stdev(means) / len(means) ** 0.5

    def __str__(self) -> str:
        return f"{self.value:.1f}" + ("" if self.half is None else f" ± {self.half:.1f}")

    def figure(self) -> Figure:
        """As pictures take it."""
        low, high = (None, None) if self.half is None else (self.value - self.half, self.value + self.half)
        return Figure(value=self.value, low=low, high=high, over=None if self.half is None else "seeds")


def models_of(record: Mapping[str, Any], rule: str) -> dict[str, list[tuple[int, Model]]]:
    """All models of one rule by the name of their row, each with its training seed: the original, the retrained, then methods."""
    rows: dict[str, list[tuple[int, Model]]] = {"original": [], "retrained": []}
    for cell in sorted(record["cells"].values(), key=lambda cell: (cell["label"], cell["seed"], cell["draw"])):
        for model in cell["models"] if cell["forget"] == rule else ():
            rows.setdefault(cell["label"] or model["role"], []).append((cell["seed"], model))
    return rows


def mean_of(models: Sequence[tuple[int, Model]], name: str) -> Mean | None:
    """A figure over models; None where some have none."""
    by_seed: dict[int, list[float]] = {}
    for seed, model in models:
        if name not in model["figures"]:
            return None
        by_seed.setdefault(seed, []).append(model["figures"][name][0])
    return Mean(by_seed) if by_seed else None


def gain(rows: Mapping[str, Sequence[tuple[int, Model]]], label: str) -> Mean | None:
    """What a method wins of test accuracy, in percent of what retraining wins."""
    tests = {name: mean_of(rows[name], "test") for name in ("original", "retrained")}
    before, after = tests["original"], tests["retrained"]
    if before is None or after is None or abs(after.value - before.value) < 0.1:
        return None
    shares: dict[int, list[float]] = {}
    for seed, model in rows[label]:
        shares.setdefault(seed, []).append(
            100 * (model["figures"]["test"][0] - before.value) / (after.value - before.value)
        )
    return Mean(shares)


def block(record: Mapping[str, Any], rule: str, columns: Sequence[str], order: Sequence[str]) -> list[Row]:
    """The rows of one rule: name, figures, verdicts."""
    rows = models_of(record, rule)
    lines: list[Row] = []
    for label in ["original", "retrained", *order]:
        models = rows.get(label, [])
        failed = Counter(
            cell["failed"]
            for cell in record["cells"].values()
            if cell["failed"] and cell["label"] == label and cell["forget"] == rule
        )
        if not models and not failed:
            continue
        figures = {
            column: gain(rows, label) if column == "gain" and models else mean_of(models, column) for column in columns
        }
        verdicts = Counter(model["verdict"] for _, model in models)
        words = [f"{count} × {verdict}" for verdict, count in verdicts.most_common()]
        words += [f"{count} × failed: {reason}" for reason, count in failed.items()]
        lines.append((label, figures, ", ".join(words)))
    return lines


def titles(plan_values: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """The rules of a record, in the order of the table's file."""
    there = list(dict.fromkeys(cell["forget"] for cell in record["cells"].values()))
    rules = [entry["rule"] for entry in plan_values["forget"]]
    return sorted(there, key=lambda title: (next(k for k, rule in enumerate(rules) if title.startswith(rule)), title))


def labels_of(values: Mapping[str, Any]) -> list[str]:
    """Names of rows, in the order of the table's file."""
    return [
        trial.label
        for trial in Plan.of(
            {key: values[key] for key in ("forget", "method")} | {"data": {"source": "digits", "wrong_labels": 0.5}}
        ).trials
    ]


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def lines_of(rows: Sequence[Row], columns: Sequence[str], paper: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Texts of a table: ours, and in brackets what the paper says."""
    lines = []
    for label, figures, verdicts in rows:
        published = paper.get(label, {})
        cells = []
        for column in columns:
            mean = figures[column]
            ours = "" if mean is None else str(mean)
            cells.append(ours + (f" ({published[column]:g})" if column in published else ""))
        lines.append([label if label in ("original", "retrained") else f"`{label}`", *cells, verdicts])
    return lines


def comparison(record: Mapping[str, Any], rule: str, tier: str, order: Sequence[str]) -> Comparison:
    """One block as pictures take it."""
    rows = models_of(record, rule)
    compared = []
    for label in ["original", "retrained", *order]:
        if not (models := rows.get(label)):
            continue
        figure = {
            name: None if (mean := mean_of(models, name)) is None else mean.figure()
            for name in ("ft_auc", "average_gap", "forget", "retain", "test", "seconds", "cost")
        }
        compared.append(
            Compared(
                name=label,
                role=models[0][1]["role"],
                audits=len(models),
                seeds=len({seed for seed, _ in models}),
                ft_auc=figure["ft_auc"],
                average_gap=figure["average_gap"],
                forget_accuracy=figure["forget"],
                retain_accuracy=figure["retain"],
                test_accuracy=figure["test"],
                test_accuracy_difference=None,
                seconds=figure["seconds"],
                cost=figure["cost"],
            )
        )
    seeds = tuple(record["seeds"])
    audits = max(model.audits for model in compared)
    return Comparison(seeds=seeds, audits=audits, models=tuple(compared), notes=(), title=f"{rule} ({tier})")


def agreement(rows: Sequence[Row], paper: Mapping[str, Mapping[str, float]]) -> str:
    """How the order by average gap compares with the paper's, in a sentence; empty where nothing can be compared."""
    both = [
        (label, figures["average_gap"].value, paper[label]["average_gap"])
        for label, figures, _ in rows
        if figures.get("average_gap") is not None and "average_gap" in paper.get(label, {}) and label != "retrained"
    ]
    if len(both) < 3:
        return ""
    from scipy.stats import spearmanr

    correlation = float(spearmanr([ours for _, ours, _ in both], [theirs for *_, theirs in both]).statistic)
    nearest = min(both, key=lambda entry: entry[1])[0], min(both, key=lambda entry: entry[2])[0]
    return (
        f"Of the {len(both)} methods that the paper has too, `{nearest[0]}` is nearest to retraining here and `{nearest[1]}` there; "
        f"the order by average gap agrees with the paper's to a rank correlation of {correlation:+.2f}.".replace(
            "-", "−"
        )
    )


def circumstances(name: str, tier: str, record: Mapping[str, Any], wanted: int) -> str:
    """By which command, commits and machines a tier was made, and how much of it is there."""
    cells = record["cells"].values()
    commits = ", ".join(f"`{commit}`" for commit in sorted({cell["commit"] for cell in cells}))
    made = sorted({(cell["made_by"]["cpu"], cell["made_by"]["torch"], cell["made_by"]["device"]) for cell in cells})
    machines = "; ".join(f"{cpu}, torch {torch}, device {device}" for cpu, torch, device in made)
    recipe, methods = record["recipe"], [cell for cell in cells if cell["label"]]
    data = "" if plan_is_shipped(name, tier) else " --data FOLDER"
    there = f"All {wanted} cells" if len(methods) >= wanted else f"{len(methods)} of {wanted} cells"
    return (
        f"{there} of methods: {record['train']:,} training samples, {record['model']}, {recipe['epochs']} epochs, training seeds "
        f"{', '.join(map(str, record['seeds']))}, {record['references']} references, {record['retrained']} retrained models a forget set. "
        f"`python benchmarks/table.py {name} --tier {tier}{data}` makes them, and one of them with `--cell ID`; commit {commits}; {machines}; "
        f"figures in [`{name}-{tier}.json`](../../benchmarks/results/tables/{name}-{tier}.json)."
    )


def plan_is_shipped(name: str, tier: str) -> bool:
    """Whether a tier needs nothing that the package does not ship."""
    return described(name)["tiers"][tier]["data"]["source"] in BUILT_IN


# ------------------------------------------------------------------------------------------- figures of earlier scripts


def earlier_tables(name: str) -> Iterator[tuple[str, dict[str, Any], list[str], dict[str, list[Mapping[str, Any]]]]]:
    """Titles, facts, columns and rows of results that scripts made before there were tables; those of one name."""
    content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    if "shares" in content:
        for share in content["shares"]:
            yield f"{100 * share['share']:g} % at random", content, ["forget", "test", "mia_l", "mia_e"], share["rows"]
    elif "settings" in content:
        for title, rows in content["settings"].items():
            known = ("forgotten", "rest", "forget", "test", "asr")
            yield title, content, [key for key in known if key in rows["original"][0]], rows
    else:
        for title, rows in content["tables"].items():
            columns = ["forget", "retain", "test", "ft_auc", "average_gap"]
            title = title if "D_R" in title else f"10 % forgotten, {title} the retain set"
            yield title, content, columns, {key: row if isinstance(row, list) else [row] for key, row in rows.items()}


EARLIER_HEADS: Final = HEADS | {"mia_l": "MIA_L", "mia_e": "MIA_E", "rest": "other classes, %"}


def earlier_text(name: str) -> list[str]:
    """What an earlier script measured, as it measured it: mean (least–greatest) over models and forget sets."""
    text: list[str] = []
    for number, (title, facts, columns, rows) in enumerate(earlier_tables(name)):
        if number == 0:
            machine = facts["machine"]
            text.append(
                f"By `{facts['command']}` of commit `{facts['commit']}` ({machine['cpu']}, torch {machine['torch']}; "
                f"[`{name}.json`](../../benchmarks/results/{name}.json)), mean (least–greatest) over models and forget sets:"
            )
        lines = []
        for label, entries in rows.items():
            good = [entry for entry in entries if "failed" not in entry]
            if not good:
                lines.append([f"`{label}`", *("" for _ in columns)])
                continue
            lines.append(
                [
                    label if label in ("original", "retrained") else f"`{label}`",
                    *(ranged(good, column) for column in columns),
                ]
            )
        text.append(f"**{title}**\n\n" + markdown(["model", *(EARLIER_HEADS[column] for column in columns)], lines))
    return text


def ranged(entries: Sequence[Mapping[str, Any]], column: str) -> str:
    """A figure over entries, each of which is a number or the spread of several."""
    values = [entry[column] for entry in entries]
    means = [value["mean"] if isinstance(value, dict) else value for value in values]
    low = min(value["min"] if isinstance(value, dict) else value for value in values)
    high = max(value["max"] if isinstance(value, dict) else value for value in values)
    middle = f"{statistics.fmean(means):.1f}"
    return middle if high - low < 0.05 else f"{middle} ({low:.1f}–{high:.1f})"


# ------------------------------------------------------------------------------------------- pages


def render(name: str) -> Path:
    """Write the page of a table, in Markdown and HTML, and its pictures, from what is recorded."""
    values = described(name)
    facts = values["table"]
    columns, papers = facts["columns"], facts.get("paper", {})
    order = labels_of(values)
    text = [f"# {facts['title']}", f"The paper: {facts['source']}.", facts["reading"].strip()]
    text.append(
        "Figures are means over training seeds of means over forget sets, ± half of Student's 95 % interval over the seeds"
        + (", with the paper's in brackets" if papers else "")
        + ". Average gap: the mean distance in points to the retrained models of accuracies on forget, retain and test samples and of FT-AUC; "
        "that of retrained models beside each other is the floor."
    )
    pages = []
    for tier in TIERS:
        if tier not in values["tiers"]:
            continue
        record = recorded(record_of(name, tier))
        if not record["cells"]:
            data = "" if plan_is_shipped(name, tier) else " --data FOLDER"
            text.append(
                f"## Tier `{tier}`\n\nNot measured yet: `python benchmarks/table.py {name} --tier {tier}{data}` does it."
            )
            continue
        sets = sum(draws_of(entry, values["tiers"][tier]) for entry in values["forget"])
        wanted = sets * len(record["seeds"]) * len(order)
        text.append(f"## Tier `{tier}`\n\n{circumstances(name, tier, record, wanted)}")
        text.append(f"![the same as a picture]({name}-{tier}.svg)")
        for rule in titles(values, record):
            rows = block(record, rule, columns, order)
            paper = papers.get(rule, {})
            heads = ["model", *(HEADS[column] for column in columns), "verdicts"]
            text.append(f"### `{rule}`\n\n{markdown(heads, lines_of(rows, columns, paper))}")
            if said := agreement(rows, paper):
                text.append(said)
            pages.append(comparison(record, rule, tier, order))
        (PAGES / f"{name}-{tier}.svg").write_text(
            svg([page for page in pages if page.title.endswith(f"({tier})")]), encoding="utf-8"
        )
    for script in facts.get("earlier", ()):
        text += [f"## Measured before, by a script of its own: `{script}`", *earlier_text(script)]
    path = PAGES / f"{name}.md"
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return path


def draws_of(entry: Mapping[str, Any], tier: Mapping[str, Any]) -> int:
    """How many forget sets an entry of a table draws at a tier."""
    draws = tier.get("draws", entry.get("draws", 1)) if "draws" in entry else 1
    return draws * entry.get("steps", 1)


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
    arguments = parser.parse_args()
    if arguments.render:
        print(render(arguments.name))
    else:
        make(arguments)


if __name__ == "__main__":
    main()
