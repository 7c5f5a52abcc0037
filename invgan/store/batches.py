"""The arrays of a store, a batch at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.execution.calls import KINDS
from invgan.store.disk import TEXTS, Column

__all__ = ["DONE", "WAITING", "Batch", "Columns", "code_of", "kind_of"]

Array = NDArray[np.float64]
Codes = NDArray[np.uint8]

WAITING, DONE = 0, 1
_TYPES = {"x": "f8", "y": "f8", "seconds": "f4", "which": "u2", "texts": "u1", "status": "u1"}
_MOST_ROWS, _MOST_BATCHES = 2**31, 2**24
_ALWAYS = ("x", "y", "status")


@dataclass(frozen=True)
class Batch:
    """The rows of one batch.

    Attributes:
        x: parameters, shape (m, D).
        y: outputs as observed, shape (m, W).
        status: shape (m,).
        seconds: shape (m,), of failed rows.
        messages: by row of the batch, of failed rows.
    """

    x: Array
    y: Array
    status: Codes
    seconds: NDArray[np.float32]
    messages: dict[int, str] = field(default_factory=dict)


class Columns:
    """All arrays of a store.

    Args:
        folder: the store.

    Raises:
        InputError: they are not there, or do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._column = {name: Column(folder, name) for name in _TYPES}
        self._check()

    @classmethod
    def create(cls, folder: Path, n: int, width: tuple[int, int], batch: int) -> Columns:
        """Make the arrays for n rows of D parameters and W outputs."""
        shapes: dict[str, tuple[int, ...]] = {"x": (n, width[0]), "y": (n, width[1])}
        shapes["texts"] = (-(-n // batch), TEXTS)
        for name, kind in _TYPES.items():
            rows = 1 if name == "texts" else batch
            Column.create(folder, name, shapes.get(name, (n,)), rows, kind)
        return cls(folder)

    @classmethod
    def exist(cls, folder: Path) -> bool:
        """Whether they were all made; the status is made last."""
        return (folder / "status" / "zarr.json").exists()

    @property
    def n(self) -> int:
        """Rows in all."""
        return self._column["status"].shape[0]

    @property
    def batch(self) -> int:
        """Rows in a batch."""
        return self._column["status"].batch

    @property
    def width(self) -> tuple[int, int]:
        """The counts of parameters and of columns of outputs."""
        return self._column["x"].shape[1], self._column["y"].shape[1]

    def range(self, k: int) -> tuple[int, int]:
        """The first row of batch k, and the one after its last."""
        return k * self.batch, min((k + 1) * self.batch, self.n)

    def grow(self, n: int) -> None:
        """Make room for n rows; what is there stays."""
        for name, column in self._column.items():
            column.grow(-(-n // self.batch) if name == "texts" else n)

    def read(self, k: int) -> Batch | None:
        """Batch k; None where nothing of it is there, or anything is damaged."""
        found = {name: self._column[name].read(k) for name in _ALWAYS}
        x, y, status = (found[name] for name in _ALWAYS)
        if x is None or y is None or status is None or status.max() > DONE + len(KINDS):
            return None
        if not (status > DONE).any():
            return Batch(x, y, status, np.zeros(len(x), np.float32))
        seconds, which, texts = (self._column[n].read(k) for n in ("seconds", "which", "texts"))
        if seconds is None or which is None or texts is None:
            return None
        messages = _read_texts(texts)
        told = {int(i): messages[which[i] - 1] for i in np.flatnonzero(which)
                if which[i] <= len(messages)}  # fmt: skip
        return Batch(x, y, status, seconds, told)

    def write(self, k: int, batch: Batch) -> None:
        """Put batch k on the disk, its status last."""
        self._column["x"].write(k, batch.x)
        self._column["y"].write(k, batch.y)
        if (batch.status > DONE).any():
            texts, which = _write_texts(batch.messages, len(batch.x))
            self._column["seconds"].write(k, batch.seconds)
            self._column["which"].write(k, which)
            self._column["texts"].write(k, texts)
        self._column["status"].write(k, batch.status)

    def status(self) -> Codes:
        """The status of the rows up to the last that is there; those of damaged batches wait."""
        present = self._column["status"].present()
        codes = np.full(self.range(present[-1])[1] if present else 0, WAITING, np.uint8)
        for k in present:
            batch = self.read(k)
            if batch is not None:
                codes[slice(*self.range(k))] = batch.status
        return codes

    def _check(self) -> None:
        kinds = {name: column.dtype for name, column in self._column.items()}
        right = all(kinds[name] == np.dtype(kind) for name, kind in _TYPES.items())
        rows = {self._column[name].batch for name in _TYPES if name != "texts"}
        one_each = {self._column[name].shape[0] for name in _TYPES if name != "texts"}
        dimensions = [len(self._column[name].shape) for name in _TYPES]
        many = max(one_each) > _MOST_ROWS or max(one_each) // max(rows) > _MOST_BATCHES
        if not right or len(rows) != 1 or dimensions != [2, 2, 1, 1, 2, 1] or many:
            raise InputError(f"{self._folder} is not a store that invgan wrote")
        if len(one_each) > 1:
            # Growing was interrupted: the status, which grows last, says how far.
            self.grow(max(one_each))


def code_of(kind: str) -> int:
    """The status of a row that failed in this way."""
    return DONE + 1 + KINDS.index(kind)


def kind_of(code: int) -> str:
    """How a row of this status failed."""
    return KINDS[code - DONE - 1]


def _write_texts(messages: dict[int, str], m: int) -> tuple[Codes, NDArray[np.uint16]]:
    """Distinct messages as one text, as many as there is room for, and each row's place."""
    places: dict[str, int] = {}
    which = np.zeros(m, np.uint16)
    room = TEXTS - 2
    for row, message in sorted(messages.items()):
        if message and message not in places:
            room -= len(json.dumps(message)) + 2
            if room < 0 or len(places) >= np.iinfo(np.uint16).max:
                break
            places[message] = len(places) + 1
        which[row] = places.get(message, 0)
    raw = np.frombuffer(json.dumps(list(places)).encode(), np.uint8)
    texts = np.zeros((1, TEXTS), np.uint8)
    texts[0, : len(raw)] = raw
    return texts, which


def _read_texts(texts: NDArray[Any]) -> list[str]:
    try:
        found = json.loads(texts.tobytes().rstrip(b"\0").decode() or "[]")
        return [str(text) for text in found]
    except (UnicodeDecodeError, TypeError, ValueError):
        return []
