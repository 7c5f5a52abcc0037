"""Every pair of parameters in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Literal

import corner
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from invgan.plots.columns import extent, strongest
from invgan.plots.style import ANSWER, BASELINE, plain_text

__all__ = ["MAX_CORNER", "plot_corner"]

Array = NDArray[np.float64]
_Dash = Literal["-", "--"]

MAX_CORNER = 8
"""Parameters in a corner plot, at most."""

_LEVELS = (0.5, 0.9)
_LINE, _MOST_LINES = 18, 3


def plot_corner(
    x: Array,
    baseline_x: Array | None,
    names: Sequence[str],
    truth: Sequence[float] | None = None,
    prior_x: Array | None = None,
) -> Figure:
    """Every pair of parameters: the answer over MCMC, as 50 % and 90 % regions.

    Args:
        x: draws of the answer, shape (n, D).
        baseline_x: MCMC's draws, shape (m, D), or None.
        names: the D parameter names; of more than eight, those that moved most are drawn.
        truth: D values to mark, or None.
        prior_x: draws of the prior, shape (k, D), for what moved most.
    """
    chosen = strongest(x, prior_x, MAX_CORNER)
    side = max(1.45 * len(chosen) + 1, 4.8)
    figure = Figure(figsize=(side, side))
    clouds: list[tuple[Array, str, str, _Dash]] = [(x, "cGAN", ANSWER, "-")]
    if baseline_x is not None and len(baseline_x):
        clouds.insert(0, (baseline_x, "MCMC", BASELINE, "--"))
    both = np.concatenate([cloud[:, chosen] for cloud, *_ in clouds])
    extents = [extent(column) for column in both.T]
    labels = [_wrapped(names[j]) for j in chosen]
    for cloud, _, colour, dash in clouds:
        _draw_corner(
            figure, cloud[:, chosen], labels=labels, extents=extents, colour=colour, dash=dash
        )
    handles = [Line2D([], [], color=c, linestyle=d, label=label) for _, label, c, d in clouds[::-1]]
    if truth is not None:
        corner.overplot_lines(figure, [float(truth[j]) for j in chosen], color="k", lw=0.8)
        handles.append(Line2D([], [], color="k", lw=0.8, label="truth"))
    _finish_corner(figure, len(chosen), handles)
    return figure


def _wrapped(name: str) -> str:
    """A name in lines that are no wider than a panel."""
    lines = wrap(name, _LINE, max_lines=_MOST_LINES, placeholder="\N{HORIZONTAL ELLIPSIS}")
    return "\n".join(map(plain_text, lines))


def _draw_corner(
    figure: Figure,
    x: Array,
    *,
    labels: list[str],
    extents: list[tuple[float, float]],
    colour: str,
    dash: _Dash,
) -> None:
    # A contour of a few draws shows the smoothing, not the answer: points are honest there.
    many = len(np.unique(x, axis=0)) >= 50 * x.shape[1]
    if len(x) <= x.shape[1]:
        x = np.repeat(x, x.shape[1], axis=0)
    bins = int(np.clip(round(len(x) ** (1 / 3)), 12, 36))
    corner.corner(
        x,
        fig=figure,
        range=extents,
        bins=bins,
        smooth=1.0 if many else None,
        levels=_LEVELS,
        labels=labels,
        label_kwargs={"fontsize": 10},
        color=colour,
        quiet=True,
        max_n_ticks=4,
        labelpad=-0.05 if x.shape[1] < 4 else 0.0,
        plot_density=False,
        plot_contours=many,
        plot_datapoints=not many,
        fill_contours=many and dash == "-",
        no_fill_contours=True,
        contour_kwargs={"linestyles": dash, "linewidths": 1.2},
        contourf_kwargs={"colors": ["none", colour + "22", colour + "55"]},
        hist_kwargs={"density": True, "linestyle": dash, "linewidth": 1.4},
        data_kwargs={"alpha": 0.5, "ms": 2.5},
    )


def _finish_corner(figure: Figure, count: int, handles: list[Line2D]) -> None:
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
    top = figure.axes[count - 1].get_position()
    figure.legend(
        handles=handles,
        loc="upper right" if count > 1 else "lower right",
        bbox_to_anchor=(top.x1, top.y1),
        frameon=False,
        fontsize=11,
        ncols=1 if count > 1 else 3,
    )
