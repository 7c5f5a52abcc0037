"""Draws from weighted candidates, with as few repeats as can be.

A matrix of likelihood ratios has room for few candidates, and their weights keep fewer. But in few
dimensions the log-weight is a smooth function of x, smoother than the likelihood, and known without
noise: cubic radial basis functions on a quadratic, through the nearest candidates, give it at fresh
draws of the inverse. Whether they do is tried first: the weights that they give to candidates that
were left out must be within a total variation of 0.3 of their own; the model judges the draws in
any case, and repeats of few candidates are the alternative.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from invgan.mixing.evidence import Likelihood, draw_candidates
from invgan.problem import Problem
from invgan.resampling import effective_share, resampled

__all__ = ["draw"]

Array = NDArray[np.float64]

_FAITHFUL, _SPARE, _MOST_FRESH = 0.3, 1.2, 10
_NEIGHBOURS, _MOST_DIMENSIONS, _FEWEST_CANDIDATES = 60, 6, 500
_LEAST_LOG_WEIGHT = -30.0


def draw(
    problem: Problem,
    inverse: Likelihood,
    x: Array,
    weights: Array,
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, float]:
    """N draws that count equally, (n, D), and the share of them that are no repeats.

    Args:
        problem: its prior and observations.
        inverse: of fresh candidates.
        x: candidates, shape (N, D).
        weights: theirs, shape (N,).
        n: how many draws.
        rng: of all choices.
    """
    short = min(math.ceil(_SPARE * n / effective_share(weights)), _MOST_FRESH * n) - len(x)
    if short > 0 and _smooth(x, weights, rng):
        fresh = draw_candidates(problem, inverse, short, rng)
        weights = np.concatenate([weights, _interpolated(x, weights, fresh)])
        x = np.concatenate([x, fresh])
    index = resampled(weights, x[:, 0], n, rng)
    return x[index], len(np.unique(index)) / n


def _smooth(x: Array, weights: Array, rng: np.random.Generator) -> bool:
    """Whether candidates that were left out come out with nearly their own weights."""
    if x.shape[1] > _MOST_DIMENSIONS or len(x) < _FEWEST_CANDIDATES:
        return False
    order = rng.permutation(len(x))
    out, known = np.split(order, [len(x) // 5])
    guess, true = _interpolated(x[known], weights[known], x[out]), weights[out]
    if not guess.sum() > 0 < true.sum():
        return False
    distance = np.abs(guess / guess.sum() - true / true.sum()).sum() / 2
    return bool(distance < _FAITHFUL)


def _interpolated(x: Array, weights: Array, fresh: Array) -> Array:
    """Weights of fresh points (m, D), none beyond those of x (N, D)."""
    scale = x.std(axis=0)
    scale, top = np.where(scale > 0, scale, 1), weights.max()
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(weights / top), _LEAST_LOG_WEIGHT)
    try:
        surface = RBFInterpolator(x / scale, logs, neighbors=_NEIGHBOURS, kernel="cubic", degree=2)
        found = surface(fresh / scale)
    # Candidates on one line, or twice the same, have no surface through them.
    except (np.linalg.LinAlgError, ValueError):
        return np.zeros(len(fresh))
    return np.asarray(top * np.exp(np.minimum(found, 0)))
