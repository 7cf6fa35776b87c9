"""The ROC of the leading attack, and where guessing ends up beside it."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from scipy.stats import betabinom

from obliviate.metrics.rates import LEAST_EXPECTED
from obliviate.report.style import MUTED, PAPER, RETRAINED, RULE, Style, styles
from obliviate.report.svg import RC, new_figure, page_svg, short
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results


@rc_context(RC)
def roc_plot(results: Results, *, narrow: bool = False) -> str:
    """The leading attack's ROC, forget (member) against unseen, on logarithmic axes.

    Grey is the band that retrained models span or, without them, where guessing ends up in 95 % of cases.
    False-positive rates that fewer than 10 unseen samples stand for are marked as not resolvable.
    """
    drawn = [(model, style, *_roc(model)) for model, style in zip(results.models, styles(results.models), strict=True)]
    forget, unseen = results.settings.forget, results.settings.unseen
    left = min(0.1, 1 / unseen)  # lower rates cannot be told from none
    retrained = [(fpr, tpr) for model, _, fpr, tpr in drawn if model.role == "retrained"]

    width, height = (350, 400) if narrow else (620, 500)
    figure, axes = new_figure(width, height, left=80, right=28, top=12, bottom=50)
    grid = np.geomspace(left, 1, 200)
    _mark_unresolved(axes, left, min(1.0, LEAST_EXPECTED / unseen))
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
        if model.role != "retrained":
            legend.append(_curve(axes, grid, np.interp(grid, fpr, tpr).clip(left / 10, 1), style, model.name))
    _scale(axes, left)
    # Labels that begin with "_" are dropped by the automatic legend, so texts are given apart from the handles.
    box = axes.legend(legend, [str(h.get_label()) for h in legend], loc="lower right", frameon=False, handlelength=2)
    for text in box.get_texts():
        text.set(parse_math=False, fontsize=11 if narrow else 12)
    return page_svg(
        figure,
        "roc-narrow" if narrow else "roc",
        f"{results.lead.title} ROC of forget against unseen samples, logarithmic axes",
    )


def _mark_unresolved(axes: Axes, left: float, resolved: float) -> None:
    """Shade the false-positive rates that too few unseen samples stand for."""
    axes.axvspan(left, resolved, color=MUTED, alpha=0.13, linewidth=0)
    axes.axvline(resolved, color=MUTED, linewidth=1)
    axes.annotate(
        "not resolvable", (left, 1), (5, -6), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="top", rotation=90, color=MUTED, fontsize=10.5,
    )  # fmt: skip


def _curve(axes: Axes, grid: np.ndarray, curve: np.ndarray, style: Style, name: str) -> Line2D:
    """Draw the ROC of one model, with marks on it; return its entry in the legend."""
    (line,) = axes.plot(grid, curve, color=style.colour, linewidth=2, linestyle=style.dashes)
    (mark,) = axes.plot(
        grid, curve, style.marker, color=style.colour, markersize=7, markeredgecolor=PAPER, markevery=(25, 50)
    )
    handle = Line2D([], [], color=style.colour, linewidth=2, linestyle=line.get_linestyle())
    handle.set(marker=mark.get_marker(), markersize=7, markeredgecolor=PAPER)
    handle.set_label(short(name) or " ")
    return handle


def _scale(axes: Axes, left: float) -> None:
    """Make both axes logarithmic from `left` on, in percent, and say what they are of."""
    axes.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(left, 1.05))
    ticks = [tick for tick in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0) if tick >= left * 0.999]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_ticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        axis.grid(color=RULE, linewidth=0.6)
    axes.set_xlabel("unseen samples wrongly called members")
    axes.set_ylabel("forget samples called members")


def guessing_band(fpr: np.ndarray, forget: int, unseen: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the true-positive rate lies in 95 % of cases at each rate, if the two kinds of samples are exchangeable.

    With k of `unseen` scores above a threshold that is the next of them, the chance of a forget sample to lie above it
    is Beta(k + 1, unseen - k), so that their number is beta-binomial. Rates are fractions.

    >>> [bound.tolist() for bound in guessing_band(np.array([0.1]), 100, 1000)]
    [[0.04], [0.17]]
    """
    above = np.minimum(np.floor(fpr * unseen + 1e-9), unseen - 1)
    low, high = (betabinom.ppf(level, forget, above + 1, unseen - above) / forget for level in (0.025, 0.975))
    return low, high


def _roc(model: ModelResult) -> tuple[np.ndarray, np.ndarray]:
    curve = model.curves.roc_ft
    return np.asarray(curve.fpr, dtype=float), np.asarray(curve.tpr, dtype=float)
