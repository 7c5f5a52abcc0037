r"""Log-densities of clouds of outputs, each judged on rows that its fit did not see.

Every column is first tamed by an increasing map to about normal scores, t_j = m_j(y_j), so that
skewed laws, hard bounds and many orders of magnitude all come to the size of one. What is left is
estimated in score space, and the change of variables gives

    log p(y) = log g(t_1, ..., t_L) + sum_j log m_j'(y_j).

For one output g is a Gaussian kernel density, computed by the fast Fourier transform on a fine
grid (Silverman 1982, Applied Statistics 31). The number of the map's knots and the bandwidth are
those of the largest cross-validated likelihood: a coarse map is for the kernel to mend, and a
noisy one is not chosen. For several outputs g is a Gaussian mixture, with the number of
components that has the largest held-out likelihood.

A share of the rows is taken to come from a wide Cauchy law of the scores, so that the ratio of two
densities stays finite where neither of them saw a row: one in n + 1, but of observed rows one in
10^9, which only shows a chain the way. Its tails are part of an answer, and of a prior a thousand
times as wide as twenty rows one in 21 made most of the answer's variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from sklearn.mixture import GaussianMixture

from invgan.errors import InputError
from invgan.fitting import alone
from invgan.monotone import MonotoneMap, normal_scores
from invgan.observations import Law, Observations

__all__ = ["Density", "fit_density", "observed_log_prob"]

Array = NDArray[np.float64]

_FEWEST_ROWS = 10
_FOLDS = 5
_KNOTS = (9, 17, 33, 65)
_BANDWIDTHS = np.geomspace(0.7, 0.02, 16)
_COMPONENTS = (1, 2, 4, 8, 16, 32, 64)
_MIXTURE_ROWS = 20_000
_BLOCK = 4096
_HARDLY = 1e-9

_CELLS, _REACH = 4096, 9.0
_WIDTH = 2 * _REACH / _CELLS
_CENTRES = np.asarray((np.arange(_CELLS) + 0.5) * _WIDTH - _REACH, float)
_FREQUENCIES = 2 * np.pi * np.fft.rfftfreq(_CELLS, _WIDTH)


@dataclass(frozen=True)
class Density:
    """A fitted log-density of outputs.

    Attributes:
        columns: the columns of y that vary; a constant one contributes nothing.
        maps: for each of them the increasing map from values to scores.
        shape: the density g of the scores; None where no column varies.
        wide: the share of the wide law.
        heldout: mean log-density of a fifth of the rows, under a fit to the others.
        gap: mean log-density of those others minus `heldout`: how far such a fit over-fits.
    """

    columns: tuple[int, ...]
    maps: tuple[MonotoneMap, ...]
    shape: _Kernel | _Mixture | None
    wide: float
    heldout: float = 0.0
    gap: float = 0.0

    def log_prob(self, y: Array) -> Array:
        """Log-density of each row of y (n, L), shape (n,)."""
        if self.shape is None or len(y) == 0:
            return np.zeros(len(y))
        blocks = range(0, len(y), _BLOCK)
        return np.concatenate([self._log_prob(self.shape, y[i : i + _BLOCK]) for i in blocks])

    def _log_prob(self, shape: _Kernel | _Mixture, y: Array) -> Array:
        columns = [(m, y[:, j]) for j, m in zip(self.columns, self.maps, strict=True)]
        t = np.stack([m(values) for m, values in columns], axis=1)
        log_g = _with_wide_law(shape.log_prob(t), _log_cauchy(t), self.wide)
        return np.asarray(log_g + sum(_log_slope(m, values) for m, values in columns))


@dataclass(frozen=True)
class _Kernel:
    """A density of one score, by its heights (C,) on the grid."""

    heights: Array

    def log_prob(self, t: Array) -> Array:
        heights = np.interp(t[:, 0], _CENTRES, self.heights, left=0, right=0)
        with np.errstate(divide="ignore"):
            return np.log(heights)


@dataclass(frozen=True)
class _Mixture:
    """A Gaussian mixture of K components: each whitens t (n, L) by t @ whiten - shift.

    Attributes:
        log_weights: weights with their normal constants and determinants, shape (K,).
        whiten: the K triangular matrices side by side, shape (L, K * L).
        shift: the whitened means, shape (K * L,).
    """

    log_weights: Array
    whiten: Array
    shift: Array

    def log_prob(self, t: Array) -> Array:
        white = (t @ self.whiten - self.shift).reshape(len(t), len(self.log_weights), -1)
        terms = self.log_weights - 0.5 * np.einsum("nkl,nkl->nk", white, white)
        largest = terms.max(axis=1)
        return np.asarray(largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1)))


def fit_density(cloud: Array, *, seed: int = 0, wide: float | None = None) -> Density:
    """Estimate the density that rows were drawn from.

    Args:
        cloud: rows, shape (n, L), finite, n >= 10.

    Other Args:
        seed: of the choice of held-out rows and of the mixture's start.
        wide: the share of rows that are taken to come from a wide law; by default one in n + 1.

    Raises:
        InputError: the rows are too few, not finite, or not a table.
    """
    _check(cloud)
    rng = np.random.default_rng(seed)
    rows, start = rng.permutation(cloud), int(rng.integers(2**31))
    columns = tuple(int(j) for j in np.flatnonzero(np.ptp(cloud, axis=0) > 0))
    if not columns:
        return Density((), (), None, 0.0)
    heldout, training = np.split(rows, [len(rows) // 5])
    choices = [_choose_map(training[:, j]) for j in columns]
    if len(columns) == 1:
        fit = partial(_fit_kernel, columns=columns, knots=choices[0][0], bandwidth=choices[0][1])
        trial = fit(training)
    else:
        knots = [k for k, _ in choices]
        trials = partial(_fit_mixture, columns=columns, knots=knots, seed=start)
        trial, components = _choose_components(trials, training, heldout)
        fit = partial(trials, components=components)
    unseen = float(trial.log_prob(heldout).mean())
    gap, found = float(trial.log_prob(training).mean()) - unseen, fit(rows)
    return replace(found, heldout=unseen, gap=gap, wide=found.wide if wide is None else wide)


def observed_log_prob(observations: Observations, *, seed: int = 0) -> Callable[[Array], Array]:
    """The log-density of the observations, (n, L) -> (n,): exact for a law, else fitted to rows.

    Raises:
        InputError: the observed rows are too few for a density.
    """
    if isinstance(observations, Law):
        return observations.log_prob
    return fit_density(observations.rows, seed=seed, wide=_HARDLY).log_prob


def _check(cloud: Array) -> None:
    if cloud.ndim != 2 or len(cloud) < _FEWEST_ROWS:
        raise InputError(
            f"a density needs {_FEWEST_ROWS} or more rows (n, L); got an array of shape "
            f"{cloud.shape}: give more rows, or a law in their place"
        )
    if not np.isfinite(cloud).all():
        bad = int((~np.isfinite(cloud)).any(axis=1).sum())
        raise InputError(f"{bad} of {len(cloud)} rows are not finite; leave them out")


def _choose_map(values: Array) -> tuple[int, float]:
    """The number of knots and the bandwidth with the largest cross-validated likelihood."""
    likelihood = np.zeros((len(_KNOTS), len(_BANDWIDTHS)))
    fold = np.arange(len(values)) % _FOLDS
    for k in range(_FOLDS):
        seen, unseen = values[fold != k], values[fold == k]
        for i, knots in enumerate(_KNOTS):
            m = normal_scores(seen, knots)
            g = _smooth(_counts(m(seen)), _BANDWIDTHS)
            log_g = _with_wide_law(_log(g), _log_cauchy(_CENTRES[:, None]), 1 / (len(seen) + 1))
            likelihood[i] += log_g @ _counts(m(unseen)) + _log_slope(m, unseen).sum()
    row, column = np.unravel_index(np.argmax(likelihood), likelihood.shape)
    return _KNOTS[row], float(_BANDWIDTHS[column])


def _fit_kernel(rows: Array, *, columns: tuple[int, ...], knots: int, bandwidth: float) -> Density:
    values = rows[:, columns[0]]
    m = normal_scores(values, knots)
    heights = _smooth(_counts(m(values)), np.array([bandwidth]))[0]
    return Density(columns, (m,), _Kernel(heights), 1 / (len(rows) + 1))


def _fit_mixture(
    rows: Array, *, columns: tuple[int, ...], knots: list[int], components: int, seed: int
) -> Density:
    maps = tuple(normal_scores(rows[:, j], k) for j, k in zip(columns, knots, strict=True))
    part = rows[:_MIXTURE_ROWS]
    t = np.stack([m(part[:, j]) for j, m in zip(columns, maps, strict=True)], axis=1)
    mixture = GaussianMixture(components, reg_covar=1e-6, random_state=seed)
    with alone():
        mixture.fit(t)
    whiten = np.asarray(mixture.precisions_cholesky_)
    shift = np.einsum("kl,klm->km", mixture.means_, whiten).ravel()
    log_weights = _log(np.asarray(mixture.weights_)) - 0.5 * len(columns) * np.log(2 * np.pi)
    log_weights += np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1)
    shape = _Mixture(log_weights, np.concatenate(list(whiten), axis=1), shift)
    return Density(columns, maps, shape, 1 / (len(rows) + 1))


def _choose_components(
    fit: Callable[..., Density], training: Array, heldout: Array
) -> tuple[Density, int]:
    """The mixture with the largest held-out likelihood; two failures in a row end the search."""
    best, chosen, failures = fit(training, components=1), 1, 0
    largest = float(best.log_prob(heldout).mean())
    for components in _COMPONENTS[1:]:
        if components * 10 > len(training) or failures == 2:
            break
        trial = fit(training, components=components)
        likelihood = float(trial.log_prob(heldout).mean())
        if likelihood > largest:
            best, chosen, largest, failures = trial, components, likelihood, 0
        else:
            failures += 1
    return best, chosen


def _smooth(counts: Array, bandwidths: Array) -> Array:
    """Kernel densities on the grid from its counts (C,), one row for each bandwidth."""
    kernels = np.exp(-0.5 * (bandwidths[:, None] * _FREQUENCIES) ** 2)
    heights = np.fft.irfft(np.fft.rfft(counts) * kernels, _CELLS) / (counts.sum() * _WIDTH)
    return np.asarray(np.maximum(heights, 0))


def _counts(t: Array) -> Array:
    """How many scores fall into each cell; those beyond the grid count in its last cells."""
    cells = np.clip((t + _REACH) / _WIDTH, 0, _CELLS - 1).astype(int)
    return np.bincount(cells, minlength=_CELLS).astype(float)


def _with_wide_law(log_g: Array, log_wide: Array, share: float) -> Array:
    return np.asarray(np.logaddexp(log_g + np.log1p(-share), log_wide + np.log(share)))


def _log_cauchy(t: Array) -> Array:
    """Log-density of the standard Cauchy law of L scores at t (n, L)."""
    power = 0.5 * (1 + t.shape[1])
    constant = float(gammaln(power)) - power * float(np.log(np.pi))
    return np.asarray(constant - power * np.log1p(np.einsum("nl,nl->n", t, t)))


def _log_slope(m: MonotoneMap, values: Array) -> Array:
    """Logarithm of the map's slope; the floor is for ties at an end knot, where it may be flat."""
    mean = (m.b[-1] - m.b[0]) / (m.a[-1] - m.a[0])
    return np.asarray(np.log(np.maximum(m.slope(values), 1e-6 * mean)))


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(values)
