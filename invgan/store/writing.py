"""Write into a store: one process at a time, into its own store only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout

from invgan.errors import InputError
from invgan.store.batches import DONE, WAITING, Batch, Columns, code_of
from invgan.store.disk import attributes_of, create_group, lasting

__all__ = ["Writer", "remove_store", "writing"]

_FORMAT = "invgan simulations"
_ROUNDING = 1e-6
_WORDS = {
    "model": "another model, or another version of it",
    "prior": "another prior",
    "seed": "another seed",
    "design": "another design",
    "noise": "another noise",
}


class Writer:
    """A store that is being written.

    Args:
        folder: the store.
        call: rows in one call of the model, which stays as it was at first.

    Attributes:
        status: of the rows, shape (n,) once there is room for them.
    """

    def __init__(self, folder: Path, call: int) -> None:
        self.folder, self.call = folder, call
        self._columns = Columns(folder) if Columns.exist(folder) else None
        empty = np.empty(0, np.uint8)
        self.status = empty if self._columns is None else self._columns.status()

    @property
    def columns(self) -> Columns | None:
        """The arrays, once it is known how many rows make a batch."""
        return self._columns

    def make_room(self, n: int, width: tuple[int, int], batch: int) -> None:
        """Have room for n rows of D parameters and W outputs; batch counts where all is new."""
        with lasting(self.folder, self._safe()):
            if self._columns is None:
                self._columns = Columns.create(self.folder, n, width, batch)
            self._columns.grow(n)
        grown = np.full(self._columns.n, WAITING, np.uint8)
        grown[: len(self.status)] = self.status
        self.status = grown

    def read(self, k: int) -> Batch | None:
        """Batch k, or None; rows that wait again are as if they had not come."""
        if self._columns is None or (found := self._columns.read(k)) is None:
            return None
        waiting = self.status[slice(*self._columns.range(k))] == WAITING
        status = np.where(waiting, np.uint8(WAITING), found.status)
        kept = {row: text for row, text in found.messages.items() if not waiting[row]}
        return replace(found, status=status, messages=kept)

    def batches(self) -> Iterator[Batch]:
        """All batches in order, where every row has come."""
        for k in range(-(-len(self.status) // self._columns.batch) if self._columns else 0):
            if (found := self.read(k)) is None:
                raise InputError(f"a file of {self.folder} was lost as it was written: run again")
            yield found

    def wait_again(self, longest: float, n: int) -> None:
        """Let those of the first n rows wait again that were stopped before so many seconds."""
        late = np.flatnonzero(self.status[:n] == code_of("timed out"))
        if self._columns is None or not len(late):
            return
        for k in map(int, np.unique(late // self._columns.batch)):
            if (found := self._columns.read(k)) is not None:
                first, last = self._columns.range(k)
                again = found.seconds < longest * (1 - _ROUNDING)
                again &= (found.status == code_of("timed out")) & (np.arange(first, last) < n)
                self.status[first:last][again] = WAITING

    def try_again(self) -> None:
        """Let all rows that failed wait again."""
        self.status[self.status > DONE] = WAITING

    def write(self, k: int, batch: Batch) -> None:
        """Put batch k on the disk.

        Raises:
            InputError: the disk is full.
        """
        if self._columns is None:
            raise InputError(f"{self.folder} has no room yet")
        with lasting(self.folder, self._safe()):
            self._columns.write(k, batch)
        self.status[slice(*self._columns.range(k))] = batch.status

    def _safe(self) -> str:
        finished = int((self.status != WAITING).sum())
        return f"{finished} simulations are safe there"


@contextmanager
def writing(
    path: str | Path, identity: Mapping[str, Any], about: Mapping[str, Any], call: int
) -> Iterator[Writer]:
    """Open a store to write into, or make one.

    Args:
        path: a folder that is a store, or is empty, or is not there.
        identity: what the simulations are made from, plain data; a store of another is refused.
        about: what else a reader may want to know, plain data.
        call: rows in one call of the model, for a new store.

    Raises:
        InputError: another process writes it; it is another's, or no store.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"a store is a folder; {str(path)!r} is a file, name another")
    with lasting(folder, "nothing was written"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
    try:
        yield Writer(folder, _opened(folder, identity, about, call))
    finally:
        lock.release()


def remove_store(path: str | Path) -> None:
    """Remove a store that is there.

    Raises:
        InputError: another process writes it.
    """
    folder = Path(path)
    if folder.is_dir():
        lock = _locked(folder)
        try:
            shutil.rmtree(folder)
        finally:
            lock.release()


def _locked(folder: Path) -> BaseFileLock:
    """The lock of a store, which this process holds."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process is writing to {folder}: wait until it has ended, or name another "
            "store"
        ) from None
    return lock


def _opened(folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any], call: int) -> int:
    """Make a new store, or check that this is its owner; the rows in one call."""
    found = attributes_of(folder)
    if found is None:
        strangers = [file.name for file in folder.iterdir() if not file.name.startswith(".")]
        if strangers:
            raise InputError(f"{folder} holds other files ({strangers[0]}): name an empty folder")
        with lasting(folder, "nothing was written"):
            attributes = {"format": _FORMAT, "identity": dict(identity), "call": call, **about}
            create_group(folder, attributes)
        return call
    if found.get("format") != _FORMAT or not isinstance(found.get("identity"), dict):
        raise InputError(f"{folder} is not a store that invgan wrote")
    theirs = found["identity"]
    changed = [key for key in identity if theirs.get(key) != identity[key]]
    if changed:
        what = [_WORDS.get(key, f"other {key}") for key in changed]
        raise InputError(
            f"{folder} holds simulations of {' and '.join(what)}: name another folder (--out), "
            "or go back to what it was made from"
        )
    calls = found.get("call")
    if not isinstance(calls, int) or calls < 1:
        raise InputError(f"{folder} is not a store that invgan wrote")
    return calls
