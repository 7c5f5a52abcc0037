"""Distances between two clouds of points, (n, L) and (m, L), with no knowledge of what they are.

Where a few values make nearly all of a column's variance, it is compared beside others by normal
scores: in units of its standard deviation all but these few would be one point. Values may be
absent (NaN). One column at a time, those that are there are compared; all columns together, an
absent value stands at its column's mean and what was seen is compared beside the values.
`kl_divergence` alone takes whole rows only.

- `kolmogorov_smirnov`: the largest gap between two distribution functions, one column at a time.
- `wasserstein`: the mean distance that mass must be moved (Wasserstein-1), one column at a time.
- `energy_distance`: ``2 E|a - b| - E|a - a'| - E|b - b'|`` (Szekely and Rizzo 2013).
- `kl_divergence`: Kullback-Leibler divergence from nearest neighbours (Wang, Kulkarni and Verdu
  2009), for few dimensions.
- `intrinsic_dimension`: how many dimensions the sheet has that a cloud lies on (Levina and Bickel
  2004).
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
from invgan.monotone import normal_scores
from invgan.structure import filled

__all__ = [
    "c2st",
    "ends",
    "energy_distance",
    "has_ties",
    "in_range",
    "intrinsic_dimension",
    "kl_divergence",
    "kolmogorov_smirnov",
    "standardised",
    "wasserstein",
]  # fmt: skip

Array = NDArray[np.float64]

_EPOCHS = 40
_TIED = 0.01
_NEAR, _FAR, _PROBES = 5, 20, 2_000
_NARROW, _FARTHEST = 1.0, 10.0


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
        b: the reference cloud, shape (m, L); where its tails are heavy its normal scores stand in.

    Other Args:
        most: larger clouds are thinned at random to this many points (the cost is quadratic).
        seed: of the thinning.
    """
    _check(a, b)
    rng = np.random.default_rng(seed)
    a, b = standardised(b, _thinned(a, most, rng), _thinned(b, most, rng))
    within = [cdist(c, c).sum() / (len(c) * (len(c) - 1)) for c in (a, b)]
    return float(2 * cdist(a, b).mean() - sum(within))


def kl_divergence(
    a: Array, b: Array, *, neighbours: int = 10, dimension: int | None = None
) -> float:
    """KL(a || b) in nats from the distances to the k-th nearest neighbour in either cloud.

    With r_i the distance from a_i to its k-th neighbour in a, and s_i to that in b,
    ``d / n * sum log(s_i / r_i) + log(m / (n - 1))``. Repeated points count once. The bias grows
    with the dimension d; beyond about five, or where a reaches beyond the points of b, the figure
    is a rough lower bound.

    Args:
        a: the cloud whose divergence is wanted, shape (n, L).
        b: the cloud it diverges from, shape (m, L).

    Other Args:
        neighbours: k.
        dimension: of the sheet that both lie on, d; by default they fill all L columns.
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
    return float((dimension or a.shape[1]) * ratio + np.log(len(b) / (len(a) - 1)))


def ends(cloud: Array) -> tuple[Array, Array]:
    """Smallest and largest value of each column of rows (n, L); NaN where there is none."""
    return np.fmin.reduce(cloud), np.fmax.reduce(cloud)


def in_range(cloud: Array, about: Array) -> NDArray[np.bool_]:
    """Which rows (n, L) lie between the least and largest values of others (m, L); NaN does."""
    least, most = ends(about)
    return np.asarray(~((cloud < least) | (cloud > most)).any(axis=1))


def has_ties(cloud: Array, about: Array | None = None) -> bool:
    """Whether rows (n, L) have no density: a column that varies repeats one value in a hundred.

    Args:
        cloud: the rows.
        about: rows (m, L) in whose range it is asked, by default everywhere: what repeats
            elsewhere (all that stay at a threshold) leaves a density here.
    """
    if about is not None:
        cloud = cloud[in_range(cloud, about)]
    for column in cloud.T:
        told = column[~np.isnan(column)]
        if 1 < len(np.unique(told)) < (1 - _TIED) * len(told):
            return True
    return False


def intrinsic_dimension(cloud: Array, *, seed: int = 0) -> int:
    """The dimension of the sheet on which a cloud (n, L) lies, 1 to L.

    About a point of a sheet of dimension d, the distances r_j and r_k to its j-th and k-th
    neighbour have ``E log(r_k / r_j) = (1/j + ... + 1/(k - 1)) / d``. Repeated points count once; a
    cloud of no more than twenty points is said to fill all columns.

    Args:
        cloud: columns of like scale, without NaN.

    Other Args:
        seed: of the 2000 points whose neighbours are asked for.
    """
    columns = int(cloud.shape[1])
    cloud = np.unique(cloud, axis=0)
    if len(cloud) <= _FAR:
        return columns
    probes = np.random.default_rng(seed).permutation(cloud)[:_PROBES]
    near, far = np.asarray(cKDTree(cloud).query(probes, k=[_NEAR + 1, _FAR + 1])[0]).T
    expected = sum(1 / j for j in range(_NEAR, _FAR))
    found = expected / max(float(np.log(far / near).mean()), 1e-12)
    return min(max(round(found), 1), columns)


def c2st(
    a: Array,
    b: Array,
    *,
    seed: int = 0,
    folds: int = 2,
    most: int = 10_000,
    paired: bool = False,
    published: bool = False,
) -> float:
    """Classifier two-sample test accuracy, from a perceptron with two layers of 10 L units.

    Args:
        a: a cloud, shape (n, L).
        b: the reference cloud, shape (m, L); both are standardised by it, or where its tails are
            heavy carried to its normal scores.

    Other Args:
        seed: of thinning, folds and weights.
        folds: how many parts take turns in being held out.
        most: larger clouds are thinned at random to this many points; both to one size.
        paired: whether a[i] and b[i] were made for the same outputs. They are then held out
            together: a classifier that has seen one of them mistakes the other for it, and its
            accuracy falls below 0.5 where it should stand above.
        published: use the slow settings of the public benchmark (Lueckmann et al. 2021: scikit-
            learn's own, to convergence) instead of ones that find the same differences sooner, and
            no scores.
    """
    _check(a, b)
    if paired and len(a) != len(b):
        raise InputError(f"paired clouds have as many rows each; got {len(a)} and {len(b)}")
    rng = np.random.default_rng(seed)
    most = min(most, len(a), len(b))
    if paired:
        rows = rng.permutation(len(a))[:most]
        a, b = a[rows], b[rows]
    a, b = standardised(b, _thinned(a, most, rng), _thinned(b, most, rng), scores=not published)
    points = np.concatenate([a, b])
    labels = np.repeat([0, 1], most)
    order = rng.permutation(len(points))
    part = order % most % folds if paired else np.arange(len(points)) % folds
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
        sizes, learning_rate_init=3e-3, batch_size=min(500, n), max_iter=_EPOCHS,
        n_iter_no_change=8, random_state=seed,
    )  # fmt: skip


def standardised(reference: Array, *clouds: Array, scores: bool = True) -> tuple[Array, ...]:
    """Clouds in standard deviations of a reference, with numbers where values are absent.

    Of columns with heavy tails the reference's normal scores, if these are wanted.
    """
    seen = ~np.isnan(reference)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, reference, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(seen, np.square(reference - mean), 0).sum(axis=0) / count)
    found = [(cloud - mean) / np.where(scale > 0, scale, 1) for cloud in clouds]
    for j in np.flatnonzero(scale > 0) if scores else ():
        told = reference[seen[:, j], j]
        if _heavy(told, float(scale[j])):
            to_scores = normal_scores(told)
            for cloud, standard in zip(clouds, found, strict=True):
                standard[:, j] = np.clip(to_scores(cloud[:, j]), -_FARTHEST, _FARTHEST)
    return filled(*found)


def _heavy(values: Array, sd: float) -> bool:
    """Whether the middle nine tenths, 3.3 of a normal law, are below one standard deviation."""
    low, high = np.quantile(values, [0.05, 0.95])
    return bool(0 < high - low < _NARROW * sd)


def _thinned(cloud: Array, most: int, rng: np.random.Generator) -> Array:
    return cloud if len(cloud) <= most else cloud[rng.choice(len(cloud), most, replace=False)]


def _check(a: Array, b: Array) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"two clouds must have shapes (n, L) and (m, L) with two rows or more; "
            f"got {a.shape} and {b.shape}"
        )
