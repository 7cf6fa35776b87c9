"""The pages of evidence (docs/evidence): tables of what is recorded, with the papers' figures, and the index.

    python benchmarks/evidence.py          # the index, and every method under every attack
    python benchmarks/table.py amun --render

Nothing is computed from models here: figures are those of `benchmarks/results/tables/*.json` (`table.py`), of
`benchmarks/results/grounds.json` (`grounds.py`), and of the results of scripts that tables took the place of.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from common import RESULTS, table
from scipy.stats import spearmanr
from scipy.stats import t as student
from table import TIERS, command_of, described, labels_of, names, record_of, recorded

from obliviate.comparison.figures import Compared, Comparison, Figure
from obliviate.comparison.plot import svg

PAGES: Final = Path(__file__).parents[1] / "docs" / "evidence"
INDEX: Final = Path(__file__).parent / "tables" / "README.in.md"
HEADS: Final = {
    "forget": "forget, %",
    "retain": "retain, %",
    "test": "test, %",
    "forgotten": "forgotten class, %",
    "others": "other classes, %",
    "rest": "other classes, %",
    "ft_auc": "FT-AUC (RMIA)",
    "mia_loss": "MIA_L",
    "mia_entropy": "MIA_E",
    "mia_l": "MIA_L",
    "mia_e": "MIA_E",
    "asr": "ASR",
    "gain": "share of retraining's gain, %",
    "average_gap": "average gap",
    "cost": "cost, % of a retraining",
}
LEAST_GAIN: Final = 0.1  # points of accuracy, below which there is no gain to have a share of
LEAST_RANKED: Final = 3
YARDSTICKS: Final = ("original", "retrained")
ABOUT: Final = """\
Figures are means over training seeds of means over forget sets, ± half of Student's 95 % interval over the seeds; \
what a paper says of the same comparison stands in brackets. The average gap is the mean distance, in points, to the \
retrained models of the accuracies on forget, retain and test samples and of FT-AUC; that of retrained models beside \
each other is the floor. Costs are of a machine that others used too, and coarse. \
[How to read them](../concepts/membership-figures.md)."""
Model = Mapping[str, Any]
Models = list[tuple[int, Model]]
"""Models with the training seeds of their cells."""


@dataclass(frozen=True)
class Mean:
    """A mean over training seeds, with half of Student's 95 % interval where there are two or more."""

    value: float
    half: float | None

    @classmethod
    def of(cls, by_seed: Mapping[int, Sequence[float]]) -> Mean:
        """Over the means of the seeds."""
        means = [statistics.fmean(values) for values in by_seed.values()]
        count, half = len(means), None
        if count > 1:
            half = float(student.ppf(0.975, count - 1)) * statistics.stdev(means) / count**0.5
        return cls(statistics.fmean(means), half)

    def __str__(self) -> str:
        return f"{self.value:.1f}".replace("-", "−") + ("" if self.half is None else f" ± {self.half:.1f}")

    @property
    def figure(self) -> Figure:
        """As pictures take it."""
        low, high = (None, None) if self.half is None else (self.value - self.half, self.value + self.half)
        return Figure(value=self.value, low=low, high=high, over=None if self.half is None else "seeds")


@dataclass(frozen=True)
class Block:
    """One rule of a record: the models of every row, and why methods came to nothing."""

    rule: str
    rows: dict[str, Models]
    failed: dict[str, Counter[str]]

    @classmethod
    def of(cls, record: Mapping[str, Any], rule: str, labels: Sequence[str]) -> Block:
        """The rows in the order of these labels, behind the original and the retrained models."""
        rows: dict[str, Models] = {label: [] for label in (*YARDSTICKS, *labels)}
        failed: dict[str, Counter[str]] = {label: Counter() for label in rows}
        for cell in record["cells"].values():
            if cell["forget"] == rule:
                failed[cell["label"] or "original"].update([cell["failed"]] if cell["failed"] else [])
                for model in cell["models"]:
                    rows[cell["label"] or model["role"]].append((cell["seed"], model))
        present = [label for label in rows if rows[label] or failed[label]]
        return cls(rule, {label: rows[label] for label in present}, {label: failed[label] for label in present})

    def mean(self, label: str, name: str) -> Mean | None:
        """A figure of a row; None where some of its models have none."""
        if name == "gain":
            return self._gain(label)
        by_seed: dict[int, list[float]] = {}
        for seed, model in self.rows.get(label, []):
            if name not in model["figures"]:
                return None
            by_seed.setdefault(seed, []).append(model["figures"][name][0])
        return Mean.of(by_seed) if by_seed else None

    def _gain(self, label: str) -> Mean | None:
        """What a row wins of test accuracy, in percent of what retraining wins."""
        before, after = (self.mean(name, "test") for name in YARDSTICKS)
        if before is None or after is None or abs(after.value - before.value) < LEAST_GAIN or not self.rows[label]:
            return None
        shares: dict[int, list[float]] = {}
        for seed, model in self.rows[label]:
            won = model["figures"]["test"][0] - before.value
            shares.setdefault(seed, []).append(100 * won / (after.value - before.value))
        return Mean.of(shares)

    def lines(self, columns: Sequence[str], paper: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
        """The rows in texts: name, figures with the paper's in brackets, verdicts."""
        lines = []
        for label, models in self.rows.items():
            texts = []
            for column in columns:
                mean, published = self.mean(label, column), paper.get(label, {}).get(column)
                ours = "" if mean is None else str(mean)
                texts.append(ours if published is None else f"{ours} ({published:g})")
            verdicts = Counter(model["verdict"] for _, model in models)
            words = [f"{count} × {verdict}" for verdict, count in verdicts.most_common()]
            words += [f"{count} × came to nothing: {reason}" for reason, count in self.failed[label].items()]
            lines.append([called(label), *texts, ", ".join(words).replace("|", "\\|")])
        return lines

    def compared(self) -> list[Compared]:
        """The rows as pictures take them."""
        rows = []
        for label, models in self.rows.items():
            if not models:
                continue
            means = {name: self.mean(label, name) for name in (*PICTURED, "retain", "test", "seconds")}
            figures = {name: None if mean is None else mean.figure for name, mean in means.items()}
            rows.append(
                Compared(
                    name=label,
                    role=models[0][1]["role"],
                    audits=len(models),
                    seeds=len({seed for seed, _ in models}),
                    ft_auc=figures["ft_auc"],
                    average_gap=figures["average_gap"],
                    forget_accuracy=figures["forget"],
                    retain_accuracy=figures["retain"],
                    test_accuracy=figures["test"],
                    test_accuracy_difference=None,
                    seconds=figures["seconds"],
                    cost=figures["cost"],
                )
            )
        return rows


PICTURED: Final = ("ft_auc", "forget", "average_gap", "cost")


def called(label: str) -> str:
    """The name of a row, as code where it is a method's."""
    return label if label in YARDSTICKS else f"`{label}`"


def agreement(block: Block, paper: Mapping[str, Mapping[str, float]], labels: Sequence[str]) -> str:
    """How the order of these rows by average gap compares with the paper's, in a sentence; empty where it cannot."""
    both: dict[str, tuple[float, float]] = {}
    for label in labels:
        mean, published = block.mean(label, "average_gap"), paper.get(label, {}).get("average_gap")
        if mean is not None and published is not None:
            both[label] = mean.value, published
    if len(both) < LEAST_RANKED:
        return ""
    ours, theirs = (min(both, key=lambda label, place=place: both[label][place]) for place in (0, 1))
    rank: Any = spearmanr([ours for ours, _ in both.values()], [theirs for _, theirs in both.values()])
    correlation = float(rank.statistic)
    signed = f"{correlation:+.2f}".replace("-", "−")
    return (
        f"Of the {len(both)} methods with the retain set that stand in both, `{ours}` is nearest to retraining here, "
        f"`{theirs}` in the paper; the orders by average gap agree to a rank correlation of {signed}."
    )


# ------------------------------------------------------------------------------------------- the page of a table


def circumstances(name: str, tier: str, record: Mapping[str, Any]) -> str:
    """By which command, commits and machines a tier was made, and how much of it is there."""
    values = described(name)
    cells = list(record["cells"].values())
    methods = [cell for cell in cells if cell["label"]]
    sets = sum(draws_of(entry, values["tiers"][tier]) for entry in values["forget"])
    wanted = sets * len(record["seeds"]) * len(values["method"])
    extent = f"All {wanted} cells" if len(methods) >= wanted else f"{len(methods)} of {wanted} cells"
    commits = ", ".join(f"`{commit}`" for commit in sorted({cell["commit"] for cell in cells}))
    facts = sorted({tuple(cell["made_by"][key] for key in ("cpu", "torch", "device")) for cell in cells})
    machines = "; ".join(f"{cpu}, torch {torch}, device {device}" for cpu, torch, device in facts)
    return (
        f"{extent}: {record['train']:,} training samples, `{record['model']}`, {record['recipe']['epochs']} epochs, "
        f"training seeds {', '.join(map(str, record['seeds']))}, {record['references']} references, "
        f"{record['retrained']} retrained models for each forget set and seed. `{command_of(name, tier)}` makes them, "
        f"with `--cell ID` one of them anew. Commit {commits}; {machines}; intervals, settings and hashes: "
        f"[`{name}-{tier}.json`](../../benchmarks/results/tables/{name}-{tier}.json)."
    )


def draws_of(entry: Mapping[str, Any], tier: Mapping[str, Any]) -> int:
    """How many forget sets an entry of a table draws at a tier."""
    draws = tier.get("draws", entry["draws"]) if "draws" in entry else 1
    return draws * entry.get("steps", 1)


def rules_of(values: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """The rules of a record, in the order of the table's file."""
    titles = {cell["forget"] for cell in record["cells"].values()}
    rules = [entry["rule"] for entry in values["forget"]]
    return sorted(titles, key=lambda title: (next(k for k, rule in enumerate(rules) if title.startswith(rule)), title))


def blocks_of(name: str, tier: str) -> list[Block]:
    """What is recorded of a table at a tier, rule by rule; none where nothing is."""
    record, values = recorded(record_of(name, tier)), described(name)
    return [Block.of(record, rule, labels_of(name)) for rule in rules_of(values, record)]


def render(name: str) -> list[Path]:
    """Write the page of a table, and a picture for each tier that was measured; return the files."""
    written = [PAGES / f"{name}.md"]
    written[0].write_text(page(name), encoding="utf-8")
    for tier in (tier for tier in TIERS if tier in described(name)["tiers"]):
        if blocks := blocks_of(name, tier):
            written.append(PAGES / f"{name}-{tier}.svg")
            written[-1].write_text(picture(blocks, recorded(record_of(name, tier)), tier), encoding="utf-8")
    return written


def page(name: str) -> str:
    """The page of a table."""
    facts = described(name)["table"]
    columns, papers = facts["columns"], facts.get("paper", {})
    heads = ["model", *(HEADS[column] for column in columns), "verdicts"]
    methods = zip(labels_of(name), described(name)["method"], strict=True)
    having = [label for label, method in methods if method.get("retain", True)]
    text = [f"# {facts['title']}", f"Source: {facts['source']}.", facts["reading"].strip(), ABOUT]
    for tier in (tier for tier in TIERS if tier in described(name)["tiers"]):
        text.append(f"## Tier `{tier}`")
        blocks = blocks_of(name, tier)
        if not blocks:
            text.append(f"Not measured yet; `{command_of(name, tier)}` does it.")
            continue
        record = recorded(record_of(name, tier))
        text += [circumstances(name, tier, record), f"![The same in a picture]({name}-{tier}.svg)"]
        for block in blocks:
            paper = papers.get(block.rule, {})
            text += [f"### `{block.rule}`", table(heads, block.lines(columns, paper)), agreement(block, paper, having)]
    for script in facts.get("earlier", ()):
        text += [f"## Measured before: `{script}`", *earlier(script)]
    return "\n\n".join(part for part in text if part) + "\n"


def picture(blocks: Sequence[Block], record: Mapping[str, Any], tier: str) -> str:
    """All blocks of a tier, one below the other."""
    comparisons = []
    for block in blocks:
        rows = tuple(block.compared())
        comparisons.append(
            Comparison(
                seeds=tuple(record["seeds"]),
                audits=max(row.audits for row in rows),
                models=rows,
                notes=(),
                title=f"{block.rule}, tier {tier}",
            )
        )
    return svg(comparisons)


def html(name: str) -> str:
    """The tables of what is recorded as one page of HTML, without scripts, style sheets or anything from elsewhere."""
    facts = described(name)["table"]
    columns, papers = facts["columns"], facts.get("paper", {})
    heads = ["model", *(HEADS[column] for column in columns), "verdicts"]
    parts = [f"<!doctype html><meta charset='utf-8'><title>{escape(facts['title'])}</title>"]
    parts.append(f"<h1>{escape(facts['title'])}</h1><p>{escape(facts['source'])}</p>")
    for tier in TIERS:
        if tier in described(name)["tiers"] and (blocks := blocks_of(name, tier)):
            words = circumstances(name, tier, recorded(record_of(name, tier)))
            parts.append(f"<h2>{tier}</h2><p>{escape(words)}</p>")
            for block in blocks:
                lines = block.lines(columns, papers.get(block.rule, {}))
                rows = ["".join(f"<td>{escape(text)}</td>" for text in line) for line in lines]
                head = "".join(f"<th>{escape(text)}</th>" for text in heads)
                body = "".join(f"<tr>{row}</tr>" for row in rows)
                parts.append(f"<h3>{escape(block.rule)}</h3><table border='1'><tr>{head}</tr>{body}</table>")
    return "\n".join(parts) + "\n"


# ------------------------------------------------------------------------------------------- results of earlier scripts


def earlier(script: str) -> list[str]:
    """What a script measured before there were tables: "NAME", or "NAME/BEGINNING" for those of its tables alone."""
    name, _, beginning = script.partition("/")
    content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    machine = content["machine"]
    text = [
        f"`{content['command']}` at commit `{content['commit']}` ({machine['cpu']}, torch {machine['torch']}; "
        f"[`{name}.json`](../../benchmarks/results/{name}.json)); mean (least–greatest) over models and forget sets, "
        "methods at the defaults of that time."
    ]
    for title, columns, rows in earlier_blocks(content):
        if not title.startswith(beginning):
            continue
        lines = []
        for label, entries in rows.items():
            good = [entry for entry in entries if "failed" not in entry]
            lines.append([called(label), *(ranged(good, column) if good else "" for column in columns)])
        text += [f"### {title}", table(["model", *(HEADS[column] for column in columns)], lines)]
    return text


def earlier_blocks(content: Mapping[str, Any]) -> Iterator[tuple[str, list[str], dict[str, list[Mapping[str, Any]]]]]:
    """Title, columns and rows of every table in such results."""
    if "shares" in content:
        for share in content["shares"]:
            yield f"{100 * share['share']:g} % at random", ["forget", "test", "mia_l", "mia_e"], share["rows"]
    elif "settings" in content:
        for title, rows in content["settings"].items():
            figures = rows["original"][0]
            yield title, [key for key in ("forgotten", "rest", "forget", "test", "asr") if key in figures], rows
    else:
        for title, rows in content["tables"].items():
            words = title if "D_R" in title else f"10 % forgotten, {title} the retain set"
            columns = ["forget", "retain", "test", "ft_auc", "average_gap"]
            yield words, columns, {label: row if isinstance(row, list) else [row] for label, row in rows.items()}


def ranged(entries: Sequence[Mapping[str, Any]], column: str) -> str:
    """A figure over entries, each of which is a number or the spread of several."""
    values = [entry[column] for entry in entries]
    spreads: list[dict[str, Any]] = [
        value if isinstance(value, dict) else dict.fromkeys(("mean", "min", "max"), value) for value in values
    ]
    low, high = min(spread["min"] for spread in spreads), max(spread["max"] for spread in spreads)
    middle = f"{statistics.fmean(spread['mean'] for spread in spreads):.1f}"
    return middle if high - low < 0.05 else f"{middle} ({low:.1f}–{high:.1f})"


# ------------------------------------------------------------------------------------------- the index


def every_attack() -> str:
    """Every method under every attack on the grounds where the strong ones were made, with the floor of each."""
    cells = json.loads((RESULTS / "grounds.json").read_text(encoding="utf-8"))["cells"]
    rows = list(cells.values())
    strong = [row for row in rows if row.get("stage") == "strong"]
    grounds = list(dict.fromkeys(row["ground"] for row in strong))
    parts = []
    for ground in grounds:
        plain = [
            row
            for row in rows
            if row["ground"] == ground and row["request"] == "random:0.1" and "stage" not in row and "failed" not in row
        ]
        gone = {row["method"]: row for row in strong if row["ground"] == ground}
        lines = []
        for method in dict.fromkeys(["retrained", "original", *sorted({row["method"] for row in plain}), *gone]):
            some = [row for row in plain if row["method"] == method]
            apart = [abs(row["ft_auc_difference"]) for row in some if "ft_auc_difference" in row]
            shadowed = gone.get(method)
            verdicts = Counter(row["verdict"] for row in some)
            lines.append(
                [
                    called(method),
                    "" if shadowed is None else f"{shadowed['loss_auc']:.1f}",
                    ranged(some, "ft_auc") if some else "",
                    f"{statistics.fmean(apart):.1f}" if apart else "",
                    "" if shadowed is None else f"{shadowed['u_lira_auc']:.1f} ± {2 * shadowed['u_lira_error']:.1f}",
                    "" if shadowed is None else klom(shadowed["klom"]),
                    f"{statistics.fmean(row['gap'] for row in some):.1f}" if some else "",
                    ", ".join(f"{count} × {verdict}" for verdict, count in verdicts.most_common()),
                ]
            )
        heads = ["model", "loss, AUC", "RMIA, FT-AUC", "its distance to retraining", "U-LiRA, AUC"]
        parts.append(f"### {ground}\n\n" + table([*heads, "KLoM (floor)", "average gap", "verdicts"], lines))
    commits = sorted({row["commit"] for row in rows if "commit" in row and row["ground"] in grounds})
    parts.append(
        "`python benchmarks/grounds.py --data FOLDER --stage measure` and `--stage strong` make these cells; commits "
        + ", ".join(f"`{commit}`" for commit in commits)
        + "; [`grounds.json`](../../benchmarks/results/grounds.json) has each with its settings."
    )
    return "\n\n".join(parts)


def klom(percentiles: Mapping[str, Mapping[str, float]]) -> str:
    """The mean over samples, and that of the floor."""
    return f"{percentiles['unlearned']['mean']:.2f} ({percentiles['floor']['mean']:.2f})"


def measured(name: str) -> str:
    """Which tiers of a table were measured, in a few words."""
    tiers = described(name)["tiers"]
    words = []
    for tier in (tier for tier in TIERS if tier in tiers):
        count = sum(bool(cell["label"]) for cell in recorded(record_of(name, tier))["cells"].values())
        words.append(f"{tier}: {count} cells" if count else f"{tier}: not yet")
    return ", ".join(words)


def index() -> str:
    """The index of all tables, with every method under every attack."""
    lines = [[f"[{described(name)['table']['title']}]({name}.md)", measured(name)] for name in names()]
    head = INDEX.read_text(encoding="utf-8")
    return head.replace("{tables}", table(["table", "cells measured"], lines)).replace("{attacks}", every_attack())


def main() -> None:
    """Write every page that has a reading, and the index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    PAGES.mkdir(exist_ok=True)
    for name in names():
        print(*render(name), sep="\n")
    (PAGES / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
