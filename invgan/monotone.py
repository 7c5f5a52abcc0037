"""A smooth increasing map between two scales, given by knots.

The map is the monotone cubic interpolant through its knots (Fritsch and Carlson 1980, as in
`scipy.interpolate.PchipInterpolator`), continued as straight lines beyond them. Everything that
carries data to and from normal scores is one of these, so that a fitted scale is two short
vectors, which any file format holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
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
    def _cubic(self) -> PchipInterpolator:
        return PchipInterpolator(self.a, self.b)

    @cached_property
    def _end_slopes(self) -> tuple[float, float]:
        secants = np.diff(self.b) / np.diff(self.a)
        return float(secants[0]), float(secants[-1])

    def __call__(self, a: Array) -> Array:
        """Images of a, any shape."""
        low, high = self._end_slopes
        inner = self._cubic(np.clip(a, self.a[0], self.a[-1]))
        below, above = np.minimum(a - self.a[0], 0), np.maximum(a - self.a[-1], 0)
        return np.asarray(inner + low * below + high * above)

    def slope(self, a: Array) -> Array:
        """Derivatives at a, any shape."""
        low, high = self._end_slopes
        inner = self._cubic.derivative()(np.clip(a, self.a[0], self.a[-1]))
        return np.asarray(np.where(a < self.a[0], low, np.where(a > self.a[-1], high, inner)))

    def inverse(self, b: Array) -> Array:
        """The a whose images are b, any shape: Newton's method kept inside a bracket."""
        low, high = self._end_slopes
        target = np.clip(b, self.b[0], self.b[-1])
        cell = np.clip(np.searchsorted(self.b, target, side="right") - 1, 0, len(self.b) - 2)
        left, right = self.a[cell], self.a[cell + 1]
        a = np.interp(target, self.b, self.a)
        derivative = self._cubic.derivative()
        for _ in range(_NEWTON_STEPS):
            error = self._cubic(a) - target
            left, right = np.where(error < 0, a, left), np.where(error > 0, a, right)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = a - error / derivative(a)
            inside = (step >= left) & (step <= right)
            new = np.where(inside, step, 0.5 * (left + right))
            if np.all(np.abs(new - a) <= 1e-15 * (1 + np.abs(a))):
                break
            a = new
        return np.asarray(
            a + np.minimum(b - self.b[0], 0) / low + np.maximum(b - self.b[-1], 0) / high
        )


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
    gap = 1e-12 * max(float(np.abs(knots).max()), 1e-290)
    keep = np.concatenate([[True], np.diff(distinct) > gap])
    distinct, means = distinct[keep], means[keep]
    if len(distinct) == 1:
        centre = float(distinct[0])
        width = max(abs(centre), 1.0)
        return MonotoneMap(np.array([centre - width, centre + width]), np.array([-1.0, 1.0]))
    return MonotoneMap(distinct, means)
