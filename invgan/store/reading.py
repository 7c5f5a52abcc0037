"""Read a store: all of it into memory, or some rows at a time however large it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError
from invgan.files import digest, write_text
from invgan.mapped import allocate, let_go
from invgan.samples import Records, Simulations, failure_records

if TYPE_CHECKING:
    from invgan.store.batches import Batch, Columns

__all__ = ["Stored", "open_store"]

Array = NDArray[np.float64]

_KEPT = 4


def open_store(path: str | Path, *, mapped: str | Path | None = None) -> Simulations:
    """The simulations of a store, in memory or mapped.

    Args:
        path: the store.

    Other Args:
        mapped: a folder for files from which simulations larger than memory are read as they are
            needed, see `Stored.mapped`.

    Raises:
        InputError: there is no store, or it is damaged beyond its single batches; or the disk is
            full.
    """
    stored = Stored(path)
    return stored.load() if mapped is None else stored.mapped(mapped)


class Stored:
    """A store to read from; memory is needed for a few batches and one byte a row.

    Rows are numbered among those that succeeded, in the order of the design, whatever the order in
    which they were finished.

    Args:
        path: the store.

    Other Args:
        n: only the first n rows of the design, failed ones included.

    Attributes:
        names: the D parameter names.
        outputs: the L output names.
        status: of the rows of the design up to the last that came; 0 where one is to come.

    Raises:
        InputError: there is no store, or it is damaged beyond its single batches.
    """

    def __init__(self, path: str | Path, *, n: int | None = None) -> None:
        from invgan.store.batches import DONE, Columns  # noqa: PLC0415
        from invgan.store.disk import attributes_of  # noqa: PLC0415

        self._folder = Path(path)
        about = attributes_of(self._folder)
        if about is None:
            raise InputError(f"there is no store {str(path)!r}; simulate into it first")
        self.names, self.outputs = _names(about, "names", path), _names(about, "outputs", path)
        self._about = about
        self._columns: Columns | None = None
        self.status, self._asked = np.empty(0, np.uint8), n or 0
        if Columns.exist(self._folder):
            self._columns = Columns(self._folder)
            self._check_width()
            self.status = self._columns.status()[:n]
            self._asked = n or self._columns.n
        self._recent: dict[int, Batch] = {}
        self._good = self.status == DONE
        # Good rows before each batch, and in all.
        counts = [self._good[slice(*self._range(k))].sum() for k in self._numbers()]
        self._before = np.concatenate([[0], np.cumsum(counts, dtype=int)])

    def __len__(self) -> int:
        """How many rows succeeded."""
        return int(self._before[-1])

    @property
    def places(self) -> NDArray[np.intp]:
        """The rows of the design that succeeded."""
        return np.flatnonzero(self._good)

    @property
    def nbytes(self) -> int:
        """Bytes that they take in memory."""
        return 8 * len(self) * sum(self.width)

    @property
    def width(self) -> tuple[int, int]:
        """The counts of parameters and of columns of outputs."""
        if self._columns is None:
            return len(self.names), len(self.outputs)
        return self._columns.width

    def _check_width(self) -> None:
        wide, long = self.width
        if wide != len(self.names) or not self.outputs or long % len(self.outputs):
            raise InputError(
                f"the store {str(self._folder)!r} is damaged: it names {len(self.names)} "
                f"parameters and {len(self.outputs)} outputs, and holds {wide} and {long} columns; "
                "remove it and simulate again"
            )

    def take(self, rows: ArrayLike) -> tuple[Array, Array]:
        """Some rows by number, in the order asked for: x (m, D) and y (m, W)."""
        wanted = np.asarray(rows, int)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise InputError(f"rows go from 0 to {len(self) - 1}; got {wanted.max()}")
        x, y = (np.empty((len(wanted), width)) for width in self.width)
        home = np.searchsorted(self._before, wanted, side="right") - 1
        for k in np.unique(home):
            mine = home == k
            batch_x, batch_y = self._rows(int(k))
            place = wanted[mine] - self._before[k]
            x[mine], y[mine] = batch_x[place], batch_y[place]
        return x, y

    def batches(self, rows: int = 8192) -> Iterator[tuple[Array, Array]]:
        """All rows in order, so many at a time (fewer at the end)."""
        for start in range(0, len(self), rows):
            yield self.take(np.arange(start, min(start + rows, len(self))))

    def load(self) -> Simulations:
        """All of it in memory."""
        x, y = (np.empty((len(self), width)) for width in self.width)
        self._fill(x, y)
        return Simulations(x, y, self.names, self.outputs, *self._told())

    def mapped(self, folder: str | Path) -> Simulations:
        """All of it as arrays that stay on the disk, in two files of the folder.

        What is read of the arrays comes from the files, ``x.npy`` and ``y.npy``, as it is needed,
        so that training can use simulations larger than memory. Files that were made from the same
        rows are used as they are.

        Raises:
            InputError: the disk is full.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not len(self):
            return self.load()
        note, made_from = folder / "made_from.json", self._rows_known_by()
        files = [folder / f"{name}.npy" for name in ("x", "y")]
        whole = all(file.is_file() for file in (note, *files))
        if not (whole and note.read_text(encoding="utf-8") == made_from):
            note.unlink(missing_ok=True)
            self._write(files)
            write_text(note, made_from)
        x, y = (np.load(file, mmap_mode="r") for file in files)
        return Simulations(x, y, self.names, self.outputs, *self._told())

    def _write(self, files: list[Path]) -> None:
        """All rows, as two arrays."""
        arrays = []
        try:
            for file, width in zip(files, self.width, strict=True):
                # Whoever still reads an older file keeps it.
                file.unlink(missing_ok=True)
                shape = len(self), width
                arrays.append(open_memmap(file, mode="w+", dtype=float, shape=shape))
                with file.open("rb+") as room:
                    allocate(room, file.stat().st_size)
        except OSError as error:
            for file in files:
                file.unlink(missing_ok=True)
            raise InputError(
                f"there is no room for the simulations in {files[0].parent} ({error}): free some; "
                "they take as much of the disk as their store"
            ) from None
        self._fill(*arrays)
        for array in arrays:
            array.flush()

    def _rows_known_by(self) -> str:
        """What tells these rows from those of another store or of more of it."""
        about = json.dumps([self._about.get("identity"), len(self), *self.width])
        return digest(about, self.status)

    def failures(self) -> tuple[Array, Records]:
        """Parameters of the rows that failed, and how, as in `Simulations`."""
        found = [self._failures(k) for k in self._numbers()]
        x = np.concatenate([np.empty((0, self.width[0])), *(bad for bad, _ in found)])
        return x, failure_records(record for _, how in found for record in how)

    def _failures(self, k: int) -> tuple[Array, list[tuple[str, str, float]]]:
        """Parameters of the rows of batch k that failed, and how."""
        from invgan.store.batches import DONE, kind_of  # noqa: PLC0415

        bad = np.flatnonzero(self.status[slice(*self._range(k))] > DONE)
        batch = self._batch(k) if len(bad) else None
        if batch is None:
            return np.empty((0, self.width[0])), []
        return batch.x[bad], [
            (kind_of(batch.status[i]), batch.messages.get(int(i), ""), float(batch.seconds[i]))
            for i in bad
        ]

    def _fill(self, x: Array, y: Array) -> None:
        """Put all rows into these arrays."""
        for k in self._numbers():
            part = slice(self._before[k], self._before[k + 1])
            x[part], y[part] = self._rows(k)
            let_go(x, y)

    def _told(self) -> tuple[Array, dict[str, Any], Records]:
        """What simulations hold beside their rows."""
        failed, records = self.failures()
        return failed, self._info(), records

    def _info(self) -> dict[str, Any]:
        from invgan.store.batches import WAITING  # noqa: PLC0415

        finished = int((self.status != WAITING).sum())
        runs = self._about.get("runs_per_row", 1)
        return {
            "seed": self._about.get("identity", {}).get("seed"),
            "seconds": 0.0,
            "model_evaluations": finished * (runs if isinstance(runs, int) else 1),
            "not_finite": finished - len(self),
            "unfinished": self._asked - finished,
        }

    def _numbers(self) -> range:
        """The batches."""
        if self._columns is None:
            return range(0)
        return range(-(-len(self.status) // self._columns.batch))

    def _range(self, k: int) -> tuple[int, int]:
        batch = 1 if self._columns is None else self._columns.batch
        return k * batch, min((k + 1) * batch, len(self.status))

    def _batch(self, k: int) -> Batch | None:
        """Batch k, where any of it is finished."""
        if self._columns is None or not self.status[slice(*self._range(k))].any():
            return None
        if k not in self._recent:
            found = self._columns.read(k)
            if found is None:
                raise InputError(f"{self._folder} was damaged while it was read (batch {k})")
            self._recent[k] = found
            if len(self._recent) > _KEPT:
                del self._recent[next(iter(self._recent))]
        return self._recent[k]

    def _rows(self, k: int) -> tuple[Array, Array]:
        """The good rows of batch k."""
        batch = self._batch(k)
        if batch is None:
            return np.empty((0, self.width[0])), np.empty((0, self.width[1]))
        good = self._good[slice(*self._range(k))]
        return batch.x[: len(good)][good], batch.y[: len(good)][good]


def _names(about: dict[str, Any], key: str, path: str | Path) -> tuple[str, ...]:
    found = about.get(key)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"{path} is not a store that invgan wrote")
    return tuple(found)
