"""Run rows on anything with the interface of `concurrent.futures.Executor`, Dask included.

A task that is lost with its worker is run again, then in halves, until the row that does it stands
alone. Where a call may only take so long, the executor's worker runs the rows in a process of its
own, which it can stop: executors cannot stop a task themselves.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from invgan.errors import InputError, ModelError
from invgan.execution.attempt import Outcome, Piece, attempt, failed
from invgan.execution.calls import Caller
from invgan.execution.crew import crew_of
from invgan.execution.request import Execution
from invgan.execution.tasks import Tasks

__all__ = ["dask_executor", "outcomes_on", "places"]


def outcomes_on(
    executor: Executor, caller: Caller, tasks: Tasks, seed: int, execution: Execution
) -> Iterator[Outcome]:
    """Outcomes of all tasks, in the order in which they are finished.

    Raises:
        ModelError: the model returned something that is not its outputs.
        InputError: the executor takes no more work.
    """
    running: dict[Any, list[Piece]] = {}
    try:
        while True:
            room = 2 * places(executor)
            while len(running) < room and (task := tasks.take()):
                running[_submitted(executor, caller, task, seed, execution)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    outcomes = future.result()
                except InputError:
                    raise
                except BrokenExecutor as error:
                    raise _refusal(error) from error
                except (Exception, CancelledError) as error:
                    outcomes = _lost(caller, task, tasks, execution.retries, error)
                for outcome in outcomes:
                    tasks.learn(outcome)
                    yield outcome
    finally:
        for future in running:
            future.cancel()


def places(executor: Executor) -> int:
    """How many tasks an executor runs at once."""
    client = getattr(executor, "_client", None)
    if client is not None:
        return max(1, sum(int(count) for count in client.nthreads().values()))
    return int(getattr(executor, "_max_workers", 0) or os.cpu_count() or 1)


def dask_executor(address: str) -> Executor:
    """The executor of a Dask cluster: ``"local"`` starts one here, else a scheduler's address.

    Raises:
        InputError: Dask is not installed, or nobody answers.
    """
    try:
        executor: Executor = _client(address).get_executor(pure=False)
    except ImportError:
        raise InputError(
            "workers='dask:...' needs Dask: pip install 'invgan[dask]', or use process:N"
        ) from None
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address!r}: {error}") from None
    return executor


@functools.cache
def _client(address: str) -> Any:
    distributed: Any = importlib.import_module("distributed")
    if address != "local":
        return distributed.Client(address, timeout="30s", set_as_default=False)
    cluster = distributed.LocalCluster(
        threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    client = distributed.Client(cluster, set_as_default=False)
    atexit.register(cluster.close)
    atexit.register(client.close)
    return client


def _submitted(
    executor: Executor, caller: Caller, task: list[Piece], seed: int, execution: Execution
) -> Any:
    try:
        return executor.submit(_run, caller, task, seed, execution.timeout, execution.retries)
    except RuntimeError as error:
        raise _refusal(error) from error


def _run(
    caller: Caller, task: Sequence[Piece], seed: int, timeout: float | None, retries: int
) -> list[Outcome]:
    """Run a task, on the executor's worker."""
    try:
        if timeout is None:
            return [attempt(caller, piece, seed) for piece in task]
        tasks = Tasks(task, sum(map(len, task)), divisible=not caller.vectorized, workers=1)
        with _children_allowed(), crew_of(caller, 1, threads=1) as crew:
            return list(crew.run(tasks, seed, timeout=timeout, retries=retries))
    except ModelError as error:
        # Without what caused it, which need not travel well.
        raise ModelError(str(error)) from None


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Let a daemon have children: Dask's workers are daemons, and these children end with them."""
    config: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            config["daemon"] = daemon


def _lost(
    caller: Caller, task: list[Piece], tasks: Tasks, retries: int, error: BaseException
) -> list[Outcome]:
    """Give back a lost task in smaller parts; the outcome of a row that cannot be made smaller."""
    if len(task) > 1:
        tasks.give_back(replace(piece, lost=max(piece.lost, 1)) for piece in task)
        return []
    (piece,) = task
    if not caller.vectorized and len(piece) > 1:
        middle = piece.start + len(piece) // 2
        halves = (piece.rows(piece.start, middle), piece.rows(middle, piece.stop))
        tasks.give_back(replace(half, lost=max(half.lost, 1)) for half in halves)
        return []
    if tasks.lose(piece, retries):
        return []
    message = " ".join(f"{type(error).__name__}: {error}".split())[:160]
    return [failed(caller, piece, "worker died", message, 0.0)]


def _refusal(error: BaseException) -> InputError:
    return InputError(
        f"the executor takes no more work ({type(error).__name__}: {error}): one of its workers "
        "died, or it was shut down; workers='process:N' replaces workers that die"
    )
