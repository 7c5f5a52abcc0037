"""Ranks among draws, and how far the distribution of ranks may stray from uniform.

Simulation-based calibration (Talts et al. 2018): for a held-out pair (x, y) and m draws of the
inverse for y, the share of draws below the true parameter,

    u = (number of draws below + U (ties + 1)) / (m + 1),      U uniform on [0, 1],

is uniform on [0, 1] if the inverse is exact; the U spreads each rank over its cell and breaks the
ties of discrete parameters. A cup-shaped histogram of u means draws that are too narrow, a hill
too wide, a slope biased ones. The band around the diagonal holds the whole distribution function
of n uniform numbers with a given probability (Säilynoja, Bürkner and Vehtari 2022): pointwise
binomial intervals, all of the one level for which this comes true.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["band", "curve", "largest_gap", "leaning", "ranks_below"]

Array = NDArray[np.float64]

_REPLICATES = 4000
_CLEAR = 2.6


def ranks_below(truth: Array, draws: Array, rng: np.random.Generator) -> Array:
    """Randomised ranks of the true values (n, ...) among their draws (n, m, ...), on [0, 1]."""
    below = (draws < truth[:, None]).sum(axis=1)
    ties = (draws == truth[:, None]).sum(axis=1)
    return np.asarray((below + rng.random(truth.shape) * (ties + 1)) / (draws.shape[1] + 1))


def curve(u: Array, levels: Array) -> Array:
    """Distribution function of u (n,) at each level (K,), shape (K,)."""
    return np.searchsorted(np.sort(u), levels, side="right") / len(u)


def largest_gap(u: Array) -> float:
    """The largest distance of the distribution function of u (n,) from the diagonal."""
    return float(stats.kstest(u, "uniform", method="asymp").statistic)


def band(n: int, levels: Array, *, share: float = 0.95, seed: int = 0) -> tuple[Array, Array]:
    """Where the distribution function of n uniform numbers stays, at all levels at once.

    Args:
        n: how many numbers.
        levels: where it is looked at, increasing, inside (0, 1), shape (K,).

    Other Args:
        share: the probability of staying inside everywhere.
        seed: of the replicates that find the pointwise level.

    Returns:
        Lower and upper ends, each (K,).
    """
    cells = np.diff(np.concatenate([[0.0], levels, [1.0]]))
    counts = np.random.default_rng(seed).multinomial(n, cells, _REPLICATES)[:, :-1].cumsum(axis=1)
    table = np.asarray(stats.binom.cdf(np.arange(-1, n + 1)[:, None], n, levels))
    columns = np.arange(len(levels))
    tails = np.minimum(table[counts + 1, columns], 1 - table[counts, columns])
    level = float(np.quantile(tails.min(axis=1), 1 - share))
    low = stats.binom.ppf(level, n, levels) / n
    high = stats.binom.ppf(1 - level, n, levels) / n
    return np.asarray(low), np.asarray(high)


def leaning(u: Array) -> str:
    """What is wrong with the draws if these ranks (n,) are not uniform, in words."""
    n = len(u)
    bias = (u.mean() - 0.5) * np.sqrt(12 * n)
    width = (np.square(u - 0.5).mean() - 1 / 12) * np.sqrt(180 * n)
    if max(abs(bias), abs(width)) < _CLEAR:
        return "the draws have the wrong shape"
    if abs(bias) > abs(width):
        return "the draws are too low" if bias > 0 else "the draws are too high"
    return "the draws are too narrow" if width > 0 else "the draws are too wide"
