"""Where the runs of a sweep are carried out: here, one by one, or by an executor.

Any executor with the interface of `concurrent.futures` will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed

from invgan.errors import InputError
from invgan.study.row import Row
from invgan.study.runs import Task, carry_out

__all__ = ["carried_out"]


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
