"""A model of two parameters as a surface, for its contours, without running it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CloughTocher2DInterpolator, NearestNDInterpolator
from scipy.spatial import QhullError

from invgan.plots.columns import extent, thinned

__all__ = ["Surface", "interpolate"]

Array = NDArray[np.float64]

_MAX_PAIRS = 20_000


@dataclass(frozen=True)
class Surface:
    """One output of a two-parameter model over a rectangle, for its contours.

    Attributes:
        x1: first parameter, shape (G,).
        x2: second parameter, shape (G,).
        y: the output, shape (G, G), rows along x2; NaN where it is not known.
        output: its name.
        marks: values whose contours stand out, increasing, such as quantiles of P_Y.
    """

    x1: Array
    x2: Array
    y: Array
    output: str
    marks: tuple[float, ...] = ()


def interpolate(
    x: Array, y: Array, output: str, marks: Sequence[float] = (), size: int = 160
) -> Surface | None:
    """A `Surface` from scattered pairs, without running the model again.

    Cubic on a triangulation (Clough and Tocher 1965) of at most 20,000 of the pairs.

    Args:
        x: parameters, shape (n, 2).
        y: one output, shape (n,).
        output: its name.
        marks: values whose contours shall stand out.
        size: grid points along each side.

    Returns:
        None where the pairs span no area.
    """
    x, y = thinned(x, _MAX_PAIRS), thinned(y, _MAX_PAIRS)
    if len(x) < 4 or not np.all(np.ptp(x, axis=0) > 0):
        return None
    (x1, x2), scale = [np.linspace(*extent(column), size) for column in x.T], np.ptp(x, axis=0)
    try:
        cubic = CloughTocher2DInterpolator(x / scale, y)
    except QhullError:
        return None
    grid = np.meshgrid(x1 / scale[0], x2 / scale[1])
    # The triangles end a little inside the prior's edges: the nearest draw fills that strip.
    nearest = NearestNDInterpolator(x / scale, y)(*grid, distance_upper_bound=0.03)
    inner = cubic(*grid)
    values = np.where(np.isfinite(inner), inner, nearest)
    return Surface(x1, x2, values, output, tuple(sorted(set(map(float, marks)))))
