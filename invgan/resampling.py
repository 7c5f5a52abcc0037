"""Resampling: draws that count equally out of weighted ones, with as few repeats as can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["effective_share", "resampled"]

Array = NDArray[np.float64]


def effective_share(weights: Array) -> float:
    """``(sum w)^2 / (n sum w^2)`` of weights (n,): the share that they are worth (Kong 1992)."""
    total = float(weights.sum())
    return total**2 / (len(weights) * float(np.square(weights).sum())) if total > 0 else 0.0


def resampled(weights: Array, along: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of n draws in proportion to their weights, in random order.

    Systematic resampling of the draws ordered by one column: none is repeated whose expected
    count is below one, and every stretch of that column gets its due.

    Args:
        weights: shape (m,), not negative and not all zero.
        along: the column to order by, shape (m,).
        n: how many indices.
        rng: of the first tick and of the order.
    """
    order = np.argsort(along)
    ends = np.cumsum(weights[order])
    ticks = (rng.random() + np.arange(n)) * ends[-1] / n
    return rng.permutation(order[np.minimum(np.searchsorted(ends, ticks), len(ends) - 1)])
