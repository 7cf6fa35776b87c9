"""What commands print: tables for people; JSON is printed by the commands themselves."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from obliviate.comparison import Comparison, Figure
    from obliviate.results.schema import CoinFlips, PlantedNoise, Results
    from obliviate.workflow.effect import Effect

FIRST_ASKED: Final = 20
WIDEST: Final = 120  # columns of running text


def _row(table: Table, *cells: str | Text) -> None:
    """Add a row of texts as they are: what a user calls a model, a class or an owner may look like markup."""
    from rich.text import Text

    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def line(text: str) -> None:
    """Print one line as it is."""
    sys.stdout.write(f"{text}\n")


def audit(results: Results, report: Path) -> None:
    """Print the results of an audit: the verdicts, exact tests where there are any, notes, and where the report is."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from obliviate.report.text import columns, competition, notes, rows

    data = results.data
    title = f"forget {data.forget:,} of {data.train:,} training samples ({data.forget_rule})"
    table = Table(
        title=Text(title, "table.title"), box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False
    )
    heads = columns(results)
    for column in heads:
        text = column in {heads[0], heads[-1]}
        table.add_column(column, justify="left" if text else "right", no_wrap=column == heads[0])
    colours = {"consistent with retraining": "green", "not resolvable with these data": "yellow"}
    for model, (*cells, verdict) in zip(results.models, rows(results), strict=True):
        _row(table, *cells, Text(verdict, colours.get(model.verdict, "red")))
    console = new_console()
    console.print(table)
    if results.coin_flips is not None:
        _coins(console, results.coin_flips)
    if results.planted_noise is not None:
        _noise(console, results.planted_noise)
    for note in results.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "\n".join([*notes(results), *competition(results)]) + "\n"
        f"{results.wall_seconds:.0f} s, {results.peak_rss_mb:.0f} MB. Open {report}",
        markup=False,
        highlight=False,
    )


def asked(entries: Sequence[Mapping[str, str]]) -> None:
    """Print what became of the names of a list: how many were found, and the first that were not found as written."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from obliviate.data.lookup import WORDS

    words = {"found": "found", "duplicate": "given again", "heading": "a heading", **WORDS}
    counts = Counter(entry["status"] for entry in entries)
    found = ", ".join(f"{counts[status]:,} {word}" for status, word in words.items() if counts[status])
    line(f"Asked for by name: {len(entries):,}; {found}")
    odd = [entry for entry in entries if entry["status"] != "found" or entry["asked"] != entry["found"]]
    if not odd:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("asked", "in the training set", ""):
        table.add_column(heading)
    for entry in odd[:FIRST_ASKED]:
        _row(table, entry["asked"], entry["found"], words[entry["status"]])
    new_console().print(table)
    if (more := len(odd) - FIRST_ASKED) > 0:
        line(f"and {more:,} more; requests/*/request.json keeps all")


def preview(told: Mapping[str, Any]) -> None:
    """Print what `Workspace.preview` told: the first samples, the classes and owners, and the method."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console = new_console()
    count, shown = told["forget"], len(told["samples"])
    if "asked" in told:
        asked(told["asked"])
    title = f"Would forget {count:,} of {told['train']:,} training samples ({told['rule']})"
    console.print(title, markup=False, highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for name in told["samples"][0]:
        table.add_column(name)
    for sample in told["samples"]:
        _row(table, *(Text(f"{value:.3f}" if isinstance(value, float) else value) for value in sample.values()))
    console.print(table)
    if count > shown:
        console.print(f"and {count - shown:,} more; --json lists all ids", highlight=False)
    for name, plural in (("class", "classes"), ("owner", "owners")):
        if plural in told:
            console.print(_groups(name, plural, told[plural]))
    for note in [*told["notes"], *filter(None, [told["outlook"]])]:
        console.print(f"note: {note}", markup=False, highlight=False)
    kind = "exact" if told["exact"] else "approximate"
    needs = f"needs {', '.join(told['needs'])}: given" if told["needs"] else "needs nothing but the forget set"
    method_line = f"Method: {told['method']}; {kind}; {needs}"
    method_line += f"\nTuning: {told['tuning']}" if told["tuning"] else ""
    console.print(
        method_line, "Nothing was changed; leave out --dry-run to do it.", sep="\n", markup=False, highlight=False
    )


def effect(measured: Effect, *, tuned: bool = False) -> None:
    """Print utility before and after, and what to try next where that looks like ruin or like nothing."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from obliviate.workflow.effect import summary

    console = new_console()
    rows = {name: summary(part) for name, part in measured.parts.items()}
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("", "measured", *titles):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        _row(table, name, f"{measured.parts[name].samples:,}", *(row.get(title, "") for title in titles))
    console.print(table)
    if measured.verdict:
        tune = "" if tuned else ", or let --tune 8 find settings"
        verdict = f"{measured.verdict}: {measured.reason}; {_advice(measured)}{tune}"
        console.print(verdict, markup=False, highlight=False)


def tuning(chosen: Mapping[str, Any]) -> None:
    """Print what `Tuned.to_dict` tells: a line a trial, the chosen one marked."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("trial", "settings", "forget %", "retain %", "unseen %", "AUC %", "score", ""):
        table.add_column(heading, justify="left" if heading in {"settings", ""} else "right")
    expected = ""
    for place, trial in enumerate(chosen["trials"]):
        settings = ", ".join(f"{name}={value:g}" for name, value in trial["settings"].items())
        score, mark = trial["score"], "chosen" if place == chosen["chosen"] else ""
        if score is None:
            _row(table, str(place + 1), settings, "", "", "", "", "", "failed")
            continue
        expected = f"{score['expected']:.1f}"
        figures = (score[name] for name in ("forget", "retain", "unseen", "auc"))
        cells = ("" if value is None else f"{value:.1f}" for value in figures)
        _row(table, str(place + 1), settings, *cells, f"{score['total']:.2f}", mark)
    console = new_console()
    console.print(table)
    console.print(
        f"Tuned in {chosen['seconds']:.1f} s: {chosen['budget']}, judged by {chosen['judge']}. Expected on forget\n"
        f"samples: {expected} %. Score: mean distance in points to what is expected, lower is better.",
        highlight=False,
    )


def _advice(measured: Effect) -> str:
    gentler = measured.verdict == "damaged"
    words = {
        "learning_rate": f"{'lower' if gentler else 'raise'} the learning rate",
        "epochs": f"try {'fewer' if gentler else 'more'} epochs",
    }
    for name, value in measured.try_next.items():
        return f"{words[name]}: --set {name}={value:g}"
    return "try other hyperparameters (`obliviate methods` lists them), or another method"


def _groups(name: str, plural: str, groups: Mapping[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in (name, "forget", "of"):
        table.add_column(heading, justify="left" if heading == name else "right")
    for group in groups["first"]:
        _row(table, Text(group["value"]), f"{group['forget']:,}", f"{group['of']:,}")
    if more := groups["number"] - len(groups["first"]):
        table.caption = Text(f"and {more:,} more of {groups['number']:,} {plural}", "table.caption")
    return table


def _coins(console: Console, coins: CoinFlips) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    heads, tails = coins.heads, coins.tails
    table = Table(
        title=Text(f"{heads + tails:,} coins, {heads:,} heads", "table.title"), box=SIMPLE_HEAD, padding=(0, 1)
    )
    for column in ("model", "guessed right", "95 %", "p-value"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in coins.models:
        _row(
            table,
            model.name,
            f"{model.correct:,} ({model.accuracy:.1f} %)",
            f"{model.low:.1f} to {model.high:.1f}",
            f"{model.p_value:.2g}",
        )
    console.print(table)
    console.print(
        "An exact test of each model: retrained ones guess half of the coins. Guesses that are right in 55 % of cases\n"
        f"would be found with {100 * coins.power:.0f} % power at level 5 %.",
        highlight=False,
    )


def _noise(console: Console, noise: PlantedNoise) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"noise planted in {noise.samples:,} samples", "table.title"), box=SIMPLE_HEAD, padding=(0, 1)
    )
    for column in ("model", "mean score", "z", "p-value"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in noise.models:
        signed = (f"{model.mean:+.3f}", f"{model.z:+.2f}")
        _row(table, model.name, *(cell.replace("-", "−") for cell in signed), f"{model.p_value:.2g}")
    console.print(table)
    console.print(
        "An exact test of each model: the gradient of one that never saw the noise has nothing to do with it, so that\n"
        f"z is standard normal. A mean score of {noise.detectable:.3f} would be found with 80 % power at level 5 %.",
        highlight=False,
    )


def comparison(compared: Comparison) -> None:
    """Print what `comparison.compare` found."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    seeds = ", ".join(map(str, compared.seeds))
    about = f"{compared.title}: " if compared.title else ""
    table = Table(
        title=Text(f"{about}{compared.audits} audits, training seeds {seeds}", "table.title"),
        box=SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
    )
    for column in ("model", "audits", "FT-AUC", "gap", "test difference", "cost %", "verdicts"):
        text = column in {"model", "verdicts"}
        table.add_column(column, justify="left" if text else "right", no_wrap=column != "verdicts")
    for model in compared.models:
        failed = f"{model.failed} × failed" if model.failed else ""
        _row(
            table,
            model.name,
            str(model.audits),
            _figure(model.ft_auc, 1),
            _figure(model.average_gap, 2),
            _figure(model.test_accuracy_difference, 1, signed=True),
            _figure(model.cost, 0),
            ", ".join(filter(None, [*(f"{count} × {_short(name)}" for name, count in model.verdicts.items()), failed])),
        )
    console = new_console()
    console.print(table)
    for note in compared.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "Means over training seeds and their forget sets, with 95 % intervals: of FT-AUC by bootstrap over seeds,\n"
        "forget sets and samples (retrained: over seeds), of the others by Student's t over seeds. Cost is the time\n"
        "of the method as a share of a retraining.",
        highlight=False,
    )


def _short(verdict: str) -> str:
    """A verdict in the words that tell it from the others."""
    return verdict.partition(" with ")[0]


def _figure(estimate: Figure | None, digits: int, *, signed: bool = False) -> str:
    if estimate is None:
        return ""
    form = f"{'+' if signed else ''}.{digits}f"
    limits = "" if estimate.low is None else f" ({estimate.low:{form}} to {estimate.high:{form}})"
    return f"{estimate.value:{form}}{limits}".replace("-", "−")


def inspection(results: Mapping[str, Any], path: Path) -> None:
    """Print what `Workspace.inspect` found, and where it is written."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    data, epochs = results["data"], results["epochs"]
    title = f"forget {data['forget']:,} of {data['train']:,} training samples ({data['forget_rule']})"
    table = Table(title=Text(title, "table.title"), box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("model", "forget % by epoch", "ahead", "forget loss", "probe % ± 95 %", "ZRF"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in results["models"]:
        curve, probed = model["relearned"], model["probe"]
        _row(
            table,
            model["name"],
            " → ".join(f"{value:.1f}" for value in curve["accuracy"]),
            "" if curve["ahead"] is None else f"{curve['ahead']:+.1f}".replace("-", "−"),
            f"{curve['loss'][0]:.3f} → {curve['loss'][-1]:.3f}",
            "" if probed is None else f"{probed['value']:.1f} ± {(probed['high'] - probed['low']) / 2:.1f}",
            f"{model['zrf']:.3f}",
        )
    console = new_console()
    console.print(table)
    for note in results["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    passes = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    console.print(
        f"forget %: accuracy on the forget set before and in {passes} on retained samples only; ahead: by how many\n"
        "points more than the retrained models. probe: telling forget from unseen samples by the last layer's input.\n"
        "ZRF: 1 where outputs are those of an untrained model. Each means something beside retrained models only.\n"
        f"Wrote {path}",
        markup=False,
        highlight=False,
    )


def status(folder: Mapping[str, Any]) -> None:
    """Print what `requests.status` tells: who works there, each request with its models, and what was refused last."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = new_console()
    if folder["holder"] is not None:
        console.print(f"In use by {folder['holder']}.", markup=False, highlight=False)
    console.print(folder["original"] or "No model is trained yet.", markup=False, highlight=False)
    for request in folder["requests"]:
        after = f", after {request['after']}" if request["after"] else ""
        title = f"Request {request['number']}: {request['forget']:,} samples ({request['rule']}){after}"
        console.print(f"\n{title}", markup=False, highlight=False)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1))
        for heading in ("id", "model", "role", "seconds"):
            table.add_column(heading, justify="right" if heading == "seconds" else "left", no_wrap=heading == "id")
        for model in request["models"]:
            _row(table, model["id"], model["label"], model["role"], f"{model['seconds']:.1f}")
        if request["models"]:
            console.print(table)
        else:
            console.print("No model was made for it yet.", highlight=False)
        if request["interrupted"]:
            text = f"Interrupted: {', '.join(request['interrupted'])}; run the same command again to go on."
            console.print(text, markup=False)
        for name in ("report", "inspection"):
            if request[name] is not None:
                console.print(f"{name}: {request[name]}", markup=False, highlight=False, soft_wrap=True)
    if refused := [event for event in folder["events"] if event["event"] == "refused"]:
        console.print(f"\nRefused: {len(refused)}; the last {refused[-1]['time']}:", highlight=False)
        console.print(refused[-1]["message"], markup=False, highlight=False, soft_wrap=True)


def new_console() -> Console:
    """A console as wide as the terminal, and wide enough for every table where there is none."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDEST
    return console


def methods(described: Sequence[Mapping[str, Any]]) -> None:
    """Print what `methods.base.describe` says of each method, as wide as the terminal at most."""
    from rich.padding import Padding
    from rich.text import Text

    console = new_console()
    console.width = min(console.width, WIDEST)
    for method in described:
        needs = ", ".join(method["needs"]) or "nothing but the forget set"
        needs += "; serves every task" if len(method["tasks"]) > 1 else f"; serves {method['tasks'][0]}"
        heading = Text.assemble(
            (method["name"], "bold"), f"   {'exact' if method['exact'] else 'approximate'}; needs {needs}"
        )
        console.print(heading)
        for text in (Text(method["summary"]), Text(method["source"], "dim"), Text(_defaults(method))):
            if text:
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
        console.print()


def attacks(described: Sequence[Mapping[str, Any]]) -> None:
    """Print what `membership.base.describe` says of each attack, as wide as the terminal at most."""
    from rich.padding import Padding
    from rich.text import Text

    uses = {
        "verdict": "verdicts rest on it",
        "figure": "shown beside verdicts",
        "cheap": "a cheap look at one model, with --cheap-attacks",
    }
    console = new_console()
    console.width = min(console.width, WIDEST)
    for attack in described:
        needs = ", ".join(attack["needs"]) or "nothing but the model's outputs"
        console.print(Text.assemble((attack["name"], "bold"), f"   {uses[attack['use']]}; needs {needs}"))
        defaults = ", ".join(f"{name}={value}" for name, value in attack["defaults"].items())
        for text in (Text(attack["summary"]), Text(attack["source"], "dim"), Text(defaults)):
            if text:
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
        console.print()


def _defaults(described: Mapping[str, Any]) -> str:
    """Default hyperparameters as one text, with what becomes of those that are None."""
    cases = described["when_none"]
    parts = []
    for name, value in described["defaults"].items():
        chosen = [(case, values[name]) for case, values in cases.items() if name in values]
        choices = ", ".join(str(choice) if case == "always" else f"{choice} {case}" for case, choice in chosen)
        parts.append(f"{name}={value}" + (f" ({choices})" if choices else ""))
    return ", ".join(parts)
