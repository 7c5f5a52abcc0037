"""Exact draws of the population answer of a deterministic model, by rejection from the prior.

The answer ``P_X(x) = q(x) P_Y(M(x)) / q_Y(M(x))`` is the prior times a function of the outputs: a
draw of the prior is one of the answer with a chance in proportion to ``P_Y / q_Y`` at its outputs.
There are two ways to have this function.

`rejection`: P_Y is a named law of one output, and the push-forward density q_Y is computed.

`tilted`: the function itself is chosen, any r(y) from 0 to 1, and the observed members are draws
of the prior that were kept with the chance r(M(x)). Their outputs have the law P_Y proportional to
q_Y r, whatever q_Y is, for any number of outputs. Then

    KL(P_X || q) = E log r(M(x)) over x ~ P_X, minus the logarithm of E r(M(x)) over x ~ q.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.gallery.ready import Exact
from invgan.observations import Law
from invgan.priors import PriorLike
from invgan.problem import Problem

__all__ = ["rejection", "tilted"]

Array = NDArray[np.float64]

_CELLS = 1200


def rejection(
    problem: Problem, density: Callable[[Array], Array], low: float, high: float
) -> Exact:
    """An exact sampler for one output whose law has its mass on [low, high].

    Args:
        problem: deterministic model, prior and an observed law.
        density: q_Y of outputs (m,), shape (m,); it is tabulated at the first draw.
        low: no output below it is drawn.
        high: no output above it is drawn.

    Raises:
        InputError: the observations are no law.
    """
    law = problem.observations
    if not isinstance(law, Law):
        raise InputError("exact rejection needs an observed law, and this problem has a table")

    @cache
    def table() -> tuple[Array, Array]:
        grid = np.linspace(low, high, _CELLS + 1)
        return grid, np.exp(law.log_prob(grid[:, None])) / density(grid)

    def exact(n: int, seed: int) -> Array:
        grid, ratio = table()

        def chance(x: Array) -> Array:
            return np.asarray(np.interp(problem.model(x)[:, 0], grid, ratio, left=0, right=0))

        return _kept(problem.prior, chance, 1.001 * ratio.max(), 200_000, n, seed)

    return exact


def tilted(
    prior: PriorLike,
    model: Callable[[Array], Array],
    preference: Callable[[Array], Array],
    *,
    block: int = 50_000,
) -> Exact:
    """An exact sampler of the members that a preference among outputs keeps.

    Args:
        prior: of the parameters.
        model: deterministic, from x (n, D) to y (n, L).
        preference: r of outputs (n, L), shape (n,), 0 to 1.

    Other Args:
        block: prior draws that are tried at once.
    """
    return lambda n, seed: _kept(prior, lambda x: preference(model(x)), 1.0, block, n, seed)


def _kept(
    prior: PriorLike,
    chance: Callable[[Array], Array],
    bound: float,
    block: int,
    n: int,
    seed: int,
) -> Array:
    """Draws (n, D) of the prior, each kept with the chance (at most bound) divided by bound."""
    rng = np.random.default_rng(seed)
    kept: list[Array] = []
    while sum(map(len, kept)) < n:
        x = prior.sample(block, rng)
        kept.append(x[rng.random(len(x)) * bound < chance(x)])
    return np.concatenate(kept)[:n]
