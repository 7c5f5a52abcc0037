"""Parameters and outputs on the scales that networks see.

Parameters: ``x -> t -> e``. The first step removes the bounds of the prior's support (logarithm for
one bound, logit for two, stick-breaking for a simplex), the second makes the prior normal through
its quantiles. The way back ends inside the support whatever the network says, so no draw ever has
to be thrown away. Outputs: normal scores of the training outputs, column by column or over all
columns of one kind (the times of a series, the pixels of an image, the elements of a set), which
brings heavy tails and many orders of magnitude to the size of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from invgan.errors import InputError
from invgan.monotone import MonotoneMap, normal_scores
from invgan.priors import Box, HasQuantiles, PriorLike, Simplex
from invgan.structure import filled

__all__ = ["OutputScaling", "ParameterScaling", "scored"]

Array = NDArray[np.float64]

_SCORES = np.linspace(-4.5, 4.5, 181)
_PRIOR_DRAWS = 100_000
_LARGEST_SCORE = 6.0
_LARGEST = 1e75
_LARGEST_LOG = 700.0
_ENOUGH_VALUES = 1_000_000


@dataclass(frozen=True)
class ParameterScaling:
    """The bijection between the prior's support and the network's space.

    Attributes:
        low: lower bounds of the parameters, shape (D,).
        high: upper bounds, shape (D,).
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
            bounds = np.zeros(support.dimension), np.ones(support.dimension)
            return cls(*bounds, _maps(_break_stick(prior.sample(_PRIOR_DRAWS, rng))), simplex=True)
        if isinstance(prior, HasQuantiles):
            return cls(support.low, support.high, _exact_maps(prior, support))
        t = _unbound(prior.sample(_PRIOR_DRAWS, rng), support.low, support.high)
        return cls(support.low, support.high, _maps(t))

    @property
    def dimension(self) -> int:
        """The number E of network coordinates."""
        return len(self.maps)

    def to_network(self, x: Array) -> Array:
        """Network coordinates (n, E) of parameters x (n, D), cut at 6 on either side."""
        return _scores(self.maps, self._unbounded(x))

    def to_parameters(self, e: Array) -> Array:
        """Parameters (n, D) inside the support for any finite network coordinates e (n, E)."""
        t = np.stack([m.inverse(e[:, j]) for j, m in enumerate(self.maps)], axis=1)
        return _join_stick(t) if self.simplex else _rebound(t, self.low, self.high)

    def log_slope(self, x: Array) -> Array:
        """Log of |det de/dx| at parameters x (n, D), of proportions at all but the last; (n,).

        Where e is cut at 6 it is the slope there; outside the bounds it is minus infinity.
        """
        t = self._unbounded(x)
        ends = np.array([-_LARGEST_SCORE, _LARGEST_SCORE])
        t = np.stack([np.clip(t[:, j], *m.inverse(ends)) for j, m in enumerate(self.maps)], axis=1)
        slopes = np.stack([m.slope(t[:, j]) for j, m in enumerate(self.maps)], axis=1)
        inner = _log_slopes_of_stick(t) if self.simplex else _log_slopes(t, self.low, self.high)
        inside = np.all((x >= self.low) & (x <= self.high), axis=1)
        return np.where(inside, (inner + np.log(slopes)).sum(axis=1), -np.inf)

    def _unbounded(self, x: Array) -> Array:
        return _break_stick(x) if self.simplex else _unbound(x, self.low, self.high)

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
    """Normal scores of the outputs, by increasing maps that columns may share.

    A map that all times of a channel share keeps the shape of a curve, which maps of its own for
    each time would flatten. Absent values are NaN, before and after.

    Attributes:
        maps: the maps.
        groups: for each of the L columns, which map it uses; None where each has its own.
    """

    maps: tuple[MonotoneMap, ...]
    groups: tuple[int, ...] | None = None

    @classmethod
    def fit(cls, y: Array, groups: Sequence[int] | None = None) -> Self:
        """Learn the scale of outputs y (n, L), NaN where absent.

        Args:
            y: outputs.
            groups: for each of the L columns a number 0, 1, ...; those of one number share a map.

        Raises:
            InputError: groups does not number the columns, or a group has fewer than two values.
        """
        if groups is None:
            return cls(tuple(_seen_scores(y[:, j], [j]) for j in range(y.shape[1])))
        index = np.asarray(groups)
        numbers = range(len(set(groups)))
        if len(index) != y.shape[1] or set(groups) != set(numbers):
            raise InputError(
                f"groups must give each of the {y.shape[1]} outputs a number, 0, 1, ... without "
                f"gaps; got {len(index)} numbers {sorted(set(groups))}"
            )
        members = [np.flatnonzero(index == g) for g in numbers]
        return cls(tuple(_shared_scores(y, js) for js in members), tuple(map(int, groups)))

    @property
    def columns(self) -> tuple[MonotoneMap, ...]:
        """The map of each of the L columns."""
        return self.maps if self.groups is None else tuple(self.maps[g] for g in self.groups)

    def to_network(self, y: Array) -> Array:
        """Scores (n, L), of size one, cut at 6 on either side; NaN where y is."""
        if self.groups is None:
            return _scores(self.maps, y)
        scores, index = np.empty(y.shape), np.array(self.groups)
        for g, m in enumerate(self.maps):
            scores[:, index == g] = m(y[:, index == g])
        return np.asarray(np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        maps = [_map_to_dict(m) for m in self.maps]
        return {"maps": maps} if self.groups is None else {"maps": maps, "groups": self.groups}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        groups = data.get("groups")
        maps = tuple(map(_map_from_dict, data["maps"]))
        return cls(maps, None if groups is None else tuple(map(int, groups)))


def scored(reference: Array, *clouds: Array) -> tuple[Array, ...]:
    """Clouds on the normal scores of a reference, column by column, with numbers throughout.

    Args:
        reference: outputs that give the scale, shape (n, L), NaN where absent. A column that it has
            fewer than two values of has no scale, and counts as seen or not alone.
        clouds: outputs (m, L), each.

    Returns:
        Scores (m, L) of each, or, where anything is absent, (m, L + M) as `filled` gives them.
    """
    known = np.count_nonzero(~np.isnan(reference), axis=0) > 1
    if not known.any():
        return filled(*(np.where(np.isnan(cloud), np.nan, 0.0) for cloud in clouds))
    scale = OutputScaling.fit(reference[:, known])
    scores = [np.where(np.isnan(cloud), np.nan, 0.0) for cloud in clouds]
    for cloud, found in zip(clouds, scores, strict=True):
        found[:, known] = scale.to_network(cloud[:, known])
    return filled(*scores)


def _exact_maps(prior: HasQuantiles, support: Box) -> tuple[MonotoneMap, ...]:
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


def _maps(t: Array) -> tuple[MonotoneMap, ...]:
    return tuple(normal_scores(t[:, j]) for j in range(t.shape[1]))


def _shared_scores(y: Array, columns: NDArray[np.intp]) -> MonotoneMap:
    """The map of all values in some columns of y, from evenly spaced rows where they are many."""
    every = max(1, len(y) * len(columns) // _ENOUGH_VALUES)
    return _seen_scores(y[::every, columns], columns)


def _seen_scores(values: Array, columns: Iterable[int]) -> MonotoneMap:
    """The map of the values that are there."""
    seen = values[~np.isnan(values)]
    if len(seen) < 2:
        first = ", ".join(str(j + 1) for j in columns)
        raise InputError(
            f"{len(seen)} values were seen of output {first}; two or more are needed for a scale"
        )
    return normal_scores(seen)


def _scores(maps: tuple[MonotoneMap, ...], columns: Array) -> Array:
    """Images of the columns; a draw that rounded to a bound of the prior is cut like an outlier."""
    scores = np.stack([m(columns[:, j]) for j, m in enumerate(maps)], axis=1)
    return np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE, out=scores)


def _unbound(x: Array, low: Array, high: Array) -> Array:
    """Take the bounds away, column by column."""
    t = np.clip(x, -_LARGEST, _LARGEST)
    with np.errstate(divide="ignore"):
        for j, (a, b) in enumerate(zip(low, high, strict=True)):
            if np.isfinite(a) and np.isfinite(b):
                t[:, j] = _within(logit(np.clip((x[:, j] - a) / (b - a), 0, 1)))
            elif np.isfinite(a):
                t[:, j] = _within(np.log(x[:, j] - a))
            elif np.isfinite(b):
                t[:, j] = -_within(np.log(b - x[:, j]))
    return t


def _log_slopes(t: Array, low: Array, high: Array) -> Array:
    """Log of dt/dx, column by column, from the unbounded t (n, D)."""
    slopes = np.zeros_like(t)
    for j, (a, b) in enumerate(zip(low, high, strict=True)):
        if np.isfinite(a) and np.isfinite(b):
            slopes[:, j] = _log_slope_of_logit(t[:, j]) - np.log(b - a)
        elif np.isfinite(a):
            slopes[:, j] = -t[:, j]
        elif np.isfinite(b):
            slopes[:, j] = t[:, j]
    return slopes


def _log_slopes_of_stick(t: Array) -> Array:
    """Log-diagonal (n, D - 1) of dt/dx, which is triangular, for all proportions but the last."""
    left = -np.cumsum(np.logaddexp(0, t), axis=1)
    left = np.concatenate([np.zeros((len(t), 1)), left[:, :-1]], axis=1)
    return np.asarray(_log_slope_of_logit(t) - left)


def _log_slope_of_logit(t: Array) -> Array:
    return np.asarray(np.logaddexp(0, t) + np.logaddexp(0, -t))


def _rebound(t: Array, low: Array, high: Array) -> Array:
    """Put the bounds back, column by column."""
    x = np.clip(t, -_LARGEST, _LARGEST)
    for j, (a, b) in enumerate(zip(low, high, strict=True)):
        if np.isfinite(a) and np.isfinite(b):
            x[:, j] = a + (b - a) * expit(_within(t[:, j]))
        elif np.isfinite(a):
            x[:, j] = a + np.exp(_within(t[:, j]))
        elif np.isfinite(b):
            x[:, j] = b - np.exp(_within(-t[:, j]))
    return np.asarray(np.clip(x, low, high))


def _break_stick(x: Array) -> Array:
    """Log-odds of each proportion of x (n, D) against those after it, (n, D - 1)."""
    rest = np.cumsum(x[:, :0:-1], axis=1)[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _within(np.nan_to_num(np.log(x[:, :-1]) - np.log(rest), nan=0.0))


def _join_stick(t: Array) -> Array:
    """Undo `_break_stick`."""
    t = _within(t)
    left = np.cumprod(np.concatenate([np.ones((len(t), 1)), expit(-t)], axis=1), axis=1)
    return np.concatenate([expit(t) * left[:, :-1], left[:, -1:]], axis=1)


def _within(t: Array) -> Array:
    """Logarithms whose exponentials are neither zero nor infinite."""
    return np.asarray(np.clip(t, -_LARGEST_LOG, _LARGEST_LOG))


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _map_to_dict(m: MonotoneMap) -> dict[str, list[float]]:
    return {"a": m.a.tolist(), "b": m.b.tolist()}


def _map_from_dict(data: dict[str, list[float]]) -> MonotoneMap:
    return MonotoneMap(np.array(data["a"], float), np.array(data["b"], float))
