"""Run a model's rows where the problem says: here, in processes, or on an executor."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from invgan.errors import ModelError
from invgan.execution import Execution
from invgan.execution.attempt import TRIAL, Outcome, Piece, attempt
from invgan.execution.calls import BLOCK, Caller, called_with
from invgan.execution.crew import crew_of
from invgan.execution.executors import dask_executor, outcomes_on, places
from invgan.execution.tasks import Tasks
from invgan.ground import theirs
from invgan.models import Command, RawOutputs, Summarised
from invgan.problem import Problem, unnamed

__all__ = ["call_size", "caller_of", "longest", "outcomes"]

_CHUNK = 8192
_SHARES = 32
_LEAST = 8
_HOPELESS = 16


def call_size(problem: Problem, n: int, chunk: int | None = None) -> int:
    """Rows in one call of a batched model; for others, rows between two reports of progress.

    Other processes get a share of the rows, however few. The number depends on nothing that is
    measured, so that a model whose last digits depend on it gives the same ones again.
    """
    execution = problem.execution or Execution()
    if problem.vectorized and problem.stochastic:
        return BLOCK
    chunk = chunk or execution.chunk or _CHUNK
    if execution.workers == "serial":
        return chunk
    return min(chunk, max(_LEAST, -(-n // _SHARES)))


def longest(problem: Problem) -> float:
    """Seconds that one call of the model may take, by its execution or by its own limit."""
    model: Any = problem.model
    while isinstance(model, RawOutputs | Summarised):
        model = model.model
    own = model.timeout if isinstance(model, Command) else math.inf
    return min((problem.execution or Execution()).timeout or math.inf, own)


def outcomes(
    problem: Problem, pieces: Iterable[Piece], total: int, *, seed: int, fresh: bool = True
) -> Generator[Outcome]:
    """What comes of some rows, in the order in which they are finished.

    Args:
        problem: whose model to run, and where.
        pieces: the rows, cut into calls.
        total: how many rows they are.

    Other Args:
        seed: for the model's own noise.
        fresh: whether to give up where nothing but failures comes back at first.

    Raises:
        ModelError: the model returned something that is not its outputs, or seems to raise, hang
            or die whatever it gets.
    """
    caller = caller_of(problem)
    if fresh:
        pieces = _with_trial(iter(pieces), total)
    with closing(_outcomes(problem, caller, pieces, total, seed)) as found:
        yield from _hopeful(caller, found, total) if fresh else found


def caller_of(problem: Problem) -> Caller:
    """A problem's model with what is needed to call it."""
    in_order = problem.observations.names is None and unnamed(problem.outputs)
    return Caller(
        problem.model, problem.prior.names, problem.outputs, in_order, problem.vectorized,
        problem.stochastic, problem.runs_per_row, problem.field, problem.output_shape,
    )  # fmt: skip


def _outcomes(
    problem: Problem, caller: Caller, pieces: Iterable[Piece], total: int, seed: int
) -> Generator[Outcome]:
    execution = problem.execution or Execution()
    if execution.processes:
        tasks = _tasks(caller, pieces, total, execution.processes)
        with crew_of(caller, execution.processes) as crew:
            yield from crew.run(tasks, seed, timeout=execution.timeout, retries=execution.retries)
    elif execution.workers == "serial":
        yield from _serial(caller, pieces, total, seed)
    else:
        where = execution.workers
        executor = dask_executor(where.partition(":")[2]) if isinstance(where, str) else where
        tasks = _tasks(caller, pieces, total, places(executor))
        # Its workers may be threads of this process.
        with theirs():
            yield from outcomes_on(executor, caller, tasks, seed, execution)


def _serial(caller: Caller, pieces: Iterable[Piece], total: int, seed: int) -> Iterator[Outcome]:
    """One piece after the other, or, row by row, what takes about half a second."""
    tasks = _tasks(caller, pieces, total, 1)
    while task := tasks.take():
        for piece in task:
            with theirs():
                outcome = attempt(caller, piece, seed)
            tasks.learn(outcome)
            yield outcome


def _tasks(caller: Caller, pieces: Iterable[Piece], total: int, workers: int) -> Tasks:
    return Tasks(pieces, total, divisible=not caller.vectorized, workers=workers)


def _with_trial(pieces: Iterator[Piece], total: int) -> Iterator[Piece]:
    """The same, the first marked as the model's trial if it is long enough to be one."""
    first = next(pieces, None)
    if first is None:
        return iter(())
    return chain([replace(first, first=len(first) >= min(TRIAL, total))], pieces)


def _hopeful(caller: Caller, found: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    """The same, until it is clear that every row fails."""
    failed: list[Outcome] = []
    hoping = True
    for outcome in found:
        if hoping:
            failed.append(outcome)
            hoping = len(outcome.failures) == len(outcome)
            if hoping:
                _check_hope(caller, failed, total)
        yield outcome


def _check_hope(caller: Caller, failed: list[Outcome], total: int) -> None:
    """Give up after enough rows of which all failed."""
    failures = [failure for outcome in failed for failure in outcome.failures]
    raised = all(failure.kind in ("raised", "wrong outputs") for failure in failures)
    if len(failures) < min(TRIAL if raised else _HOPELESS, total):
        return
    first, x = failures[0], called_with(caller.names, failed[0].x[0])
    if raised:
        if first.kind == "wrong outputs":
            raise ModelError(f"{first.message}; it was called with {x}")
        raise ModelError(f"the model raised {first.message[:-1]}, called with {x})")
    raise ModelError(
        f"all of the first {len(failures)} simulations failed (first: {first.kind}, "
        f"{first.message}, called with {x})"
    )
