"""The density ratio of two clouds that are nearly the same, by classification.

A classifier that tells rows of P from equally many rows of Q knows their ratio: its log-odds are
``log p/q`` (Sugiyama, Suzuki and Kanamori 2012). Three are tried, from stiff to supple: none at
all (the ratio is one), a logistic regression on splines of each column, and a small perceptron.
Each predicts only rows that it was not fitted to, and the held-out cross-entropy decides, so that
no correction is made where the data show no need of one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from invgan.monotone import normal_scores

__all__ = ["LogOdds", "Ratio", "fit_log_odds", "log_ratio"]

Array = NDArray[np.float64]

_FOLDS = 4
_FEWEST_ROWS = 20
_SIGNIFICANT = 2.0
_LARGEST_SCORE = 6.0
_LARGEST_LOG_RATIO = 20.0
_SMALLEST_LOG = -50.0


@dataclass(frozen=True)
class Ratio:
    """Log-ratios of two clouds on the rows of the second.

    Attributes:
        log: log p/q at each row of q, from a classifier that has not seen the row; shape (m,).
        chosen: ``"none"``, ``"splines"`` or ``"perceptron"``.
        gain: nats by which its held-out cross-entropy beats that of no classifier.
    """

    log: Array
    chosen: str
    gain: float


def log_ratio(p: Array, q: Array, *, seed: int = 0) -> Ratio:
    """Log p/q on the rows of q; zero where either cloud has fewer than 20 rows to judge by.

    Args:
        p: rows of the numerator, shape (n, L).
        q: rows of the denominator, shape (m, L).

    Other Args:
        seed: of folds and weights.
    """
    best = Ratio(np.zeros(len(q)), "none", 0.0)
    if min(len(p), len(q)) < _FEWEST_ROWS:
        return best
    points = np.concatenate([p, q])
    columns = [normal_scores(column)(column) for column in points.T]
    points = np.clip(np.stack(columns, axis=1), -_LARGEST_SCORE, _LARGEST_SCORE)
    labels = np.repeat([1, 0], [len(p), len(q)])
    prior = math.log(len(p) / len(q))
    base = _losses(np.full(len(points), prior), labels)
    for name, build in _CANDIDATES.items():
        odds = _held_out(build, points, labels, seed)
        saved = base - _losses(odds, labels)
        error = float(saved.std() / math.sqrt(len(saved)))
        gain = float(saved.mean())
        if gain > best.gain + _SIGNIFICANT * error:
            log = np.clip(odds[len(p) :] - prior, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
            best = Ratio(log, name, gain)
    return best


@dataclass(frozen=True)
class LogOdds:
    """A small perceptron's log-odds of p against q, as plain arrays.

    Attributes:
        layers: weights (inputs, units) and biases (units,), one pair a layer; ReLU between them.
    """

    layers: tuple[tuple[Array, Array], ...]

    def __call__(self, points: Array) -> Array:
        """Log-odds of each row of points (n, L), shape (n,)."""
        for weights, biases in self.layers[:-1]:
            points = np.maximum(points @ weights + biases, 0)
        weights, biases = self.layers[-1]
        return np.asarray((points @ weights + biases)[:, 0])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {"layers": [[weights.tolist(), biases.tolist()] for weights, biases in self.layers]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        layers = ((np.array(w, float), np.array(b, float)) for w, b in data["layers"])
        return cls(tuple(layers))


def fit_log_odds(p: Array, q: Array, *, seed: int = 0) -> LogOdds:
    """A classifier between rows of p (n, L) and of q (m, L) that can be asked about new rows.

    Args:
        p: rows whose odds are wanted; columns of size one.
        q: rows to tell them from.

    Other Args:
        seed: of weights and batches.
    """
    points, labels = np.concatenate([p, q]), np.repeat([1, 0], [len(p), len(q)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine = _network(seed, len(points)).fit(points, labels)
    return LogOdds(tuple(zip(machine.coefs_, machine.intercepts_, strict=True)))


def _held_out(build: Callable[[int, int], Any], points: Array, labels: Array, seed: int) -> Array:
    """Log-odds of every row from the classifier whose fold left it out."""
    fold = np.random.default_rng(seed).permutation(len(points)) % _FOLDS
    odds = np.empty(len(points))
    for k in range(_FOLDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine = build(seed, int((fold != k).sum()))
            machine.fit(points[fold != k], labels[fold != k])
        # Far from the other cloud a probability rounds to zero.
        with np.errstate(divide="ignore"):
            probability = np.maximum(machine.predict_log_proba(points[fold == k]), _SMALLEST_LOG)
        odds[fold == k] = probability[:, 1] - probability[:, 0]
    return odds


def _losses(odds: Array, labels: Array) -> Array:
    """Cross-entropy of each row, nats."""
    return np.logaddexp(0, np.where(labels == 1, -odds, odds))


def _splines(seed: int, n: int) -> Any:
    return make_pipeline(
        SplineTransformer(n_knots=9, degree=3, knots="quantile", extrapolation="linear"),
        StandardScaler(),
        LogisticRegression(C=1.0, max_iter=300),
    )


def _perceptron(seed: int, n: int) -> Any:
    return make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        _network(seed, n),
    )


def _network(seed: int, n: int) -> MLPClassifier:
    return MLPClassifier(
        (32, 32),
        alpha=1e-3,
        batch_size=min(512, int(0.9 * n)),
        learning_rate_init=3e-3,
        max_iter=30,
        early_stopping=True,
        n_iter_no_change=4,
        random_state=seed,
    )


_CANDIDATES: dict[str, Callable[[int, int], Any]] = {"splines": _splines, "perceptron": _perceptron}
