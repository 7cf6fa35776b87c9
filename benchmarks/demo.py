"""The demonstration under three seeds: how far each method goes towards retraining, and whether the verdicts are right.

    python benchmarks/demo.py [--seeds 3] [--out runs/demo]

A seed decides the forget set, the initial weights and every order. Finished seeds are read back, so the command can be
interrupted. Writes `benchmarks/results/demo.json`, the table of `docs/demo.md` and `docs/demo.svg` (seed 0).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import insert, provenance, ranged, save, spread, table

from obliviate.demo import demo
from obliviate.metrics.forgetting import closure
from obliviate.report.auc_plot import summary_svg
from obliviate.requests import Requests
from obliviate.results.file import read
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results

DOCS = Path(__file__).parents[1] / "docs"


def ft_auc(model: ModelResult) -> float:
    """The attack figure of one model, in percent."""
    return model.attacks["rmia"].ft.value


def forget_accuracy(model: ModelResult) -> float:
    """Its accuracy on the forget set, in percent."""
    return model.accuracy.forget.value


def test_accuracy(model: ModelResult) -> float:
    """Its accuracy on the test set, in percent."""
    return model.accuracy.test.value


def summarise(results: Results) -> dict[str, dict[str, Any]]:
    """The figures of one seed, per model that is not retrained, and of the retrained ones together."""
    models = results.models
    original = next(model for model in models if model.role == "original")
    retrained = [model for model in models if model.role == "retrained"]

    def yardstick(figure: Callable[[ModelResult], float]) -> float:
        return sum(map(figure, retrained)) / len(retrained)

    summary: dict[str, dict[str, Any]] = {}
    for model in models:
        name = "retrained" if model.role == "retrained" else model.name
        if name in summary:
            summary[name]["verdict"].append(model.verdict)
            continue
        accuracy = {part: share.value for part, share in model.accuracy}
        figures: dict[str, Any] = {"accuracy": accuracy, "ft_auc": ft_auc(model)}
        if name == "retrained":
            mean = {
                part: sum(getattr(other.accuracy, part).value for other in retrained) / len(retrained)
                for part in figures["accuracy"]
            }
            figures = {
                "accuracy": mean,
                "ft_auc": yardstick(ft_auc),
                "average_gap": results.floor.average_gap_mean,
            }
        else:
            figures |= {
                "average_gap": model.average_gap,
                "closure_ft_auc": closure(ft_auc(original), ft_auc(model), yardstick(ft_auc)),
                "closure_forget_accuracy": closure(
                    forget_accuracy(original), forget_accuracy(model), yardstick(forget_accuracy)
                ),
                "test_accuracy_difference": test_accuracy(model) - yardstick(test_accuracy),
                "share_of_retraining": 100 * (model.share_of_retraining or 0.0),
            }
        summary[name] = figures | {"verdict": [model.verdict]}
    return summary


def markdown(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of `docs/demo.md`: mean and range over the seeds."""
    columns = {
        "forget %": "forget",
        "retain %": "retain",
        "test %": "test",
        "FT-AUC": "ft_auc",
        "average gap": "average_gap",
        "forget gap closed": "closure_forget_accuracy",
        "FT-AUC gap closed": "closure_ft_auc",
        "share of a retraining, %": "share_of_retraining",
    }
    lines: list[list[str]] = []
    for name, figures in summary.items():
        cells = []
        for key in columns.values():
            digits = 2 if key.startswith(("closure", "average")) else 1
            figure = figures.get(key)
            cells.append(ranged(figure, digits) if figure else "")
        counts = {verdict: figures["verdicts"].count(verdict) for verdict in dict.fromkeys(figures["verdicts"])}
        lines.append([name, *cells, ", ".join(f"{count} × {verdict}" for verdict, count in counts.items())])
    return table(["model", *columns, "verdicts"], lines)


def render(content: Mapping[str, Any], page: Path = DOCS / "demo.md") -> None:
    """Put what was measured on its page."""
    machine, seconds, memory = content["machine"], content["seconds"], content["peak_rss_mb"]
    told = (
        f"Mean (least–greatest) over seeds, each of which decides the forget set, all initial weights and every order. "
        f"`{content['command']}`; commit `{content['commit']}`; {machine['cores']} cores ({machine['cpu']}), no GPU, "
        f"torch {machine['torch']}. The whole demonstration took {ranged(seconds, 0)} s and {ranged(memory, 0)} MB."
    )
    insert(page, "seeds", f"{markdown(content['models'])}\n\n{told}")


def main() -> None:
    """Run the demonstration under each seed and put the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    arguments = parser.parse_args()

    runs: list[Results] = []
    for seed in range(arguments.seeds):
        folder = arguments.out / f"seed-{seed}"
        stored = Requests(folder).at(1).results
        results = read(stored) if stored.exists() else demo(folder, seed=seed)
        runs.append(results)
        print(f"seed {seed}: {results.wall_seconds:.0f} s, {results.peak_rss_mb:.0f} MB", flush=True)
    summaries = [summarise(results) for results in runs]

    table: dict[str, dict[str, Any]] = {}
    for name in summaries[0]:
        of_each = [summary[name] for summary in summaries]
        flat = [
            {**row["accuracy"], **{key: value for key, value in row.items() if key != "accuracy"}} for row in of_each
        ]
        table[name] = {key: spread([row[key] for row in flat]) for key in flat[0] if key != "verdict"}
        table[name]["verdicts"] = [verdict for row in of_each for verdict in row["verdict"]]
    content = {
        **provenance(f"python benchmarks/demo.py --seeds {arguments.seeds}"),
        "seconds": spread([run.wall_seconds for run in runs]),
        "peak_rss_mb": spread([run.peak_rss_mb for run in runs]),
        "models": table,
    }
    print(save("demo", content), markdown(table), sep="\n")
    render(content)
    (DOCS / "demo.svg").write_text(summary_svg(runs[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
