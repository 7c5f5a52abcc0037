"""Calibration over held-out simulations: the coverage of regions, and the ranks of parameters.

Every curve is the distribution function of numbers that an exact inverse makes uniform, and has the
same band. Ranks are drawn as the distance from the diagonal, where small gaps can be seen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from invgan.plots.style import ANSWER, OBSERVED, PRIOR, layout, legend_below, panels, plain_text

__all__ = ["MAX_RANKS", "plot_calibration"]

Array = NDArray[np.float64]
Band = tuple[Array, Array]

MAX_RANKS = 12
"""Panels of ranks in a calibration figure, at most."""

_TITLE_WIDTH = 26


def plot_calibration(
    levels: Array,
    coverage: Mapping[str, Array],
    ranks: Array,
    names: Sequence[str],
    band: Band,
) -> Figure:
    """Coverage against the diagonal, beside how far the ranks of each name are from even ones.

    Args:
        levels: nominal levels, increasing, shape (K,).
        coverage: share of true parameters in the regions of each level, by the kind of region, at
            most two kinds; each (K,).
        ranks: distribution function of the ranks of each name, shape (P, K).
        names: the P names; of more than twelve, those that stray most are drawn.
        band: where an exact inverse keeps each curve, lower and upper ends, each (K,).
    """
    chosen = _straying(ranks - levels)
    columns, rows = layout(len(chosen))
    size = (4.4 + 2.1 * columns + 0.5, max(4.6, 1.75 * rows + 0.7))
    figure = Figure(figsize=size, layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=[4.4, size[0] - 4.4], wspace=0.02)
    left, right = parts
    (axes,) = panels(left, 1)
    _draw_coverage(axes, levels, coverage, band)
    legend_below(left, axes)
    gaps = ranks[chosen] - levels
    limit = 1.1 * max(np.abs(gaps).max(), *(np.abs(end - levels).max() for end in band))
    for j, (panel, gap) in enumerate(zip(panels(right, len(chosen)), gaps, strict=True)):
        _draw_ranks(panel, levels, gap, names[chosen[j]], band)
        panel.set(ylim=(-limit, limit))
        panel.tick_params(labelleft=j % columns == 0)
    right.supylabel("share of ranks below, minus the level", fontsize=9)
    right.supxlabel("level", fontsize=9)
    for part, label in ((left, "B1  coverage"), (right, "B2  ranks of the true parameters")):
        part.suptitle(label, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _straying(gaps: Array) -> list[int]:
    """The rows of gaps (P, K) that are furthest from zero, in their own order."""
    return sorted(int(j) for j in np.argsort(-np.abs(gaps).max(axis=1))[:MAX_RANKS])


def _draw_coverage(axes: Axes, levels: Array, coverage: Mapping[str, Array], band: Band) -> None:
    axes.set_box_aspect(1)
    axes.fill_between(levels, *band, color=PRIOR, alpha=0.3, lw=0, label="exact, 95 of 100")
    axes.plot([0, 1], [0, 1], color=PRIOR, lw=0.8)
    looks = ((ANSWER, "-"), (OBSERVED, "--"))
    for (kind, curve), (colour, dash) in zip(coverage.items(), looks, strict=False):
        axes.plot(levels, curve, color=colour, ls=dash, lw=1.5, label=plain_text(kind))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of the draws in the region")
    axes.set_ylabel("share of the true parameters in it")


def _draw_ranks(axes: Axes, levels: Array, gap: Array, name: str, band: Band) -> None:
    low, high = band
    axes.fill_between(levels, low - levels, high - levels, color=PRIOR, alpha=0.3, lw=0)
    axes.axhline(0, color=PRIOR, lw=0.8)
    axes.plot(levels, gap, color=ANSWER, lw=1.3)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    axes.set_title(textwrap.fill(plain_text(name), _TITLE_WIDTH), fontsize=8.5, loc="left")
