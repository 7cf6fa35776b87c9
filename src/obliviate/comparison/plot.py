"""The picture of a comparison: what each method leaves of the forget set, beside what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page

from obliviate.comparison.figures import Compared, Comparison, Figure
from obliviate.report.style import INK, MUTED, ORIGINAL, PAPER, RETRAINED, RULE, UNLEARNED
from obliviate.report.svg import RC, short
from obliviate.report.svg import svg as svg_text

PANELS: Final = (
    ("ft_auc", "FT-AUC, %"),
    ("forget_accuracy", "forget accuracy, %"),
    ("average_gap", "average gap, points"),
    ("cost", "cost, % of a retraining"),
)
WIDTH, LINE, HEAD, FOOT, NAMES = 1000, 26, 50, 44, 190  # CSS pixels


@rc_context(RC)
def svg(comparisons: Sequence[Comparison]) -> str:
    """Draw one block of rows a comparison: a dot with its 95 % interval a method, the band of retrained models behind.

    The same comparisons give the same bytes.
    """
    heights = [HEAD + FOOT + LINE * max(1, len(comparison.models)) for comparison in comparisons]
    height = sum(heights)
    page = Page(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor=PAPER)
    top = float(height)
    for comparison, tall in zip(comparisons, heights, strict=True):
        title = f"{short(comparison.title, 60)}: {comparison.audits} audits, {len(comparison.seeds)} training seeds"
        page.text(16 / WIDTH, (top - 20) / height, title, fontsize=14, fontweight="bold", va="center", parse_math=False)
        span = (WIDTH - NAMES - 16) / len(PANELS)
        for place, (name, label) in enumerate(PANELS):
            box = (NAMES + place * span, top - tall + FOOT, span - 24, tall - HEAD - FOOT)
            axes = page.add_axes((box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height))
            _panel(axes, comparison.models, name, names=place == 0)
            axes.set_xlabel(label)
        top -= tall
    return svg_text(page, "comparison")


def _panel(axes: Axes, models: Sequence[Compared], name: str, *, names: bool) -> None:
    axes.set(ylim=(len(models) - 0.4, -0.6), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    order = [model.name for model in models if model.role == "unlearned"]
    for row, model in enumerate(models):
        figure: Figure | None = getattr(model, name)
        if names:
            axes.annotate(
                short(model.name), (0, row), (-10, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="center", color=INK if model.role == "unlearned" else MUTED, annotation_clip=False,
                parse_math=False,
            )  # fmt: skip
        if figure is None:
            continue
        colour = {"original": ORIGINAL, "retrained": RETRAINED}.get(model.role)
        colour = colour or UNLEARNED[order.index(model.name) % len(UNLEARNED)]
        if model.role == "retrained":
            axes.axvspan(
                figure.value if figure.low is None else figure.low,
                figure.value if figure.high is None else figure.high,
                color=RETRAINED, alpha=0.25, linewidth=0.8, zorder=1,
            )  # fmt: skip
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [row, row], color=colour, linewidth=2.4, zorder=3)
        axes.plot([figure.value], [row], "o", color=colour, markersize=6, zorder=4)
