"""Where the runs of a sweep are carried out: here, one by one, or by an executor.

Any executor with the interface of `concurrent.futures` will do. `processes` makes one of processes
of this machine, each with one thread, which stop at once when the sweep is stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from invgan.errors import InputError
from invgan.study.row import Row
from invgan.study.runs import Task, carry_out

__all__ = ["carried_out", "processes"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def carried_out(tasks: Sequence[Task], executor: Executor | None) -> Iterator[Row]:
    """The rows of the tasks, as they are finished.

    Args:
        tasks: what to run.
        executor: who runs them; None for this process, one after the other.

    Raises:
        InputError: a task cannot travel to the executor's workers, or a worker has died.
    """
    if executor is None:
        yield from map(carry_out, tasks)
        return
    futures = [executor.submit(carry_out, task) for task in tasks]
    try:
        yield from map(_heard, as_completed(futures))
    finally:
        for future in futures:
            future.cancel()


def _heard(future: Future[Row]) -> Row:
    """The row of a finished task. Whatever the run itself raised is a row already."""
    try:
        return future.result()
    except BrokenExecutor as error:
        raise InputError(
            f"a worker of the sweep ended before its run was over ({error}): the finished runs are "
            "kept; take it up again with fewer workers, since memory may have been short"
        ) from error
    except Exception as error:
        raise InputError(
            f"a run cannot be handed to the workers ({type(error).__name__}: {error}): put the "
            "model's function in a module, a .py file of its own, or give no executor"
        ) from error


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """An executor of so many processes with one thread each, ended with the block.

    Args:
        count: how many.

    Raises:
        InputError: fewer than one.
    """
    if count < 1:
        raise InputError(f"workers must be 1 or more; got {count}")
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_settle)
    finished = False
    try:
        with _environment(dict.fromkeys(_THREADS, "1")):
            yield executor
        finished = True
    finally:
        if not finished:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        executor.shutdown(cancel_futures=True)


def _settle() -> None:
    """In a worker: one thread, Ctrl-C left to the parent, and no life after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End with the parent, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
