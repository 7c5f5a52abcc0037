"""Rows waiting to be run, handed out in tasks that each take about half a second.

Until a row's cost is known a task is one call; towards the end tasks get smaller, so that no worker
is left with a long one while the others are idle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from invgan.execution.attempt import Outcome, Piece

__all__ = ["Tasks"]

_SECONDS = 0.5
_MOST = 16_384


class Tasks:
    """What is still to be run.

    Args:
        pieces: one call each, or rows that can be run one by one.
        total: how many rows they are.
        divisible: whether pieces can be cut anywhere.
        workers: how many share them.
    """

    def __init__(
        self, pieces: Iterable[Piece], total: int, *, divisible: bool, workers: int
    ) -> None:
        self._source: Iterator[Piece] = iter(pieces)
        self._again: deque[Piece] = deque()
        self._waiting, self._divisible, self._workers = total, divisible, workers
        self._rows, self._seconds = 0, 0.0

    def take(self) -> list[Piece]:
        """The pieces of the next task; none where nothing is waiting."""
        task: list[Piece] = []
        wanted = self._size()
        while wanted > 0 and (piece := self._next()) is not None:
            if task and (piece.lost or not piece.whole):
                # What failed before is run alone, so that it is known what fails again.
                self._again.appendleft(piece)
                break
            if self._divisible and len(piece) > wanted:
                cut = piece.start + wanted
                self._again.appendleft(piece.rows(cut, piece.stop))
                piece = piece.rows(piece.start, cut)
            task.append(piece)
            wanted -= len(piece)
            if piece.lost or not piece.whole:
                break
        self._waiting -= sum(map(len, task))
        return task

    def learn(self, outcome: Outcome) -> None:
        """Take note of what rows cost."""
        self._rows += len(outcome)
        self._seconds += outcome.seconds

    def give_back(self, pieces: Iterable[Piece]) -> None:
        """Rows to be run again, before all others."""
        for piece in reversed(list(pieces)):
            self._again.appendleft(piece)
            self._waiting += len(piece)

    def lose(self, piece: Piece, retries: int) -> bool:
        """Give back a piece on which a worker died; False for a row that had all its retries."""
        if piece.lost < retries:
            self.give_back([replace(piece, lost=piece.lost + 1)])
            return True
        if len(piece) > 1:
            self.give_back(piece.halves())
        return len(piece) > 1

    def _size(self) -> int:
        """Rows in the next task."""
        if not self._rows:
            return 1
        fair = -(-self._waiting // (2 * self._workers))
        return max(1, min(fair, _MOST, int(_SECONDS * self._rows / max(self._seconds, 1e-9))))

    def _next(self) -> Piece | None:
        return self._again.popleft() if self._again else next(self._source, None)
