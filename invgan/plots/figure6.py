"""The answer and its check in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from invgan.plots.answer import draw_answer
from invgan.plots.pushforward import draw_pushforward, panels_of
from invgan.plots.style import layout
from invgan.plots.surface import Surface

__all__ = ["plot_figure6"]

Array = NDArray[np.float64]


def plot_figure6(
    x: Array,
    y: Array,
    observed: Array,
    names: Sequence[str],
    outputs: Sequence[str],
    *,
    surface: Surface | None = None,
    prior_x: Array | None = None,
    baseline_y: Array | None = None,
    single: bool = False,
) -> Figure:
    """The answer and its check: `plot_answer` (panel A1) beside `plot_pushforward` (panel A2)."""
    columns, rows = layout(panels_of(outputs, single))
    beside = rows <= 2
    size = (4.9 + max(2.7 * columns, 4.7), 4.6) if beside else (9.6, 4.4 + 2.2 * rows)
    figure = Figure(figsize=size, layout="constrained")
    parts: Any = (
        figure.subfigures(1, 2, width_ratios=[4.9, size[0] - 4.9], wspace=0.02)
        if beside
        else figure.subfigures(2, 1, height_ratios=[4.4, 2.2 * rows], hspace=0.02)
    )
    a1, a2 = parts
    draw_answer(a1, x, names, surface, prior_x)
    draw_pushforward(a2, y, observed, outputs, baseline_y, single=single)
    for part, label in ((a1, "A1  parameters"), (a2, "A2  push-forward")):
        part.suptitle(label, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure
