"""The answer over the parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from invgan.plots.columns import bin_edges, extent, heights, strongest, thinned
from invgan.plots.style import ANSWER, OBSERVED, PRIOR, legend_below, panels, plain_text
from invgan.plots.surface import Surface

__all__ = ["draw_answer", "plot_answer"]

Array = NDArray[np.float64]

_MAX_POINTS = 5000


def plot_answer(
    x: Array,
    names: Sequence[str],
    surface: Surface | None = None,
    prior_x: Array | None = None,
) -> Figure:
    """Draws of P_X, for two parameters over the model's contours.

    One parameter alone is drawn as a histogram; of more than two, the pair that moved most.

    Args:
        x: draws, shape (n, D).
        names: the D parameter names.
        surface: the model's output over the two parameters, or None for no contours.
        prior_x: draws of the prior, shape (m, D), for the limits and for what moved most.
    """
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    draw_answer(figure, x, names, surface, prior_x)
    return figure


def draw_answer(
    figure: Figure | SubFigure,
    x: Array,
    names: Sequence[str],
    surface: Surface | None,
    prior_x: Array | None,
) -> None:
    """Draw `plot_answer` into a part of a figure."""
    (axes,) = panels(figure, 1)
    axes.set_box_aspect(0.9)
    if x.shape[1] == 1:
        _draw_marginal(axes, x, names[0], prior_x)
    else:
        _draw_pair(axes, x, names, strongest(x, prior_x, 2), prior_x)
    if surface is not None and x.shape[1] == 2:
        _draw_contours(axes, surface)
    legend_below(figure, axes)


def _draw_pair(
    axes: Axes, x: Array, names: Sequence[str], pair: list[int], prior_x: Array | None
) -> None:
    shown = thinned(x, _MAX_POINTS)[:, pair]
    label = "draws" if len(shown) == len(x) else f"{len(shown):,} of {len(x):,} draws"
    strength = float(np.clip(20 / math.sqrt(len(shown)), 0.3, 0.9))
    dots: dict[str, Any] = {"color": ANSWER, "marker": "o", "ls": "", "mew": 0}
    axes.plot(shown[:, 0], shown[:, 1], ms=2.2, alpha=strength, rasterized=True, zorder=3, **dots)
    axes.plot([], [], ms=5, label=label, **dots)
    around = x if prior_x is None or not len(prior_x) else prior_x
    limits = [extent(around[:, j], x[:, j]) for j in pair]
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set(xlabel=plain_text(names[pair[0]]), ylabel=plain_text(names[pair[1]]))


def _draw_marginal(axes: Axes, x: Array, name: str, prior_x: Array | None) -> None:
    prior = np.empty(0) if prior_x is None else prior_x[:, 0]
    edges = bin_edges(x[:, 0], prior)
    if len(prior):
        axes.stairs(heights(prior, edges), edges, color=PRIOR, lw=1.2, label="prior")
    axes.stairs(heights(x[:, 0], edges), edges, color=ANSWER, lw=1.6, label="draws")
    axes.set(xlabel=plain_text(name), ylabel="density", ylim=(0, None))


def _draw_contours(axes: Axes, surface: Surface) -> None:
    known = surface.y[np.isfinite(surface.y)]
    if not len(known):
        return
    levels, digits = _levels(np.quantile(known, np.linspace(0, 1, 13)[1:-1]))
    # Matplotlib's arithmetic ends before that of numbers does.
    unit = float(np.abs(known).max()) or 1.0
    side, scaled = (surface.x1, surface.x2), np.ma.masked_invalid(surface.y / unit)
    if len(levels) > 1:
        levels = levels / unit
        shown = np.clip(scaled, 2 * levels[0] - levels[-1], 2 * levels[-1] - levels[0])
        shades = BoundaryNorm(levels, 256, extend="both")
        axes.contourf(*side, shown, levels, norm=shades, cmap="Greys", alpha=0.18, zorder=0,
                      extend="both")  # fmt: skip
        lines = axes.contour(*side, scaled, levels, colors=PRIOR, linewidths=0.5, zorder=1)
        axes.clabel(lines, fontsize=6, fmt=lambda level: f"{level * unit:.{digits}g}")
    marks = [mark for mark in surface.marks if known.min() < mark < known.max()]
    if marks:
        seen = [mark / unit for mark in marks]
        axes.contour(*side, scaled, seen, colors=OBSERVED, linewidths=1.4, zorder=4)
        label = f"{plain_text(surface.output)} = {', '.join(f'{mark:.3g}' for mark in marks)}"
        axes.plot([], [], color=OBSERVED, lw=1.4, label=label)


def _levels(quantiles: Array) -> tuple[Array, int]:
    """Round numbers near increasing quantiles, and the digits that tell them from each other."""
    apart, size = quantiles[-1] / 2 - quantiles[0] / 2, float(np.abs(quantiles).max())
    if not apart > 0:
        return quantiles[:1], 1
    step = 10.0 ** max(math.floor(math.log10(apart)) - 1, -300)
    digits = 2 + max(0, math.ceil(math.log10(size / apart)))
    # Six digits are what numbers are commonly written with: 1490, not 1.49e+03.
    return np.unique(np.round(quantiles / step) * step), min(max(digits, 6), 15)
