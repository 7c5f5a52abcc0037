"""Distances between two clouds of points, (n, L) and (m, L), with no knowledge of what they are.

- `kolmogorov_smirnov`: the largest gap between two distribution functions, one column at a time.
- `wasserstein`: the mean distance that mass must be moved (Wasserstein-1), one column at a time.
- `energy_distance`: ``2 E|a - b| - E|a - a'| - E|b - b'|`` (Szekely and Rizzo 2013).
- `kl_divergence`: Kullback-Leibler divergence from nearest neighbours (Wang, Kulkarni and Verdu
  2009), for few dimensions.
- `c2st`: the classifier two-sample test (Lopez-Paz and Oquab 2017): the held-out accuracy of a
  classifier that tries to tell the clouds apart; 0.5 is indistinguishable, 1 is disjoint.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from invgan.errors import InputError

__all__ = ["c2st", "energy_distance", "kl_divergence", "kolmogorov_smirnov", "wasserstein"]

Array = NDArray[np.float64]


def kolmogorov_smirnov(a: Array, b: Array) -> Array:
    """KS statistic of each column of a (n, L) against that of b (m, L); shape (L,)."""
    _check(a, b)
    pairs = zip(a.T, b.T, strict=True)
    return np.array([stats.ks_2samp(u, v, method="asymp").statistic for u, v in pairs])


def wasserstein(a: Array, b: Array) -> Array:
    """Wasserstein-1 distance of each column, in its own unit; shape (L,)."""
    _check(a, b)
    return np.array([stats.wasserstein_distance(u, v) for u, v in zip(a.T, b.T, strict=True)])


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
    a, b = _standardised(_thinned(a, most, rng), b), _standardised(_thinned(b, most, rng), b)
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
    a, b = _standardised(_thinned(a, most, rng), b), _standardised(_thinned(b, most, rng), b)
    points = np.concatenate([a, b])
    labels = np.repeat([0, 1], most)
    order = rng.permutation(len(points))
    part = np.arange(len(points)) % folds
    right = 0
    for fold in range(folds):
        fit, judge = order[part != fold], order[part == fold]
        machine = _classifier(a.shape[1], len(fit), seed, published).fit(points[fit], labels[fit])
        right += int((machine.predict(points[judge]) == labels[judge]).sum())
    return right / len(points)


def _classifier(width: int, n: int, seed: int, published: bool) -> Any:
    sizes = (10 * width, 10 * width)
    if published:
        return MLPClassifier(sizes, max_iter=10_000, random_state=seed)
    return _Patient(
        sizes, learning_rate_init=3e-3, batch_size=min(500, n), max_iter=40, n_iter_no_change=8,
        random_state=seed,
    )  # fmt: skip


class _Patient(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's perceptron that takes its last iteration for an answer, without a warning."""

    def fit(self, points: Array, labels: NDArray[np.int_]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(points, labels)


def _standardised(cloud: Array, reference: Array) -> Array:
    scale = reference.std(axis=0)
    return np.asarray((cloud - reference.mean(axis=0)) / np.where(scale > 0, scale, 1))


def _thinned(cloud: Array, most: int, rng: np.random.Generator) -> Array:
    return cloud if len(cloud) <= most else cloud[rng.choice(len(cloud), most, replace=False)]


def _check(a: Array, b: Array) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"two clouds must have shapes (n, L) and (m, L) with two rows or more; "
            f"got {a.shape} and {b.shape}"
        )
