"""Why a chain should not be trusted, however well it mixes: what its target rests on is not there.

A population's target rests on a density of the outputs, a posterior's on a likelihood. One that the
user states is held against the simulations: pairs of parameters and outputs stay such pairs under
Metropolis steps of the parameters by prior times likelihood (Geweke 2004, J. Am. Stat. Assoc. 99,
799), if the likelihood is that of the model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invgan.balance import SURPRISE, imbalance, stepped
from invgan.errors import ModelError
from invgan.mcmc.likelihood import stated
from invgan.mcmc.target import free_parameters
from invgan.metrics import has_ties
from invgan.problem import Problem
from invgan.samples import Simulations

__all__ = ["doubt"]

Array = NDArray[np.float64]

_ROWS, _PAIRS, _FEWEST_PAIRS, _FEW, _TIMES = 2000, 2000, 250, 20, 5
_DECADES = 2.0  # a posterior may be a hundred times as narrow as its prior


def doubt(problem: Problem, simulations: Simulations) -> str:
    """A reason not to trust a chain of this problem, or nothing.

    Args:
        problem: what the chain answers.
        simulations: of its prior, in memory.
    """
    if problem.question == "population":
        return _baseless(problem, simulations)
    if problem.log_likelihood is not None and len(simulations) >= 2 * _FEWEST_PAIRS:
        return _another_law(problem, simulations)
    return ""


def _baseless(problem: Problem, simulations: Simulations) -> str:
    """Why the outputs have no density, or nothing."""
    varying = int((np.ptp(simulations.y, axis=0) > 0).sum())
    seen = problem.observations.representative(_ROWS, np.random.default_rng(0))
    if has_ties(simulations.y, seen):
        return (
            "values of the outputs are repeated, so that they have no density for MCMC to start "
            "from: do not trust this chain"
        )
    if varying > free_parameters(problem):
        return (
            f"{varying} outputs of {free_parameters(problem)} parameters depend on each other, so "
            "that they have no density for MCMC to start from: do not trust this chain"
        )
    return ""


def _another_law(problem: Problem, simulations: Simulations) -> str:
    """Why the stated likelihood is not that of simulated pairs, or nothing.

    Nothing is said of a function that does not look at the rows it is given, or cannot be asked of
    others than the observed ones.
    """
    n = min(_PAIRS, len(simulations) // 2)
    x, y = simulations.x[:n], simulations.y[:n]
    pairs, width = np.hstack([x, y]), x.shape[1]
    moved, column = stepped(pairs, np.random.default_rng(0), width=width, decades=_DECADES)
    try:
        before, after = _target(problem, x, moved[:, :width], y)
        elsewhere = _target(problem, x[:_FEW], x[:_FEW], y[1 : 1 + _FEW])[0]
    except ModelError:
        return ""
    if np.array_equal(before[:_FEW], elsewhere, equal_nan=True):
        return ""
    others = slice(n, n + 4 * _PAIRS)
    middle = np.hstack([_middle(simulations.x[others], simulations.y[others], y), 0 * y])
    where, away = imbalance(pairs - middle, moved - middle, column, before, after)
    if away <= SURPRISE:
        return ""
    names = [*problem.prior.names, *problem.outputs * problem.repeats]
    along = " with ".join(repr(names[j]) for j in where) or "all parameters"
    return (
        "log_likelihood is not the law of the model's outputs given its parameters: steps by it "
        f"move simulated pairs along {along} ({away:.0f} standard errors); do not trust this chain"
    )


def _middle(x: Array, y: Array, at: Array) -> Array:
    """About where x lies for outputs `at`, linear in them: less it, ranks tell of a narrow law.

    It is learnt from pairs other than those that are looked at, or left at zero for few.
    """
    if len(y) < _TIMES * y.shape[1]:
        return np.zeros((len(at), x.shape[1]))
    here, there = (np.column_stack([np.nan_to_num(part), np.ones(len(part))]) for part in (y, at))
    return np.asarray(there @ np.linalg.lstsq(here, x, rcond=None)[0])


def _target(problem: Problem, x: Array, moved: Array, y: Array) -> tuple[Array, Array]:
    """Log-density of each pair (x, y), and of the same outputs with moved parameters; -inf beyond.

    The function is asked of one experiment at a time.
    """
    log_q = np.stack([problem.prior.log_prob(x), problem.prior.log_prob(moved)], axis=1)
    inside = np.stack([problem.prior.support.contains(part) for part in (x, moved)], axis=1)
    out = np.full(log_q.shape, -np.inf)
    for i, rows in enumerate(y.reshape(len(y), problem.repeats, -1)):
        good = inside[i] & np.isfinite(log_q[i])
        if good.any():
            asked = np.stack([x[i], moved[i]])[good]
            out[i, good] = log_q[i, good] + stated(problem, asked, rows)
    return out[:, 0], out[:, 1]
