"""A region of parameters: a box, cut further by a classifier's log-odds; plain arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from invgan.ratio import LogOdds

__all__ = ["Chart", "Region"]

Array = NDArray[np.float64]

_KNOTS = 33
_FURTHEST = 8.0


@dataclass(frozen=True)
class Region:
    """A box, and inside it the points whose log-odds of being the answer reach a level.

    Attributes:
        low: lower bounds, shape (D,).
        high: upper bounds, shape (D,).
        chart: the coordinates that the classifier sees, or None for the box alone.
        odds: log-odds of answer against prior, or None for the box alone.
        level: the least log-odds of a point inside.
    """

    low: Array
    high: Array
    chart: Chart | None = None
    odds: LogOdds | None = None
    level: float = -math.inf

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) lie inside; shape (n,)."""
        inside = np.asarray(np.all((x >= self.low) & (x <= self.high), axis=1))
        if self.chart is not None and self.odds is not None:
            inside[inside] = self.odds(self.chart(x[inside])) >= self.level
        return inside

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        data: dict[str, Any] = {"low": self.low.tolist(), "high": self.high.tolist()}
        if self.chart is not None and self.odds is not None:
            data |= {"chart": self.chart.to_dict(), "odds": self.odds.to_dict()}
            data["level"] = self.level
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        box = np.array(data["low"], float), np.array(data["high"], float)
        if "chart" not in data:
            return cls(*box)
        chart, odds = Chart.from_dict(data["chart"]), LogOdds.from_dict(data["odds"])
        return cls(*box, chart, odds, float(data["level"]))


@dataclass(frozen=True)
class Chart:
    """Coordinates in which the answer has mean zero and unit covariance, and their squares.

    Columns go through their quantiles first, so that units and skewness are forgotten.

    Attributes:
        knots: quantiles of each column, shape (D, K).
        scores: their normal scores, shape (K,).
        centre: mean of the answer's scores, shape (D,).
        whitening: shape (D, D); scores minus centre times this have unit covariance.
    """

    knots: Array
    scores: Array
    centre: Array
    whitening: Array

    @classmethod
    def fit(cls, answer: Array, prior: Array, low: Array, high: Array) -> Self:
        """Learn the coordinates of a box from draws (n, D) of the answer and of the prior in it."""
        levels = np.linspace(0, 1, _KNOTS)
        knots = np.quantile(np.concatenate([answer, prior]), levels, axis=0).T
        knots[:, 0], knots[:, -1] = low, high
        scores = np.asarray(ndtri(np.clip(levels, 0.2 / _KNOTS, 1 - 0.2 / _KNOTS)))
        e = _interpolated(answer, knots, scores)
        cov = np.cov(e, rowvar=False).reshape(len(low), -1) + 1e-6 * np.eye(len(low))
        factor = np.linalg.inv(np.linalg.cholesky(cov)).T
        return cls(knots, scores, e.mean(axis=0), factor)

    def __call__(self, x: Array) -> Array:
        """Coordinates of x (n, D), and their squares, of size one where the answer is; (n, 2 D)."""
        e = _interpolated(x, self.knots, self.scores)
        u = np.clip((e - self.centre) @ self.whitening, -_FURTHEST, _FURTHEST)
        return np.concatenate([u, np.square(u) / _FURTHEST], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {name: getattr(self, name).tolist() for name in _CHART}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(*(np.array(data[name], float) for name in _CHART))


_CHART = ("knots", "scores", "centre", "whitening")


def _interpolated(x: Array, knots: Array, scores: Array) -> Array:
    columns = [np.interp(x[:, j], knots[j], scores) for j in range(x.shape[1])]
    return np.stack(columns, axis=1)
