"""The parent's side of worker processes: hand out tasks, watch, stop what hangs, replace what dies.

Each worker has a pipe of its own, on which it tells of finished rows as it goes, and two shared
numbers that say which row it is at and since when. So a worker that hangs is stopped on time even
inside compiled code, it is known for certain on which row it hung or died, and nothing else is
lost: what it had finished is kept, and the rest of its task goes to the next that is free.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait

from invgan.errors import InputError, ModelError
from invgan.execution.attempt import Outcome, failed
from invgan.execution.calls import Caller
from invgan.execution.colleague import Colleague
from invgan.execution.tasks import Tasks

__all__ = ["Crew", "close_crews", "crew_of"]


class Crew:
    """Processes that run a model.

    Args:
        caller: the model.
        size: how many processes.
        threads: that each may use in numerical libraries; by default its share of the cores.

    Raises:
        ModelError: the model cannot travel to another process.
    """

    def __init__(self, caller: Caller, size: int, threads: int | None = None) -> None:
        self.model, self._caller, self._size = _pickled(caller), caller, size
        self._threads = threads or max(1, _cores() // size)
        self._workers: list[Colleague] = []
        self.busy = False

    def run(
        self, tasks: Tasks, seed: int, *, timeout: float | None, retries: int
    ) -> Iterator[Outcome]:
        """Outcomes of all tasks, in the order in which they are finished.

        Raises:
            ModelError: the model cannot be loaded, or returned something that is not its outputs.
        """
        self.busy = True
        try:
            while self._hand_out(tasks, seed):
                for worker in self._awaited(timeout):
                    for outcome in worker.heard():
                        tasks.learn(outcome)
                        yield outcome
                    yield from self._buried(worker, tasks, timeout, retries)
        finally:
            self._dismiss([worker for worker in self._workers if not worker.idle])
            self.busy = False

    def close(self) -> None:
        """Stop all workers."""
        self._dismiss(self._workers)

    def _hand_out(self, tasks: Tasks, seed: int) -> bool:
        """Give every idle worker a task; whether anything is being run."""
        for worker in self._workers:
            if worker.idle and (task := tasks.take()):
                worker.start(task, seed)
        free = self._size - len(self._workers)
        while free and (task := tasks.take()):
            worker = Colleague(self.model, self._threads)
            worker.pieces, worker.held = task, seed
            self._workers.append(worker)
            free -= 1
        return any(not worker.idle for worker in self._workers)

    def _awaited(self, timeout: float | None) -> list[Colleague]:
        """The workers that say something, have died, or have been too long at one row."""
        working = {w.pipe: w for w in self._workers if not w.idle}
        limit = timeout or math.inf
        left = min((limit - w.seconds for w in working.values()), default=math.inf)
        said = wait(list(working), None if left == math.inf else max(left, 0))
        late = [w for w in working.values() if w.pipe not in said and w.stopped(limit)]
        return [w for w in working.values() if w.pipe in said] + late

    def _buried(
        self, worker: Colleague, tasks: Tasks, timeout: float | None, retries: int
    ) -> Iterator[Outcome]:
        """Where a worker is dead, give back what it left; the outcome of a row that it died of."""
        if not worker.dead:
            return
        self._dismiss([worker])
        if not worker.ready:
            raise InputError(
                f"a worker process ended before it was ready ({worker.end}); a script that runs a "
                "model in processes needs `if __name__ == '__main__':` around what it does"
            )
        guilty, rest = worker.guilty(self._caller)
        tasks.give_back(rest)
        if guilty is None:
            return
        if worker.late and timeout is not None:
            if len(guilty) == 1:
                yield failed(
                    self._caller, guilty, "timed out", f"stopped after {timeout:g} s", timeout
                )
            else:
                tasks.give_back(guilty.halves())
        elif not tasks.lose(guilty, retries):
            yield failed(self._caller, guilty, "worker died", worker.end, worker.lasted)

    def _dismiss(self, workers: Sequence[Colleague]) -> None:
        for worker in list(workers):
            worker.close()
            self._workers = [w for w in self._workers if w is not worker]


_kept: dict[tuple[int, int], Crew] = {}


@contextmanager
def crew_of(caller: Caller, size: int, threads: int | None = None) -> Iterator[Crew]:
    """A crew for a model: that of the last run where it had the same, for starting takes seconds.

    Raises:
        ModelError: the model cannot travel to another process.
    """
    key = (threading.get_ident(), size)
    crew = Crew(caller, size, threads)
    kept = _kept.get(key)
    if kept is not None and kept.model == crew.model and not kept.busy:
        yield kept
        return
    if kept is not None and kept.busy:
        with contextlib.closing(crew):
            yield crew
        return
    close_crews()
    _kept[key] = crew
    yield crew


@atexit.register
def close_crews() -> None:
    """Stop the workers that are kept for a next run."""
    for key, crew in list(_kept.items()):
        if not crew.busy:
            del _kept[key]
            crew.close()


def _pickled(caller: Caller) -> bytes:
    """A model as it travels."""
    try:
        return pickle.dumps(caller)
    except Exception as error:
        raise ModelError(
            f"the model cannot be handed to worker processes ({error}): put the function in a "
            "module, a .py file of its own, rather than inside a function or a lambda; or run it "
            "here with workers='serial' and no timeout"
        ) from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
