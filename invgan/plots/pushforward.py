"""The answer's push-forward against the observations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from invgan.plots.columns import bin_edges, heights
from invgan.plots.style import (
    ANSWER,
    BASELINE,
    OBSERVED,
    PRIOR,
    layout,
    legend_below,
    panels,
    plain_text,
)

__all__ = ["MAX_OUTPUTS", "draw_pushforward", "panels_of", "plot_pushforward"]

Array = NDArray[np.float64]

MAX_OUTPUTS = 12
"""Outputs in a push-forward figure, at most."""

_MAX_LINES = 40
_REGIONS = (("90 %", (0.05, 0.95), 0.2), ("50 %", (0.25, 0.75), 0.35))


def plot_pushforward(
    y: Array,
    observed: Array,
    outputs: Sequence[str],
    baseline_y: Array | None = None,
    *,
    single: bool = False,
) -> Figure:
    """The answer's push-forward against the observations, one panel for each output.

    One experiment of more than twelve outputs, a series or an image, is drawn in one panel, output
    by output. Absent values are NaN.

    Args:
        y: the model's outputs for the answer, shape (n, L).
        observed: rows of P_Y, shape (N, L).
        outputs: the L output names; those of a population beyond the first twelve are counted in
            words.
        baseline_y: the model's outputs for MCMC's draws, shape (m, L), or None.

    Other Args:
        single: the observed rows are one experiment: each is a vertical line, not a distribution.
    """
    columns, rows = layout(panels_of(outputs, single))
    figure = Figure(figsize=(max(3.4 * columns, 5.0), max(2.6 * rows, 3.6)), layout="constrained")
    draw_pushforward(figure, y, observed, outputs, baseline_y, single=single)
    return figure


def panels_of(outputs: Sequence[str], single: bool) -> int:
    """How many panels `draw_pushforward` draws."""
    return 1 if single and len(outputs) > MAX_OUTPUTS else min(len(outputs), MAX_OUTPUTS)


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
    if single and len(outputs) > MAX_OUTPUTS:
        (axes,) = panels(figure, 1)
        _draw_row(axes, y, observed, baseline_y)
        axes.set_xlabel(f"output ({plain_text(outputs[0])} to {plain_text(outputs[-1])})")
        legend_below(figure, axes)
        return
    count = panels_of(outputs, single)
    for j, axes in enumerate(panels(figure, count)):
        other = np.empty(0) if baseline_y is None else baseline_y[:, j]
        _draw_output(axes, y[:, j], observed[:, j], other, single)
        axes.set_xlabel(plain_text(outputs[j]))
        if j % layout(count)[0] == 0:
            axes.set_ylabel("density")
    if len(outputs) > count:
        axes.plot([], [], ls="", label=f"({len(outputs) - count} more outputs are not drawn)")
    legend_below(figure, axes)


def _draw_row(axes: Axes, y: Array, observed: Array, other: Array | None) -> None:
    """Where the draws' outputs are, one after the other, and the observed values as dots."""
    place = np.arange(1, y.shape[1] + 1)
    for share, levels, strength in _REGIONS:
        low, high = _quantiles(y, levels)
        label = f"{share} of the model at cGAN draws"
        axes.fill_between(place, low, high, color=ANSWER, alpha=strength, lw=0, label=label)
    if other is not None and len(other):
        lines = _quantiles(other, _REGIONS[0][1])
        labels = ("90 % of the model at MCMC draws", None)
        for line, name in zip(lines, labels, strict=True):
            axes.plot(place, line, color=BASELINE, lw=1, ls="--", label=name)
    dots: dict[str, Any] = {"color": OBSERVED, "marker": "o", "ls": "", "ms": 2.5, "mew": 0}
    for i, row in enumerate(observed[:_MAX_LINES]):
        axes.plot(place, row, label="observed" if i == 0 else None, **dots)


def _quantiles(y: Array, levels: tuple[float, float]) -> Array:
    """Quantiles (2, L) of the values that are there; NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanquantile(y, levels, axis=0))


def _draw_output(axes: Axes, y: Array, seen: Array, other: Array, single: bool) -> None:
    y, seen, other = (column[~np.isnan(column)] for column in (y, seen, other))
    if not len(y):
        axes.text(0.5, 0.5, "in no draw", ha="center", transform=axes.transAxes, color=PRIOR)
        return
    edges = bin_edges(y, other, seen[:0] if single else seen)
    if single:
        strength = max(0.25, 1 / math.sqrt(max(len(seen), 1)))
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
