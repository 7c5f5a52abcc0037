r"""Local classifier two-sample test: is the inverse right at this one observation?

Calibration is an average over outputs; an inverse can pass it and be wrong where it matters. A
classifier d(x, y) that tells true pairs (x, y) from drawn ones (x', y) is looked at for y = y_o
alone (Linhart, Gramfort and Rodrigues 2023): if the inverse is right there, d is 1/2 on its draws.

    t = root of the mean over draws x' for y_o of (d(x', y_o) - 1/2)^2

Under the hypothesis that the inverse is exact, the true x and the drawn x' of a pair may be
swapped, so the null distribution of t comes from classifiers fitted anew after random swaps. To
afford hundreds of these the classifier is a ridge regression of the labels on fixed features phi,

    d(x, y) - 1/2 = phi(x, y)' (Phi' Phi / 2n + lambda)^-1 g,
    g = sum over i of (phi(x_i, y_i) - phi(x'_i, y_i)) / 4n,

in which swapping a pair is a change of sign. The features know x by its distance from the drawer's
own mean at y, in the drawer's own standard deviations, so that thin answers show their faults as
plainly as wide ones: those scores, their squares and products, their products with y, and random
Fourier features (Rahimi and Recht 2007) of both. Only the pairs nearest to y_o are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invgan.calibration.draws import Drawer, check_pairs, conditions, drawn, scores

__all__ = ["LocalTest", "local_c2st", "nearest"]

Array = NDArray[np.float64]

_FEWEST = 100
_CONDITIONS, _PRODUCTS, _WAVES = 5, 10, 100
_RIDGE = 0.3
_LARGEST = 6.0


@dataclass(frozen=True)
class LocalTest:
    """The test at one observation.

    Attributes:
        statistic: root mean square of d - 1/2 over the draws there; 0 to 1/2.
        null: what it is after random swaps, shape (swaps,).
        pairs: how many pairs it rests on.
    """

    statistic: float
    null: Array
    pairs: int

    @property
    def p_value(self) -> float:
        """Share of swaps that give as much; exact, and never zero."""
        return float((1 + np.sum(self.null >= self.statistic)) / (len(self.null) + 1))

    def floor(self, level: float) -> float:
        """What the statistic of an exact inverse exceeds with this probability."""
        return float(np.quantile(self.null, 1 - level))


def local_c2st(
    drawer: Drawer,
    x: Array,
    y: Array,
    at: Array,
    *,
    pairs: int = 1000,
    draws: int = 32,
    points: int = 500,
    swaps: int = 1000,
    seed: int = 0,
) -> LocalTest:
    """Test an inverse at one observation.

    Args:
        drawer: draws parameters for outputs.
        x: true parameters of pairs that the drawer was not fitted to, shape (n, D), n >= 100.
        y: their outputs, shape (n, L).
        at: the observation, shape (1, L).

    Other Args:
        pairs: how many pairs are used: those nearest to the observation.
        draws: for each pair, that give the drawer's mean and spread there.
        points: how many draws at the observation the classifier is looked at on.
        swaps: how often the null hypothesis is played.
        seed: of all of this.

    Raises:
        InputError: there are fewer than 100 pairs.
    """
    x, y = check_pairs(x, y, _FEWEST)
    rng = np.random.default_rng(seed)
    known, here = conditions(y, at, _CONDITIONS)
    near = nearest(y, at)[:pairs]
    first, second = (int(s) for s in rng.integers(2**31, size=2))
    cloud = scores(x, drawn(drawer, y[near], draws + 1, first))
    there = scores(x, drawn(drawer, np.repeat(at, points, axis=0), draws + 1, second))
    features = _Features.draw(x.shape[1], known.shape[1], rng)
    real = features(_standardised(scores(x, x[near]), cloud), known[near])
    fake = features(_standardised(cloud[:, 0], cloud), known[near])
    seen = features(_standardised(there[:, 0], there), np.repeat(here, points, axis=0))
    signs = np.column_stack([np.ones(len(near)), rng.choice([-1.0, 1.0], (len(near), swaps))])
    t = _statistics(real, fake, seen, signs)
    return LocalTest(float(t[0]), t[1:], len(near))


def nearest(y: Array, at: Array) -> NDArray[np.intp]:
    """Rows of y (n, L) in the order of their nearness to the observation at (1, L)."""
    known, here = conditions(y, at, _CONDITIONS)
    return np.argsort(np.square(known - here).sum(axis=1))


def _statistics(real: Array, fake: Array, seen: Array, signs: Array) -> Array:
    """The t of classifiers fitted after each column of sign changes (n, S), shape (S,)."""
    both = np.concatenate([real, fake])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    both, seen = (both - mean) / scale, (seen - mean) / scale
    n, width = real.shape
    moments = both.T @ both / len(both) + _RIDGE * np.eye(width)
    gain = (both[:n] - both[n:]).T @ signs / (4 * n)
    return np.asarray(np.sqrt(np.square(seen @ np.linalg.solve(moments, gain)).mean(axis=0)))


def _standardised(x: Array, cloud: Array) -> Array:
    """Parameters x (n, D) less the mean of all but the first draw of its cloud, in their sd."""
    centre, spread = cloud[:, 1:].mean(axis=1), cloud[:, 1:].std(axis=1)
    return np.asarray(np.clip((x - centre) / np.where(spread > 0, spread, 1), -_LARGEST, _LARGEST))


@dataclass(frozen=True)
class _Features:
    """phi(x, y), with the frequencies (D + C, W) and phases (W,) of its waves."""

    frequencies: Array
    phases: Array

    @classmethod
    def draw(cls, parameters: int, conditions: int, rng: np.random.Generator) -> _Features:
        width = parameters + conditions
        frequencies = rng.normal(size=(width, _WAVES)) * np.sqrt(2 / width)
        return cls(frequencies, rng.uniform(0, 2 * np.pi, _WAVES))

    def __call__(self, u: Array, c: Array) -> Array:
        """Features of standardised parameters u (n, D) and conditions c (n, C)."""
        first = u[:, :_PRODUCTS]
        i, j = np.triu_indices(first.shape[1], 1)
        across = (u[:, :, None] * c[:, None]).reshape(len(u), -1)
        waves = np.cos(np.hstack([u, c]) @ self.frequencies + self.phases)
        return np.hstack([u, np.square(u), first[:, i] * first[:, j], across, waves])
