"""The density ratio of two clouds that are nearly the same, by classification.

A classifier that tells rows of P from equally many rows of Q knows their ratio: its log-odds are
``log p/q`` (Sugiyama, Suzuki and Kanamori 2012). Three are tried, from stiff to supple: none at
all (the ratio is one), a logistic regression on splines of each column, and a small perceptron.
Each predicts only rows that it was not fitted to, and the held-out cross-entropy decides, so that
no correction is made where the data show no need of one. Rows may have weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from invgan.fitting import alone
from invgan.monotone import normal_scores

__all__ = ["LogOdds", "Ratio", "fit_log_odds", "log_ratio"]

Array = NDArray[np.float64]

_FOLDS, _PARTITIONS = 4, 3
_EPOCHS = 30
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
        chosen: ``"none"``, ``"splines"``, ``"perceptron"``, or of those that are tried where it
            should be thorough ``"wide"`` or ``"slow"``.
        gain: nats by which its held-out cross-entropy beats that of no classifier.
    """

    log: Array
    chosen: str
    gain: float

    @classmethod
    def none(cls, m: int) -> Self:
        """The ratio of equal clouds, the second of m rows."""
        return cls(np.zeros(m), "none", 0.0)


def log_ratio(
    p: Array,
    q: Array,
    *,
    of_p: Array | None = None,
    of_q: Array | None = None,
    thorough: bool = False,
    seed: int = 0,
) -> Ratio:
    """Log p/q on the rows of q; zero where either cloud has fewer than 20 rows to judge by.

    Args:
        p: rows of the numerator, shape (n, L).
        q: rows of the denominator, shape (m, L).

    Other Args:
        of_p: weights of the rows of p, shape (n,); by default all count equally.
        of_q: weights of the rows of q, shape (m,).
        thorough: try two perceptrons of twice the width, which need more rows and find more; take
            the best of all that beat no classifier beyond doubt, not the plainest; and average its
            log-odds over three partitions into folds.
        seed: of folds and weights.
    """
    best = Ratio.none(len(q))
    if min(len(p), len(q)) < _FEWEST_ROWS:
        return best
    points = np.concatenate([p, q])
    columns = [normal_scores(column)(column) for column in points.T]
    points = np.clip(np.stack(columns, axis=1), -_LARGEST_SCORE, _LARGEST_SCORE)
    weights = np.concatenate([_weights(of_p, len(p)), _weights(of_q, len(q))])
    task = _Task(points, np.repeat([1, 0], [len(p), len(q)]), weights)
    base, chosen = task.losses(np.full(len(points), task.prior)), None
    for name, build in (_THOROUGH if thorough else _CANDIDATES).items():
        odds = task.held_out(build, seed)
        saved = base - task.losses(odds)
        gain = float(np.average(saved, weights=weights))
        error = math.sqrt(float(np.square(weights * (saved - gain)).sum())) / float(weights.sum())
        doubt = _SIGNIFICANT * error
        if gain > (max(best.gain, doubt) if thorough else best.gain + doubt):
            best, chosen = Ratio(odds, name, gain), build
    if chosen is None:
        return best
    partitions = range(1, _PARTITIONS if thorough else 1)
    odds = np.mean([best.log, *(task.held_out(chosen, seed + k) for k in partitions)], axis=0)
    log = np.clip(odds[len(p) :] - task.prior, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
    return Ratio(log, best.chosen, best.gain)


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
    with alone():
        machine = _network(seed, len(points)).fit(points, labels)
    return LogOdds(tuple(zip(machine.coefs_, machine.intercepts_, strict=True)))


@dataclass(frozen=True)
class _Task:
    """Rows of p and q together, which of them are p's, and what they count."""

    points: Array
    labels: NDArray[np.int_]
    weights: Array

    @property
    def prior(self) -> float:
        """Log-odds of a row to be of p, as far as the weights tell."""
        of_p = self.labels == 1
        return math.log(float(self.weights[of_p].sum()) / float(self.weights[~of_p].sum()))

    def held_out(self, build: Callable[[int, int], Pipeline], seed: int) -> Array:
        """Log-odds of every row from the classifier whose fold left it out."""
        fold = np.random.default_rng(seed).permutation(len(self.points)) % _FOLDS
        odds = np.empty(len(self.points))
        for k in range(_FOLDS):
            known = fold != k
            machine = build(seed, int(known.sum()))
            given = {f"{machine.steps[-1][0]}__sample_weight": self.weights[known]}
            # Far from the other cloud a probability rounds to zero.
            with alone(), np.errstate(divide="ignore"):
                machine.fit(self.points[known], self.labels[known], **given)
                log = np.maximum(machine.predict_log_proba(self.points[~known]), _SMALLEST_LOG)
            odds[~known] = log[:, 1] - log[:, 0]
        return odds

    def losses(self, odds: Array) -> Array:
        """Cross-entropy of each row, nats."""
        return np.logaddexp(0, np.where(self.labels == 1, -odds, odds))


def _weights(given: Array | None, n: int) -> Array:
    return np.ones(n) if given is None else given


def _splines(seed: int, n: int) -> Pipeline:
    return make_pipeline(
        SplineTransformer(n_knots=9, degree=3, knots="quantile", extrapolation="linear"),
        StandardScaler(),
        LogisticRegression(C=1.0, max_iter=300),
    )


def _perceptron(seed: int, n: int) -> Pipeline:
    return make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        _network(seed, n),
    )


def _wide(seed: int, n: int) -> Pipeline:
    return make_pipeline(StandardScaler(), _network(seed, n, units=64))


def _slow(seed: int, n: int) -> Pipeline:
    return make_pipeline(StandardScaler(), _network(seed, n, units=64, rate=1e-3))


def _network(seed: int, n: int, units: int = 32, rate: float = 3e-3) -> MLPClassifier:
    return MLPClassifier(
        (units, units),
        alpha=1e-3,
        batch_size=min(512, int(0.9 * n)),
        learning_rate_init=rate,
        max_iter=_EPOCHS,
        early_stopping=True,
        n_iter_no_change=4,
        random_state=seed,
    )


_CANDIDATES: dict[str, Callable[[int, int], Pipeline]] = {
    "splines": _splines,
    "perceptron": _perceptron,
}
_THOROUGH = {**_CANDIDATES, "wide": _wide, "slow": _slow}
