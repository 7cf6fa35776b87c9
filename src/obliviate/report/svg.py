"""Figures as SVG text, the same bytes for the same results.

Every colour is drawn as a fixed hex value. Pictures for the page then swap it for a CSS variable, so that one drawing
serves light, dark and paper; a standalone picture keeps the hex values.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterable
from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from obliviate.report.style import INK, MUTED, RULE, VARIABLES
from obliviate.results.model import ModelResult

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
RC: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "obliviate",
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so the layout is the same on every machine
    "font.size": 12,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "text.color": INK,
}


def new_figure(
    width: float, height: float, *, left: float, right: float, top: float, bottom: float
) -> tuple[Figure, Axes]:
    """A figure of width × height CSS pixels with one axes inside the given margins."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    return figure, axes


def svg(figure: Figure, prefix: str) -> str:
    """SVG text of a figure with ids that no other figure of the page uses."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(Glyph|Matplotlib currently does not)")
        figure.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            transparent=False,
        )  # fmt: skip
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', text, count=2)  # one unit is one CSS pixel
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<(?:path|clipPath)) id="', rf'\1 id="{prefix}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{prefix}-", text)
    # No "<" or ">" in the pattern: a model may be named after a style, and no match may reach past its text.
    text = re.sub(r"font-family: [^;\"<>]*", f"font-family: {FONT}", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def page_svg(figure: Figure, prefix: str, label: str) -> str:
    """SVG for inside HTML: no namespaces, sized by its box, coloured by variables, with a text alternative."""
    text = svg(figure, prefix)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    attribute = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"^<svg[^>]*>", "", text)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r" ?font-family: [^;\"<>]*;?", "", text).replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        text = re.sub(rf"((?:fill|stroke): ){colour}", rf"\1var({variable})", text)
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{attribute}">{text.strip()}'


def short(name: object, limit: int = 26) -> str:
    """A name without control characters, cut to what fits beside a plot."""
    text = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(name)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def text_width(texts: Iterable[str]) -> float:
    return 7.4 * max((len(t) for t in texts), default=0) + 22


def label_width(models: Iterable[ModelResult]) -> float:
    return text_width(short(m.name) for m in models)


def name_row(axes: Axes, row: int, text: str, colour: str, *, at: Literal["left", "above"]) -> None:
    """The name of a row, left of the axes, or above its mark where the page is narrow."""
    offset, ha = ((-12, 0), "right") if at == "left" else ((0, 17), "left")
    axes.annotate(
        text, (0, row), offset, xycoords=("axes fraction", "data"), textcoords="offset points", ha=ha,
        va="center", color=colour, annotation_clip=False, parse_math=False,
    )  # fmt: skip
