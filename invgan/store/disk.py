"""The door to zarr: files that are on the disk once they are written, arrays of plain numbers.

The layout is the simplest that Zarr v3 knows: a chunk is a file of the numbers, little-endian, with
the CRC-32C of them at its end, and nothing is compressed. So the size of every file is known
beforehand, a file of another size is damaged, and chunks are read and written here; zarr keeps the
metadata, and any other program that reads Zarr reads the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from invgan.errors import InputError

__all__ = ["TEXTS", "Column", "attributes_of", "create_group", "lasting"]

TEXTS = 65_536
"""Bytes for the messages of a batch."""

_CHECKSUM = 4
_META = "zarr.json"
_MOST_META = 1_000_000


class _Durable(LocalStore):
    """A local store whose files survive a power cut once they are written."""

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(_write, self.root / key, value.to_bytes())

    def set_sync(self, key: str, value: Buffer) -> None:
        _write(self.root / key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not (self.root / key).exists():
            await self.set(key, value)


class Column:
    """One array of a store: n rows, in chunks of a batch of rows.

    Args:
        folder: the store.
        name: of the array.

    Attributes:
        dtype: of the numbers.

    Raises:
        InputError: there is no such array, or it is not laid out as a store's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.name = folder / name, name
        _metadata(self._folder / _META)
        with _readable(self._folder):
            self._array: Any = zarr.open_array(_Durable(folder), path=name, mode="r+")
            found: Any = self._array.metadata.to_dict()
            self.dtype = np.dtype(self._array.dtype).newbyteorder("<")
            little = {"endian": "little"} if self.dtype.itemsize > 1 else None
            codecs = [(c["name"], c.get("configuration")) for c in found["codecs"]]
            separator = found["chunk_key_encoding"]["configuration"]["separator"]
        plain = codecs == [("bytes", little), ("crc32c", None)] and separator == "."
        if not plain or self._array.ndim not in (1, 2):
            raise InputError(f"{self._folder} is not an array that invgan wrote")

    @classmethod
    def create(
        cls, folder: Path, name: str, shape: tuple[int, ...], batch: int, dtype: str
    ) -> Column:
        """Make an array of which nothing is written yet."""
        zarr.create_array(
            _Durable(folder),
            name=name,
            shape=shape,
            chunks=(batch, *shape[1:]),
            dtype=dtype,
            compressors=[Crc32cCodec()],
            fill_value=np.nan if dtype.startswith("f") else 0,
            chunk_key_encoding={"name": "default", "separator": "."},
            overwrite=True,
        )
        return cls(folder, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, rows first."""
        return tuple(self._array.shape)

    @property
    def batch(self) -> int:
        """Rows in a chunk."""
        return int(self._array.chunks[0])

    def present(self) -> list[int]:
        """The batches of which there is a file."""
        ends = (file.name.split(".")[1] for file in self._folder.glob("c.*"))
        last = (self.shape[0] - 1) // self.batch
        return sorted(int(end) for end in ends if end.isdecimal() and int(end) <= last)

    def read(self, k: int) -> NDArray[Any] | None:
        """The rows of batch k; None where they are not there, or damaged."""
        file, chunk = self._file(k), tuple(map(int, self._array.chunks))
        try:
            if file.stat().st_size != math.prod(chunk) * self.dtype.itemsize + _CHECKSUM:
                return None
            content = file.read_bytes()
        except OSError:
            return None
        numbers = content[:-_CHECKSUM]
        if _checksum(numbers) != content[-_CHECKSUM:]:
            return None
        rows = min(self.batch, self.shape[0] - k * self.batch)
        return np.frombuffer(numbers, self.dtype).reshape(chunk)[:rows]

    def write(self, k: int, rows: NDArray[Any]) -> None:
        """Write the rows of batch k, whole or not at all."""
        chunk = np.full(self._array.chunks, self._array.fill_value, self.dtype)
        chunk[: len(rows)] = rows
        numbers = chunk.tobytes()
        _write(self._file(k), numbers + _checksum(numbers))

    def grow(self, n: int) -> None:
        """Make room for n rows."""
        if n > self.shape[0]:
            self._array.resize((n, *self.shape[1:]))

    def _file(self, k: int) -> Path:
        return self._folder / ".".join(["c", str(k), *["0"] * (len(self.shape) - 1)])


def create_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Make an empty store that says what it is."""
    zarr.create_group(_Durable(folder), attributes=dict(attributes), overwrite=False)


def attributes_of(folder: Path) -> dict[str, Any] | None:
    """What a store says of itself; None where there is none.

    Raises:
        InputError: what is there is no store, or damaged.
    """
    if not (folder / _META).exists():
        return None
    content = _metadata(folder / _META)
    found = content.get("attributes")
    if not isinstance(found, dict):
        raise InputError(f"{folder} is not a store that invgan wrote")
    return found


@contextmanager
def lasting(folder: Path, done: str) -> Iterator[None]:
    """Turn a full disk into a sentence; done says what is safe."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"the disk of {folder} is full; {done}: free some space and run the same again, and "
            "it goes on from there"
        ) from error


def _metadata(file: Path) -> dict[str, Any]:
    """What a file of metadata holds, if it is of a reasonable size."""
    with _readable(file.parent):
        if file.stat().st_size > _MOST_META:
            raise ValueError("its metadata are too large")
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("its metadata are no mapping")
        return content


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    # Damaged metadata make zarr raise anything.
    except Exception as error:
        raise InputError(
            f"{folder} is not a store that invgan wrote, or is damaged: {error}"
        ) from None


def _checksum(numbers: bytes) -> bytes:
    return int(google_crc32c.value(numbers)).to_bytes(_CHECKSUM, "little")


def _write(path: Path, content: bytes) -> None:
    """Write a file beside its place, force it to the disk, move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
