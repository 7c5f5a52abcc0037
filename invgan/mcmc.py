r"""The baseline: Markov chain Monte Carlo with emcee on the population question.

For a deterministic model M the answer has a density that can be written down (Butler, Jakeman and
Wildey 2018, SIAM J. Sci. Comput. 40, A984):

    log P_X(x) = log q(x) + log P_Y(M(x)) - log q_Y(M(x)),

with the prior q, the law P_Y of the observations and the prior's push-forward q_Y, which is fitted
to simulations. An ensemble of walkers samples it (Goodman and Weare 2010, Comm. App. Math. Comp.
Sci. 5, 65; Foreman-Mackey et al. 2013, PASP 125, 306). Half of the moves are differential
evolution, half are draws from a kernel density of the other walkers, which jump between separate
parts of the answer. emcee's snooker move is not used: in release 3.1.6 it does not leave its
target invariant.

Whether the chain can be trusted is judged by its length in autocorrelation times and by the
split, rank-normalised R-hat of Vehtari et al. (2021, Bayesian Analysis 16, 667), walker by walker,
so that walkers caught in separate parts of the answer are seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import emcee
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from invgan.density import Density, fit_density, observed_log_prob
from invgan.errors import InputError
from invgan.priors import Simplex
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulate import evaluate

__all__ = ["run_mcmc"]

Array = NDArray[np.float64]

_TIMES_NEEDED = 50
_LARGEST_RHAT = 1.05
_TEMPER = 0.5


def run_mcmc(
    problem: Problem,
    simulations: Simulations,
    n: int = 20_000,
    *,
    walkers: int = 64,
    steps: int = 5000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw from the exact answer of the population question.

    Args:
        problem: deterministic model, prior and observations.
        simulations: prior simulations of the same model; q_Y is fitted to them and the walkers
            start among them.
        n: how many draws are wanted.

    Other Args:
        walkers: an even number above twice the number of free parameters.
        steps: steps of each walker, 10 or more; each costs up to `walkers` model runs.
        seed: of everything random.
        progress: called with (steps done, steps in all).

    Returns:
        Draws with their outputs, all of weight one, in random order; fewer than n where the chain
        is shorter. `Samples.info` says whether the chain can be trusted (`converged`, `message`).

    Raises:
        InputError: the question is not ``"population"``, the walkers do not suit the problem, or
            too few simulations are explained by the observations.
        ModelError: the model raised.
    """
    started = time.perf_counter()
    _check(problem, n, walkers, steps)
    density_seed, start_seed, chain_seed, draw_seed = (
        int(s) for s in np.random.SeedSequence(seed).generate_state(4)
    )
    q_y = fit_density(simulations.y, seed=density_seed)
    target = _Target(problem, observed_log_prob(problem.observations, seed=density_seed), q_y)
    start = _start(target, simulations, walkers, np.random.default_rng(start_seed))
    sampler = _run(target, start, steps, chain_seed, progress)
    chain, y = _outcome(sampler, len(problem.outputs))
    burn_in, diagnosis = _diagnose(chain, problem.prior.names)
    rows = _choose(chain[burn_in:], n, np.random.default_rng(draw_seed))
    x = target.parameters(_flat(chain[burn_in:])[rows])
    info = {
        "method": "mcmc",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_evaluations": target.evaluations,
        "walkers": walkers,
        "steps": steps,
        "burn_in": burn_in,
        "acceptance": float(sampler.acceptance_fraction.mean()),
        "density_heldout": q_y.heldout,
        "density_gap": q_y.gap,
        **diagnosis,
    }
    return Samples(
        x, _flat(y[burn_in:])[rows], np.ones(len(x)), problem.prior.names, problem.outputs, info
    )
