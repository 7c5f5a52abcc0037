"""Processes of this machine as an executor: one thread each, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from invgan.errors import InputError

__all__ = ["processes"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


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
