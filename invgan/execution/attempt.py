"""Run some rows of a model so that no row can spoil another.

A batch that raises is halved, and its halves again, until the rows that raise stand alone. What
comes back is an `Outcome`: outputs for every row, NaN where it failed, and what is known of each
failure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from invgan.errors import ModelError
from invgan.execution.calls import Caller, RaisedError

__all__ = ["TRIAL", "Failure", "Outcome", "Piece", "attempt", "failed", "joined"]

Array = NDArray[np.float64]

TRIAL = 64
"""Rows that must all raise before the model is taken for one that always does."""


class Failure(NamedTuple):
    """One row that failed: its place, the kind (see `KINDS`), a message, seconds."""

    row: int
    kind: str
    message: str
    seconds: float


@dataclass(frozen=True)
class Piece:
    """Rows to run in one call, or one after the other where the model takes one at a time.

    Attributes:
        start: the place of the first row among all.
        x: parameters, shape (m, D).
        whole: False for a part of a call that failed.
        first: whether the model is tried on it, and refused where it raises whatever it gets.
        lost: how often a worker died on it.
    """

    start: int
    x: Array
    whole: bool = True
    first: bool = False
    lost: int = 0

    def __len__(self) -> int:
        return len(self.x)

    @property
    def stop(self) -> int:
        """The place after the last row."""
        return self.start + len(self)

    def rows(self, start: int, stop: int) -> Piece:
        """Rows that can be run without the rest, by their places among all."""
        return replace(self, start=start, x=self.x[start - self.start : stop - self.start])

    def halves(self) -> list[Piece]:
        """The two parts of a call that failed."""
        middle = self.start + len(self) // 2
        parts = (self.rows(self.start, middle), self.rows(middle, self.stop))
        return [replace(part, whole=False, first=False) for part in parts]


@dataclass(frozen=True)
class Outcome:
    """What came of some consecutive rows.

    Attributes:
        start: the place of the first row among all.
        x: parameters, shape (m, D).
        y: the model's own outputs, shape (m, runs, L), NaN where the row failed.
        failures: of the rows that failed.
        seconds: that the model took.
    """

    start: int
    x: Array
    y: Array
    failures: tuple[Failure, ...]
    seconds: float

    def __len__(self) -> int:
        return len(self.y)


def attempt(caller: Caller, piece: Piece, seed: int) -> Outcome:
    """Run the rows of a piece.

    Raises:
        ModelError: the model returned something that is not its outputs, or raised for whatever
            it was given. One that takes one parameter vector at a time may lack its outputs for
            some of them, which have failed.
    """
    if not caller.vectorized:
        return _row_by_row(caller, piece, seed)
    started = time.perf_counter()
    try:
        y = caller(piece.x, seed=seed, start=piece.start, whole=piece.whole)
    except RaisedError as error:
        seconds = time.perf_counter() - started
        if len(piece) == 1:
            return failed(caller, piece, error.kind, error.message, seconds)
        if piece.first and _always_raises(caller, piece, seed):
            raise ModelError(error.sentence) from error.__cause__
        return joined([attempt(caller, half, seed) for half in piece.halves()])
    return Outcome(piece.start, piece.x, y, (), time.perf_counter() - started)


def failed(caller: Caller, piece: Piece, kind: str, message: str, seconds: float) -> Outcome:
    """The outcome of one row that gave no outputs."""
    y = np.full((1, caller.runs, len(caller.outputs)), np.nan)
    failure = Failure(piece.start, kind, message, seconds)
    return Outcome(piece.start, piece.x, y, (failure,), seconds)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Outcomes of rows that follow each other as one."""
    return Outcome(
        parts[0].start,
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        tuple(failure for part in parts for failure in part.failures),
        sum(part.seconds for part in parts),
    )


def _row_by_row(caller: Caller, piece: Piece, seed: int) -> Outcome:
    """The outcome where the model takes one row at a time."""
    y = np.full((len(piece), caller.runs, len(caller.outputs)), np.nan)
    failures = []
    started = since = time.perf_counter()
    for i in range(len(piece)):
        row = piece.start + i
        try:
            y[i] = caller(piece.x[i : i + 1], seed=seed, start=row, whole=True)[0]
        except RaisedError as error:
            now = time.perf_counter()
            failures.append(Failure(row, error.kind, error.message, now - since))
        except ModelError as error:
            failures.append(Failure(row, "wrong outputs", str(error), time.perf_counter() - since))
        since = time.perf_counter()
    return Outcome(piece.start, piece.x, y, tuple(failures), since - started)


def _always_raises(caller: Caller, piece: Piece, seed: int) -> bool:
    """Whether rows from all over the piece raise, each on its own."""
    tried = np.linspace(piece.start, piece.stop - 1, min(TRIAL, len(piece)))
    rows = (replace(piece.rows(row, row + 1), whole=False, first=False) for row in map(int, tried))
    return all(attempt(caller, row, seed).failures for row in rows)
