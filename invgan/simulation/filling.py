"""Simulate into a store: batch after batch, each safe on the disk before it counts as done.

How many rows make a batch is decided when the first have been run, so that a batch is a few seconds
of work; that changes nothing in them. The disk is written in a thread of its own, so that the model
need not wait for it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.execution.attempt import Outcome, Piece
from invgan.models import RawOutputs
from invgan.models.identity import identity as text_of
from invgan.problem import Problem
from invgan.simulation.draws import Design, Draws, Given
from invgan.simulation.running import outcomes
from invgan.simulation.runs import observed

if TYPE_CHECKING:
    from invgan.store.writing import Writer

__all__ = ["Filling", "about", "identity"]

Array = NDArray[np.float64]

_SECONDS = 5.0
_MOST_ROWS = 131_072
_MOST_BYTES = 2**25
_PROBES = 64


def identity(problem: Problem, seed: int, design: Design) -> dict[str, Any]:
    """What simulations are made from; equal ones give equal rows.

    The model enters by its code, the prior by what it draws.
    """
    drawn = problem.prior.sample(_PROBES, np.random.default_rng(0))
    return {
        "model": _digest(text_of(problem.model)),
        "prior": _digest(repr(np.asarray(drawn).tolist())),
        "names": list(problem.prior.names),
        "outputs": list(problem.outputs),
        "form": [problem.vectorized, problem.stochastic, problem.missing],
        "repeats": problem.repeats,
        "noise": None if problem.noise is None else problem.noise.plain(),
        "seed": seed,
        "design": design,
    }


def about(problem: Problem) -> dict[str, Any]:
    """What else a reader of a store may want to know."""
    versions = {name: metadata.version(name) for name in ("invgan", "numpy", "scipy", "zarr")}
    return {
        "names": list(problem.prior.names),
        "outputs": list(problem.outputs),
        "runs_per_row": problem.runs_per_row,
        "raw": len(problem.outputs) if isinstance(problem.model, RawOutputs) else 0,
        "versions": {**versions, "python": sys.version.split()[0]},
    }


@dataclass
class _Open:
    """A batch that is being filled."""

    x: Array
    y: Array
    status: NDArray[np.uint8]
    seconds: NDArray[np.float32]
    messages: dict[int, str]


class Filling:
    """Rows on their way into a store.

    Args:
        problem: what is simulated.
        writer: the open store.
        draws: the design, or rows that are given.
        n: rows wanted in all.
        seed: of the noise, the model's and the measurement's.

    Attributes:
        seconds: that the model took for the rows that came.
    """

    def __init__(
        self, problem: Problem, writer: Writer, draws: Draws | Given, n: int, seed: int
    ) -> None:
        self._problem, self._writer, self._draws = problem, writer, draws
        self._n, self._seed = n, seed
        self._width = (len(problem.prior.names), len(problem.outputs) * problem.repeats)
        self._early: list[Outcome] = []
        self._open: dict[int, _Open] = {}
        self._disk = ThreadPoolExecutor(1)
        self._pending: list[Future[None]] = []
        self.seconds = 0.0
        if writer.columns is not None:
            writer.make_room(n, self._width, 0)

    def run(self) -> Generator[Outcome]:
        """Simulate what is missing; gives what comes of rows, as it comes.

        Every row that has come is safe when this ends, however it ends.
        """
        missing = list(self._missing())
        total = sum(stop - start for start, stop in missing)
        pieces = (Piece(a, self._draws.rows(a, b)) for a, b in missing)
        fresh = not self._writer.status.any()
        found = outcomes(self._problem, pieces, total, seed=self._seed, fresh=fresh)
        try:
            with closing(found):
                for outcome in found:
                    self.seconds += outcome.seconds
                    self._take(outcome)
                    yield outcome
        finally:
            self._finish()

    def _missing(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows to run: calls of which any row is missing."""
        call = self._writer.call
        todo = np.ones(self._n, bool)
        status = self._writer.status[: self._n]
        todo[: len(status)] = status == 0
        for start in range(0, self._n, call):
            part = todo[start : start + call]
            if not part.any():
                continue
            if self._problem.vectorized:
                yield start, min(start + call, self._n)
            else:
                yield from _ranges(part, start)

    def _take(self, outcome: Outcome) -> None:
        """Put rows into their batches."""
        if self._writer.columns is None:
            self._early.append(outcome)
            rows = sum(map(len, self._early))
            if self.seconds < _SECONDS and rows < min(self._n, self._most()):
                return
            self._decide(rows)
        early, self._early = self._early, []
        for part in early or [outcome]:
            self._sort_in(part)

    def _most(self) -> int:
        """Rows that a batch may have for its size."""
        return int(np.clip(_MOST_BYTES // (8 * sum(self._width)), 1, _MOST_ROWS))

    def _decide(self, rows: int) -> None:
        """Choose how many rows make a batch: whole calls, about so many rows."""
        unit = self._writer.call if self._problem.vectorized else 1
        batch = max(unit, min(rows, self._n, self._most()) // unit * unit)
        self._writer.make_room(self._n, self._width, batch)

    def _sort_in(self, outcome: Outcome) -> None:
        columns = self._writer.columns
        if columns is None:
            raise InputError(f"{self._writer.folder} has no room yet")
        stop = outcome.start + len(outcome)
        for k in range(outcome.start // columns.batch, -(-stop // columns.batch)):
            first, last = columns.range(k)
            low, high = max(first, outcome.start), min(last, stop)
            self._put(k, low - first, _part(outcome, low, high))
            if self._open[k].status.all():
                self._write(k)

    def _put(self, k: int, place: int, outcome: Outcome) -> None:
        """Rows into an open batch, as they would be observed."""
        batch = self._open.get(k) or self._opened(k)
        self._open[k] = batch
        here = slice(place, place + len(outcome))
        first = outcome.start
        batch.x[here] = outcome.x
        batch.y[here] = observed(self._problem, outcome.y, seed=self._seed, start=first)
        _mark(self._problem, batch, here, outcome)

    def _opened(self, k: int) -> _Open:
        """A batch with what the store holds of it."""
        columns = self._writer.columns
        first, last = (0, 0) if columns is None else columns.range(k)
        found = self._writer.read(k)
        m = last - first
        batch = _Open(
            np.full((m, self._width[0]), np.nan), np.full((m, self._width[1]), np.nan),
            np.zeros(m, np.uint8), np.zeros(m, np.float32), {},
        )  # fmt: skip
        if found is not None:
            batch.x[:], batch.y[:], batch.status[:] = found.x, found.y, found.status
            batch.seconds[:] = found.seconds
            batch.messages.update(found.messages)
        return batch

    def _write(self, k: int) -> None:
        """Hand a batch to the disk; no more than two wait for it."""
        from invgan.store.batches import Batch  # noqa: PLC0415

        batch = self._open.pop(k)
        ready = Batch(batch.x, batch.y, batch.status, batch.seconds, batch.messages)
        while len(self._pending) > 1:
            self._pending.pop(0).result()
        self._pending.append(self._disk.submit(self._writer.write, k, ready))

    def _finish(self) -> None:
        """Put on the disk whatever has come."""
        try:
            if self._early:
                self._decide(sum(map(len, self._early)))
                for outcome in self._early:
                    self._sort_in(outcome)
            for k in list(self._open):
                self._write(k)
            for pending in self._pending:
                pending.result()
        finally:
            self._disk.shutdown()


def _part(outcome: Outcome, low: int, high: int) -> Outcome:
    """The rows of an outcome from low up to high."""
    if low == outcome.start and high == outcome.start + len(outcome):
        return outcome
    here = slice(low - outcome.start, high - outcome.start)
    failures = tuple(f for f in outcome.failures if low <= f.row < high)
    return Outcome(low, outcome.x[here], outcome.y[here], failures, outcome.seconds)


def _mark(problem: Problem, batch: _Open, here: slice, outcome: Outcome) -> None:
    """Say of rows that have come whether they succeeded."""
    from invgan.store.batches import DONE, code_of  # noqa: PLC0415

    usable = problem.usable(batch.y[here])
    batch.status[here] = np.where(usable, DONE, code_of("not finite"))
    for failure in outcome.failures:
        i = here.start + failure.row - outcome.start
        batch.status[i] = code_of(failure.kind)
        batch.seconds[i] = failure.seconds
        batch.messages[i] = failure.message


def _ranges(wanted: NDArray[np.bool_], start: int) -> Iterator[tuple[int, int]]:
    """The runs of True, as ranges of rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    for low, high in edges.reshape(-1, 2):
        yield start + int(low), start + int(high)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
