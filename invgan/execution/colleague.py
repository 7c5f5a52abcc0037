"""One worker process as its crew sees it: what it was given, what it says, how it ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from invgan.errors import ModelError
from invgan.execution.attempt import Outcome, Piece
from invgan.execution.calls import Caller
from invgan.execution.worker import serve

__all__ = ["Colleague"]

_GRACE = 1.0


class Colleague:
    """One process, and what it was given.

    Args:
        model: the caller, pickled.
        threads: that it may use in numerical libraries.

    Attributes:
        pipe: on which it is heard.
        pieces: of its task, so far as they are not finished.
        held: the seed of a task that waits until it is ready.
        ready: whether it has loaded the model.
        idle: whether it waits for a task.
        dead: whether its process has ended.
        late: whether it was ended for being too long at one row.
        lasted: seconds that it was at a row when it died.
    """

    def __init__(self, model: bytes, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.mark = context.RawArray("d", [-1.0, 0.0])
        self._process = context.Process(
            target=serve, args=(theirs, self.mark, model, threads), daemon=True
        )
        self._process.start()
        theirs.close()
        self.pieces: list[Piece] = []
        self.held: int | None = None
        self.ready = self.idle = self.dead = self.late = False
        self._blamed, self.lasted, self._killed = -1, 0.0, False

    def start(self, pieces: list[Piece], seed: int) -> None:
        """Hand over a task."""
        self.pieces, self.held, self.idle = pieces, None, False
        self.mark[0], self.mark[1] = -1, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            self.pipe.send((pieces, seed))

    @property
    def seconds(self) -> float:
        """How long it has been at one row."""
        return time.monotonic() - self.mark[1] if self.ready else 0.0

    @property
    def end(self) -> str:
        """How its process ended."""
        code = self._process.exitcode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"

    def heard(self) -> Iterator[Outcome]:
        """All that it has said since, whether it lives or not."""
        while True:
            try:
                if not self.pipe.poll():
                    return
                word, content = self.pipe.recv()
            except (EOFError, OSError):
                self.dead, self.lasted = True, self.seconds
                self._process.join()
                return
            if word == "wrong":
                raise ModelError(content if self.ready else _unloadable(content))
            if word == "ready":
                self.ready = True
                if self.held is not None:
                    self.start(self.pieces, self.held)
            elif word == "idle":
                self.idle = True
            else:
                yield from map(self._finished, content)

    def _finished(self, outcome: Outcome) -> Outcome:
        """An outcome with its parameters; its rows are no longer awaited."""
        stop = outcome.start + len(outcome)
        x, left = [], []
        for piece in self.pieces:
            low, high = max(piece.start, outcome.start), min(piece.stop, stop)
            if low >= high:
                left.append(piece)
                continue
            x.append(piece.rows(low, high).x)
            if high < piece.stop:
                left.append(piece.rows(high, piece.stop))
        self.pieces = left
        return replace(outcome, x=x[0] if len(x) == 1 else np.concatenate(x))

    def stopped(self, limit: float) -> bool:
        """End it if it has been at one row for longer than this; whether it was."""
        since, row = self.mark[1], int(self.mark[0])
        # The worker writes the time before the row, so an unchanged time goes with this row.
        if not self.ready or time.monotonic() - since <= limit or self.mark[1] != since:
            return False
        self._blamed, self.late = row, True
        self._kill()
        return True

    def guilty(self, caller: Caller) -> tuple[Piece | None, list[Piece]]:
        """What it was at when it ended, if it had not finished that, and what else is undone."""
        row = self._blamed if self.late else int(self.mark[0])
        found, rest = None, []
        for piece in self.pieces:
            if not piece.start <= row < piece.stop:
                rest.append(piece)
            elif caller.vectorized:
                found = piece
            else:
                found = piece.rows(row, row + 1)
                parts = (piece.rows(piece.start, row), piece.rows(row + 1, piece.stop))
                rest += [part for part in parts if len(part)]
        return found, rest

    def close(self) -> None:
        """End it, at once where it is at work."""
        if self._process.is_alive() and self.idle:
            with contextlib.suppress(BrokenPipeError, OSError):
                self.pipe.send(None)
            self._process.join(_GRACE)
        self._kill()
        self.pipe.close()

    def _kill(self) -> None:
        """End it and all that it started; it may clean up for a moment."""
        pid = self._process.pid
        if self._killed:
            return
        self._killed = True
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_GRACE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid is not None and hasattr(os, "killpg"):
                os.killpg(pid, signal.SIGKILL)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


def _unloadable(reason: str) -> str:
    return (
        f"the worker processes cannot load the model ({reason}): put the function in a module, a "
        ".py file of its own that they can import"
    )
