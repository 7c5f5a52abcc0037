"""What a figure asks of columns of draws: their ends, their bins, and which of them moved most."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_edges", "extent", "heights", "strongest", "thinned"]

Array = NDArray[np.float64]

_REPEATED, _UNEVEN = 0.5, 1e-3


def strongest(x: Array, prior_x: Array | None, count: int) -> list[int]:
    """The parameters that the observations moved most, in their own order.

    Moved in the sense of Kolmogorov and Smirnov's distance from the prior; the first ones where
    no prior draws are given.

    Args:
        x: draws of the answer, shape (n, D).
        prior_x: draws of the prior, shape (m, D), or None.
        count: how many to name.
    """
    if prior_x is None or not len(prior_x) or x.shape[1] <= count:
        return list(range(min(count, x.shape[1])))
    moved = [_distance(a, b) for a, b in zip(x.T, prior_x.T, strict=True)]
    return sorted(int(j) for j in np.argsort(moved)[::-1][:count])


def thinned(rows: Array, most: int) -> Array:
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(int)])


def extent(*columns: Array) -> tuple[float, float]:
    """Where the columns live: from end to end, or without their tails where these are long."""
    ends = [_ends(column) for column in columns if len(column)]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if not low < high:
        width = max(abs(low) * 0.05, 0.5)
        return low - width, high + width
    return low, high


def bin_edges(*columns: Array) -> Array:
    """Bin edges common to all the columns, about as many as the fewest draws allow.

    Of columns that lie on a lattice (counts) each bin holds equally many of its points, so that the
    bars rise and fall with the draws and not with the points that a bin happens to hold.
    """
    low, high = extent(*columns)
    least = min(len(column) for column in columns if len(column))
    bins = int(np.clip(round(2 * least ** (1 / 3)), 10, 60))
    lattice = _lattice(np.concatenate(columns))
    if lattice is None:
        return np.linspace(low, high, bins + 1)
    point, step = lattice
    first = point + step * (round((low - point) / step) - 0.5)
    points = round((high - first) / step + 0.5)
    width = step * math.ceil(points / bins)
    return np.asarray(first + width * np.arange(math.ceil(points * step / width) + 1))


def _lattice(values: Array) -> tuple[float, float] | None:
    """A point and the distance of a lattice, of values that repeat and all lie on one."""
    found = np.unique(values)
    if not 1 < len(found) < _REPEATED * len(values):
        return None
    gaps = np.diff(found)
    steps = gaps / gaps.min()
    if np.abs(steps - np.round(steps)).max() > _UNEVEN:
        return None
    return float(found[0]), float(np.ptp(found) / np.round(steps).sum())


def heights(column: Array, edges: Array) -> Array:
    """Heights of a histogram whose area is the share of the column inside the edges."""
    counts, _ = np.histogram(column, edges)
    return np.asarray(counts / (max(len(column), 1) * np.diff(edges)))


def _distance(a: Array, b: Array) -> float:
    """The two-sample distance of Kolmogorov and Smirnov."""
    both = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(c), both, side="right") / len(c) for c in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _ends(column: Array) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    inner = np.quantile(column, [0.002, 0.998])
    if high - low <= 1.3 * float(np.ptp(inner)):
        return low, high
    return float(inner[0]), float(inner[1])
