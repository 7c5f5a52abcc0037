"""A plate and an arm.

The wobbly plate (Rumbell et al. 2023) maps two parameters one to one to two heights; the noisy
version has two of its coefficients drawn anew for every member. The arm (Ardizzone et al. 2019;
Kruse et al. 2021) has more parameters than outputs: a base that slides sideways and three joints
decide where its end is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.gallery.exact import tilted
from invgan.gallery.ready import GalleryProblem
from invgan.priors import Prior
from invgan.problem import Problem

__all__ = [
    "arm",
    "crescent",
    "inverse_kinematics_problem",
    "noisy_plate",
    "noisy_plate_problem",
    "plate",
    "plate_problem",
]

Array = NDArray[np.float64]

_SLOPES = np.array([[0.6, 0.6], [0.8, 0.6]])
_WOBBLE = 0.075
_LOW, _HIGH = np.array([0.85, 1.6]), np.array([1.45, 1.8])
_MEMBERS = 5000


def plate(x: Array) -> Array:
    """Heights 3 + 0.6 x1 + 0.6 x2 and 3 + 0.8 x1 + 0.6 x2 of x (n, 2), shape (n, 2)."""
    return np.asarray(3 + x @ _SLOPES.T)


def noisy_plate(x: Array, rng: np.random.Generator) -> Array:
    """The same with noise N(0, 0.075^2) on the first coefficient of y1 and the second of y2."""
    return np.asarray(plate(x) + rng.normal(0, _WOBBLE, x.shape) * x)


def arm(x: Array) -> Array:
    """Where the end of an arm is, sideways and ahead, shape (n, 2).

    x (n, 4) holds the place of the base on its rail and the three angles by which each of the
    segments of length 0.5, 0.5 and 1 turns from the one before it, in radians.
    """
    angles = np.cumsum(x[:, 1:], axis=1)
    lengths = np.array([0.5, 0.5, 1.0])
    return np.stack([x[:, 0] + np.sin(angles) @ lengths, np.cos(angles) @ lengths], axis=1)


def crescent(y: Array) -> Array:
    """A preference for ends (n, 2) at distance 1.5 of the origin and not far to the side."""
    distance = np.hypot(y[:, 0], y[:, 1])
    return np.asarray(np.exp(-0.5 * ((distance - 1.5) / 0.08) ** 2 - 0.5 * (y[:, 0] / 0.8) ** 2))


@dataclass(frozen=True)
class PlateLaw:
    """The heights of plates whose parameters are uniform on the box: uniform themselves."""

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Heights of n members, shape (n, 2)."""
        return plate(rng.uniform(_LOW, _HIGH, (n, 2)))

    def log_prob(self, y: Array) -> Array:
        """Log-density of each row of y (n, 2), shape (n,)."""
        x = np.linalg.solve(_SLOPES, (y - 3).T).T
        inside = np.all((x >= _LOW) & (x <= _HIGH), axis=1)
        area = np.prod(_HIGH - _LOW) * abs(np.linalg.det(_SLOPES))
        return np.where(inside, -np.log(area), -np.inf)


def plate_problem() -> GalleryProblem:
    """The deterministic plate: one to one, so the answer is the box that the members fill."""
    problem = Problem(plate, _square(), PlateLaw())
    title = "wobbly plate, 2 -> 2, uniform answer on a small box (Rumbell et al. 2023)"
    return GalleryProblem(title, problem, _box, _box_divergence())


def noisy_plate_problem() -> GalleryProblem:
    """The noisy plate: the box made the members, and blurred boxes explain them nearly as well."""
    observed = noisy_plate(_box(_MEMBERS, 7), np.random.default_rng(8))
    problem = Problem(noisy_plate, _square(), observed, stochastic=True)
    title = "wobbly plate with noisy coefficients, 2 -> 2, 5000 observed members"
    return GalleryProblem(title, problem, _box, _box_divergence(), known="population")


def inverse_kinematics_problem() -> GalleryProblem:
    """Arms whose ends lie in a crescent."""
    prior = Prior(
        base=stats.norm(0, 0.25),
        shoulder=stats.norm(0, 0.5),
        elbow=stats.norm(0, 0.5),
        wrist=stats.norm(0, 0.5),
    )
    exact = tilted(prior, arm, crescent)
    problem = Problem(arm, prior, arm(exact(_MEMBERS, 7)), outputs=("sideways", "ahead"))
    title = "inverse kinematics of an arm, 4 -> 2, 5000 observed ends in a crescent"
    return GalleryProblem(title, problem, exact, 2.597)


def _square() -> Prior:
    return Prior(x1=stats.uniform(0, 2), x2=stats.uniform(0, 2))


def _box(n: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(_LOW, _HIGH, (n, 2))


def _box_divergence() -> float:
    return float(np.log(4 / np.prod(_HIGH - _LOW)))
