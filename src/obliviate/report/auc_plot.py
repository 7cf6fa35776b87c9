"""AUCs and accuracies with their intervals, a row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from obliviate.report.style import INK, MUTED, PAPER, RETRAINED, RULE, styles
from obliviate.report.svg import RC, label_width, name_row, new_figure, page_svg, short, svg
from obliviate.results.schema import Results

Interval: TypeAlias = tuple[float, float, float]
"""A figure and its bounds."""


@rc_context(RC)
def ft_auc_plot(results: Results, *, narrow: bool = False) -> str:
    """FT-AUC with its interval for every model; the range of models that never saw the forget set is a band."""
    models = results.models
    if narrow:
        figure, axes = new_figure(350, 46 * len(models) + 78, left=6, right=52, top=26, bottom=46)
    else:
        figure, axes = new_figure(700, 36 * len(models) + 78, left=label_width(models), right=66, top=26, bottom=46)
    _dots(axes, results, _ft_auc(results), band=_floor(results), guess=50, names="above" if narrow else "left")
    axes.set_xlabel(f"FT-AUC of {results.lead.title}, %")
    return page_svg(
        figure,
        "dots-narrow" if narrow else "dots",
        "FT-AUC with interval for every model beside the range of models that never saw the forget set",
    )


@rc_context(RC)
def summary_svg(results: Results) -> str:
    """One standalone picture, 900 wide and about 360 high, on white: FT-AUC and forget accuracy of every model."""
    models = results.models
    width, height = 900, max(360, 30 * len(models) + 120)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=PAPER)
    left = label_width(models) + 16
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
    return svg(figure, "summary")


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
            name_row(axes, row, short(model.name), MUTED if model.role == "retrained" else INK, at=names)
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
