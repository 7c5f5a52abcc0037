"""Prior draws and the model's outputs for them, in memory or into a store."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from invgan.arguments import check_kinds, seeds_from, whole
from invgan.execution.attempt import Outcome
from invgan.execution.calls import check_call
from invgan.models.identity import while_working
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.simulation.draws import Design, Draws
from invgan.simulation.failures import check_failures, failed_among, failed_rows, sorted_out
from invgan.simulation.filling import Filling, about, identity
from invgan.simulation.raw import kept_problem, raw_width, summarised_rows
from invgan.simulation.running import call_size, longest
from invgan.simulation.runs import Progress, attempted, observed, own_outputs

__all__ = ["fill_store", "simulate"]

_FEWEST = 20


@while_working
def simulate(
    problem: Problem,
    n: int = 100_000,
    *,
    seed: int = 0,
    chunk: int | None = None,
    max_failures: float = 0.05,
    design: Design = "random",
    store: str | Path | None = None,
    memory: float = math.inf,
    retry: bool = True,
    progress: Progress | None = None,
) -> Simulations:
    """Draw n parameter vectors from the prior and run the model on each.

    The result depends on the seed alone, not on where and in what chunks it is run; fewer
    simulations with the same seed are the first rows of more (for a batched model with noise of
    its own, in whole blocks of 1024 rows).

    Args:
        problem: model and prior.
        n: how many simulations, 20 or more.

    Other Args:
        seed: of the prior draws and of all noise, the model's and the measurement's.
        chunk: rows handed to a batched model at once, 8192 by default.
        max_failures: the share of simulations that may fail, 0 to 1.
        design: ``"random"``, independent draws, or ``"sobol"``, points that fill a prior of
            independent laws evenly.
        store: a folder to keep simulations in as they come. What it holds of this problem and seed
            is not simulated again, so a run that was stopped goes on, and a larger n adds to it.
        memory: GB of simulations that are read back from a store. More stay on the disk, mapped
            from files in a folder beside the store, and are streamed from there.
        retry: whether rows of a store that ran out of time are run again where they may take
            longer now.
        progress: called with (done, total).

    Returns:
        The finished simulations; the others stand in `Simulations.failed` and `.failures`.

    Raises:
        ModelError: the model raised for every row, returned another shape, or failed too often.
        InputError: the store is another's, or its disk is full; what came before is safe there.
    """
    _check(problem, n)
    draws_seed, noise_seed = seeds_from(seed, 2)
    if store is not None:
        from invgan.store import Stored  # noqa: PLC0415

        found = fill_store(
            problem, store, n, seed=seed, chunk=chunk, max_failures=max_failures, design=design,
            retry=retry, progress=progress,
        )  # fmt: skip
        stored = Stored(store, n=n)
        if raw_width(store):
            simulations = summarised_rows(problem, stored, seed=noise_seed)
            failed, records = simulations.failed, simulations.failures
            check_failures(problem, failed, records, n, n, max_failures)
            return replace(simulations, info=found | simulations.info)
        small, own = stored.nbytes <= 1e9 * memory, None
        simulations = stored.load() if small else stored.mapped(f"{store}-mapped")
        if small:
            own = own_outputs(problem, simulations.y, stored.places, seed=noise_seed)
        return replace(simulations, info=simulations.info | found, own=own)
    started = time.perf_counter()
    x = Draws(problem.prior, design, draws_seed).rows(0, n)
    runs, failures, seconds = attempted(
        problem, x, seed=noise_seed, chunk=chunk, progress=progress,
        heed=_Heed(problem, n, max_failures),
    )  # fmt: skip
    y = observed(problem, runs, seed=noise_seed)
    good, records = sorted_out(problem, y, failures)
    failed = x[~good]
    check_failures(problem, failed, records, n, n, max_failures)
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_seconds": seconds,
        "model_evaluations": n * problem.runs_per_row,
        "not_finite": int(n - good.sum()),
        "design": design,
        "noise": str(problem.noise),
    }
    if len(failed):
        x, y = x[good], y[good]
    # Not from the runs themselves, so that a store gives the same to the last digit.
    own = own_outputs(problem, y, np.flatnonzero(good), seed=noise_seed)
    return Simulations(x, y, problem.prior.names, problem.outputs, failed, info, records, own=own)


@while_working
def fill_store(
    problem: Problem,
    store: str | Path,
    n: int = 100_000,
    *,
    seed: int = 0,
    chunk: int | None = None,
    max_failures: float = 0.05,
    design: Design = "random",
    retry: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate into a store, however large, without reading it back.

    Of a model with a summary the store keeps the raw outputs (`summarised`), so that another
    summary of them is no other run of the model.

    Arguments and errors are those of `simulate`.

    Returns:
        Figures of this run: seconds, model_seconds, model_evaluations (of the whole store),
        new_evaluations (of this run).
    """
    _check(problem, n)
    from invgan.store import Stored  # noqa: PLC0415
    from invgan.store.writing import writing  # noqa: PLC0415

    started = time.perf_counter()
    draws_seed, noise_seed = seeds_from(seed, 2)
    draws = Draws(problem.prior, design, draws_seed)
    problem = kept_problem(problem, store, draws)
    made_from, call = identity(problem, seed, design), call_size(problem, n, chunk)
    with writing(store, made_from, about(problem), call) as writer:
        if retry:
            writer.wait_again(longest(problem), n)
        before = done = int((writer.status[:n] != 0).sum())
        failed = int((writer.status[:n] > 1).sum())
        filling = Filling(problem, writer, draws, n, noise_seed)
        with closing(filling.run()) as found:
            for outcome in found:
                done += len(outcome)
                failed += failed_rows(problem, outcome)
                if progress is not None:
                    progress(min(done, n), n)
                if failed > max_failures * n:
                    break
    if failed:
        check_failures(problem, *Stored(store, n=n).failures(), min(done, n), n, max_failures)
    return {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_seconds": filling.seconds,
        "model_evaluations": n * problem.runs_per_row,
        "new_evaluations": (done - before) * problem.runs_per_row,
        "design": design,
        "noise": str(problem.noise),
    }


class _Heed:
    """Counts failures as they come, and stops a run of which too many fail."""

    def __init__(self, problem: Problem, n: int, limit: float) -> None:
        self._problem, self._n, self._limit = problem, n, limit
        self._bad: list[Outcome] = []
        self._done = self._failed = 0

    def __call__(self, outcome: Outcome) -> None:
        self._done += len(outcome)
        bad = failed_rows(self._problem, outcome)
        if not bad:
            return
        self._failed += bad
        self._bad.append(outcome)
        if self._failed > self._limit * self._n and self._done < self._n:
            x, records = failed_among(self._problem, self._bad)
            check_failures(self._problem, x, records, self._done, self._n, self._limit)


def _check(problem: Problem, n: int) -> None:
    check_kinds(problem=(problem, Problem))
    check_call(problem.model, problem.stochastic)
    whole("n", n, least=_FEWEST)
