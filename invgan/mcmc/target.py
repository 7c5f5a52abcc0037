r"""What the chain samples: the density of the answer, where it can be stated.

For a deterministic model M the answer of the population question has a density that can be written
down (Butler, Jakeman and Wildey 2018, SIAM J. Sci. Comput. 40, A984):

    log P_X(x) = log q(x) + log P_Y(M(x)) - log q_Y(M(x)),

with the prior q, the law P_Y of the observations and the prior's push-forward q_Y, which is fitted
to simulations. For the posterior question it is Bayes' rule,

    log p(x | y_1, ..., y_R) = log q(x) + sum_r log p(y_r | x) + constant.

So either way the prior is weighed: by P_Y / q_Y, or by the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invgan.priors import Simplex
from invgan.problem import Problem
from invgan.simulation.runs import run_model

__all__ = ["Target", "free_parameters"]

Array = NDArray[np.float64]


@dataclass
class Target:
    """The log-density of the answer over the free parameters (all but the last, on a simplex).

    Attributes:
        problem: its model and its prior.
        log_weight: what is added to the log-density of the prior, from parameters (n, D) and the
            model's own outputs for them (n, L) to (n,).
        runs_model: False where the weight needs no outputs; there are none then (L is zero).
        evaluations: how many rows were given to the model so far.
    """

    problem: Problem
    log_weight: Callable[[Array, Array], Array]
    runs_model: bool = True
    evaluations: int = 0

    def parameters(self, free: Array) -> Array:
        """Parameters (..., D) from the free ones (..., E)."""
        if not isinstance(self.problem.prior.support, Simplex):
            return free
        return np.concatenate([free, 1 - free.sum(axis=-1, keepdims=True)], axis=-1)

    def __call__(self, free: Array) -> Array:
        """The log-density and the outputs that it stands on, side by side, shape (n, 1 + L)."""
        return np.hstack(self.at(self.parameters(free)))

    def at(self, x: Array) -> tuple[Array, Array]:
        """The log-density (n, 1) and the outputs (n, L) at parameters x (n, D)."""
        log_q = self.problem.prior.log_prob(x)
        inside = np.isfinite(log_q)
        y = np.full((len(x), len(self.problem.outputs) if self.runs_model else 0), np.nan)
        if self.runs_model and inside.any():
            y[inside] = run_model(self.problem, x[inside])
            self.evaluations += int(inside.sum())
        good = inside & np.isfinite(y).all(axis=1)
        out = np.full(len(x), -np.inf)
        if good.any():
            out[good] = log_q[good] + self.log_weight(x[good], y[good])
        out[~np.isfinite(out)] = -np.inf
        return out[:, None], y


def free_parameters(problem: Problem) -> int:
    """How many parameters a walker moves in: all, or all but one on a simplex."""
    return len(problem.prior.names) - isinstance(problem.prior.support, Simplex)
