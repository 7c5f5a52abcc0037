r"""The likelihood of one experiment, measured once or several times.

With the law p of the measurement noise about a deterministic model M, R rows of one experiment
have the log-likelihood

    sum_{r=1..R} log p(y_r | M(x)).

Whoever knows the likelihood of another model gives it as a function of x and the rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError, ModelError
from invgan.ground import theirs
from invgan.noise import Noise
from invgan.observations import Table
from invgan.problem import Problem

__all__ = ["likelihood_of", "stated"]

Array = NDArray[np.float64]

_CELLS, _ROWS = 2**20, 8192


def likelihood_of(problem: Problem) -> Callable[[Array, Array], Array]:
    """The log-likelihood of a posterior problem, the user's own where there is one.

    Returns:
        A function of parameters (n, D) and the model's own outputs for them (n, L), which the
        user's own does not need, that returns (n,).

    Raises:
        InputError: the problem states neither a likelihood nor what it follows from.
    """
    noise, seen = problem.noise, problem.observations
    if not isinstance(seen, Table):
        raise InputError("the posterior question needs observed rows")
    rows = seen.rows
    if problem.log_likelihood is not None:
        return lambda x, y: stated(problem, x, rows)
    if problem.missing:
        raise InputError(
            "MCMC needs the likelihood of outputs with missing values, which the noise alone does "
            "not give: give it as log_likelihood=function (problem.log_likelihood), or leave MCMC "
            "out (mcmc.enabled: false)"
        )
    if problem.stochastic:
        raise InputError(
            "MCMC needs the likelihood of a stochastic model, which simulations do not give: give "
            "it as log_likelihood=function (problem.log_likelihood), or leave MCMC out "
            "(mcmc.enabled: false)"
        )
    if noise is None:
        raise InputError(
            "the posterior of a deterministic model lies where its outputs are exactly the "
            "observed ones, and has no density for MCMC: give the noise of the measurement, as in "
            "noise={'normal': 0.1} (problem.noise), or leave MCMC out (mcmc.enabled: false)"
        )
    return lambda x, y: _measured(noise, rows, y)


def _measured(noise: Noise, rows: Array, y: Array) -> Array:
    step = max(1, _CELLS // rows.size)
    blocks = [y[start : start + step, None] for start in range(0, len(y), step)]
    return np.concatenate([noise.log_prob(rows, block).sum(axis=1) for block in blocks])


def stated(problem: Problem, x: Array, rows: Array) -> Array:
    """The user's own log-likelihood of parameters (n, D) for the rows of one experiment, (n,).

    Raises:
        InputError: the problem has none.
        ModelError: the function raised or returned another shape.
    """
    starts = range(0, len(x), _ROWS)
    return np.concatenate([_asked(problem, x[s : s + _ROWS], rows) for s in starts])


def _asked(problem: Problem, x: Array, rows: Array) -> Array:
    """What the user's function returns for copies of its arguments, which it may write to."""
    if problem.log_likelihood is None:
        raise InputError("the problem has no log_likelihood")
    try:
        with theirs():
            values = np.asarray(problem.log_likelihood(x.copy(), rows.copy()), float)
    except Exception as error:
        raise ModelError(
            f"log_likelihood raised {type(error).__name__}: {error} (called with {len(x)} "
            f"parameter vectors and {len(rows)} observed rows)"
        ) from error
    if values.shape not in ((len(x),), (len(x), 1)):
        raise ModelError(
            f"log_likelihood turned {x.shape} parameters and {rows.shape} observed rows into "
            f"shape {values.shape}; expected ({len(x)},), for each parameter vector the sum over "
            "all rows"
        )
    return values.reshape(len(x))
