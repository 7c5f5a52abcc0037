"""Runs of the model as a table, and what would be observed of them.

The noise of a measurement belongs to the seed and the place of the row alone: each block of `BLOCK`
rows has a generator of its own, from which the rows draw in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from invgan.execution.attempt import Failure, Outcome, Piece
from invgan.execution.calls import BLOCK, generator
from invgan.observations import Table
from invgan.problem import Problem
from invgan.simulation.running import call_size, outcomes

__all__ = [
    "Progress",
    "attempted",
    "measure",
    "observed",
    "own_outputs",
    "run_model",
    "sort_repeats",
]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

_NOISE_KEY = 1
_FEWEST = 20


def run_model(
    problem: Problem, x: Array, *, chunk: int | None = None, progress: Progress | None = None
) -> Array:
    """The own outputs (n, L) of a deterministic model for each row of x (n, D), without noise.

    Rows where it failed are NaN.

    Raises:
        ModelError: the model raised for every one of 20 rows or more, or returned something of
            another shape.
    """
    fresh = len(x) >= _FEWEST
    runs, _, _ = attempted(problem, x, chunk=chunk, progress=progress, fresh=fresh)
    return runs[:, 0]


def attempted(
    problem: Problem,
    x: Array,
    *,
    seed: int = 0,
    chunk: int | None = None,
    progress: Progress | None = None,
    fresh: bool = True,
    heed: Callable[[Outcome], None] | None = None,
) -> tuple[Array, list[Failure], float]:
    """The model's own outputs for each row of x, and what is known of the rows that failed.

    Args:
        problem: whose model to run.
        x: parameters, shape (n, D).

    Other Args:
        seed: for the model's own noise.
        chunk: rows handed to a batched model at once.
        progress: called with (rows done, rows in all) as rows are finished.
        fresh: whether to give up where nothing but failures comes back at first.
        heed: called with what comes of rows, as it comes; may stop the run by an error.

    Returns:
        Outputs (n, runs, L), NaN where a row failed; the failures in the order of the rows; the
        seconds that the model took, summed over all workers.
    """
    n, size = len(x), call_size(problem, len(x), chunk)
    y = np.empty((n, problem.runs_per_row, len(problem.outputs)))
    pieces = (Piece(start, x[start : start + size]) for start in range(0, n, size))
    failures: list[Failure] = []
    done, seconds = 0, 0.0
    with closing(outcomes(problem, pieces, n, seed=seed, fresh=fresh)) as found:
        for outcome in found:
            y[outcome.start : outcome.start + len(outcome)] = outcome.y
            failures += outcome.failures
            done, seconds = done + len(outcome), seconds + outcome.seconds
            if heed is not None:
                heed(outcome)
            if progress is not None:
                progress(done, n)
    return y, sorted(failures), seconds


def measure(problem: Problem, y: Array, *, seed: int = 0) -> Array:
    """What would be observed where a deterministic model's own outputs are y.

    Args:
        problem: its noise and its repeats.
        y: outputs without noise, shape (n, L).
        seed: for the noise.

    Returns:
        Outputs as from `evaluate`, shape (n, R * L); y itself where there is no noise.
    """
    return observed(problem, y[:, None], seed=seed)


def observed(problem: Problem, runs: Array, *, seed: int, start: int = 0) -> Array:
    """What would be observed of runs (n, runs, L), the first of which is row `start` of all.

    Returns:
        Outputs as from `evaluate`, shape (n, R * L).
    """
    n, repeats = len(runs), problem.repeats
    if problem.noise is not None:
        times = repeats // runs.shape[1]
        blocks = _blocks(start, start + n)
        parts = [runs[:0].repeat(times, axis=1)]
        for k, first, last in blocks:
            mine = runs[max(first, start) - start : last - start].repeat(times, axis=1)
            parts.append(_with_noise(problem, mine, seed, k, last - first))
        runs = np.concatenate(parts)
    return (runs if repeats == 1 else sort_repeats(runs)).reshape(n, repeats * runs.shape[2])


def own_outputs(problem: Problem, y: Array, places: NDArray[np.intp], *, seed: int) -> Array | None:
    """The model's own outputs behind observed ones, whose noise is known by seed and place.

    The noise is taken off again, so that stores need not hold outputs twice; in repeats that were
    sorted, off their mean.

    Args:
        problem: its noise and its repeats.
        y: outputs as from `observed`, shape (n, R * L).
        places: which rows of all these are, in rising order, shape (n,).
        seed: of the noise.

    Returns:
        Shape (n, L), but for the last digits; None where there is no noise of the measurement, or
        where a model with noise of its own was run for each repeat.
    """
    if problem.noise is None or problem.runs_per_row > 1:
        return None
    repeats, factor = problem.repeats, problem.noise.kind == "lognormal"
    blank = np.full((int(places[-1]) + 1 if len(places) else 0, 1, len(problem.outputs)), factor)
    noise = observed(problem, blank.astype(float), seed=seed)[places]
    seen, noise = (part.reshape(len(y), repeats, -1).mean(axis=1) for part in (y, noise))
    return np.asarray(seen / noise if factor else seen - noise)


def sort_repeats(y: Array) -> Array:
    """Sort the repeats of y (n, R, L) by their first output."""
    return np.take_along_axis(y, _order(y)[:, :, None], axis=1)


def column_names(problem: Problem) -> list[str]:
    """Names of the columns of outputs, as `evaluate` gives them.

    The repeats of one experiment are sorted; each is named by the place of its observed row.
    """
    seen = problem.observations
    if problem.repeats == 1 or not isinstance(seen, Table):
        return list(problem.outputs)
    places = _order(seen.rows[None])[0]
    return [f"{name}, repeat {r + 1}" for r in places for name in problem.outputs]


def _order(y: Array) -> NDArray[np.intp]:
    return np.argsort(y[:, :, 0], axis=1, kind="stable")


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """The number of every block that has rows in a range, its first row, and the last in range."""
    for k in range(start // BLOCK, -(-stop // BLOCK)):
        yield k, k * BLOCK, min((k + 1) * BLOCK, stop)


def _with_noise(problem: Problem, y: Array, seed: int, block: int, height: int) -> Array:
    """Noise upon the last of the first `height` rows of a block, y (m, R, L)."""
    if problem.noise is None:
        return y
    key = (block, _NOISE_KEY) if problem.stochastic else (block,)
    # Noise is drawn for the rows before these too, which are not at hand, so that it is the same.
    padded = np.concatenate([np.zeros((height - len(y), *y.shape[1:])), y])
    flat = problem.noise.sample(padded.reshape(-1, y.shape[2]), generator(seed, *key))
    return flat.reshape(padded.shape)[height - len(y) :]
