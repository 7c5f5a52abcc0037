r"""Super-resolution: a field from its coarse, noisy average, whose posterior is Gaussian.

The logarithm x of a permeability on 16 x 16 cells is a Gaussian random field N(0, K) with an
exponential covariance. A survey sees its mean over blocks of 4 x 4 cells with independent errors of
standard deviation s: ``y = A x + s e``. Then

    x | y ~ N(B y, K - B A K),      B = K A' (A K A' + s^2 I)^-1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.fields import GaussianField
from invgan.gallery.ready import GalleryProblem
from invgan.models import torch_model
from invgan.noise import Noise
from invgan.problem import Problem

__all__ = [
    "COARSE", "FINE", "block_means", "super_resolution_posterior", "super_resolution_problem",
]  # fmt: skip

Array = NDArray[np.float64]

FINE, COARSE = 16, 4
"""Cells along either side of the field, and of the survey."""

_LENGTH, _NOISE = 5.0, 0.1


def block_means(x: Any) -> Any:
    """Means of fields (n, 1, 16, 16) over blocks, (n, 1, 4, 4), of tensors as of arrays."""
    k = FINE // COARSE
    return x.reshape(-1, 1, COARSE, k, COARSE, k).mean((3, 5))


def super_resolution_problem() -> GalleryProblem:
    """Which fine fields explain one coarse survey."""
    prior, noise = _prior(), Noise.normal(_NOISE)
    rng = np.random.default_rng(37)
    truth = prior.sample(1, rng)
    survey = noise.sample(truth @ _averages().T, rng)[0]
    problem = Problem(
        torch_model(block_means), prior, survey.reshape(1, 1, COARSE, COARSE),
        question="posterior", noise=noise,
    )  # fmt: skip

    def exact(n: int, seed: int) -> Array:
        mean, covariance = super_resolution_posterior(survey)
        factor = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(mean)))
        z = np.random.default_rng(seed).standard_normal((n, len(mean)))
        return np.asarray(mean + z @ factor.T)

    title = "super-resolution, posterior, field of 16 x 16 -> mean of 4 x 4 blocks with noise"
    return GalleryProblem(title, problem, exact, truth=truth[0])


def super_resolution_posterior(y: Array) -> tuple[Array, Array]:
    """Mean (256,) and covariance (256, 256) of the field given a survey y (16,)."""
    gain, covariance = _gain()
    return np.asarray(gain @ y), covariance


@cache
def _gain() -> tuple[Array, Array]:
    """B (256, 16), and the covariance that the survey leaves (256, 256)."""
    k, a = _prior().covariance, _averages()
    seen = a @ k @ a.T + _NOISE**2 * np.eye(len(a))
    gain = np.linalg.solve(seen, a @ k).T
    return np.asarray(gain), np.asarray(k - gain @ a @ k)


@cache
def _prior() -> GaussianField:
    return GaussianField((FINE, FINE), _LENGTH, name="log k")


@cache
def _averages() -> Array:
    """A (16, 256)."""
    each = np.eye(FINE**2).reshape(-1, 1, FINE, FINE)
    return np.asarray(block_means(each)).reshape(FINE**2, -1).T
