"""A smooth increasing map between two scales, given by knots.

The map is the monotone cubic interpolant through its knots (Fritsch and Carlson 1980), continued
by the secants of its first and last cell as straight lines. In a cell of secant m whose ends have
the slopes ``s m`` and ``t m``, the share u of the way is mapped to the share

    H(u) = s u (1 - u)^2 + u^2 (3 - 2 u) - t u^2 (1 - u)

of the rise, which increases for s and t between 0 and 3. Slopes at inner knots are weighted
harmonic means of the two secants (Fritsch and Butland 1984). Shares keep their precision whatever
the width of a cell, so one map can span hundreds of orders of magnitude. Everything that carries
data to and from normal scores is one of these, so that a fitted scale is two short vectors, which
any file format holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = ["MonotoneMap", "normal_scores"]

Array = NDArray[np.float64]

_NEWTON_STEPS = 60


@dataclass(frozen=True)
class MonotoneMap:
    """A strictly increasing, once differentiable map of the real line onto itself.

    Attributes:
        a: knots on the scale that the map starts from, strictly increasing, shape (K,), K >= 2.
        b: their images, strictly increasing, shape (K,).
    """

    a: Array
    b: Array

    @cached_property
    def _secants(self) -> Array:
        return np.asarray(np.diff(self.b) / np.diff(self.a))

    @cached_property
    def _end_slopes(self) -> tuple[Array, Array]:
        """Slopes at the left and the right end of each cell, in units of the cell's secant."""
        width, m = np.diff(self.a), self._secants
        share = (width[:-1] + 2 * width[1:]) / (3 * (width[:-1] + width[1:]))
        with np.errstate(over="ignore"):
            left = 1 / (1 - share + share * (m[1:] / m[:-1]))
            right = 1 / (share + (1 - share) * (m[:-1] / m[1:]))
        return np.append(1, left), np.append(right, 1)

    def __call__(self, a: Array) -> Array:
        """Images of a, any shape."""
        cell, u = self._located(self.a, a)
        s, t = self._end_slopes
        inner = self.b[cell] + np.diff(self.b)[cell] * _rise(u, s[cell], t[cell])
        # Rounded, a whole rise can end above the next knot, which a larger value is mapped to.
        inner = np.clip(inner, self.b[cell], self.b[cell + 1])
        return np.asarray(inner + _beyond(self.a, a, self._secants[0], self._secants[-1]))

    def slope(self, a: Array) -> Array:
        """Derivatives at a, any shape."""
        cell, u = self._located(self.a, a)
        s, t = self._end_slopes
        return np.asarray(self._secants[cell] * _rise_slope(u, s[cell], t[cell]))

    def inverse(self, b: Array) -> Array:
        """The a whose images are b, any shape: Newton's method kept inside a bracket."""
        cell, v = self._located(self.b, b)
        s, t = (slopes[cell] for slopes in self._end_slopes)
        left, right, u = np.zeros_like(v), np.ones_like(v), v
        for _ in range(_NEWTON_STEPS):
            error = _rise(u, s, t) - v
            left, right = np.where(error < 0, u, left), np.where(error > 0, u, right)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = u - error / _rise_slope(u, s, t)
            new = np.where((step >= left) & (step <= right), step, 0.5 * (left + right))
            if np.all(np.abs(new - u) <= 1e-16):
                break
            u = new
        inner = self.a[cell] + np.diff(self.a)[cell] * u
        return np.asarray(inner + _beyond(self.b, b, 1 / self._secants[0], 1 / self._secants[-1]))

    def _located(self, knots: Array, values: Array) -> tuple[NDArray[np.intp], Array]:
        """The cell of each value, and its share of the way from the cell's left knot, 0 to 1."""
        cell = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        inside = np.clip(values, knots[0], knots[-1])
        return cell, (inside - knots[cell]) / (knots[cell + 1] - knots[cell])


def normal_scores(values: Array, max_knots: int = 65) -> MonotoneMap:
    """The map that makes a sample normal: its quantiles against those of N(0, 1).

    Ties (discrete or constant data) share one knot at their mean score. A constant sample gets a
    map that sends it to zero.

    Args:
        values: a sample, shape (n,), n >= 2.
        max_knots: upper limit for the number of knots; about n^(1/3) are used.
    """
    n = len(values)
    count = int(np.clip(round(n ** (1 / 3)), 9, max_knots))
    edge = float(ndtri(min(max(0.002, 5 / n), 0.25)))
    scores = np.linspace(edge, -edge, count)
    knots = np.quantile(values, ndtr(scores))
    distinct, where = np.unique(knots, return_inverse=True)
    means = np.bincount(where, scores) / np.bincount(where)
    size = np.maximum(np.abs(distinct[1:]), np.abs(distinct[:-1]))
    keep = np.append(True, np.diff(distinct) > 1e-12 * np.maximum(size, 1e-290))
    distinct, means = distinct[keep], means[keep]
    if len(distinct) == 1:
        centre = float(distinct[0])
        width = max(abs(centre), 1.0)
        return MonotoneMap(np.array([centre - width, centre + width]), np.array([-1.0, 1.0]))
    return MonotoneMap(distinct, means)


def _rise(u: Array, s: Array, t: Array) -> Array:
    return np.asarray(u * (s * (1 - u) ** 2 + u * (3 - 2 * u - t * (1 - u))))


def _rise_slope(u: Array, s: Array, t: Array) -> Array:
    return np.asarray(s * (1 - u) * (1 - 3 * u) + 6 * u * (1 - u) - t * u * (2 - 3 * u))


def _beyond(knots: Array, values: Array, low: float, high: float) -> Array:
    """What straight lines of these slopes add beyond the first and the last knot."""
    below, above = np.minimum(values - knots[0], 0), np.maximum(values - knots[-1], 0)
    with np.errstate(over="ignore"):
        return np.asarray(low * below + high * above)
