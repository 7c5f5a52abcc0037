"""Algebraic models of one output, with push-forward densities computed by quadrature.

For two uniform parameters the density of the outputs is an integral over the first of them,

    q_Y(y) = integral of q(x1, x2) / |dy/dx2| over x1, summed over the roots x2 of M(x1, x2) = y.

The Rosenbrock function of D parameters is a sum of D - 1 terms f(x_i, x_i+1), each of which shares
a parameter with the next. So its characteristic function is a chain of integrals over one
parameter at a time, a product of matrices on the nodes of a quadrature, and its Fourier transform
is the density:

    phi(t) = E exp(i t y) = w' K diag(w) K diag(w) ... K 1,     K_jk = exp(i t f(x_j, x_k)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import trapezoid

from invgan.errors import InputError
from invgan.gallery.exact import rejection
from invgan.gallery.ready import GalleryProblem
from invgan.priors import Box, Prior
from invgan.problem import Problem

__all__ = [
    "chain_density",
    "pushforward_density",
    "root_ratio",
    "root_ratio_problem",
    "root_ratio_roots",
    "rosenbrock",
    "rosenbrock_10_problem",
    "rosenbrock_problem",
    "rosenbrock_roots",
]

Array = NDArray[np.float64]
Roots = Callable[[Array, float], list[tuple[Array, Array]]]
"""Roots x2 of M(x1, x2) = y and the slopes |dy/dx2| there, from x1 (m,) and y."""

_NODES, _HIGHEST = 200, 0.04


def rosenbrock(x: Array) -> Array:
    """The Rosenbrock function of x (n, D), two parameters or more, shape (n, 1)."""
    left, right = x[:, :-1], x[:, 1:]
    terms = 100 * (right - left**2) ** 2 + (1 - left) ** 2
    return np.asarray(terms.sum(axis=1, keepdims=True))


def rosenbrock_roots(x1: Array, y: float) -> list[tuple[Array, Array]]:
    """Roots and slopes of the Rosenbrock function of two parameters."""
    rest = np.maximum(y - (1 - x1) ** 2, 0)
    slope = 20 * np.sqrt(rest)
    return [(x1**2 + sign * np.sqrt(rest / 100), slope) for sign in (-1, 1)]


def root_ratio(x: Array) -> Array:
    """sqrt((1 - x1) / (1 + x1 x2)) of x (n, 2), shape (n, 1); Butler et al. 2018."""
    return np.sqrt((1 - x[:, :1]) / (1 + x[:, :1] * x[:, 1:]))


def root_ratio_roots(x1: Array, y: float) -> list[tuple[Array, Array]]:
    """Root and slope of the root of a ratio."""
    return [(((1 - x1) / y**2 - 1) / x1, y**3 * x1 / (2 * (1 - x1)))]


def rosenbrock_problem() -> GalleryProblem:
    """The Rosenbrock function of two parameters, its outputs about 350."""
    prior = Prior(x1=stats.uniform(-2, 4), x2=stats.uniform(-2, 4))
    problem = Problem(rosenbrock, prior, stats.truncnorm(-3, 3, loc=350, scale=50))
    density = partial(pushforward_density, problem, rosenbrock_roots)
    title = "Rosenbrock function, 2 -> 1, thin curved answer in four pieces"
    return GalleryProblem(title, problem, rejection(problem, density, 200, 500))


def rosenbrock_10_problem() -> GalleryProblem:
    """The Rosenbrock function of ten parameters, its outputs in the prior's lowest eighth."""
    prior = Prior({f"x{i}": stats.uniform(-2, 4) for i in range(1, 11)})
    law = stats.truncnorm(-3, 3, loc=1500, scale=150)
    problem = Problem(rosenbrock, prior, law)
    title = "Rosenbrock function, 10 -> 1"
    exact = rejection(problem, partial(chain_density, dimension=10), 1050, 1950)
    return GalleryProblem(title, problem, exact, 2.645)


def root_ratio_problem() -> GalleryProblem:
    """The root of a ratio, its outputs about 0.3."""
    half = 4.5 * np.sqrt(0.1)
    prior = Prior(x1=stats.uniform(0.79, 0.2), x2=stats.uniform(1 - half, 2 * half))
    law = stats.truncnorm(-0.3 / 0.025, 5.7 / 0.025, loc=0.3, scale=0.025)
    problem = Problem(root_ratio, prior, law)
    density = partial(pushforward_density, problem, root_ratio_roots)
    title = "root of a ratio, 2 -> 1 (Butler, Jakeman and Wildey 2018)"
    return GalleryProblem(title, problem, rejection(problem, density, 0.15, 0.45), 1.133)


def pushforward_density(problem: Problem, roots: Roots, y: Array) -> Array:
    """q_Y at outputs y (m,), for two independent uniform parameters, shape (m,)."""
    low, high = _corners(problem)
    x1 = np.linspace(low[0], high[0], 20_001)
    area = np.prod(high - low)
    values = []
    for level in y:
        total = np.zeros_like(x1)
        for x2, slope in roots(x1, level):
            inside = (x2 >= low[1]) & (x2 <= high[1]) & (slope > 0)
            total += np.where(inside, 1 / np.where(inside, slope, 1), 0)
        values.append(trapezoid(total, x1) / area)
    return np.array(values)


def chain_density(y: Array, *, dimension: int) -> Array:
    """q_Y of the Rosenbrock function at y (m,), for parameters uniform on [-2, 2], shape (m,).

    The outputs end at 3609 for each term, and the frequencies are spaced so that a period is
    longer: the sum over them is the integral. Those above the highest are left out, which for
    ten parameters and outputs of 1050 to 1950 is an error of less than 1e-5 of the density.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x, w = 2 * nodes, weights / 2
    terms = rosenbrock(np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2))
    terms = terms.reshape(_NODES, _NODES)
    step = 2 * np.pi / (4000 * (dimension - 1))
    t = np.arange(0, _HIGHEST, step)
    phi = np.array([_characteristic(terms, w, dimension - 1, frequency) for frequency in t])
    phi[0] /= 2
    return np.asarray(step / np.pi * (np.exp(-1j * np.outer(y, t)) @ phi).real)


def _characteristic(terms: Array, w: Array, links: int, t: float) -> complex:
    kernel = np.exp(1j * t * terms)
    state = np.ones(len(w), complex)
    for _ in range(links):
        state = kernel @ (w * state)
    return complex(w @ state)


def _corners(problem: Problem) -> tuple[Array, Array]:
    box = problem.prior.support
    if not isinstance(box, Box):
        raise InputError("exact rejection needs parameters between bounds")
    return box.low, box.high
