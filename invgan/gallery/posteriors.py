"""Posterior problems whose answers can be sampled exactly.

Gaussian: X ~ N(0, I), y = A x + s e with e ~ N(0, I). Given y the law of x is normal with

    covariance  S = (I + A'A / s^2)^-1,     mean  S A' y / s^2.

Two branches: x uniform on a square, y1 = x1^2 + s e1, y2 = x2 + x1 / 2 + s e2. Given y, x2 is a
normal law cut to the square for every x1, and x1 itself has the density

    p(x1 | y) ~ N(y1; x1^2, s^2) * (mass of N(y2 - x1 / 2, s^2) in the square),

one hump on either side of zero. It is tabulated finely and drawn by its inverse distribution
function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import cumulative_trapezoid

from invgan.gallery.ready import GalleryProblem
from invgan.priors import MultivariateNormal, Prior
from invgan.problem import Problem

__all__ = [
    "branches",
    "fifty_problem",
    "linear_gaussian_posterior_problem",
    "two_branches_problem",
]

Array = NDArray[np.float64]

_SIDE, _BRANCH_NOISE = 2.0, 0.15


def linear_gaussian_posterior_problem() -> GalleryProblem:
    """A random linear map of ten parameters, seen through noise."""
    A = np.random.default_rng(21).normal(size=(5, 10)) / np.sqrt(10)
    return _gaussian("linear Gaussian model, posterior, 10 -> 5 with noise, closed form", A, 0.3)


def fifty_problem() -> GalleryProblem:
    """A blurred signal: neighbouring outputs see nearly the same of fifty parameters."""
    place = np.arange(50)
    A = np.exp(-0.5 * ((place[:, None] - place) / 3) ** 2)
    A /= A.sum(axis=1, keepdims=True)
    return _gaussian("blurred signal, posterior, 50 -> 50 with noise, closed form", A, 0.1)


def branches(x: Array) -> Array:
    """x1^2 and x2 + x1 / 2 of x (n, 2), shape (n, 2)."""
    return np.stack([x[:, 0] ** 2, x[:, 1] + x[:, 0] / 2], axis=1)


def two_branches_problem() -> GalleryProblem:
    """A square whose sign is lost: two separate places explain what is seen, one of them cut."""
    prior = Prior(
        x1=stats.uniform(-_SIDE, 2 * _SIDE),
        x2=stats.uniform(-_SIDE, 2 * _SIDE),
    )
    truth, s = np.array([0.8, 1.4]), _BRANCH_NOISE
    y = branches(truth[None]) + s * np.random.default_rng(22).normal(size=(1, 2))
    problem = Problem(branches, prior, y, question="posterior", noise={"normal": s})
    x1 = np.linspace(-_SIDE, _SIDE, 20_001)
    low, high = ((edge - (y[0, 1] - x1 / 2)) / s for edge in (-_SIDE, _SIDE))
    inside = stats.norm.cdf(high) - stats.norm.cdf(low)
    density = stats.norm.pdf(y[0, 0], x1**2, s) * inside
    chance = cumulative_trapezoid(density, x1, initial=0)

    def exact(n: int, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        first = np.interp(rng.random(n) * chance[-1], chance, x1)
        middle = y[0, 1] - first / 2
        bounds = [(edge - middle) / s for edge in (-_SIDE, _SIDE)]
        second = stats.truncnorm.rvs(*bounds, loc=middle, scale=s, random_state=rng)
        return np.stack([first, second], axis=1)

    title = "two branches, posterior, 2 -> 2 with noise, two modes"
    return GalleryProblem(title, problem, exact, truth=truth)


def _gaussian(title: str, A: Array, noise: float) -> GalleryProblem:
    width, dimension = A.shape
    rng = np.random.default_rng(23)
    truth = rng.normal(size=(1, dimension))[0]
    y = truth @ A.T + noise * rng.normal(size=width)
    cov = np.linalg.inv(np.eye(dimension) + A.T @ A / noise**2)
    mean, root = cov @ A.T @ y / noise**2, np.linalg.cholesky(cov)

    def exact(n: int, seed: int) -> Array:
        z = np.random.default_rng(seed).normal(size=(n, dimension))
        return np.asarray(mean + z @ root.T)

    prior = MultivariateNormal(np.zeros(dimension), np.eye(dimension))
    problem = Problem(
        lambda x: x @ A.T, prior, y[None], question="posterior", noise={"normal": noise}
    )
    return GalleryProblem(title, problem, exact, truth=truth)
