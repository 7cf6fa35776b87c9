"""Seconds of unlearning beside those of a retraining."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context

from obliviate.report.style import INK, MUTED, RETRAINED, styles
from obliviate.report.svg import RC, name_row, new_figure, page_svg, short, text_width
from obliviate.results.schema import Results


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
        figure, axes = new_figure(350, 50 * max(1, len(bars)) + 60, left=6, right=100, top=8, bottom=46)
    else:
        left = text_width([name for name, *_ in bars])
        figure, axes = new_figure(700, 36 * max(1, len(bars)) + 56, left=left, right=112, top=8, bottom=46)
    rows = np.arange(len(bars))
    axes.barh(
        rows,
        [seconds for _, seconds, *_ in bars],
        height=0.36 if narrow else 0.56,
        color=[colour for _, _, colour, _ in bars],
    )
    for row, (name, seconds, _, text) in enumerate(bars):
        name_row(axes, row, name, INK, at="above" if narrow else "left")
        axes.annotate(text, (seconds, row), (7, 0), textcoords="offset points", va="center", annotation_clip=False)
    if retrainings:
        axes.axvline(bars[0][1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    axes.set(ylim=(len(bars) - 0.4, -0.6), yticks=[], xlabel="seconds", xlim=(0, None))
    axes.spines["left"].set_visible(False)
    return page_svg(
        figure, "cost-narrow" if narrow else "cost", "Seconds of every unlearning method beside a retraining"
    )
