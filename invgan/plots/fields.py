"""Fields: what was observed, the mean and spread of the draws, and some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from invgan.plots.pushforward import draw_pushforward, panels_of
from invgan.plots.style import PRIOR, layout

__all__ = ["plot_fields"]

Array = NDArray[np.float64]

_DRAWS = 3
_VALUES, _SPREAD = "viridis", "magma"


def plot_fields(
    x: Array,
    shape: tuple[int, int, int],
    y: Array | None,
    observed: Array,
    outputs: Sequence[str],
    coarse: tuple[int, int, int] | None = None,
    *,
    single: bool = True,
) -> Figure:
    """Fields that explain the observations (panel A1), and the model at them (panel A2).

    Args:
        x: draws, shape (n, C * H * W).
        shape: (C, H, W).
        y: their outputs, shape (n, L), or None where the model was not run.
        observed: rows of observations, shape (N, L).
        outputs: the L output names.
        coarse: the shape (c, h, w) of the outputs that come first, where they are a field.

    Other Args:
        single: whether one row was observed, which is then drawn where it is a field.
    """
    seen = observed[0, : int(np.prod(coarse))].reshape(coarse) if coarse and single else None
    upper = 0.5 + 2.1 * shape[0]
    if y is None or not len(y):
        figure = Figure(figsize=(10.4, upper), layout="constrained")
        _draw_maps(figure, x.reshape(-1, *shape), seen)
        return figure
    _, rows = layout(panels_of(outputs, single))
    figure = Figure(figsize=(10.4, upper + 0.6 + 2.1 * rows), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[upper, 0.6 + 2.1 * rows], hspace=0.02)
    a1, a2 = parts
    _draw_maps(a1, x.reshape(-1, *shape), seen)
    draw_pushforward(a2, y, observed, outputs, None, single=single)
    for part, label in ((a1, "A1  parameters"), (a2, "A2  push-forward")):
        part.suptitle(label, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _draw_maps(figure: Figure | SubFigure, x: Array, seen: Array | None) -> None:
    """A row for each channel; values on one scale, spreads on their own."""
    columns = _DRAWS + 2 + (seen is not None)
    grid = figure.subplots(x.shape[1], columns, squeeze=False)
    for c, row in enumerate(grid):
        mean, sd, draws = x[:, c].mean(axis=0), x[:, c].std(axis=0), x[:_DRAWS, c]
        low, high = np.quantile(np.concatenate([mean[None], draws]), [0.01, 0.99])
        maps = [("mean of the draws", mean), *((f"draw {k + 1}", d) for k, d in enumerate(draws))]
        here = list(row)
        if seen is not None:
            first = here.pop(0)
            if c < len(seen):
                _draw_map(first, seen[c], "observed", (low, high), _VALUES)
            else:
                first.remove()
        last = here.pop()
        for axes, (title, values) in zip(here, maps, strict=False):
            image = _draw_map(axes, values, title, (low, high), _VALUES)
        figure.colorbar(image, ax=here[-1], shrink=0.8).ax.tick_params(labelsize=7)
        spread = _draw_map(last, sd, "sd of the draws", (0.0, float(sd.max())), _SPREAD)
        figure.colorbar(spread, ax=last, shrink=0.8).ax.tick_params(labelsize=7)


def _draw_map(
    axes: Axes, values: Array, title: str, limits: tuple[float, float], colours: str
) -> AxesImage:
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[0] + 0.5)
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(PRIOR)
    return image
