"""Models that are ordinary differential equations: an oscillator, an epidemic, foxes and hares.

All are integrated for the whole batch at once by the classical fourth-order Runge-Kutta method,
the last two in logarithms, where counts stay positive and fast growth is a straight line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.gallery.exact import tilted
from invgan.gallery.ready import GalleryProblem
from invgan.priors import Prior
from invgan.problem import Problem

__all__ = [
    "herds",
    "lotka_volterra",
    "lotka_volterra_problem",
    "oscillator",
    "oscillator_problem",
    "sir",
    "sir_problem",
]

Array = NDArray[np.float64]
Rate = Callable[[Array], Array]

_MEMBERS = 5000
_FIRST_CASE, _DAYS = 1e-6, 160.0
_PREY, _YEARS = 30.0, 20.0


def oscillator(x: Array) -> Array:
    """Displacement of a damped oscillator at times 1, 2 and 3, shape (n, 3).

    x (n, 3) holds the angular frequency w, the damping c and the initial displacement; the
    motion ``u'' + 2 c u' + w^2 u = 0`` starts at rest and is integrated in 150 steps.
    """
    w, c, start = x.T

    def rate(s: Array) -> Array:
        return np.stack([s[1], -2 * c * s[1] - w**2 * s[0]])

    states = _states(rate, np.stack([start, np.zeros(len(x))]), 0.02, 150)
    return np.stack([s[0] for i, s in enumerate(states, 1) if i % 50 == 0], axis=1)


def sir(x: Array) -> Array:
    """The peak of an epidemic: the largest share that is infected at once, and its day; (n, 2).

    x (n, 2) holds the contact rate b and the recovery rate g, each per day. Of the logarithms v of
    the susceptible and u of the infected share (Kermack and McKendrick 1927),

        v' = -b exp(u),     u' = b exp(v) - g,

    starting from one infected in a million. Since u rises once and falls once, the peak is the
    vertex of the parabola through the only three states, a quarter of a day apart, of which the
    middle one is the largest. An epidemic that only falls has its peak on day 0, one that rises
    for all of 160 days on the last.
    """
    b, g = x.T
    start = np.log([1 - _FIRST_CASE, _FIRST_CASE])
    before = now = np.full(len(x), start[1])
    peak, day, step = now.copy(), np.zeros(len(x)), 0.25

    def rate(s: Array) -> Array:
        return np.stack([-b * np.exp(s[1]), b * np.exp(s[0]) - g])

    states = _states(rate, np.repeat(start[:, None], len(x), axis=1), step, int(_DAYS / step))
    for i, (_, after) in enumerate(states):
        top = (now > before) & (now >= after)
        bend = np.where(top, before - 2 * now + after, -1.0)
        shift = 0.5 * (before - after) / bend
        peak = np.where(top, now - 0.25 * (before - after) * shift, peak)
        day = np.where(top, (i + shift) * step, day)
        before, now = now, after
    rising = now > before
    return np.stack([np.exp(np.where(rising, now, peak)), np.where(rising, _DAYS, day)], axis=1)


def lotka_volterra(x: Array) -> Array:
    """Mean prey, mean predators (both as log10) and the swing of the prey over 20 years; (n, 3).

    x (n, 4) holds growth a and loss b of the prey, decline c and gain d of the predators, each per
    year. Of the logarithms u of prey and v of predators (Lotka 1925, Volterra 1926),

        u' = a - b exp(v),     v' = d exp(u) - c,

    starting from 30 prey and 1 predator. The swing is the standard deviation of log10 prey.
    """
    a, b, c, d = x.T
    start = np.repeat(np.log([[_PREY], [1.0]]), len(x), axis=1)

    def rate(s: Array) -> Array:
        counts = np.exp(s)
        return np.stack([a - b * counts[1], d * counts[0] - c])

    steps = 250
    count, first, second = np.zeros((2, len(x))), np.zeros(len(x)), np.zeros(len(x))
    for s in _states(rate, start, _YEARS / steps, steps):
        count += np.exp(s)
        first += s[0]
        second += s[0] ** 2
    swing = np.sqrt(np.maximum(second / steps - (first / steps) ** 2, 0)) / np.log(10)
    return np.stack([*np.log10(count / steps), swing], axis=1)


def herds(y: Array) -> Array:
    """A preference for outputs (n, 3) near 20 prey, 20 predators and a swing of 0.5."""
    away = (y - [1.3, 1.3, 0.5]) / [0.15, 0.15, 0.1]
    return np.asarray(np.exp(-0.5 * np.square(away).sum(axis=1)))


def oscillator_problem() -> GalleryProblem:
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

    observed = oscillator(exact(_MEMBERS, 7))
    names = ("u(1)", "u(2)", "u(3)")
    problem = Problem(oscillator, prior, observed, outputs=names)
    title = "damped oscillator (ODE), 3 -> 3, 5000 observed members"
    return GalleryProblem(title, problem, exact)


def sir_problem() -> GalleryProblem:
    """Epidemics of many towns.

    The peak's height is an increasing function of b / g where that exceeds one, and at equal b / g
    the peak's day is in proportion to 1 / g. So where a peak is seen the model is one to one, and
    the answer is the population itself.
    """
    prior_mean, prior_sd = np.log([0.4, 0.125]), np.array([0.5, 0.2])
    names = ("contact", "recovery")
    laws = {
        n: stats.lognorm(s, scale=np.exp(m))
        for n, m, s in zip(names, prior_mean, prior_sd, strict=True)
    }
    mean, sd, together = np.log([0.45, 0.13]), np.array([0.2, 0.1]), 0.5
    cov = np.outer(sd, sd) * [[1, together], [together, 1]]

    def exact(n: int, seed: int) -> Array:
        return np.exp(np.random.default_rng(seed).multivariate_normal(mean, cov, n))

    problem = Problem(sir, Prior(laws), sir(exact(_MEMBERS, 7)), outputs=("peak", "day"))
    wide = np.diag(1 / prior_sd**2)
    shift = mean - prior_mean
    logs = np.log(np.prod(prior_sd**2)) - np.linalg.slogdet(cov)[1]
    divergence = 0.5 * (np.trace(wide @ cov) + shift @ wide @ shift - 2 + logs)
    title = "peak of an epidemic (SIR), 2 -> 2, 5000 observed towns"
    return GalleryProblem(title, problem, exact, float(divergence))


def lotka_volterra_problem() -> GalleryProblem:
    """Prey and predators whose outputs the preference `herds` keeps."""
    slow, fast = np.exp(-3), np.exp(-0.125)
    prior = Prior(
        growth=stats.lognorm(0.5, scale=fast),
        loss=stats.lognorm(0.5, scale=slow),
        decline=stats.lognorm(0.5, scale=fast),
        gain=stats.lognorm(0.5, scale=slow),
    )
    exact = tilted(prior, lotka_volterra, herds, block=10_000)
    names = ("prey", "predators", "swing")
    problem = Problem(lotka_volterra, prior, lotka_volterra(exact(_MEMBERS, 7)), outputs=names)
    title = "prey and predators (Lotka-Volterra), 4 -> 3, 5000 observed herds"
    return GalleryProblem(title, problem, exact, 1.600)


def _states(rate: Rate, state: Array, step: float, steps: int) -> Iterator[Array]:
    """The state after each step."""
    for _ in range(steps):
        k1 = rate(state)
        k2 = rate(state + step / 2 * k1)
        k3 = rate(state + step / 2 * k2)
        k4 = rate(state + step * k3)
        state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield state
