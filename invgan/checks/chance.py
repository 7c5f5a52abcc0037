"""How far two clouds of one law are apart by chance, from partings of their union.

If both clouds have one law, any parting of their union into two of the same sizes is as good as
theirs. What the partings have in common, sorted columns and distances between rows, is found once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

__all__ = ["energies", "partings", "wassersteins"]

Array = NDArray[np.float64]
Parts = NDArray[np.bool_]


def partings(count: int, n: int, of: int, rng: np.random.Generator) -> Parts:
    """So many random choices of n of the rows, shape (count, of)."""
    return rng.permuted(np.tile(np.arange(of) < n, (count, 1)), axis=1)


def wassersteins(union: Array, parts: Parts) -> Array:
    """Wasserstein-1 distance of the chosen rows from the others, column by column.

    Args:
        union: all rows, shape (n, L).
        parts: which rows are chosen, shape (R, n).

    Returns:
        The area between the two distribution functions for each choice and column, shape (R, L).
    """
    found = np.empty((len(parts), union.shape[1]))
    for j, column in enumerate(union.T):
        order = np.argsort(column)
        below = np.cumsum(parts[:, order], axis=1)
        n, ranks = below[:, -1:], np.arange(1, len(order) + 1)
        gap = np.abs(below / n - (ranks - below) / (len(order) - n))
        found[:, j] = gap[:, :-1] @ np.diff(column[order])
    return found


def energies(union: Array, parts: Parts) -> Array:
    """Energy distance of the chosen rows from the others, without bias (Szekely & Rizzo 2013).

    Args:
        union: all rows, shape (n, L); the cost is quadratic in n.
        parts: which rows are chosen, two or more of either kind in each, shape (R, n).

    Returns:
        The distance for each choice, shape (R,).
    """
    chosen = parts.T.astype(float)
    n = chosen.sum(axis=0)
    m = len(union) - n
    distances = cdist(union, union)
    to_chosen = distances @ chosen
    one, both = np.einsum("ir,ir->r", chosen, to_chosen), to_chosen.sum(axis=0)
    between, other = both - one, distances.sum() - 2 * both + one
    return np.asarray(2 * between / (n * m) - one / (n * (n - 1)) - other / (m * (m - 1)))
