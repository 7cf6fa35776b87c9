"""Make the tables of `docs/concepts/sample-sizes.md` from the formulas by which audits plan.

python scripts/make_margins.py
"""

from pathlib import Path
from typing import Final

from obliviate.audit.controls import planned_resolution, samples_for
from obliviate.audit.verdict import Margins

PAGE: Final = Path(__file__).parents[1] / "docs" / "concepts" / "sample-sizes.md"

FORGET: Final = (1, 10, 30, 100, 300, 1_000, 3_000)
UNSEEN: Final = (250, 1_000, 2_500, 10_000)
MARGINS: Final = (0.10, 0.07, 0.05, 0.03, 0.02)


def tables() -> dict[str, str]:
    """The rows of each table by its name."""
    counts = [f"{unseen:,} unseen" for unseen in UNSEEN]
    resolved = [
        [f"{forget:,}", *(_points(planned_resolution(forget, unseen)) for unseen in UNSEEN)] for forget in FORGET
    ]
    wanted = [
        [f"{100 * margin:.0f}", *(_count(samples_for(margin, unseen)) for unseen in UNSEEN)] for margin in MARGINS
    ]
    return {
        "resolved": _table(["forget samples", *counts], resolved),
        "wanted": _table(["margin, points", *counts], wanted),
    }


def page(text: str) -> str:
    """The text of the page with its tables as they are now."""
    for name, rows in tables().items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        assert begin, f"expected a place for the table {name}, got none; put `<!-- {name} -->` into the page"
        assert end, f"expected the end of the table {name}, got none; put `<!-- end of {name} -->` into the page"
        text = before + begin + rows + end + after
    return text


def _points(resolution: float) -> str:
    if resolution >= 0.5:  # no two AUCs above one half differ by more
        return "–"
    figure = f"{100 * resolution:.0f}" if resolution >= 0.1 else f"{100 * resolution:.1f}"
    return f"**{figure}**" if resolution <= Margins().most else figure


def _count(samples: int | None) -> str:
    return "no number" if samples is None else f"{samples:,}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
