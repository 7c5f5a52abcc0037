"""The answer's push-forward against the observations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from invgan.plots.columns import bin_edges, heights
from invgan.plots.style import ANSWER, BASELINE, OBSERVED, layout, legend_below, panels, plain_text

__all__ = ["MAX_OUTPUTS", "draw_pushforward", "plot_pushforward"]

Array = NDArray[np.float64]

MAX_OUTPUTS = 12
"""Outputs in a push-forward figure, at most."""

_MAX_LINES = 40


def plot_pushforward(
    y: Array,
    observed: Array,
    outputs: Sequence[str],
    baseline_y: Array | None = None,
    *,
    single: bool = False,
) -> Figure:
    """The answer's push-forward against the observations, one panel for each output.

    Args:
        y: the model's outputs for the answer, shape (n, L).
        observed: rows of P_Y, shape (N, L).
        outputs: the L output names; those beyond the first twelve are counted in words.
        baseline_y: the model's outputs for MCMC's draws, shape (m, L), or None.

    Other Args:
        single: the observed rows are one experiment: each is a vertical line, not a distribution.
    """
    columns, rows = layout(min(len(outputs), MAX_OUTPUTS))
    figure = Figure(figsize=(max(3.4 * columns, 5.0), max(2.6 * rows, 3.6)), layout="constrained")
    draw_pushforward(figure, y, observed, outputs, baseline_y, single=single)
    return figure


def draw_pushforward(
    figure: Figure | SubFigure,
    y: Array,
    observed: Array,
    outputs: Sequence[str],
    baseline_y: Array | None,
    *,
    single: bool,
) -> None:
    """Draw `plot_pushforward` into a part of a figure."""
    count = min(len(outputs), MAX_OUTPUTS)
    for j, axes in enumerate(panels(figure, count)):
        other = np.empty(0) if baseline_y is None else baseline_y[:, j]
        _draw_output(axes, y[:, j], observed[:, j], other, single)
        axes.set_xlabel(plain_text(outputs[j]))
        if j % layout(count)[0] == 0:
            axes.set_ylabel("density")
    if len(outputs) > count:
        axes.plot([], [], ls="", label=f"({len(outputs) - count} more outputs are not drawn)")
    legend_below(figure, axes)


def _draw_output(axes: Axes, y: Array, seen: Array, other: Array, single: bool) -> None:
    edges = bin_edges(y, other, seen[:0] if single else seen)
    if single:
        strength = max(0.25, 1 / math.sqrt(len(seen)))
        for i, value in enumerate(seen[:_MAX_LINES]):
            label = "observed" if i == 0 else None
            axes.axvline(value, color=OBSERVED, lw=1.4, alpha=strength, zorder=4, label=label)
    else:
        bars = heights(seen, edges)
        axes.stairs(bars, edges, fill=True, color=OBSERVED, alpha=0.25, label="observed")
    axes.stairs(heights(y, edges), edges, color=ANSWER, lw=1.6, label="model at cGAN draws")
    if len(other):
        bars = heights(other, edges)
        axes.stairs(bars, edges, color=BASELINE, lw=1.2, ls="--", label="model at MCMC draws")
    axes.set(ylim=(0, None), yticks=[])
