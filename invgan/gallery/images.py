r"""An image: a blurred blob of light, whose answer is exact by quadrature.

A round source of brightness b, centre (r, c) and width w, seen through optics that blur by one
pixel, gives pixel (i, j) of a 16 x 16 image the value

    b k_ij,      k_ij = exp(-((i - r)^2 + (j - c)^2) / (2 s^2)) / (2 pi s^2),      s^2 = w^2 + 1,

and the camera adds noise of standard deviation v. The brightness enters linearly, so that with
A = sum k_ij y_ij / v^2 and C = sum k_ij^2 / v^2 its law given the rest is N(A / C, 1 / C), cut to
its prior's bounds, and integrates out:

    p(r, c, w | y) ~ exp(A^2 / 2 C) C^(-1/2) * (mass of N(A / C, 1 / C) within the bounds).

Both sums part into rows and columns, so this density of three parameters is tabulated on a fine
grid around its mass. A draw is a cell, a place in it, and a brightness. A source much narrower than
the blur cannot be told from a point: the width has no lower end but the prior's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr, ndtri

from invgan.gallery.ready import GalleryProblem
from invgan.noise import Noise
from invgan.priors import Prior
from invgan.problem import Problem

__all__ = ["SIDE", "blob", "blob_problem"]

Array = NDArray[np.float64]

SIDE = 16
"""Pixels along either side."""

_BOUNDS = np.array([[3.0, 12.0], [3.0, 12.0], [0.2, 3.0], [10.0, 60.0]])
_BLUR, _NOISE = 1.0, 0.5
_TRUTH = np.array([6.3, 8.8, 1.2, 32.0])
_COARSE, _FINE = (91, 91, 29), (100, 100, 60)
_NEGLIGIBLE = 18.0


def blob(x: Array) -> Array:
    """Images of row, column, width (pixels) and brightness, (n, 4) -> (n, 256), row by row."""
    pixel = np.arange(SIDE)
    r, c, w, b = (column[:, None] for column in x.T)
    square = w**2 + _BLUR**2
    rows = np.exp(-((pixel - r) ** 2) / (2 * square))
    columns = np.exp(-((pixel - c) ** 2) / (2 * square))
    scale = (b / (2 * np.pi * square))[:, :, None]
    return np.asarray((scale * rows[:, :, None] * columns[:, None]).reshape(len(x), -1))


def blob_problem() -> GalleryProblem:
    """Where the source is, how wide and how bright, from one noisy image."""
    names = ("row", "column", "width", "brightness")
    laws = [stats.uniform(low, high - low) for low, high in _BOUNDS]
    noise = Noise.normal(_NOISE)
    image = noise.sample(blob(_TRUTH[None]), np.random.default_rng(31))
    pixels = tuple(f"pixel({i},{j})" for i in range(SIDE) for j in range(SIDE))
    problem = Problem(
        blob, Prior(dict(zip(names, laws, strict=True))), image, outputs=pixels,
        question="posterior", noise=noise,
    )  # fmt: skip
    table = cache(lambda: _Table.around(image.reshape(SIDE, SIDE)))
    title = "blurred blob, posterior, 4 -> image of 16 x 16 pixels with noise"
    return GalleryProblem(
        title, problem, lambda n, seed: table().draw(n, seed), truth=_TRUTH.copy()
    )


@dataclass(frozen=True)
class _Table:
    """The density of row, column and width on a grid of cells.

    Attributes:
        image: what was observed, shape (16, 16).
        axes: middles of the cells along each parameter.
        chance: cumulative chance of the cells in C order.
    """

    image: Array
    axes: tuple[Array, Array, Array]
    chance: Array

    @classmethod
    def around(cls, image: Array) -> _Table:
        """A fine grid over where a coarse one finds mass."""
        coarse = _grid(_BOUNDS[:3], _COARSE)
        seen = _log_density(image, *coarse) > -_NEGLIGIBLE
        box = []
        for k, axis in enumerate(coarse):
            there = axis[seen.any(axis=tuple({0, 1, 2} - {k}))]
            step = axis[1] - axis[0]
            box.append(np.clip([there[0] - step, there[-1] + step], *_BOUNDS[k]))
        fine = _grid(np.array(box), _FINE)
        chance = np.exp(_log_density(image, *fine)).cumsum()
        return cls(image, fine, chance / chance[-1])

    def draw(self, n: int, seed: int) -> Array:
        """Exact draws (n, 4), up to the evenness within a cell."""
        rng = np.random.default_rng(seed)
        cells = np.unravel_index(np.searchsorted(self.chance, rng.random(n)), _FINE)
        steps = [axis[1] - axis[0] for axis in self.axes]
        shape = np.stack(
            [
                axis[cell] + step * rng.uniform(-0.5, 0.5, n)
                for axis, cell, step in zip(self.axes, cells, steps, strict=True)
            ],
            axis=1,
        )
        k = blob(np.column_stack([shape, np.ones(n)]))
        mean, sd = _brightness(k @ self.image.ravel() / _NOISE**2, (k**2).sum(1) / _NOISE**2)
        low, high = (ndtr((end - mean) / sd) for end in _BOUNDS[3])
        return np.column_stack([shape, mean + sd * ndtri(low + (high - low) * rng.random(n))])


def _grid(box: Array, counts: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Middles of so many cells along each side of a box (3, 2)."""
    r, c, w = (
        low + (high - low) * (np.arange(count) + 0.5) / count
        for (low, high), count in zip(box, counts, strict=True)
    )
    return r, c, w


def _log_density(image: Array, r: Array, c: Array, w: Array) -> Array:
    """Log p(r, c, w | image) on the grid of all, less its largest value."""
    pixel = np.arange(SIDE)
    out = np.empty((len(r), len(c), len(w)))
    for k, square in enumerate(w**2 + _BLUR**2):
        rows, columns = (np.exp(-((pixel - a[:, None]) ** 2) / (2 * square)) for a in (r, c))
        scale = 1 / (2 * np.pi * square * _NOISE)
        a = scale * rows @ image @ columns.T / _NOISE
        norm = scale**2 * np.outer((rows**2).sum(axis=1), (columns**2).sum(axis=1))
        mean, sd = _brightness(a, norm)
        low, high = ((end - mean) / sd for end in _BOUNDS[3])
        with np.errstate(divide="ignore"):
            out[:, :, k] = 0.5 * a**2 / norm + np.log(sd) + np.log(ndtr(high) - ndtr(low))
    return np.asarray(out - out.max())


def _brightness(a: Array, norm: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the brightness before it is cut."""
    return np.asarray(a / norm), np.asarray(1 / np.sqrt(norm))
