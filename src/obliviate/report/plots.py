"""The pictures of the report: results in, SVG text out, the same bytes for the same results.

Every colour is drawn as a fixed hex value. Pictures for the page then swap it for a CSS variable, so that one drawing
serves light, dark and paper; the standalone picture keeps the hex values.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from scipy.stats import betabinom

from obliviate.metrics.rates import LEAST_EXPECTED
from obliviate.results.schema import ModelResult, Results

INK, MUTED, RULE, PAPER = "#1b1f24", "#5a636e", "#d5dae0", "#ffffff"
ORIGINAL, RETRAINED = "#d55e00", "#7f8790"
# Okabe and Ito's colour-blind-safe set, less the vermilion of the original and its too pale yellow.
UNLEARNED = ("#0072b2", "#009e73", "#b8589a", "#c98500", "#4aa8de", "#6f4fb0")
MARKERS = ("D", "^", "v", "P", "X", "p")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))

Interval: TypeAlias = tuple[float, float, float]
"""A figure and its bounds."""

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
    ORIGINAL: "--original",
    RETRAINED: "--retrained",
} | {colour: f"--unlearned-{i}" for i, colour in enumerate(UNLEARNED)}

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
RC: Any = {
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


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one model looks in every picture and table of a report."""

    colour: str
    marker: str
    dashes: Any

    @property
    def variable(self) -> str:
        return VARIABLES[self.colour]


def styles(models: Sequence[ModelResult]) -> list[Style]:
    """One style per model, by role and by order among the unlearned ones."""
    found: list[Style] = []
    k = 0
    for model in models:
        if model.role == "original":
            found.append(Style(colour=ORIGINAL, marker="s", dashes="-"))
        elif model.role == "retrained":
            found.append(Style(colour=RETRAINED, marker="o", dashes="-"))
        else:
            dashes = DASHES[(k // len(UNLEARNED)) % len(DASHES)]
            found.append(Style(colour=UNLEARNED[k % len(UNLEARNED)], marker=MARKERS[k % len(MARKERS)], dashes=dashes))
            k += 1
    return found


@rc_context(RC)
def roc_plot(results: Results, *, narrow: bool = False) -> str:
    """The leading attack's ROC, forget (member) against unseen, on logarithmic axes.

    Grey is the band that retrained models span or, without them, where guessing ends up in 95 % of cases.
    False-positive rates that fewer than 10 unseen samples stand for are marked as not resolvable.
    """
    drawn = [(model, style, *_roc(model)) for model, style in zip(results.models, styles(results.models), strict=True)]
    forget, unseen = results.settings.forget, results.settings.unseen
    left = min(0.1, 1 / unseen)  # lower rates cannot be told from none
    resolved = min(1.0, LEAST_EXPECTED / unseen)
    retrained = [(fpr, tpr) for model, _, fpr, tpr in drawn if model.role == "retrained"]

    width, height = (350, 400) if narrow else (620, 500)
    figure, axes = _figure(width, height, left=80, right=28, top=12, bottom=50)
    grid = np.geomspace(left, 1, 200)
    axes.axvspan(left, resolved, color=MUTED, alpha=0.13, linewidth=0)
    axes.axvline(resolved, color=MUTED, linewidth=1)
    axes.annotate(
        "not resolvable", (left, 1), (5, -6), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="top", rotation=90, color=MUTED, fontsize=10.5,
    )  # fmt: skip
    axes.plot(grid, grid, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    legend = [Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (2, 3)), label="guessing")]
    if retrained:
        curves = np.stack([np.interp(grid, fpr, tpr) for fpr, tpr in retrained]).clip(left / 10, 1)
        low, high = curves.min(0), curves.max(0)
        for row in curves:
            axes.plot(grid, row, color=RETRAINED, linewidth=1)
        label = f"retrained ({len(retrained)})" if len(retrained) > 1 else "retrained"
    else:
        low, high = (bound.clip(left / 10, 1) for bound in guessing_band(grid, forget, unseen))
        label = "guessing, 95 %"
    axes.fill_between(grid, low, high, color=RETRAINED, alpha=0.3, linewidth=0)
    legend.append(Line2D([], [], color=RETRAINED, linewidth=5, alpha=0.6, label=label))
    for model, style, fpr, tpr in drawn:
        if model.role == "retrained":
            continue
        curve = np.interp(grid, fpr, tpr).clip(left / 10, 1)
        (line,) = axes.plot(grid, curve, color=style.colour, linewidth=2, linestyle=style.dashes)
        (mark,) = axes.plot(
            grid, curve, style.marker, color=style.colour, markersize=7, markeredgecolor=PAPER, markevery=(25, 50)
        )
        handle = Line2D([], [], color=style.colour, linewidth=2, linestyle=line.get_linestyle())
        handle.set(marker=mark.get_marker(), markersize=7, markeredgecolor=PAPER)
        handle.set_label(short(model.name) or " ")
        legend.append(handle)
    axes.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(left, 1.05))
    ticks = [t for t in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0) if t >= left * 0.999]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_ticks(ticks, [f"{100 * t:g} %" for t in ticks])
        axis.grid(color=RULE, linewidth=0.6)
    axes.set_xlabel("unseen samples wrongly called members")
    axes.set_ylabel("forget samples called members")
    # Labels that begin with "_" are dropped by the automatic legend, so texts are given apart from the handles.
    box = axes.legend(legend, [str(h.get_label()) for h in legend], loc="lower right", frameon=False, handlelength=2)
    for text in box.get_texts():
        text.set(parse_math=False, fontsize=11 if narrow else 12)
    return _page_svg(
        figure,
        "roc-narrow" if narrow else "roc",
        f"{results.lead.title} ROC of forget against unseen samples, logarithmic axes",
    )


def guessing_band(fpr: np.ndarray, forget: int, unseen: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the true-positive rate lies in 95 % of cases at each rate, if the two kinds of samples are exchangeable.

    With k of `unseen` scores above a threshold that is the next of them, the chance of a forget sample to lie above it
    is Beta(k + 1, unseen - k), so that their number is beta-binomial. Rates are fractions.

    >>> [one.tolist() for one in guessing_band(np.array([0.1]), 100, 1000)]
    [[0.04], [0.17]]
    """
    above = np.minimum(np.floor(fpr * unseen + 1e-9), unseen - 1)
    low, high = (betabinom.ppf(level, forget, above + 1, unseen - above) / forget for level in (0.025, 0.975))
    return low, high


@rc_context(RC)
def ft_auc_plot(results: Results, *, narrow: bool = False) -> str:
    """FT-AUC with its interval for every model; the range of models that never saw the forget set is a band."""
    models = results.models
    if narrow:
        figure, axes = _figure(350, 46 * len(models) + 78, left=6, right=52, top=26, bottom=46)
    else:
        figure, axes = _figure(700, 36 * len(models) + 78, left=_label_width(models), right=66, top=26, bottom=46)
    _dots(axes, results, _ft_auc(results), band=_floor(results), guess=50, names="above" if narrow else "left")
    axes.set_xlabel(f"FT-AUC of {results.lead.title}, %")
    return _page_svg(
        figure,
        "dots-narrow" if narrow else "dots",
        "FT-AUC with interval for every model beside the range of models that never saw the forget set",
    )


@rc_context(RC)
def margin_plots(results: Results) -> list[tuple[str, str]]:
    """(model name, SVG) of margin densities for the original, the first retrained and every unlearned model."""
    edges = np.asarray(results.margin_bins, dtype=float)
    shown: list[tuple[ModelResult, Style]] = []
    for model, style in zip(results.models, styles(results.models), strict=True):
        repeated = model.role == "retrained" and any(m.role == "retrained" for m, _ in shown)
        if not repeated:
            shown.append((model, style))
    densities = [model.curves.margins for model, _ in shown]
    used = np.sum([np.sum([heights for _, heights in one], axis=0) for one in densities], axis=0)
    occupied = np.flatnonzero(used) if densities else np.arange(0)
    low, high = (edges[occupied[0]], edges[occupied[-1] + 1]) if len(occupied) else (edges[0], edges[-1])
    top = max(max(heights) for one in densities for _, heights in one) * 1.06

    plots: list[tuple[str, str]] = []
    for i, (model, style) in enumerate(shown):
        d = model.curves.margins
        figure, axes = _figure(320, 190, left=16, right=16, top=8, bottom=42)
        axes.stairs(d.forget, edges, fill=True, color=style.colour, alpha=0.4, linewidth=0)
        axes.stairs(d.forget, edges, color=style.colour, linewidth=1.4, baseline=None)
        axes.stairs(d.retain, edges, color=INK, linewidth=1.3, baseline=None)
        axes.stairs(d.unseen, edges, color=INK, linewidth=1.3, linestyle=(0, (3, 2)), baseline=None)
        axes.set(xlim=(low, high), ylim=(0, top or 1), yticks=[], xlabel="margin")
        axes.spines["left"].set_visible(False)
        label = f"Margin densities of {short(model.name)}: forget, retain, unseen"
        plots.append((model.name, _page_svg(figure, f"margin{i}", label)))
    return plots


@rc_context(RC)
def cost_plot(results: Results, *, narrow: bool = False) -> str:
    """Seconds of every unlearning beside the mean of the retrainings, labelled with the share of a retraining."""
    timed = [
        (m, s, m.seconds)
        for m, s in zip(results.models, styles(results.models), strict=True)
        if m.seconds is not None and m.role != "original"
    ]
    retrainings = [seconds for m, _, seconds in timed if m.role == "retrained"]
    bars: list[tuple[str, float, str, str]] = []
    if retrainings:
        mean = float(np.mean(retrainings))
        name = f"retraining (mean of {len(retrainings)})" if len(retrainings) > 1 else "retraining"
        bars.append((name, mean, RETRAINED, f"{mean:,.1f} s"))
    for model, style, seconds in timed:
        if model.role == "unlearned":
            share = model.share_of_retraining
            text = f"{seconds:,.1f} s" + ("" if share is None else f" · {100 * share:,.{1 if share < 0.1 else 0}f} %")
            bars.append((short(model.name), seconds, style.colour, text))
    if narrow:
        figure, axes = _figure(350, 50 * max(1, len(bars)) + 60, left=6, right=100, top=8, bottom=46)
    else:
        left = _text_width([name for name, *_ in bars])
        figure, axes = _figure(700, 36 * max(1, len(bars)) + 56, left=left, right=112, top=8, bottom=46)
    rows = np.arange(len(bars))
    axes.barh(
        rows,
        [seconds for _, seconds, *_ in bars],
        height=0.36 if narrow else 0.56,
        color=[colour for _, _, colour, _ in bars],
    )
    for row, (name, seconds, _, text) in enumerate(bars):
        _name(axes, row, name, INK, at="above" if narrow else "left")
        axes.annotate(text, (seconds, row), (7, 0), textcoords="offset points", va="center", annotation_clip=False)
    if retrainings:
        axes.axvline(bars[0][1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    axes.set(ylim=(len(bars) - 0.4, -0.6), yticks=[], xlabel="seconds", xlim=(0, None))
    axes.spines["left"].set_visible(False)
    return _page_svg(
        figure, "cost-narrow" if narrow else "cost", "Seconds of every unlearning method beside a retraining"
    )


@rc_context(RC)
def summary_svg(results: Results) -> str:
    """One standalone picture, 900 wide and about 360 high, on white: FT-AUC and forget accuracy of every model."""
    models = results.models
    width, height = 900, max(360, 30 * len(models) + 120)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=PAPER)
    left = _label_width(models) + 16
    span = width - left - 58 - 74 - 58
    bottom, tall = 52 / height, (height - 52 - 74) / height
    first = span * 0.58
    accuracy = [(share.value, share.low, share.high) for share in (model.accuracy.forget for model in models)]
    retrained = [v for m, (v, _, _) in zip(models, accuracy, strict=True) if m.role == "retrained"]
    axes = figure.add_axes((left / width, bottom, first / width, tall))
    _dots(axes, results, _ft_auc(results), band=_floor(results), guess=50)
    axes.set_xlabel(f"FT-AUC of {results.lead.title}, %")
    right = figure.add_axes(((left + first + 58 + 74) / width, bottom, (span - first) / width, tall))
    band = (min(retrained), max(retrained)) if retrained else None
    _dots(right, results, accuracy, band=band, guess=None, names=None)
    right.set_xlabel("accuracy on the forget set, %")
    data = results.data
    title = f"{short(data.name, 40)}: forget {data.forget:,} of {data.train:,} training samples"
    figure.text(16 / width, 1 - 26 / height, title, fontsize=15, fontweight="bold", va="center", parse_math=False)
    return svg_text(figure, "summary")


def _roc(model: ModelResult) -> tuple[np.ndarray, np.ndarray]:
    curve = model.curves.roc_ft
    return np.asarray(curve.fpr, dtype=float), np.asarray(curve.tpr, dtype=float)


def _ft_auc(results: Results) -> list[Interval]:
    return [(ft.value, ft.low, ft.high) for ft in (results.leading(model).ft for model in results.models)]


def _floor(results: Results) -> tuple[float, float]:
    return results.floor.ft_auc_min, results.floor.ft_auc_max


def _dots(
    axes: Axes,
    results: Results,
    values: Sequence[Interval],
    *,
    band: tuple[float, float] | None,
    guess: float | None,
    names: Literal["left", "above"] | None = "left",
) -> None:
    """A row per model: dot, interval, figure at the right; band and reference line behind."""
    bounds = [x for triple in values for x in triple] + list(band or ()) + ([guess] if guess else [])
    pad = max(0.8, 0.06 * (max(bounds) - min(bounds)))
    low, high = min(bounds) - pad, max(bounds) + pad
    if guess is not None:  # room for the two words above the axes
        low, high = min(low, guess - 0.2 * (high - low)), max(high, guess + 0.35 * (high - low))
    axes.set(xlim=(low, high), ylim=(len(values) - 0.4, -0.8 if names == "above" else -0.6), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    if guess is not None:
        axes.axvline(guess, color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)), zorder=1)
        _above(axes, guess, "guessing ", ha="right")
    if band is not None:
        axes.axvspan(*band, color=RETRAINED, alpha=0.28, linewidth=0.8, zorder=1)
        if guess is not None:
            _above(axes, max(band[1], guess), " never saw them", ha="left")
    models = results.models
    for row, (model, style, (value, low, high)) in enumerate(zip(models, styles(models), values, strict=True)):
        if names:
            _name(axes, row, short(model.name), MUTED if model.role == "retrained" else INK, at=names)
        axes.plot([low, high], [row, row], color=style.colour, linewidth=2.6, solid_capstyle="round", zorder=3)
        axes.plot([value], [row], style.marker, color=style.colour, markersize=9, markeredgecolor=PAPER, zorder=4)
        axes.annotate(
            f"{value:.1f}",
            (1, row),
            (12, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
            color=MUTED if model.role == "retrained" else INK,
        )


def _above(axes: Axes, x: float, text: str, *, ha: str) -> None:
    axes.annotate(
        text, (x, 1), (0, 6), xycoords=("data", "axes fraction"), textcoords="offset points", ha=ha, color=MUTED,
        fontsize=10.5, annotation_clip=False,
    )  # fmt: skip


def _name(axes: Axes, row: int, text: str, colour: str, *, at: Literal["left", "above"]) -> None:
    """The name of a row, left of the axes, or above its mark where the page is narrow."""
    offset, ha = ((-12, 0), "right") if at == "left" else ((0, 17), "left")
    axes.annotate(
        text, (0, row), offset, xycoords=("axes fraction", "data"), textcoords="offset points", ha=ha,
        va="center", color=colour, annotation_clip=False, parse_math=False,
    )  # fmt: skip


def _figure(
    width: float, height: float, *, left: float, right: float, top: float, bottom: float
) -> tuple[Figure, Axes]:
    """A figure of width × height CSS pixels with one axes inside the given margins."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    return figure, axes


def short(name: object, limit: int = 26) -> str:
    """A name without control characters, cut to what fits beside a plot."""
    text = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(name)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text_width(texts: Iterable[str]) -> float:
    return 7.4 * max((len(t) for t in texts), default=0) + 22


def _label_width(models: Iterable[ModelResult]) -> float:
    return _text_width(short(m.name) for m in models)


def svg_text(figure: Figure, prefix: str) -> str:
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
    text = re.sub(r"font-family: [^;\"<>]*", f"font-family: {_FONT}", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def _page_svg(figure: Figure, prefix: str, label: str) -> str:
    """SVG for inside HTML: no namespaces, sized by its box, coloured by variables, with a text alternative."""
    text = svg_text(figure, prefix)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    attribute = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"^<svg[^>]*>", "", text)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r" ?font-family: [^;\"<>]*;?", "", text).replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        text = re.sub(rf"((?:fill|stroke): ){colour}", rf"\1var({variable})", text)
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{attribute}">{text.strip()}'
