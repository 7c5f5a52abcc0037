"""Populations whose answers are Gaussian, in closed form.

A linear map: X ~ N(0, I), y = A x, P_Y = N(m, C). With the lift A^+ = A' (A A')^-1 the answer is
that of X = A^+ Y + (I - A^+ A) Z, where Y ~ P_Y and Z ~ N(0, I).

Deconvolution: y = x + s e with e ~ N(0, I) and P_Y = N(m, V + s^2 I). Whatever prior covers it, the
one law of x that gives P_Y is N(m, V). The average of the posteriors is not it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.gallery.ready import GalleryProblem
from invgan.priors import MultivariateNormal
from invgan.problem import Problem

__all__ = ["deconvolution_problem", "linear_gaussian_problem"]

Array = NDArray[np.float64]


def linear_gaussian_problem(dimension: int = 10, width: int = 5) -> GalleryProblem:
    """A random linear map of a standard normal prior.

    Args:
        dimension: number D of parameters.
        width: number L of outputs, at most D.
    """
    rng = np.random.default_rng(20)
    A = rng.normal(size=(width, dimension)) / np.sqrt(dimension)
    mean = A @ rng.normal(0, 0.5, dimension)
    mix = rng.normal(size=(width, width)) / np.sqrt(width)
    cov = 0.09 * (mix @ mix.T + 0.5 * np.eye(width))
    lift = A.T @ np.linalg.inv(A @ A.T)
    across = np.eye(dimension) - lift @ A

    def exact(n: int, seed: int) -> Array:
        draws = np.random.default_rng(seed)
        y = draws.multivariate_normal(mean, cov, n)
        return np.asarray(y @ lift.T + draws.normal(size=(n, dimension)) @ across)

    problem = Problem(
        lambda x: x @ A.T,
        MultivariateNormal(np.zeros(dimension), np.eye(dimension)),
        stats.multivariate_normal(mean, cov),
    )
    divergence = _divergence(mean, cov, A @ A.T)
    title = f"linear map of a Gaussian, {dimension} -> {width}, closed form"
    return GalleryProblem(title, problem, exact, divergence)


def deconvolution_problem() -> GalleryProblem:
    """Two quantities seen through noise that is almost as wide as their population."""
    mean, noise = np.array([0.6, -0.4]), 0.35
    cov = np.array([[0.25, 0.12], [0.12, 0.16]])

    def exact(n: int, seed: int) -> Array:
        return np.random.default_rng(seed).multivariate_normal(mean, cov, n)

    seen = stats.multivariate_normal(mean, cov + noise**2 * np.eye(2))
    prior = MultivariateNormal(np.zeros(2), np.eye(2))
    problem = Problem(lambda x: x, prior, seen, noise={"normal": noise})
    title = "Gaussian deconvolution, 2 -> 2 with noise, closed form"
    return GalleryProblem(title, problem, exact, _divergence(mean, cov, np.eye(2)))


def _divergence(mean: Array, cov: Array, below: Array) -> float:
    """KL(N(mean, cov) || N(0, below)) in nats."""
    shrink = np.linalg.solve(below, cov)
    shift = mean @ np.linalg.solve(below, mean)
    return float(0.5 * (np.trace(shrink) + shift - len(mean) - np.linalg.slogdet(shrink)[1]))
