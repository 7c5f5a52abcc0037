r"""The law nearest to simulations among those with given marginals.

Simulated rows y = (y_1, ..., y_B), in B blocks of columns, are draws of a law q; of each block an
observed population is known, but not how they go together. Of all laws with these marginals the one
nearest to q in relative entropy, the *I-projection* (Csiszar 1975), is

    p(y) = q(y) a_1(y_1) ... a_B(y_B).

With ``log a_b = theta_b . phi_b`` in features phi_b of a block, theta is the minimum of the convex
function

    J(theta) = log E_q exp(sum_b theta_b . phi_b(y_b)) - sum_b theta_b . (observed mean of phi_b),

whose gradient is the mismatch of the features' means (maximum entropy). The classical road to it,
iterative proportional fitting, corrects one marginal at a time and needs some ``1 / (1 - rho^2)``
rounds, rho the largest canonical correlation of the blocks, which is near one where members share
most parameters. Here all are corrected at once, by proximal rounds (Rockafellar 1976),

    theta_k+1 = argmin J(theta) + lambda_k / 2 sum_b Var_b((theta - theta_k) . phi_b),

each solved by Newton's method, from the prior (theta = 0) on. The variance is over observed rows.

The rounds are stopped early, and that is more than a precaution. Two tables of finitely many rows
never agree on what their members share, so no law has exactly both marginals, and the exact
conditions would drive theta to infinity. What both tables say is met in the first rounds; what only
their sampling errors say comes late. The likelihood of observed rows that were left out,
``theta . phi - log E_q exp(theta . phi)``, tells when: the last round is kept that comes within
0.01 nats of the best.

A block's features see normal scores s of its observed rows: s, s^2 and B-splines of each column,
which make any marginal of a column; products of two columns, plain and bent, for how they go
together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from invgan.errors import CorrectionError, InputError
from invgan.monotone import normal_scores

__all__ = ["Projection", "check_rows", "project"]

Array = NDArray[np.float64]
Features = Callable[[Array], Array]

_FEWEST_ROWS = 20
_LARGEST_SCORE = 8.0
_INNER_KNOTS = np.linspace(-2.5, 2.5, 7)
_STRENGTHS = 0.7 ** np.arange(16)
_FOLDS = 4
_NEWTON_STEPS, _ENOUGH = 60, 1e-5
_LEAST_VARIANCE, _TOLERANCE, _PATIENCE = 1e-4, 0.01, 2
_CHOICE_ROWS, _AT_ONCE = 20_000, 5_000
_FEWEST_EFFECTIVE = 100


@dataclass(frozen=True)
class Projection:
    """Weights that give simulations the observed marginals.

    Attributes:
        weights: shape (n,), with mean one.
        effective: how many rows the weights are worth, ``(sum w)^2 / sum w^2``.
        divergence: relative entropy of the answer from the simulations, nats.
        mismatch: the largest difference of a feature's mean, in observed standard deviations.
        rounds: one dict a round: its strength, the left-out likelihood in nats, the mismatch, and
            whether it is the one that was kept.
    """

    weights: Array
    effective: float
    divergence: float
    mismatch: float
    rounds: list[dict[str, float]]


def project(
    simulated: Sequence[Array],
    observed: Sequence[Array],
    *,
    weights: Array | None = None,
    seed: int = 0,
) -> Projection:
    """Weigh simulations so that every block of outputs is distributed as observed.

    Args:
        simulated: for each block its simulated outputs (n, L_b), row by row of one simulation.
        observed: for each block observed rows (N_b, L_b), of no order.

    Other Args:
        weights: of the simulations beforehand, shape (n,); by default they count equally.
        seed: of the folds that end the rounds.

    Raises:
        InputError: the shapes do not fit, or a block has fewer than 20 observed rows.
        CorrectionError: the weights rest on fewer than 100 simulations.
    """
    _check(simulated, observed)
    base = np.ones(len(simulated[0])) if weights is None else np.asarray(weights, float)
    phi, rows = _features(simulated, observed, np.random.default_rng(seed))
    mean = np.concatenate([part.mean(axis=0) for part in rows])
    dual = _Dual(phi, base)
    theta, rounds = _rounds(dual, rows, mean)
    tilted = dual.tilted(theta)
    effective = float(tilted.sum() ** 2 / np.square(tilted).sum())
    if effective < _FEWEST_EFFECTIVE:
        raise CorrectionError(
            f"the two populations would be explained by {effective:.0f} of {len(base)} "
            f"simulations and {_FEWEST_EFFECTIVE} are needed to trust it: use more simulations, a "
            "prior nearer to the observations, or a change that can make one population of the "
            "other"
        )
    share = tilted / tilted.sum()
    positive = share > 0
    against = share[positive] * base.sum() / base[positive]
    mismatch = dual.mismatch(theta, mean)
    divergence = float(share[positive] @ np.log(against))
    return Projection(tilted / tilted.mean(), effective, divergence, mismatch, rounds)


@dataclass(frozen=True)
class _Dual:
    """The convex function J of rows phi (n, d) with weights base (n,)."""

    phi: Array
    base: Array

    def tilted(self, theta: Array) -> Array:
        """Weights base * exp(theta . phi), the largest exponent taken out; (n,)."""
        power = self.phi @ theta
        return np.asarray(self.base * np.exp(power - power.max()))

    def log_mean(self, theta: Array) -> float:
        """Log E_q exp(theta . phi)."""
        power = self.phi @ theta
        top = float(power.max())
        return top + float(np.log(self.base @ np.exp(power - top) / self.base.sum()))

    def mismatch(self, theta: Array, mean: Array) -> float:
        """The largest difference of a feature's mean."""
        weights = self.tilted(theta)
        return float(np.abs(weights @ self.phi / weights.sum() - mean).max())

    def nearer(self, mean: Array, strength: float, start: Array) -> Array:
        """The minimum of J + strength / 2 |theta - start|^2, by Newton's method; (d,)."""
        theta = start
        for _ in range(_NEWTON_STEPS):
            share = self.tilted(theta)
            held = share > 0
            share, phi = share[held] / share.sum(), self.phi[held]
            average = share @ phi
            spread = phi - average
            gradient = average - mean + strength * (theta - start)
            hessian = (spread * share[:, None]).T @ spread + strength * np.eye(len(theta))
            step = np.asarray(np.linalg.solve(hessian, gradient), float)
            if float(gradient @ step) < _ENOUGH:
                break
            theta = self._descend(theta, step, float(gradient @ step), mean, strength, start)
        return theta

    def _descend(
        self, theta: Array, step: Array, fall: float, mean: Array, strength: float, start: Array
    ) -> Array:
        """The first of ever halved Newton steps that goes down as its slope promises."""

        def value(at: Array) -> float:
            return (
                self.log_mean(at)
                - float(at @ mean)
                + 0.5 * strength * float(np.square(at - start).sum())
            )

        before, length = value(theta), 1.0
        while value(theta - length * step) > before - 0.25 * length * fall and length > 1e-6:
            length /= 2
        return np.asarray(theta - length * step)


def _rounds(dual: _Dual, rows: list[Array], mean: Array) -> tuple[Array, list[dict[str, float]]]:
    """The theta of the round that left-out rows choose, and all rounds."""
    part = _Dual(dual.phi[:_CHOICE_ROWS], dual.base[:_CHOICE_ROWS])
    inside = [np.concatenate([_but(p, k).mean(axis=0) for p in rows]) for k in range(_FOLDS)]
    outside = [np.concatenate([p[k::_FOLDS].mean(axis=0) for p in rows]) for k in range(_FOLDS)]
    theta, trials = np.zeros(len(mean)), [np.zeros(len(mean))] * _FOLDS
    thetas: list[Array] = []
    found: list[dict[str, float]] = []
    best, waited = -np.inf, 0
    for strength in _STRENGTHS:
        trials = [part.nearer(m, strength, t) for m, t in zip(inside, trials, strict=True)]
        theta = dual.nearer(mean, strength, theta)
        unseen = [float(t @ m) - part.log_mean(t) for t, m in zip(trials, outside, strict=True)]
        likelihood = float(np.mean(unseen))
        thetas.append(theta)
        found.append({"strength": float(strength), "heldout": likelihood,
                      "mismatch": dual.mismatch(theta, mean)})  # fmt: skip
        best, waited = (likelihood, 0) if likelihood > best else (best, waited + 1)
        if waited == _PATIENCE:
            break
    kept = max(k for k, row in enumerate(found) if row["heldout"] > best - _TOLERANCE)
    return thetas[kept], [{**row, "kept": float(k == kept)} for k, row in enumerate(found)]


def _but(rows: Array, k: int) -> Array:
    kept = np.arange(len(rows)) % _FOLDS != k
    return np.asarray(rows[kept])


def _features(
    simulated: Sequence[Array], observed: Sequence[Array], rng: np.random.Generator
) -> tuple[Array, list[Array]]:
    """Features of the simulations (n, d), and of each block's observed rows in random order.

    Over the observed rows of a block they are uncorrelated and of variance one, so that
    |theta_b|^2 is the variance of log a_b.
    """
    phi, seen = [], []
    for number, (y, rows) in enumerate(zip(simulated, observed, strict=True)):
        _check_spread(y, rows, number)
        make = _block_features(rows)
        on_rows = make(rng.permutation(rows))
        scale = on_rows.std(axis=0)
        kept = scale > 1e-9
        on_rows = on_rows[:, kept] / scale[kept]
        variance, axes = np.linalg.eigh(np.cov(on_rows.T).reshape(kept.sum(), -1))
        whiten = axes[:, variance > _LEAST_VARIANCE] / np.sqrt(variance[variance > _LEAST_VARIANCE])
        phi.append(
            np.concatenate([make(part)[:, kept] / scale[kept] @ whiten for part in _parts(y)])
        )
        seen.append(on_rows @ whiten)
    return np.hstack(phi), seen


def _check_spread(y: Array, rows: Array, number: int) -> None:
    """Refuse a block's column that is constant among its rows alone: no smooth weight does that."""
    fixed = (np.ptp(rows, axis=0) == 0) & (np.ptp(y, axis=0) > 0)
    if fixed.any():
        column = int(np.argmax(fixed))
        raise InputError(
            f"output {column} of population {number + 1} is "
            f"{rows[0, column]:g} in every observed row, and not in every simulation: weights "
            "cannot give one value alone; leave that output out of the model and of the rows"
        )


def _parts(y: Array) -> list[Array]:
    """The rows in parts: before they are whitened the features are many more than after it."""
    return [y[start : start + _AT_ONCE] for start in range(0, len(y), _AT_ONCE)]


def _block_features(rows: Array) -> Features:
    maps = [normal_scores(column) for column in rows.T]

    def make(y: Array) -> Array:
        columns = [np.clip(m(v), -_LARGEST_SCORE, _LARGEST_SCORE)
                   for m, v in zip(maps, y.T, strict=True)]  # fmt: skip
        alone = [part for s in columns for part in (s[:, None], s[:, None] ** 2, _splines(s))]
        bent = [np.tanh(s / 1.5) for s in columns]
        pairs: list[Any] = []
        for i, j in combinations(range(len(columns)), 2):
            u, v = bent[i], bent[j]
            pairs += [columns[i] * columns[j], u**2 * v, u * v**2, u**2 * v**2]
        return np.hstack([*alone, *(pair[:, None] for pair in pairs)])

    return make


def _splines(s: Array) -> Array:
    """Cubic B-splines of scores (n,), constant beyond the outer knots; (n, 8)."""
    low, high = _INNER_KNOTS[0], _INNER_KNOTS[-1]
    knots = np.concatenate([np.full(3, low), _INNER_KNOTS, np.full(3, high)])
    design = BSpline.design_matrix(np.clip(s, low, high), knots, 3).toarray()
    # The splines add up to one, which says nothing.
    return np.asarray(design[:, 1:])


def _check(simulated: Sequence[Array], observed: Sequence[Array]) -> None:
    widths = [y.shape[1] for y in simulated], [rows.shape[1] for rows in observed]
    if widths[0] != widths[1] or len({len(y) for y in simulated}) != 1:
        raise InputError(
            "project needs for each block simulated rows (n, L) and observed rows (N, L); got "
            f"{[y.shape for y in simulated]} and {[rows.shape for rows in observed]}"
        )
    check_rows(min(map(len, observed)))


def check_rows(count: int) -> None:
    """Refuse a population of too few observed rows.

    Raises:
        InputError: there are fewer than 20.
    """
    if count < _FEWEST_ROWS:
        raise InputError(
            f"a population of {count} observed rows says too little of its law; "
            f"give {_FEWEST_ROWS} or more, or a law"
        )
