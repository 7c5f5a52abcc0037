"""Distances between two clouds of points, (n, L) and (m, L), with no knowledge of what they are.

Values may be absent (NaN). One column at a time, those that are there are compared; all columns
together, an absent value stands at its column's mean and what was seen is compared beside the
values. `kl_divergence` alone takes whole rows only.

- `kolmogorov_smirnov`: the largest gap between two distribution functions, one column at a time.
- `wasserstein`: the mean distance that mass must be moved (Wasserstein-1), one column at a time.
- `energy_distance`: ``2 E|a - b| - E|a - a'| - E|b - b'|`` (Szekely and Rizzo 2013).
- `kl_divergence`: Kullback-Leibler divergence from nearest neighbours (Wang, Kulkarni and Verdu
  2009), for few dimensions.
- `c2st`: the classifier two-sample test (Lopez-Paz and Oquab 2017): the held-out accuracy of a
  classifier that tries to tell the clouds apart; 0.5 is indistinguishable, 1 is disjoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.neural_network import MLPClassifier

from invgan.errors import InputError
from invgan.fitting import alone
from invgan.structure import filled

__all__ = ["c2st", "energy_distance", "kl_divergence", "kolmogorov_smirnov", "wasserstein"]

Array = NDArray[np.float64]


def kolmogorov_smirnov(a: Array, b: Array) -> Array:
    """KS statistic of each column of a (n, L) against that of b (m, L); shape (L,)."""
    return _by_column(a, b, lambda u, v: stats.ks_2samp(u, v, method="asymp").statistic)


def wasserstein(a: Array, b: Array) -> Array:
    """Wasserstein-1 distance of each column, in its own unit; shape (L,)."""
    return _by_column(a, b, stats.wasserstein_distance)


def _by_column(a: Array, b: Array, distance: Callable[[Array, Array], Any]) -> Array:
    """The distance between the values that are there, for each column, shape (L,)."""
    _check(a, b)
    found = np.empty(a.shape[1])
    for j, (u, v) in enumerate(zip(a.T, b.T, strict=True)):
        seen = u[~np.isnan(u)], v[~np.isnan(v)]
        if not all(map(len, seen)):
            raise InputError(
                f"column {j + 1} holds {len(seen[0])} and {len(seen[1])} values, and both clouds "
                "need one or more: leave the column out"
            )
        found[j] = distance(*seen)
    return found


def energy_distance(a: Array, b: Array, *, most: int = 2000, seed: int = 0) -> float:
    """Energy distance of two clouds, each column in units of b's standard deviation.

    Args:
        a: a cloud, shape (n, L).
        b: the reference cloud, shape (m, L).

    Other Args:
        most: larger clouds are thinned at random to this many points (the cost is quadratic).
        seed: of the thinning.
    """
    _check(a, b)
    rng = np.random.default_rng(seed)
    a, b = _standardised(b, _thinned(a, most, rng), _thinned(b, most, rng))
    within = [cdist(c, c).sum() / (len(c) * (len(c) - 1)) for c in (a, b)]
    return float(2 * cdist(a, b).mean() - sum(within))


def kl_divergence(a: Array, b: Array, *, neighbours: int = 10) -> float:
    """KL(a || b) in nats from the distances to the k-th nearest neighbour in either cloud.

    With r_i the distance from a_i to its k-th neighbour in a, and s_i to that in b,
    ``L / n * sum log(s_i / r_i) + log(m / (n - 1))``. Repeated points count once. The bias grows
    with the number of columns; beyond about five, or where a reaches beyond the points of b, the
    figure is a rough lower bound.

    Args:
        a: the cloud whose divergence is wanted, shape (n, L).
        b: the cloud it diverges from, shape (m, L).

    Other Args:
        neighbours: k.
    """
    _check(a, b)
    if np.isnan(a).any() or np.isnan(b).any():
        raise InputError("kl_divergence takes rows without NaN: leave the others out")
    a, b = np.unique(a, axis=0), np.unique(b, axis=0)
    k = min(neighbours, len(a) - 1, len(b))
    if k < 1:
        return float("nan")
    near = np.asarray(cKDTree(a).query(a, k=[k + 1])[0])[:, 0]
    far = np.asarray(cKDTree(b).query(a, k=[k])[0])[:, 0]
    usable = (near > 0) & (far > 0)
    ratio = np.log(far[usable] / near[usable]).mean()
    return float(a.shape[1] * ratio + np.log(len(b) / (len(a) - 1)))


def c2st(
    a: Array,
    b: Array,
    *,
    seed: int = 0,
    folds: int = 2,
    most: int = 10_000,
    published: bool = False,
) -> float:
    """Classifier two-sample test accuracy, from a perceptron with two layers of 10 L units.

    Args:
        a: a cloud, shape (n, L).
        b: the reference cloud, shape (m, L); both are standardised by it.

    Other Args:
        seed: of thinning, folds and weights.
        folds: how many parts take turns in being held out.
        most: larger clouds are thinned at random to this many points; both to one size.
        published: use the slow settings of the public benchmark (Lueckmann et al. 2021: scikit-
            learn's own, to convergence) instead of ones that find the same differences sooner.
    """
    _check(a, b)
    rng = np.random.default_rng(seed)
    most = min(most, len(a), len(b))
    a, b = _standardised(b, _thinned(a, most, rng), _thinned(b, most, rng))
    points = np.concatenate([a, b])
    labels = np.repeat([0, 1], most)
    order = rng.permutation(len(points))
    part = np.arange(len(points)) % folds
    right = 0
    for fold in range(folds):
        fit, judge = order[part != fold], order[part == fold]
        machine = _classifier(a.shape[1], len(fit), seed, published)
        with alone():
            guessed = machine.fit(points[fit], labels[fit]).predict(points[judge])
        right += int((guessed == labels[judge]).sum())
    return right / len(points)


def _classifier(width: int, n: int, seed: int, published: bool) -> Any:
    sizes = (10 * width, 10 * width)
    if published:
        return MLPClassifier(sizes, max_iter=10_000, random_state=seed)
    return MLPClassifier(
        sizes, learning_rate_init=3e-3, batch_size=min(500, n), max_iter=40, n_iter_no_change=8,
        random_state=seed,
    )  # fmt: skip


def _standardised(reference: Array, *clouds: Array) -> tuple[Array, ...]:
    """Clouds in standard deviations of a reference, with numbers where values are absent."""
    seen = ~np.isnan(reference)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, reference, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(seen, np.square(reference - mean), 0).sum(axis=0) / count)
    scale = np.where(scale > 0, scale, 1)
    return filled(*((cloud - mean) / scale for cloud in clouds))


def _thinned(cloud: Array, most: int, rng: np.random.Generator) -> Array:
    return cloud if len(cloud) <= most else cloud[rng.choice(len(cloud), most, replace=False)]


def _check(a: Array, b: Array) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"two clouds must have shapes (n, L) and (m, L) with two rows or more; "
            f"got {a.shape} and {b.shape}"
        )
