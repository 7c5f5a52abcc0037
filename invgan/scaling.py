"""Parameters and outputs on the scales that networks see.

Parameters: ``x -> t -> e``. The first step removes the bounds of the prior's support (logarithm for
one bound, logit for two, stick-breaking for a simplex), the second makes the prior normal through
its quantiles. The way back ends inside the support whatever the network says, so no draw ever has
to be thrown away. Outputs: normal scores of the training outputs, column by column, which brings
heavy tails and many orders of magnitude to the size of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from invgan.errors import InputError
from invgan.monotone import MonotoneMap, normal_scores
from invgan.priors import Box, Prior, PriorLike, Simplex

__all__ = ["OutputScaling", "ParameterScaling"]

Array = NDArray[np.float64]

_SCORES = np.linspace(-4.5, 4.5, 181)
_PRIOR_DRAWS = 100_000
_LARGEST_SCORE = 6.0


@dataclass(frozen=True)
class ParameterScaling:
    """The bijection between the prior's support and the network's space.

    Attributes:
        low: lower bounds of the columns after stick-breaking, shape (E,).
        high: upper bounds, shape (E,).
        maps: one increasing map t -> e for each of the E columns.
        simplex: whether x are proportions, in which case D = E + 1, else D = E.
    """

    low: Array
    high: Array
    maps: tuple[MonotoneMap, ...]
    simplex: bool = False

    @classmethod
    def fit(cls, prior: PriorLike, rng: np.random.Generator) -> Self:
        """Build the map for a prior, from exact quantiles where it has them, else from draws."""
        support = prior.support
        if isinstance(support, Simplex):
            sticks = _break_stick(prior.sample(_PRIOR_DRAWS, rng))
            unit = Box(np.zeros(sticks.shape[1]), np.ones(sticks.shape[1]))
            return cls(unit.low, unit.high, _sampled_maps(sticks, unit), simplex=True)
        if isinstance(prior, Prior):
            return cls(support.low, support.high, _exact_maps(prior, support))
        draws = prior.sample(_PRIOR_DRAWS, rng)
        return cls(support.low, support.high, _sampled_maps(draws, support))

    @property
    def dimension(self) -> int:
        """The number E of network coordinates."""
        return len(self.maps)

    def to_network(self, x: Array) -> Array:
        """Network coordinates (n, E) of parameters x (n, D)."""
        free = _break_stick(x) if self.simplex else x
        t = _unbound(free, self.low, self.high)
        return np.stack([m(t[:, j]) for j, m in enumerate(self.maps)], axis=1)

    def to_parameters(self, e: Array) -> Array:
        """Parameters (n, D) inside the support for any finite network coordinates e (n, E)."""
        t = np.stack([m.inverse(e[:, j]) for j, m in enumerate(self.maps)], axis=1)
        x = _rebound(t, self.low, self.high)
        return _join_stick(x) if self.simplex else x

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {
            "low": [_finite_or_none(v) for v in self.low],
            "high": [_finite_or_none(v) for v in self.high],
            "maps": [_map_to_dict(m) for m in self.maps],
            "simplex": self.simplex,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        low = np.array([-np.inf if v is None else v for v in data["low"]], float)
        high = np.array([np.inf if v is None else v for v in data["high"]], float)
        return cls(low, high, tuple(map(_map_from_dict, data["maps"])), bool(data["simplex"]))


@dataclass(frozen=True)
class OutputScaling:
    """Normal scores of the outputs, one increasing map for each of the L columns."""

    maps: tuple[MonotoneMap, ...]

    @classmethod
    def fit(cls, y: Array) -> Self:
        """Learn the scale of outputs y (n, L)."""
        return cls(tuple(normal_scores(y[:, j]) for j in range(y.shape[1])))

    def to_network(self, y: Array) -> Array:
        """Scores (n, L), of size one, cut at 6 on either side."""
        scores = np.stack([m(y[:, j]) for j, m in enumerate(self.maps)], axis=1)
        return np.asarray(np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {"maps": [_map_to_dict(m) for m in self.maps]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(tuple(map(_map_from_dict, data["maps"])))


def _exact_maps(prior: Prior, support: Box) -> tuple[MonotoneMap, ...]:
    t = _unbound(prior.quantile(ndtr(_SCORES)), support.low, support.high)
    return tuple(_rising(t[:, j], name) for j, name in enumerate(prior.names))


def _rising(t: Array, name: str) -> MonotoneMap:
    """The map through those quantiles that floating point can still tell apart."""
    finite = np.isfinite(t)
    t, e = t[finite], _SCORES[finite]
    kept = np.concatenate([[True], np.diff(np.maximum.accumulate(t)) > 0]) if len(t) else finite
    if np.count_nonzero(kept) < 2:
        raise InputError(f"the prior of {name!r} has no spread; leave a fixed parameter out")
    return MonotoneMap(t[kept], e[kept])


def _sampled_maps(draws: Array, box: Box) -> tuple[MonotoneMap, ...]:
    t = _unbound(draws, box.low, box.high)
    return tuple(normal_scores(t[:, j]) for j in range(t.shape[1]))


def _unbound(x: Array, low: Array, high: Array) -> Array:
    """Take the bounds away, column by column."""
    t = np.array(x, float)
    with np.errstate(divide="ignore"):
        for j, (a, b) in enumerate(zip(low, high, strict=True)):
            if np.isfinite(a) and np.isfinite(b):
                t[:, j] = logit(np.clip((x[:, j] - a) / (b - a), 0, 1))
            elif np.isfinite(a):
                t[:, j] = np.log(x[:, j] - a)
            elif np.isfinite(b):
                t[:, j] = -np.log(b - x[:, j])
    limit = np.finfo(float).max ** 0.25
    return np.asarray(np.clip(t, -limit, limit))


def _rebound(t: Array, low: Array, high: Array) -> Array:
    """Put the bounds back, column by column."""
    x = np.array(t, float)
    with np.errstate(over="ignore"):
        for j, (a, b) in enumerate(zip(low, high, strict=True)):
            if np.isfinite(a) and np.isfinite(b):
                x[:, j] = a + (b - a) * expit(t[:, j])
            elif np.isfinite(a):
                x[:, j] = a + np.exp(np.minimum(t[:, j], 700))
            elif np.isfinite(b):
                x[:, j] = b - np.exp(np.minimum(-t[:, j], 700))
    return np.asarray(np.clip(x, low, high))


def _break_stick(x: Array) -> Array:
    """Proportions (n, D) as shares of what is left, (n, D - 1), each between 0 and 1."""
    left = 1 - np.concatenate([np.zeros((len(x), 1)), np.cumsum(x[:, :-2], axis=1)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nan_to_num(np.clip(x[:, :-1] / left, 0, 1), nan=0.5))


def _join_stick(v: Array) -> Array:
    """Undo `_break_stick`."""
    left = np.cumprod(np.concatenate([np.ones((len(v), 1)), 1 - v], axis=1), axis=1)
    return np.concatenate([v * left[:, :-1], left[:, -1:]], axis=1)


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _map_to_dict(m: MonotoneMap) -> dict[str, list[float]]:
    return {"a": m.a.tolist(), "b": m.b.tolist()}


def _map_from_dict(data: dict[str, list[float]]) -> MonotoneMap:
    return MonotoneMap(np.array(data["a"], float), np.array(data["b"], float))
