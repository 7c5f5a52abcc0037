"""Whether a model that is said to be deterministic gives the same outputs again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.execution.calls import check_call
from invgan.models.identity import while_working
from invgan.problem import Problem
from invgan.simulation.runs import run_model

__all__ = ["check_repeatable", "runs_to_repeat"]

Array = NDArray[np.float64]

_ROWS, _DIGITS = 3, 1e-5


def runs_to_repeat(problem: Problem) -> int:
    """How many runs of the model `check_repeatable` makes."""
    return 0 if problem.stochastic else 2 * _ROWS


@while_working
def check_repeatable(problem: Problem, *, seed: int = 0) -> None:
    """Run a deterministic model twice on three draws of the prior.

    Its noise, were it hidden, would be taken for an effect of the parameters: a population would
    come out too wide by it, and no check could tell. Rows that fail say nothing.

    Raises:
        InputError: the outputs of one row differ in their first five digits, or the model does not
            take what it will be given.
        ModelError: the model returned something that is not its outputs.
    """
    check_call(problem.model, problem.stochastic)
    if problem.stochastic:
        return
    x = np.asarray(problem.prior.sample(_ROWS, np.random.default_rng(seed)), float)
    first, again = np.split(run_model(problem, np.concatenate([x, x])), 2)
    scale = np.nan_to_num(np.abs(first)).mean(axis=0)
    told = np.isfinite(first) & np.isfinite(again)
    differs = told & ~np.isclose(first, again, rtol=_DIGITS, atol=_DIGITS * scale)
    if differs.any():
        i, j = np.argwhere(differs)[0]
        raise InputError(
            f"the model gave {problem.outputs[j]} = {first[i, j]:.6g} and then {again[i, j]:.6g} "
            "for the same parameters: if it is random, let it take a generator, f(x, rng), and set "
            "stochastic=True (stochastic: true); if not, make it give the same outputs again"
        )
