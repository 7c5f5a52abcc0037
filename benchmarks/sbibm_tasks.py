"""The eight tasks of the public posterior benchmark (Lueckmann et al. 2021), as problems.

Definitions are those of the package `sbibm` 1.1.0; its observations and reference posteriors are
read from its files by path, since its other dependencies conflict with a current environment:

    pip install --no-deps sbibm==1.1.0

The simulators are written anew on numpy, whole batches at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

import invgan as ig

Array = NDArray[np.float64]
Model = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Task:
    """One task: its prior, its simulator, and where its observations and references lie."""

    name: str
    prior: Any
    model: Model

    def problem(self, number: int) -> ig.Problem:
        """The posterior question for observation number 1 to 10."""
        return ig.Problem(
            self.model, self.prior, self.observation(number), stochastic=True, question="posterior"
        )

    def observation(self, number: int) -> Array:
        """The observed row, shape (1, L)."""
        return self._read(number, "observation.csv")

    def reference(self, number: int) -> Array:
        """10,000 draws of the reference posterior, shape (10000, D)."""
        return self._read(number, "reference_posterior_samples.csv.bz2")

    def _read(self, number: int, name: str) -> Array:
        path = _files(self.name) / f"num_observation_{number}" / name
        return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def get(name: str) -> Task:
    """The task of this name."""
    return Task(name, *TASKS[name]())


def _files(name: str) -> Path:
    spec = find_spec("sbibm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the benchmark's files are missing: pip install --no-deps sbibm==1.1.0")
    return Path(spec.submodule_search_locations[0], "tasks", name, "files")


def _box(dimension: int, half: float) -> ig.Prior:
    return ig.Prior({f"x{j + 1}": stats.uniform(-half, 2 * half) for j in range(dimension)})


def _two_moons() -> tuple[Any, Model]:
    def model(x: Array, rng: np.random.Generator) -> Array:
        a = rng.uniform(-np.pi / 2, np.pi / 2, len(x))
        r = rng.normal(0.1, 0.01, len(x))
        p = np.stack([r * np.cos(a) + 0.25, r * np.sin(a)], axis=1)
        shift = np.stack([-np.abs(x[:, 0] + x[:, 1]), -x[:, 0] + x[:, 1]], axis=1)
        return p + shift / np.sqrt(2)

    return _box(2, 1.0), model


def _gaussian_linear() -> tuple[Any, Model]:
    scale = np.sqrt(0.1)
    prior = ig.Prior({f"x{j + 1}": stats.norm(0, scale) for j in range(10)})
    return prior, lambda x, rng: x + scale * rng.normal(size=x.shape)


def _gaussian_linear_uniform() -> tuple[Any, Model]:
    return _box(10, 1.0), lambda x, rng: x + np.sqrt(0.1) * rng.normal(size=x.shape)


def _gaussian_mixture() -> tuple[Any, Model]:
    def model(x: Array, rng: np.random.Generator) -> Array:
        scale = np.where(rng.random(len(x)) < 0.5, 1.0, 0.1)
        return x + scale[:, None] * rng.normal(size=x.shape)

    return _box(2, 10.0), model


def _slcp() -> tuple[Any, Model]:
    def model(x: Array, rng: np.random.Generator) -> Array:
        s1, s2, rho = x[:, 2] ** 2, x[:, 3] ** 2, np.tanh(x[:, 4])
        a = np.sqrt(s1**2 + 1e-6)
        b = rho * s1 * s2 / a
        c = np.sqrt(np.maximum(s2**2 + 1e-6 - b**2, 1e-12))
        z = rng.normal(size=(len(x), 4, 2))
        first = x[:, 0, None] + a[:, None] * z[:, :, 0]
        second = x[:, 1, None] + b[:, None] * z[:, :, 0] + c[:, None] * z[:, :, 1]
        return np.stack([first, second], axis=2).reshape(len(x), 8)

    return _box(5, 3.0), model


def _bernoulli_glm() -> tuple[Any, Model]:
    stimulus, design = (
        torch.load(_files("bernoulli_glm") / f"{name}.pt", weights_only=True).double().numpy()
        for name in ("stimulus_I", "design_matrix")
    )
    first = np.eye(9) - np.eye(9, k=-1)
    smooth = first @ first + np.diag(np.sqrt(np.arange(9) / 9))
    precision = np.zeros((10, 10))
    precision[0, 0] = 0.5
    precision[1:, 1:] = smooth.T @ smooth
    lags = np.stack([np.pad(stimulus, (k, 0))[: len(stimulus)] for k in range(9)], axis=1)

    def model(x: Array, rng: np.random.Generator) -> Array:
        chance = 1 / (1 + np.exp(-x @ design.T))
        spikes = (rng.random(chance.shape) < chance).astype(float)
        return np.concatenate([spikes.sum(axis=1, keepdims=True), spikes @ lags], axis=1)

    names = [f"x{j + 1}" for j in range(10)]
    return ig.MultivariateNormal(np.zeros(10), np.linalg.inv(precision), names=names), model


def _sir() -> tuple[Any, Model]:
    prior = ig.Prior(beta=stats.lognorm(0.5, scale=0.4), gamma=stats.lognorm(0.2, scale=0.125))

    def model(x: Array, rng: np.random.Generator) -> Array:
        total, step, seen = 1e6, 0.25, []
        beta, gamma = x.T

        def rate(u: Array) -> Array:
            new = beta * u[0] * u[1] / total
            return np.stack([-new, new - gamma * u[1]])

        u = np.stack([np.full(len(x), total - 1), np.ones(len(x))])
        for i in range(int(153 / step) + 1):
            if i % int(17 / step) == 0:
                seen.append(u[1])
            u = _runge_kutta(rate, u, step)
        infected = np.clip(np.stack(seen, axis=1) / total, 0, 1)
        return rng.binomial(1000, infected).astype(float)

    return prior, model


def _lotka_volterra() -> tuple[Any, Model]:
    laws = [stats.lognorm(0.5, scale=np.exp(m)) for m in (-0.125, -3, -0.125, -3)]
    prior = ig.Prior(dict(zip(("alpha", "beta", "gamma", "delta"), laws, strict=True)))

    def model(x: Array, rng: np.random.Generator) -> Array:
        alpha, beta, gamma, delta = x.T
        step, every, seen = 0.02, 105, []

        def rate(logs: Array) -> Array:
            prey, predators = np.exp(logs)
            return np.stack([alpha - beta * predators, -gamma + delta * prey])

        logs = np.log(np.array([30.0, 1.0]))[:, None] + np.zeros((2, len(x)))
        for i in range(9 * every + 1):
            if i % every == 0:
                seen.append(logs)
            logs = _runge_kutta(rate, logs, step)
        clear = np.concatenate([np.stack([s[j] for s in seen], axis=1) for j in (0, 1)], axis=1)
        clear = np.clip(clear, np.log(1e-10), np.log(1e4))
        return np.exp(clear + 0.1 * rng.normal(size=clear.shape))

    return prior, model


def _runge_kutta(rate: Callable[[Array], Array], u: Array, step: float) -> Array:
    """One classical fourth-order step."""
    k1 = rate(u)
    k2 = rate(u + step / 2 * k1)
    k3 = rate(u + step / 2 * k2)
    k4 = rate(u + step * k3)
    return u + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


TASKS: dict[str, Callable[[], tuple[Any, Model]]] = {
    "two_moons": _two_moons,
    "gaussian_linear": _gaussian_linear,
    "gaussian_linear_uniform": _gaussian_linear_uniform,
    "gaussian_mixture": _gaussian_mixture,
    "slcp": _slcp,
    "bernoulli_glm": _bernoulli_glm,
    "sir": _sir,
    "lotka_volterra": _lotka_volterra,
}
