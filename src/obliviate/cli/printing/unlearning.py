"""What `unlearn` prints: what is asked for, what the method did, and how its settings were tuned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from obliviate.cli.printing.console import add_row, new_console, print_line

if TYPE_CHECKING:
    from rich.table import Table

    from obliviate.workflow.effect import Effect

FIRST_ASKED: Final = 20


def print_asked(entries: Sequence[Mapping[str, str]]) -> None:
    """Print what became of the names of a list: how many were found, and the first that were not found as written."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from obliviate.data.lookup import WORDS

    words = {
        "found": "found",
        "erased": "erased from the source",
        "duplicate": "given again",
        "heading": "a heading",
        **WORDS,
    }
    counts = Counter(entry["status"] for entry in entries)
    outcomes = ", ".join(f"{counts[status]:,} {word}" for status, word in words.items() if counts[status])
    print_line(f"Asked for by name: {len(entries):,}; {outcomes}")
    odd = [entry for entry in entries if entry["status"] != "found" or entry["asked"] != entry["found"]]
    if not odd:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("asked", "in the training set", ""):
        table.add_column(heading)
    for entry in odd[:FIRST_ASKED]:
        add_row(table, entry["asked"], entry["found"], words[entry["status"]])
    new_console().print(table)
    if (more := len(odd) - FIRST_ASKED) > 0:
        print_line(f"and {more:,} more; requests/*/request.json keeps all")


def print_preview(outline: Mapping[str, Any]) -> None:
    """Print what `Workspace.preview` says: the first samples, the classes and owners, and the method."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console = new_console()
    count, shown = outline["forget"], len(outline["samples"])
    if "asked" in outline:
        print_asked(outline["asked"])
    title = f"Would forget {count:,} of {outline['train']:,} training samples ({outline['rule']})"
    console.print(title, markup=False, highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for name in outline["samples"][0]:
        table.add_column(name)
    for sample in outline["samples"]:
        add_row(table, *(Text(f"{value:.3f}" if isinstance(value, float) else value) for value in sample.values()))
    console.print(table)
    if count > shown:
        console.print(f"and {count - shown:,} more; --json lists all ids", highlight=False)
    for name, plural in (("class", "classes"), ("owner", "owners")):
        if plural in outline:
            console.print(_groups(name, plural, outline[plural]))
    for note in [*outline["notes"], *filter(None, [outline["outlook"]])]:
        console.print(f"note: {note}", markup=False, highlight=False)
    kind = "exact" if outline["exact"] else "approximate"
    needs = f"needs {', '.join(outline['needs'])}: given" if outline["needs"] else "needs nothing but the forget set"
    method_line = f"Method: {outline['method']}; {kind}; {needs}"
    method_line += f"\nTuning: {outline['tuning']}" if outline["tuning"] else ""
    console.print(
        method_line, "Nothing was changed; leave out --dry-run to do it.", sep="\n", markup=False, highlight=False
    )


def print_budget(share: float, notes: Mapping[str, float], *, names: Sequence[str]) -> None:
    """Print what share of a retraining was to be taken, and the lengths that this paid for, of the settings `names`."""
    lengths = ", ".join(f"{name}={notes[name]:g}" for name in names if name in notes)
    print_line(
        f"budget: {100 * share:g} % of a retraining, of which {100 * notes['expected_share']:.0f} % were "
        f"expected to be taken: {lengths}"
    )


def print_effect(measured: Effect, *, tuned: bool = False) -> None:
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
        add_row(table, name, f"{measured.parts[name].samples:,}", *(row.get(title, "") for title in titles))
    console.print(table)
    if measured.verdict:
        tune = "" if tuned else ", or let --tune 8 find settings"
        verdict = f"{measured.verdict}: {measured.reason}; {_advice(measured)}{tune}"
        console.print(verdict, markup=False, highlight=False)


def print_tuning(chosen: Mapping[str, Any]) -> None:
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
            add_row(table, str(place + 1), settings, "", "", "", "", "", "failed")
            continue
        expected = f"{score['expected']:.1f}"
        figures = (score[name] for name in ("forget", "retain", "unseen", "auc"))
        cells = ("" if value is None else f"{value:.1f}" for value in figures)
        add_row(table, str(place + 1), settings, *cells, f"{score['total']:.2f}", mark)
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
        add_row(table, Text(group["value"]), f"{group['forget']:,}", f"{group['of']:,}")
    if more := groups["number"] - len(groups["first"]):
        table.caption = Text(f"and {more:,} more of {groups['number']:,} {plural}", "table.caption")
    return table
