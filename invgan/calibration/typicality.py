"""Is the observation anything like what the model makes? Doubt of the model, not of the inverse.

- `depth`: how far out a point lies in a cloud, as the share of the cloud's own points that lie less
  far out. Two notions of far: the Mahalanobis distance, which notices a broken relation between
  columns, and the distance to the k-th nearest point, which notices holes. Columns are brought to
  normal scores and their principal components to one size first.
- `two_sample`: the maximum mean discrepancy of a set of rows from a cloud (Gretton et al. 2012),
  as Schmitt et al. (2023) use it on learned summaries, with a null distribution from other partings
  of all rows into two such sets.

An embedding of the rows, where one is given, is applied first. Without one, rows with absent values
are compared by their values and by what was seen of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from invgan.calibration.draws import few_columns
from invgan.errors import InputError
from invgan.scaling import scored

__all__ = ["Embedding", "depth", "two_sample"]

Array = NDArray[np.float64]
Embedding = Callable[[Array], Array]

_MOST, _FEWEST, _NEIGHBOUR = 5_000, 40, 5
_LEAST_VARIANCE = 1e-4


def depth(
    at: Array, cloud: Array, *, embed: Embedding | None = None, seed: int = 0
) -> tuple[float, float]:
    """How far out a point lies: 1 - p by Mahalanobis distance, and by the nearest points.

    Args:
        at: the point, shape (1, L).
        cloud: what it should be one of, shape (n, L), n >= 40.

    Other Args:
        embed: rows (n, L) -> (n, E), applied to both first.
        seed: of the parting of the cloud into yardstick and points to compare with.

    Raises:
        InputError: the cloud has fewer than 40 rows.
    """
    if len(cloud) < _FEWEST:
        raise InputError(f"a depth needs {_FEWEST} rows to compare with; got {len(cloud)}")
    rows = np.random.default_rng(seed).permutation(len(cloud))[: 2 * _MOST]
    half = len(rows) // 2
    yardstick = cloud[rows[:half]]
    white, points = _white(yardstick, np.concatenate([at, cloud[rows[half:]]]), embed)
    far = np.square(points).sum(axis=1)
    alone = np.asarray(cKDTree(white).query(points, k=[_NEIGHBOUR])[0])[:, 0]
    return _share_below(far), _share_below(alone)


def _share_below(values: Array) -> float:
    """One minus the p-value of the first value among the others."""
    return 1 - float((1 + np.sum(values[1:] >= values[0])) / len(values))


def two_sample(
    rows: Array,
    cloud: Array,
    *,
    embed: Embedding | None = None,
    replicates: int = 500,
    most: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """MMD of rows from a cloud that they should be draws of, and its p-value.

    Args:
        rows: shape (n, L).
        cloud: shape (m, L).

    Other Args:
        embed: rows (n, L) -> (n, E), applied to both first.
        replicates: how many random sets of n of all these rows give the null distribution.
        most: larger clouds are thinned at random to twice this many rows, of which half give the
            scales and the others are compared with.
        seed: of thinning and replicates.

    Returns:
        The biased squared MMD with a Gaussian kernel of the median distance, and the share of
        replicates that reach it.

    Raises:
        InputError: the cloud has not four times as many rows as the set, and 40.
    """
    if len(cloud) < max(_FEWEST, 4 * len(rows)):
        raise InputError(
            f"{len(rows)} rows must be compared with {max(_FEWEST, 4 * len(rows))} or more; "
            f"got {len(cloud)}"
        )
    rng = np.random.default_rng(seed)
    n, most = min(len(rows), most // 4), min(most, len(cloud) // 2)
    cloud, rows = cloud[rng.permutation(len(cloud))], rng.permutation(rows)[:n]
    # Rows that gave the scales would lie nearer to the centre than any others.
    _, points = _white(cloud[most : 2 * most], np.concatenate([rows, cloud[:most]]), embed)
    squares = cdist(points, points, "sqeuclidean")
    kernel = np.exp(-squares / np.median(squares))
    sums = kernel.sum(axis=1)
    sets = [rng.choice(len(points), n, replace=False) for _ in range(replicates)]
    null = np.array([_discrepancy(kernel, sums, chosen) for chosen in sets])
    found = _discrepancy(kernel, sums, np.arange(n))
    return found, float((1 + np.sum(null >= found)) / (replicates + 1))


def _discrepancy(kernel: Array, sums: Array, chosen: NDArray[np.intp]) -> float:
    """Squared MMD of the chosen rows from all others, by the kernel of all pairs and its sums."""
    n, m = len(chosen), len(kernel) - len(chosen)
    own, touched = kernel[np.ix_(chosen, chosen)].sum(), sums[chosen].sum()
    across, rest = touched - own, sums.sum() - 2 * touched + own
    return float(own / n**2 - 2 * across / (n * m) + rest / m**2)


def _white(cloud: Array, at: Array, embed: Embedding | None) -> tuple[Array, Array]:
    """Both on the cloud's normal scores, rotated and scaled to unit covariance.

    Directions in which the cloud has next to no spread get a hundredth of the largest, so that
    rounding of what was observed is not taken for a contradiction.
    """
    if embed is not None:
        cloud, at = np.asarray(embed(cloud), float), np.asarray(embed(at), float)
    cloud, at = few_columns(cloud), few_columns(at)
    t, t_at = scored(cloud, cloud, at)
    centre = t.mean(axis=0)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(t.T)))
    scale = np.sqrt(np.maximum(variance, _LEAST_VARIANCE * max(variance.max(), 1e-12)))
    return (t - centre) @ axes / scale, (t_at - centre) @ axes / scale
