"""Arrays that stay on the disk, and are gone through in bounded memory.

A mapped array takes no memory of its own, but the pages of it that were touched count as resident
until the system wants them back: going once through 20 GB looks like holding 20 GB. Whoever goes
through one gives the pages back as it goes. They stay in the system's cache of files, so that
reading them again soon costs little.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "allocate",
    "folder_of",
    "in_parts",
    "let_go",
    "mapping_of",
    "on_disk",
    "release",
    "taken",
]

_AT_ONCE = 2**25
_PAGES_AROUND = 2**18


def on_disk(array: NDArray[Any]) -> bool:
    """Whether an array, or what it is a part of, is mapped from a file."""
    return mapping_of(array) is not None


def mapping_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The file's mapping that an array shows a part of, or None where it is in memory."""
    below: Any = array
    while isinstance(below, np.ndarray):
        below = below.base
    return below if isinstance(below, mmap.mmap) else None


def folder_of(array: NDArray[Any]) -> Path | None:
    """The folder of the file that an array is mapped from, or None where that is not known."""
    name = getattr(array, "filename", None)
    return None if name is None else Path(name).parent


def in_parts(*arrays: NDArray[Any]) -> Iterator[slice]:
    """Ranges of rows of arrays of one length, in order, of about 32 MB each."""
    n, row = len(arrays[0]), sum(array[:1].nbytes for array in arrays)
    rows = max(1, _AT_ONCE // max(1, row))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def taken(array: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Some rows by number, in memory, whatever their order."""
    if not on_disk(array):
        return array[rows]
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    some = max(1, _AT_ONCE // (_PAGES_AROUND + array[:1].nbytes))
    for start in range(0, len(rows), some):
        found[start : start + some] = array[rows[start : start + some]]
        let_go(array)
    return found


def let_go(*arrays: NDArray[Any]) -> None:
    """Give back the resident pages of mapped arrays; what is in them is read again at need.

    An array whose changes are its own (mode ``"c"``) is left alone: they would be lost.
    """
    for array in arrays:
        mapping = mapping_of(array)
        if mapping is not None and getattr(array, "mode", "c") != "c":
            release(mapping)


def release(mapping: mmap.mmap) -> None:
    """Give back the resident pages of a mapping that is shared with its file."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def allocate(file: IO[bytes], size: int) -> None:
    """Reserve bytes of the disk for a file.

    Without this a full disk is found out when a page of the mapped file is written, which ends the
    process.

    Raises:
        OSError: the disk has not so much left.
    """
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), 0, size)
