r"""What the chain samples: the density of the answer, which a deterministic model allows to state.

For a deterministic model M the answer has a density that can be written down (Butler, Jakeman and
Wildey 2018, SIAM J. Sci. Comput. 40, A984):

    log P_X(x) = log q(x) + log P_Y(M(x)) - log q_Y(M(x)),

with the prior q, the law P_Y of the observations and the prior's push-forward q_Y, which is fitted
to simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invgan.density import Density
from invgan.priors import Simplex
from invgan.problem import Problem
from invgan.simulation import evaluate

__all__ = ["Target", "free_parameters"]

Array = NDArray[np.float64]


@dataclass
class Target:
    """The log-density of the answer over the free parameters (all but the last, on a simplex).

    Attributes:
        problem: its model and its prior.
        log_p_y: the log-density of the observations, from outputs (n, L) to (n,).
        q_y: the density of the prior's push-forward.
        evaluations: how many rows were given to the model so far.
    """

    problem: Problem
    log_p_y: Callable[[Array], Array]
    q_y: Density
    evaluations: int = 0

    def parameters(self, free: Array) -> Array:
        """Parameters (..., D) from the free ones (..., E)."""
        if not isinstance(self.problem.prior.support, Simplex):
            return free
        return np.concatenate([free, 1 - free.sum(axis=-1, keepdims=True)], axis=-1)

    def log_ratio(self, y: Array) -> Array:
        """The logarithm of P_Y / q_Y at outputs y (n, L), shape (n,)."""
        return np.asarray(self.log_p_y(y) - self.q_y.log_prob(y))

    def __call__(self, free: Array) -> Array:
        """The log-density and the outputs that it stands on, side by side, shape (n, 1 + L)."""
        x = self.parameters(free)
        log_q = self.problem.prior.log_prob(x)
        inside = np.isfinite(log_q)
        y = np.full((len(x), len(self.problem.outputs)), np.nan)
        if inside.any():
            y[inside] = evaluate(self.problem, x[inside])
            self.evaluations += int(inside.sum())
        good = np.isfinite(y).all(axis=1)
        out = np.full(len(x), -np.inf)
        if good.any():
            out[good] = log_q[good] + self.log_ratio(y[good])
        out[~np.isfinite(out)] = -np.inf
        return np.concatenate([out[:, None], y], axis=1)


def free_parameters(problem: Problem) -> int:
    """How many parameters a walker moves in: all, or all but one on a simplex."""
    return len(problem.prior.names) - isinstance(problem.prior.support, Simplex)
