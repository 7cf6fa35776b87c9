"""The margins of a model's answers, as densities."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context

from obliviate.report.style import INK, Style, styles
from obliviate.report.svg import RC, new_figure, page_svg, short
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results


@rc_context(RC)
def margin_plots(results: Results) -> list[tuple[str, str]]:
    """(model name, SVG) of margin densities for the original, the first retrained and every unlearned model."""
    edges = np.asarray(results.margin_bins, dtype=float)
    shown: list[tuple[ModelResult, Style]] = []
    for model, style in zip(results.models, styles(results.models), strict=True):
        repeated = model.role == "retrained" and any(other.role == "retrained" for other, _ in shown)
        if not repeated:
            shown.append((model, style))
    densities = [model.curves.margins for model, _ in shown]
    used = np.sum([np.sum([heights for _, heights in parts], axis=0) for parts in densities], axis=0)
    occupied = np.flatnonzero(used) if densities else np.arange(0)
    low, high = (edges[occupied[0]], edges[occupied[-1] + 1]) if len(occupied) else (edges[0], edges[-1])
    top = max(max(heights) for parts in densities for _, heights in parts) * 1.06

    plots: list[tuple[str, str]] = []
    for i, (model, style) in enumerate(shown):
        margins = model.curves.margins
        figure, axes = new_figure(320, 190, left=16, right=16, top=8, bottom=42)
        axes.stairs(margins.forget, edges, fill=True, color=style.colour, alpha=0.4, linewidth=0)
        axes.stairs(margins.forget, edges, color=style.colour, linewidth=1.4, baseline=None)
        axes.stairs(margins.retain, edges, color=INK, linewidth=1.3, baseline=None)
        axes.stairs(margins.unseen, edges, color=INK, linewidth=1.3, linestyle=(0, (3, 2)), baseline=None)
        axes.set(xlim=(low, high), ylim=(0, top or 1), yticks=[], xlabel="margin")
        axes.spines["left"].set_visible(False)
        label = f"Margin densities of {short(model.name)}: forget, retain, unseen"
        plots.append((model.name, page_svg(figure, f"margin{i}", label)))
    return plots
