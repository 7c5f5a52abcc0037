"""Ready problems whose answers are known, shared by tests, documentation and benchmarks.

Each has an ``exact(n, seed)`` sampler of the population answer
``P_X(x) = q(x) P_Y(M(x)) / q_Y(M(x))``. For two parameters and one output the push-forward density
of the prior is an integral over the first parameter,

    q_Y(y) = integral of q(x1, x2) / |dy/dx2| over x1, summed over the roots x2 of M(x1, x2) = y,

done here by quadrature, so that rejection from the prior gives exact draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import trapezoid

from invgan.errors import InputError
from invgan.observations import Law
from invgan.priors import Box, MultivariateNormal, Prior
from invgan.problem import Problem

__all__ = ["PROBLEMS", "GalleryProblem", "get"]

Array = NDArray[np.float64]
Roots = Callable[[Array, float], list[tuple[Array, Array]]]


@dataclass(frozen=True)
class GalleryProblem:
    """A problem and its known answer.

    Attributes:
        title: one line about the problem.
        problem: what the solver gets.
        exact: draws of the exact answer, shape (n, D), from (n, seed).
        divergence: KL(P_X || q) in nats where it is known, else None.
    """

    title: str
    problem: Problem
    exact: Callable[[int, int], Array]
    divergence: float | None = None


def get(name: str) -> GalleryProblem:
    """The ready problem of this name.

    Raises:
        InputError: there is none; the message lists them.
    """
    if name not in PROBLEMS:
        raise InputError(f"the gallery has no problem {name!r}; it has {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()


def rosenbrock(x: Array) -> Array:
    """The Rosenbrock function of x (n, 2), shape (n, 1)."""
    return np.asarray(100 * (x[:, 1:] - x[:, :1] ** 2) ** 2 + (1 - x[:, :1]) ** 2)


def root_ratio(x: Array) -> Array:
    """sqrt((1 - x1) / (1 + x1 x2)) of x (n, 2), shape (n, 1); Butler et al. 2018."""
    return np.sqrt((1 - x[:, :1]) / (1 + x[:, :1] * x[:, 1:]))


def oscillator(x: Array) -> Array:
    """Displacement of a damped oscillator at times 1, 2 and 3, shape (n, 3).

    x (n, 3) holds the angular frequency w, the damping c and the initial displacement; the
    motion ``u'' + 2 c u' + w^2 u = 0`` starts at rest and is integrated by the classical
    fourth-order Runge-Kutta method with 150 steps.
    """
    w, c, start = x.T
    state = np.stack([start, np.zeros(len(x))])

    def rate(s: Array) -> Array:
        return np.stack([s[1], -2 * c * s[1] - w**2 * s[0]])

    step, seen = 0.02, []
    for i in range(1, 151):
        k1 = rate(state)
        k2 = rate(state + step / 2 * k1)
        k3 = rate(state + step / 2 * k2)
        k4 = rate(state + step * k3)
        state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if i % 50 == 0:
            seen.append(state[0])
    return np.stack(seen, axis=1)


def _rosenbrock() -> GalleryProblem:
    prior = Prior(x1=stats.uniform(-2, 4), x2=stats.uniform(-2, 4))
    law = stats.truncnorm(-3, 3, loc=350, scale=50)

    def roots(x1: Array, y: float) -> list[tuple[Array, Array]]:
        rest = np.maximum(y - (1 - x1) ** 2, 0)
        slope = 20 * np.sqrt(rest)
        return [(x1**2 + sign * np.sqrt(rest / 100), slope) for sign in (-1, 1)]

    problem = Problem(rosenbrock, prior, law)
    title = "Rosenbrock function, 2 -> 1, thin curved answer in four pieces"
    return GalleryProblem(title, problem, _rejection(problem, roots, 200, 500))


def _root_ratio() -> GalleryProblem:
    half = 4.5 * np.sqrt(0.1)
    prior = Prior(x1=stats.uniform(0.79, 0.2), x2=stats.uniform(1 - half, 2 * half))
    law = stats.truncnorm(-0.3 / 0.025, 5.7 / 0.025, loc=0.3, scale=0.025)

    def roots(x1: Array, y: float) -> list[tuple[Array, Array]]:
        return [(((1 - x1) / y**2 - 1) / x1, y**3 * x1 / (2 * (1 - x1)))]

    problem = Problem(root_ratio, prior, law)
    title = "root of a ratio, 2 -> 1 (Butler, Jakeman and Wildey 2018)"
    return GalleryProblem(title, problem, _rejection(problem, roots, 0.15, 0.45), 1.133)


def _linear_gaussian(dimension: int = 10, width: int = 5) -> GalleryProblem:
    """X ~ N(0, I), y = A x, P_Y = N(m, C); then P_X is Gaussian in closed form."""
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
    spread = A @ A.T
    shrink = np.linalg.solve(spread, cov)
    shift = mean @ np.linalg.solve(spread, mean)
    divergence = 0.5 * (np.trace(shrink) + shift - width - np.linalg.slogdet(shrink)[1])
    title = f"linear map of a Gaussian, {dimension} -> {width}, closed form"
    return GalleryProblem(title, problem, exact, float(divergence))


def _oscillator() -> GalleryProblem:
    """The model is one to one on the prior's support, so the answer is the population itself."""
    prior = Prior(
        frequency=stats.uniform(0.6, 0.9),
        damping=stats.uniform(0.02, 0.48),
        displacement=stats.lognorm(0.25),
    )
    centre = np.array([1.0, 0.22, 1.05])
    cov = np.array([[0.0049, 0.0014, 0.0], [0.0014, 0.0016, 0.001], [0.0, 0.001, 0.01]])

    def exact(n: int, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        x = rng.multivariate_normal(centre, cov, 2 * n)
        return np.asarray(x[np.isfinite(prior.log_prob(x))][:n])

    observed = oscillator(exact(5000, 7))
    names = ("u(1)", "u(2)", "u(3)")
    problem = Problem(oscillator, prior, observed, outputs=names)
    title = "damped oscillator (ODE), 3 -> 3, 5000 observed members"
    return GalleryProblem(title, problem, exact)


PROBLEMS: dict[str, Callable[[], GalleryProblem]] = {
    "rosenbrock": _rosenbrock,
    "root-ratio": _root_ratio,
    "linear-gaussian": _linear_gaussian,
    "oscillator": _oscillator,
}


def _rejection(
    problem: Problem, roots: Roots, low: float, high: float
) -> Callable[[int, int], Array]:
    """An exact sampler for two uniform parameters and one observed law on [low, high]."""
    grid = np.linspace(low, high, 1201)
    density = _pushforward_density(problem, roots, grid)
    law = problem.observations
    if not isinstance(law, Law):
        raise InputError("exact rejection needs an observed law")
    ratio = np.exp(law.log_prob(grid[:, None])) / density
    bound = 1.001 * ratio.max()

    def exact(n: int, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        kept: list[Array] = []
        while sum(map(len, kept)) < n:
            x = problem.prior.sample(200_000, rng)
            r = np.interp(problem.model(x)[:, 0], grid, ratio, left=0, right=0)
            kept.append(x[rng.random(len(x)) * bound < r])
        return np.concatenate(kept)[:n]

    return exact


def _pushforward_density(problem: Problem, roots: Roots, y: Array) -> Array:
    """q_Y at each y, for two independent uniform parameters, by quadrature over the first."""
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


def _corners(problem: Problem) -> tuple[Array, Array]:
    box = problem.prior.support
    if not isinstance(box, Box):
        raise InputError("exact rejection needs parameters between bounds")
    return box.low, box.high
