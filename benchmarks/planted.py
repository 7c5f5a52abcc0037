"""Exact conditional samplers and lies about them, to stand in the place of a trained inverse.

The lies, in units of the exact answer for the same outputs unless said otherwise:

- wide, narrow: the spread about the mean is 1.4 or 0.7 times as large;
- biased: the first parameter is 0.5 of its standard deviation too high;
- one branch: one of two equally probable pieces is never drawn;
- uneven branches: it is drawn in 20 instead of 50 of 100 cases;
- prior: the inverse returns the prior and never looks at the outputs;
- local: right everywhere but for a bias of 1 sd in the fifth of the outputs about the observed;
- local likelihood: the same of an answer that a likelihood gave, whose noise is twice the model's
  there;
- outputs wide, narrow, biased, cut: the outputs of the population draws have 1.3 or 0.75 of the
  observed standard deviation, are 0.3 of it too high, or miss the upper 15 %;
- line: population draws keep x at its mean given y, times 0.3 of the spread: right outputs;
- no inverse, right inverse: the same lies where none is shown, or where the inverse shown is exact
  and only the draws are wrong;
- other model: the observation comes from elsewhere: ten times as large, of a relation between
  outputs that the model does not have (and as improbable as 1 in 10,000 by the exact law of the
  Gaussian model's outputs), or repeats with five times the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr, ndtri

from invgan import gallery
from invgan.priors import MultivariateNormal, Prior
from invgan.problem import Problem

__all__ = [
    "CONDITIONALS",
    "OUTPUTS",
    "POSTERIOR",
    "Case",
    "Fault",
    "Returner",
    "Stand",
    "linear",
    "looked_up",
]

Array = NDArray[np.float64]
Rng = np.random.Generator
Conditional = Callable[..., Array]

_BANK = 2_000_000
_ROUNDS = 300  # after which outputs that no parameter of the square gives are given up
_NO_CHANCE = 1e-4  # of an observation that is said to be of another model


@dataclass(frozen=True)
class Fault:
    """What is wrong with an inverse; the defaults are nothing."""

    width: float = 1.0
    bias: float = 0.0
    second: float = 0.5
    noise: float = 1.0
    near: float | None = None


@dataclass(frozen=True)
class Stand:
    """A sampler in the place of a trained inverse: law(y, rng, fault) -> x.

    Where its answers rest on a likelihood, error(x, y) is what that takes for noise, as a standard
    normal if it is right.
    """

    law: Conditional
    fault: Fault = Fault()
    error: Callable[[Array, Array], Array] | None = None

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector for each row of outputs y (n, L)."""
        rng = np.random.default_rng(seed)
        fault = self.fault
        if fault.near is None:
            return self.law(y, rng, fault)
        wrong = np.abs(y.mean(axis=1, keepdims=True) - fault.near) < 0.3
        right = self.law(y, np.random.default_rng(seed), Fault())
        return np.where(wrong, self.law(y, np.random.default_rng(seed), fault), right)

    def residuals(self, x: Array, y: Array, *, seed: int) -> tuple[Array, Array]:
        """What the model gave for draws x (n, D) at the observation, and what was expected."""
        seen = self.error(x, y)
        expected = self.fault.noise * np.random.default_rng(seed).normal(size=seen.shape)
        return np.hstack([x, seen]), np.hstack([x, expected])

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """All rows of y."""
        return np.full(len(y), True)


@dataclass(frozen=True)
class Returner:
    """An inverse that returns the prior."""

    problem: Problem

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector of the prior for each row of outputs y (n, L)."""
        return self.problem.prior.sample(len(y), np.random.default_rng(seed))

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """All rows of y."""
        return np.full(len(y), True)


@dataclass(frozen=True)
class Case:
    """One problem for the posterior question."""

    model: Callable[..., Array]
    prior: Any
    law: Conditional
    lies: dict[str, Fault]
    other: Callable[[Rng], Array]
    repeats: int = 1
    stochastic: bool = True
    error: Callable[[Array, Array], Array] | None = None


def gaussian(width: int, outputs: int) -> Case:
    """Parameters x ~ N(0, I), y = A x + 0.3 noise: the posterior is Gaussian in closed form."""
    A = np.random.default_rng(width).normal(size=(outputs, width)) / np.sqrt(width)
    spread = np.sqrt(np.diag(A @ A.T) + 0.09)
    marginal = np.linalg.inv(A @ A.T + 0.09 * np.eye(outputs))

    def law(y: Array, rng: Rng, fault: Fault) -> Array:
        noise = 0.09 * fault.noise**2
        covariance = np.linalg.inv(np.eye(width) + A.T @ A / noise)
        root = np.linalg.cholesky(covariance)
        x = y @ A @ covariance / noise + fault.width * rng.normal(size=(len(y), width)) @ root.T
        x[:, 0] += fault.bias * np.sqrt(covariance[0, 0])
        return x

    def other(rng: Rng) -> Array:
        # Of another relation, one in ten is an observation that the model makes itself.
        while True:
            y = spread * rng.normal(size=outputs) * (1 if outputs > width else 10)
            if stats.chi2.sf(y @ marginal @ y, outputs) < _NO_CHANCE:
                return np.asarray(y)

    lies = {
        "wide": Fault(1.4), "narrow": Fault(0.7), "biased": Fault(bias=0.5),
        "local likelihood": Fault(noise=2.0),
    }  # fmt: skip
    prior = MultivariateNormal(np.zeros(width), np.eye(width))
    noisy = lambda x, rng: x @ A.T + 0.3 * rng.normal(size=(len(x), outputs))  # noqa: E731
    return Case(noisy, prior, law, lies, other, error=lambda x, y: (y - x @ A.T) / 0.3)


def branches() -> Case:
    """Outputs (abs(x1) + 0.2 noise, x2 + 0.5 noise): a truncated Gaussian and its mirror image."""
    mean, sd = 1 / 1.04, 0.2 / np.sqrt(1.04)

    def law(y: Array, rng: Rng, fault: Fault) -> Array:
        above = ndtr(mean * y[:, 0] / sd)
        size = -sd * ndtri(rng.random(len(y)) * above)
        centre = sd * stats.norm.pdf(mean * y[:, 0] / sd) / above
        size = np.abs(centre + fault.width * (size - centre) + mean * y[:, 0] + fault.bias * sd)
        sign = np.where(rng.random(len(y)) < fault.second, -1, 1)
        other = 0.8 * y[:, 1] + fault.width * np.sqrt(0.2) * rng.normal(size=len(y))
        return np.stack([sign * size, other], axis=1)

    def noisy(x: Array, rng: Rng) -> Array:
        return np.stack([np.abs(x[:, 0]), x[:, 1]], axis=1) + [0.2, 0.5] * rng.normal(size=x.shape)

    lies = {
        "wide": Fault(1.4), "narrow": Fault(0.7), "biased": Fault(bias=0.5),
        "one branch": Fault(second=0), "uneven branches": Fault(second=0.2),
    }  # fmt: skip
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    return Case(noisy, prior, law, lies, lambda rng: np.array([-2.0, rng.normal()]))


def moons() -> Case:
    """Two moons (Greenberg, Nonnenmacher and Macke 2019): crescents 0.01 thick in a square."""

    def arc(n: int, rng: Rng) -> Array:
        angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.normal(0.1, 0.01, n)
        return np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1)

    def noisy(x: Array, rng: Rng) -> Array:
        turned = np.stack([-np.abs(x[:, 0] + x[:, 1]), x[:, 1] - x[:, 0]], axis=1)
        return arc(len(x), rng) + turned / np.sqrt(2)

    def law(y: Array, rng: Rng, fault: Fault) -> Array:
        x, left, rounds = np.empty_like(y), np.arange(len(y)), 0
        centre = np.array([0.25 + 0.2 / np.pi, 0])
        while len(left) and (rounds := rounds + 1) < _ROUNDS:
            p = centre + fault.width * (arc(len(left), rng) - centre) + [0, fault.bias * 0.07]
            total, gap = np.sqrt(2) * (p[:, 0] - y[left, 0]), np.sqrt(2) * (y[left, 1] - p[:, 1])
            sign = np.where(rng.random(len(left)) < fault.second, -1, 1)
            x[left] = np.stack([sign * total - gap, sign * total + gap], axis=1) / 2
            left = left[(total < 0) | (np.abs(x[left]) > 1).any(axis=1)]
        return x

    lies = {
        "wide": Fault(1.4), "narrow": Fault(0.7), "biased": Fault(bias=0.5),
        "one branch": Fault(second=0), "uneven branches": Fault(second=0.2),
    }  # fmt: skip
    prior = Prior(x1=stats.uniform(-1, 2), x2=stats.uniform(-1, 2))
    return Case(noisy, prior, law, lies, lambda rng: np.array([0.9, 0.9]) + 0.1 * rng.random(2))


def repeated() -> Case:
    """Five measurements of x ~ N(0, 1), each with noise N(0, 1)."""

    def law(y: Array, rng: Rng, fault: Fault) -> Array:
        noise = fault.bias + fault.width * rng.normal(size=len(y))
        return (y.mean(axis=1) * 5 / 6 + noise / np.sqrt(6))[:, None]

    lies = {
        "wide": Fault(1.4), "narrow": Fault(0.7), "biased": Fault(bias=0.5),
        "local": Fault(bias=1.0),
    }  # fmt: skip
    noisy = lambda x, rng: x + rng.normal(size=x.shape)  # noqa: E731
    return Case(
        noisy, Prior(x=stats.norm()), law, lies, lambda rng: 5 * rng.normal(size=5), repeats=5
    )


def level() -> Case:
    """A deterministic model: y = x1 + x2 of two standard normal parameters."""

    def law(y: Array, rng: Rng, fault: Fault) -> Array:
        half = np.sqrt(0.5) * (fault.bias + fault.width * rng.normal(size=len(y)))
        return np.stack([y[:, 0] / 2 + half, y[:, 0] / 2 - half], axis=1)

    lies = {
        "wide": Fault(1.4), "narrow": Fault(0.7), "biased": Fault(bias=0.5),
        "local": Fault(bias=1.0),
    }  # fmt: skip
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    return Case(
        lambda x: x.sum(axis=1, keepdims=True), prior, law, lies,
        lambda rng: 10 * np.sqrt(2) * np.ones(1), stochastic=False,
    )  # fmt: skip


POSTERIOR: dict[str, Callable[[], Case]] = {
    "gaussian 4 -> 4": partial(gaussian, 4, 4),
    "gaussian 4 -> 10": partial(gaussian, 4, 10),
    "gaussian 10 -> 10": partial(gaussian, 10, 10),
    "two branches": branches,
    "two moons": moons,
    "five repeats": repeated,
    "level set": level,
}


@cache
def bank(name: str) -> tuple[Array, Array]:
    """Many prior draws of a problem with one output, in the order of their outputs."""
    problem = gallery.get(name).problem
    x = problem.prior.sample(_BANK, np.random.default_rng(77))
    y = problem.model(x)[:, 0]
    order = np.argsort(y)
    return x[order], y[order]


def looked_up(name: str, side: float | None = None) -> Conditional:
    """Exact conditional draws by the nearest of very many simulations, of one side of x1 or both.

    With a side, the share `fault.second` of the draws has x1 below it.
    """
    x, y = bank(name)

    def nearest(x: Array, y: Array, at: Array, rng: Rng) -> Array:
        return x[np.clip(np.searchsorted(y, at) + rng.integers(-8, 8, len(at)), 0, len(y) - 1)]

    def law(at: Array, rng: Rng, fault: Fault) -> Array:
        if side is None:
            return nearest(x, y, at[:, 0], rng)
        low = x[:, 0] < side
        draws = [nearest(x[part], y[part], at[:, 0], rng) for part in (low, ~low)]
        return np.where(rng.random((len(at), 1)) < fault.second, *draws)

    return law


def linear(at: Array, rng: Rng, fault: Fault) -> Array:
    """The conditional of the gallery's linear Gaussian, spread or shifted along its null space."""
    A = gallery.get("linear-gaussian").problem.model(np.eye(10)).T
    lift = A.T @ np.linalg.inv(A @ A.T)
    free = rng.normal(size=(len(at), 10)) * fault.width
    free[:, 0] += fault.bias
    return at @ lift.T + free @ (np.eye(10) - lift @ A)


OUTPUTS = {
    "outputs wide": lambda y, mean: mean + 1.3 * (y - mean),
    "outputs narrow": lambda y, mean: mean + 0.75 * (y - mean),
    "outputs biased": lambda y, mean: y + 0.3 * y.std(axis=0),
    "outputs cut": lambda y, mean: y[y[:, 0] < np.quantile(y[:, 0], 0.85)],
}
CONDITIONALS: dict[str, dict[str, Callable[[], Stand]]] = {
    "rosenbrock": {
        "one branch": lambda: Stand(looked_up("rosenbrock", 0), Fault(second=0)),
        "uneven branches": lambda: Stand(looked_up("rosenbrock", 0), Fault(second=0.2)),
    },
    "root-ratio": {
        "one branch": lambda: Stand(looked_up("root-ratio", 0.89), Fault(second=0)),
        "uneven branches": lambda: Stand(looked_up("root-ratio", 0.89), Fault(second=0.2)),
    },
    "linear-gaussian": {
        "wide": lambda: Stand(linear, Fault(1.4)),
        "narrow": lambda: Stand(linear, Fault(0.7)),
        "biased": lambda: Stand(linear, Fault(bias=0.7)),
        "line": lambda: Stand(linear, Fault(0.3)),
    },
}
