"""Prior draws and the model's outputs for them."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError, ModelError
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.simulation.evaluate import Progress, evaluate

__all__ = ["simulate"]

Array = NDArray[np.float64]

_PRIOR_BLOCK = 4096


def simulate(
    problem: Problem,
    n: int = 100_000,
    *,
    seed: int = 0,
    chunk: int = 8192,
    max_failures: float = 0.05,
    progress: Progress | None = None,
) -> Simulations:
    """Draw n parameter vectors from the prior and run the model on each.

    The result depends on the seed alone, not on the chunk size; fewer simulations with the same
    seed are the first rows of more (for a stochastic model, in whole blocks of 1024 rows).

    Args:
        problem: model and prior.
        n: how many simulations, 20 or more.

    Other Args:
        seed: of the prior draws and of all noise, the model's and the measurement's.
        chunk: rows handed to the model at once.
        max_failures: the share of simulations that may fail to be finite, 0 to 1.
        progress: called with (done, total).

    Returns:
        The finite simulations; the parameters of the others stand in `Simulations.failed`.

    Raises:
        ModelError: the model raised, returned another shape, or failed too often.
    """
    if n < 20:
        raise InputError(f"simulate needs n of 20 or more to learn anything; got n={n}")
    started = time.perf_counter()
    draws_seed, noise_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
    x = _prior_draws(problem, n, draws_seed)
    y = evaluate(problem, x, seed=noise_seed, chunk=chunk, progress=progress)
    good = np.isfinite(y).all(axis=1)
    _check_failures(problem, x[~good], n, max_failures)
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_evaluations": n * problem.runs_per_row,
        "not_finite": int(n - good.sum()),
    }
    return Simulations(x[good], y[good], problem.prior.names, problem.outputs, x[~good], info)


def _prior_draws(problem: Problem, n: int, seed: int) -> Array:
    seeds = np.random.SeedSequence(seed).spawn(-(-n // _PRIOR_BLOCK))
    return np.concatenate([_prior_block(problem, s) for s in seeds])[:n]


def _prior_block(problem: Problem, seed: np.random.SeedSequence) -> Array:
    x = np.asarray(problem.prior.sample(_PRIOR_BLOCK, np.random.default_rng(seed)), float)
    wanted = (_PRIOR_BLOCK, len(problem.prior.names))
    if x.shape != wanted:
        raise InputError(
            f"the prior's sample({_PRIOR_BLOCK}, rng) gave draws of shape {x.shape}; expected "
            f"{wanted}, one column for each of {', '.join(problem.prior.names)}"
        )
    return x


def _check_failures(problem: Problem, failed: Array, n: int, limit: float) -> None:
    if not len(failed):
        return
    pairs = zip(problem.prior.names, failed[0], strict=True)
    first = ", ".join(f"{name}: {value:.6g}" for name, value in pairs)
    if len(failed) == n:
        raise ModelError(f"none of the {n} simulations was finite (first: x = {{{first}}})")
    if len(failed) > limit * n:
        raise ModelError(
            f"{len(failed)} of {n} simulations were not finite (first: x = {{{first}}}); allow "
            f"more with max_failures={min(1.0, len(failed) / n * 1.2):.2g}, or narrow the prior"
        )
