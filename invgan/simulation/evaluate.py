"""The model's outputs for given parameters, as they would be observed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from invgan.files import digest
from invgan.problem import Problem
from invgan.simulation.draws import Given
from invgan.simulation.filling import Filling, about, identity
from invgan.simulation.running import call_size
from invgan.simulation.runs import Array, Progress, attempted, observed

__all__ = ["evaluate"]


def evaluate(
    problem: Problem,
    x: Array,
    *,
    seed: int = 0,
    chunk: int | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Array:
    """Outputs, as they would be observed, for each row of x, run as `problem.execution` says.

    Args:
        problem: whose model to run.
        x: parameters, shape (n, D).

    Other Args:
        seed: for the noise of a stochastic model or of the measurement; others ignore it.
        chunk: rows handed to the model at once, 8192 by default (a stochastic model gets 1024).
        scratch: a folder where outputs are kept as they come, so that a run of the same rows that
            was stopped goes on; whoever names it removes it.
        progress: called with (rows done, rows in all) as rows are finished.

    Returns:
        Outputs, shape (n, L), or (n, R * L) where one experiment was repeated R times: each
        row's repeats sorted by their first output, which loses nothing, since their order says
        nothing. A row is NaN where the model raised, hung or died; others may hold values that are
        NaN or infinite; that is for the caller to sort out.

    Raises:
        ModelError: the model raised for every row, or returned something of another shape.
        InputError: the disk of the scratch folder is full.
    """
    if scratch is not None and len(x):
        return _kept(problem, x, seed, chunk, scratch / digest(str(seed), x)[:16], progress)
    runs, _, _ = attempted(problem, x, seed=seed, chunk=chunk, progress=progress)
    return observed(problem, runs, seed=seed)


def _kept(
    problem: Problem, x: Array, seed: int, chunk: int | None, store: Path,
    progress: Progress | None,
) -> Array:  # fmt: skip
    """The same by way of a store, which may hold some of the rows already."""
    from invgan.store.writing import writing  # noqa: PLC0415

    n, made_from = len(x), identity(problem, seed, "random") | {"prior": digest(x)}
    with writing(store, made_from, about(problem), call_size(problem, n, chunk)) as writer:
        # A few rows more are nothing beside a cause that has passed.
        writer.try_again()
        done = int((writer.status != 0).sum())
        filling = Filling(problem, writer, Given(x), n, seed)
        with closing(filling.run()) as found:
            for outcome in found:
                done += len(outcome)
                if progress is not None:
                    progress(min(done, n), n)
        return np.concatenate([batch.y for batch in writer.batches()])
