"""The child's side of a crew: a process that runs rows until it is told to stop, or is stopped."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from invgan.errors import ModelError
from invgan.execution.attempt import Outcome, Piece, attempt, joined
from invgan.execution.calls import Caller

__all__ = ["serve"]

_BEAT, _GRACE = 0.02, 1.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def serve(pipe: Connection, mark: Any, model: bytes, threads: int) -> None:
    """Answer tasks from the pipe.

    What is said: ``("ready", None)`` once; ``("done", outcomes)`` as rows are finished, in order;
    ``("idle", None)`` after each task; ``("wrong", sentence)`` instead where the model is none.

    Args:
        pipe: to the parent. A task is (pieces, seed), None is the end.
        mark: two numbers shared with it: the row that is being run, and since when.
        model: the caller, pickled.
        threads: that numerical libraries may use.
    """
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        _settle(threads)
        try:
            caller = pickle.loads(model)
        except (Exception, SystemExit) as error:
            pipe.send(("wrong", f"{type(error).__name__}: {error}"))
            return
        pipe.send(("ready", None))
        while (task := pipe.recv()) is not None:
            pipe.send(_answered(pipe, mark, caller, *task))
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        _end_group()


def _answered(
    pipe: Connection, mark: Any, caller: Caller, pieces: Sequence[Piece], seed: int
) -> tuple[str, Any]:
    """Run a task; what is said after it."""
    ready: list[Outcome] = []
    told = time.monotonic()
    for unit in _units(caller, pieces):
        mark[1] = time.monotonic()
        mark[0] = unit.start
        try:
            ready.append(attempt(caller, unit, seed))
        except ModelError as error:
            return "wrong", str(error)
        if time.monotonic() - told > _BEAT:
            pipe.send(("done", _compact(ready)))
            ready, told = [], time.monotonic()
    if ready:
        pipe.send(("done", _compact(ready)))
    mark[0] = -1
    return "idle", None


def _units(caller: Caller, pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The pieces as they are called: whole, or row by row."""
    for piece in pieces:
        if caller.vectorized:
            yield piece
        else:
            yield from (piece.rows(row, row + 1) for row in range(piece.start, piece.stop))


def _compact(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Neighbours joined, without the parameters, which the parent has."""
    groups: list[list[Outcome]] = []
    for outcome in outcomes:
        last = groups[-1][-1] if groups else None
        if last is not None and outcome.start == last.start + len(last):
            groups[-1].append(outcome)
        else:
            groups.append([outcome])
    return [replace(whole, x=whole.x[:0]) for whole in map(joined, groups)]


def _settle(threads: int) -> None:
    """A group of its own, few threads, no Ctrl-C, and an end with the parent's."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    importlib.import_module("threadpoolctl").threadpool_limits(threads)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """Do not outlive the parent, however it ended, nor let anything outlive this process.

    Programs that the model started stand in groups of their own, which only the model knows; so it
    is interrupted first, and ends them.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(_GRACE)
    _end_group()


def _end_group() -> None:
    """End this process and all of its group."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
