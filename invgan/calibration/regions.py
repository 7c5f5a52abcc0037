"""Ranks of the true parameters, all of them together, among the draws for their outputs.

Every function of x and y orders the true x among the draws, and for an exact inverse its rank is
uniform. The distribution function of the rank at a level c is then the share of true parameters in
the region that holds c of the draws, which should be c: the expected coverage.

- `density_ranks`: by log-density, which gives the regions of highest density (Hermans et al. 2022).
- `neighbour_ranks`: the same without a density. Half of the draws stand for it: the nearer a point
  is to its k-th neighbour among them, the denser they are there. They are no more than a rule that
  orders the other half and the truth, so the ranks are uniform however rough the rule is.
- `distance_ranks`: by distance from a reference point that may depend on y, not on x (TARP: Lemos
  et al. 2023). Points at random show any departure on average over them, but a point that knows y
  is needed to unmask an inverse that returns the prior (Modrák et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from invgan.calibration.ranks import ranks_below

__all__ = ["LogDensity", "density_ranks", "distance_ranks", "neighbour_ranks", "others"]

Array = NDArray[np.float64]
LogDensity = Callable[[Array, Array], Array]

_BLOCK = 500


def density_ranks(
    x: Array, y: Array, draws: Array, log_density: LogDensity, rng: np.random.Generator
) -> Array:
    """Share of draws in denser places than the truth, shape (n,).

    Args:
        x: true parameters, shape (n, D).
        y: their outputs, shape (n, L).
        draws: of the inverse for each row of y, shape (n, m, D).
        log_density: of matched rows of x and y, up to a function of y; shape (n,).
        rng: breaks ties.
    """
    n, m, width = draws.shape
    of_draws = log_density(draws.reshape(-1, width), np.repeat(y, m, axis=0)).reshape(n, m)
    return ranks_below(-log_density(x, y), -of_draws, rng)


def neighbour_ranks(x: Array, draws: Array, rng: np.random.Generator) -> Array:
    """`density_ranks` where no density is known; columns count in the sd of their draws.

    Args:
        x: true parameters, shape (n, D).
        draws: of the inverse, shape (n, m, D) with m >= 4.
        rng: breaks ties.
    """
    blocks = range(0, len(x), _BLOCK)
    return np.concatenate(
        [_neighbour_ranks(x[i : i + _BLOCK], draws[i : i + _BLOCK], rng) for i in blocks]
    )


def _neighbour_ranks(x: Array, draws: Array, rng: np.random.Generator) -> Array:
    half = draws.shape[1] // 2
    fitted, judged = draws[:, :half], np.concatenate([x[:, None], draws[:, half:]], axis=1)
    centre, scale = fitted.mean(axis=1, keepdims=True), fitted.std(axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1)
    a, b = (judged - centre) / scale, (fitted - centre) / scale
    squares = np.square(a).sum(-1)[:, :, None] + np.square(b).sum(-1)[:, None]
    squares = squares - 2 * a @ b.transpose(0, 2, 1)
    k = max(1, round(np.sqrt(half))) - 1
    far = np.partition(squares, k, axis=2)[:, :, k]
    return ranks_below(far[:, 0], far[:, 1:], rng)


def distance_ranks(x: Array, draws: Array, points: Array, rng: np.random.Generator) -> Array:
    """Share of draws nearer than the truth to a reference point of each row, shape (n,).

    Args:
        x: true parameters, shape (n, D).
        draws: of the inverse, shape (n, m, D).
        points: reference points, shape (n, D), chosen without a look at x.
        rng: breaks ties.
    """
    truth = np.linalg.norm(x - points, axis=1)
    return ranks_below(truth, np.linalg.norm(draws - points[:, None], axis=2), rng)


def others(x: Array, y: Array, at: Array) -> Array:
    """The parameters of the simulation (x, y) whose outputs are nearest to each row of at."""
    return np.asarray(x[np.asarray(cKDTree(y).query(at)[1])])
