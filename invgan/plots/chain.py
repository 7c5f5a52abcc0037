"""Where the walkers of a Markov chain went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from invgan.plots.columns import extent, strongest, thinned
from invgan.plots.style import BASELINE, OBSERVED, panels, plain_text

__all__ = ["MAX_TRACES", "plot_chain"]

Array = NDArray[np.float64]

MAX_TRACES = 5
"""Parameters that get a panel of their own."""

_POINTS, _WALKERS = 300, 64


def plot_chain(
    chain: Array,
    log_prob: Array,
    names: Sequence[str],
    prior_x: Array | None = None,
    *,
    burn_in: int = 0,
    thin: int = 1,
) -> Figure:
    """The path of every walker, and their mean: those that converged look alike all along.

    Args:
        chain: parameters, shape (T, W, D): steps, walkers, parameters.
        log_prob: their log-density, shape (T, W).
        names: the D parameter names.
        prior_x: draws of the prior, shape (m, D), by which the parameters that moved most are
            chosen; without them the first ones are shown.
        burn_in: the step of the first state.
        thin: steps from one state to the next.
    """
    shown = strongest(chain.reshape(-1, chain.shape[2]), prior_x, MAX_TRACES)
    figure = Figure(figsize=(7.6, 1.5 * (len(shown) + 1)), layout="constrained")
    grid = panels(figure, len(shown) + 1, stacked=True)
    step = np.asarray(burn_in + thin * np.arange(len(chain)), float)
    for axes, j in zip(grid, shown, strict=False):
        _draw(axes, step, chain[:, :, j], plain_text(names[j]))
    _draw(grid[-1], step, log_prob, "log-density")
    grid[-1].set_xlabel("step")
    figure.align_ylabels()
    return figure


def _draw(axes: Axes, step: Array, paths: Array, label: str) -> None:
    step, paths = thinned(step, _POINTS), thinned(paths, _POINTS)
    axes.plot(step, thinned(paths.T, _WALKERS).T, color=BASELINE, lw=0.5, alpha=0.25)
    axes.plot(step, paths.mean(axis=1), color=OBSERVED, lw=1.2)
    axes.set_ylabel(label)
    axes.margins(x=0)
    reached = paths[np.isfinite(paths)]
    if len(reached):
        axes.set_ylim(*extent(reached))
