"""The baseline from end to end: target, start, chain, diagnosis, draws."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, seeds_from, whole
from invgan.density import fit_density, observed_log_prob
from invgan.errors import InputError
from invgan.files import digest
from invgan.mcmc.chains import diagnose
from invgan.mcmc.doubts import doubt
from invgan.mcmc.ensemble import run_ensemble, start_among
from invgan.mcmc.journal import Journal
from invgan.mcmc.likelihood import likelihood_of
from invgan.mcmc.target import Target, free_parameters
from invgan.models.identity import identity, while_working
from invgan.observations import known_by
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate, measure

__all__ = ["run_mcmc", "suitable_walkers"]

Array = NDArray[np.float64]

_WALKERS = 64
_MOST_NUMBERS = 2**23


@while_working
def run_mcmc(
    problem: Problem,
    simulations: Simulations,
    n: int = 20_000,
    *,
    walkers: int | None = None,
    steps: int = 5000,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw from the exact answer, where its density can be stated.

    Args:
        problem: for a population, a deterministic model without noise; for a posterior, a
            deterministic model with `noise`, or any with `log_likelihood`.
        simulations: prior simulations of the same problem; the walkers start among them, and for
            a population q_Y is fitted to them.
        n: how many draws are wanted.

    Other Args:
        walkers: an even number above twice the number of free parameters; where left out 64, or the
            least that will do.
        steps: steps of each walker, 10 or more; each costs up to `walkers` model runs.
        seed: of everything random.
        checkpoint: stem of files for the chain as it is walked; where those of the same chain lie
            there, they are taken up, and the result is the same as without the interruption.
        progress: called with (steps done, steps in all).

    Returns:
        Draws with their outputs as they would be observed, all of weight one, in random order;
        fewer than n where the chain is shorter. `Samples.info` says whether the chain can be
        trusted (`converged`, `message`); `Samples.chain` is the chain itself, of which every
        ``info["thin"]``-th step is kept (all of them, up to 64 MB).

    Raises:
        InputError: the answer's density cannot be stated, the walkers do not suit the problem, or
            too few simulations are explained by the observations.
        ModelError: the model, or log_likelihood, raised or returned another shape.
    """
    check_kinds(problem=(problem, Problem), simulations=(simulations, Simulations))
    started = time.perf_counter()
    walkers = suitable_walkers(problem, walkers)
    _check(problem, simulations, n, steps)
    simulations = simulations.few()
    seeds = seeds_from(seed, 5)
    target, fitted = _target(problem, simulations, seeds[0], seeds[1])
    start = start_among(target, simulations, walkers, np.random.default_rng(seeds[2]))
    made_from = _fingerprint(problem, simulations, walkers, seed)
    journal = Journal(None if checkpoint is None else Path(checkpoint), made_from)
    chain = run_ensemble(target, start, steps, progress, journal)
    burn_in, diagnosis = diagnose(chain.x, problem.prior.names, n)
    reason = doubt(problem, simulations)
    if reason:
        diagnosis = {**diagnosis, "converged": False, "message": reason}
    rows = _choose(steps - burn_in, walkers, n, np.random.default_rng(seeds[3]))
    x, y = (np.concatenate(part[burn_in:])[rows] for part in (chain.x, chain.y))
    thin = max(1, -(-chain.x[burn_in:].size // _MOST_NUMBERS))
    y = _observed(target, x, y, seeds[4])
    info = {
        "method": "mcmc",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_evaluations": target.evaluations,
        "walkers": walkers,
        "steps": steps,
        "burn_in": burn_in,
        "thin": thin,
        "acceptance": chain.acceptance,
        **fitted,
        **diagnosis,
    }
    return Samples(
        x, y, np.ones(len(x)), problem.prior.names, problem.outputs, info,
        chain=chain.x[burn_in::thin], chain_log_prob=chain.log_prob[burn_in::thin],
    )  # fmt: skip


def _fingerprint(problem: Problem, simulations: Simulations, walkers: int, seed: int) -> str:
    """What a chain rests on: the target, and where and how it is walked; not how long."""
    seen = known_by(problem.observations)
    asked = repr([problem.question, problem.noise, walkers, seed, seen.shape])
    likelihood = identity(problem.log_likelihood)
    return digest(asked, seen, likelihood, simulations.x, simulations.y)


def _target(
    problem: Problem, simulations: Simulations, q_seed: int, p_seed: int
) -> tuple[Target, dict[str, Any]]:
    """The density to sample, and what is known of the fit that it rests on."""
    if problem.question == "posterior":
        return Target(problem, likelihood_of(problem), problem.log_likelihood is None), {}
    q_y = fit_density(simulations.y, seed=q_seed)
    log_p_y = observed_log_prob(problem.observations, seed=p_seed)
    fitted = {"density_heldout": q_y.heldout, "density_gap": q_y.gap}
    return Target(problem, lambda x, y: log_p_y(y) - q_y.log_prob(y)), fitted


def _observed(target: Target, x: Array, y: Array, seed: int) -> Array:
    """Outputs as `evaluate` gives them at parameters x, from the model's own y where it was run."""
    if target.runs_model:
        return measure(target.problem, y, seed=seed)
    target.evaluations += len(x) * target.problem.runs_per_row
    return evaluate(target.problem, x, seed=seed)


def suitable_walkers(problem: Problem, asked: int | None) -> int:
    """How many walkers an ensemble of this problem has.

    Args:
        problem: whose free parameters they are to span.
        asked: how many are asked for; None for 64, or the least that will do.

    Raises:
        InputError: as many do not suit the problem.
    """
    free = free_parameters(problem)
    least = 2 * free + 2
    walkers = max(_WALKERS, least) if asked is None else asked
    if walkers < least or walkers % 2:
        raise InputError(
            f"{free} free parameters need an even number of walkers, {least} or more; "
            f"got {walkers}: set walkers={max(least, walkers + walkers % 2)} (mcmc.walkers)"
        )
    return walkers


def _check(problem: Problem, simulations: Simulations, n: int, steps: int) -> None:
    if problem.question == "population" and problem.random:
        raise InputError(
            "the population density of a stochastic model, or of one with noise, cannot be stated, "
            "and MCMC has nothing to sample: leave it out (mcmc.enabled: false)"
        )
    expected = (problem.prior.names, problem.outputs)
    if (simulations.names, simulations.outputs) != expected:
        raise InputError(
            f"the simulations have parameters {list(simulations.names)} and outputs "
            f"{list(simulations.outputs)}; the problem has {list(expected[0])} and "
            f"{list(expected[1])}: simulate this problem first"
        )
    width = len(problem.outputs) * problem.repeats
    if simulations.y.shape[1] != width:
        raise InputError(
            f"the simulations have {simulations.y.shape[1]} columns of outputs; {problem.repeats} "
            f"repeats of {len(problem.outputs)} outputs are {width}: simulate this problem first"
        )
    whole("n", n)
    whole("steps", steps, least=10)


def _choose(steps: int, walkers: int, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which of the flattened states (T, W) to return: evenly along each walker, in any order.

    At most n, each at most once, so that as few as possible are a walker's stay at one point.
    """
    stride = max(steps * walkers / n, 1.0)
    place = (np.arange(min(n, steps * walkers)) * stride + rng.uniform(0, stride - 1)).astype(int)
    walker, step = np.divmod(place, steps)
    return np.asarray(rng.permutation(step * walkers + walker))
