"""Tables of numbers from files that anybody may have made: .csv, .npy and .npz.

What a file claims of its size is held against its true size before any memory is given for it, so
that a small file cannot ask for a large array; nothing in it is ever run (no pickle), and whatever
is wrong with it is one `InputError`.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError

__all__ = ["MOST_BYTES", "read_csv", "read_npy", "read_npz"]

Array = NDArray[np.float64]

MOST_BYTES = 1 << 34
"""The largest table that is read into memory, 16 GiB; larger ones belong into a store."""

_FREE, _RATIO = 1 << 26, 200  # a compressed archive may grow to 64 MiB, or to 200 times its size


def read_csv(
    path: str | Path, *, empty: float | None = None, most: int = MOST_BYTES
) -> tuple[tuple[str, ...], Array]:
    """A text table whose first line names its columns.

    Args:
        path: UTF-8 text, values separated by commas.

    Other Args:
        empty: what an empty cell stands for, such as NaN; None refuses empty cells.
        most: the largest file that is read, in bytes.

    Returns:
        Names of the L columns, and the rows (n, L); numbers may be NaN or infinite.

    Raises:
        InputError: it is no such table; the sentence names line and column.
    """
    path = _sized(Path(path), most)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _parsed(csv.reader(file), path, empty)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a text table: {str(error)[:200]}") from None


def read_npy(path: str | Path, *, most: int = MOST_BYTES) -> Array:
    """The numbers of a .npy file, of whatever shape.

    Raises:
        InputError: it is damaged, holds anything but real numbers, or is too large.
    """
    path = _sized(Path(path), most)
    with path.open("rb") as file:
        return _numbers(_array(file, path.stat().st_size, str(path)), str(path))


def read_npz(
    path: str | Path, keys: Collection[str] | None = None, *, most: int = MOST_BYTES
) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file: numbers as floats; text, and records of both, as they are.

    Args:
        path: what `numpy.savez` or `numpy.savez_compressed` wrote.
        keys: the arrays that are wanted; all of them where left out.

    Other Args:
        most: the most bytes that the arrays may take together.

    Raises:
        InputError: it is damaged, lacks a key, holds objects, or is larger inside than out.
    """
    path = _sized(Path(path), most)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = list(members if keys is None else keys)
            missing = [key for key in wanted if key not in members]
            if missing:
                raise InputError(f"{path} has no array {missing[0]!r}; it has {_few(members)}")
            _check_inner(path, [members[key].file_size for key in wanted], most)
            return {key: _member(archive, members[key], f"{key} in {path}") for key in wanted}
    except InputError:
        raise
    # A damaged archive makes its reader raise anything, NotImplementedError included.
    except Exception as error:
        raise InputError(f"{path} is not an .npz file, or is damaged: {str(error)[:200]}") from None


def _sized(path: Path, most: int) -> Path:
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        size = None
    if size is None:
        raise InputError(f"there is no file {str(path)!r}")
    if size > most:
        raise InputError(f"{path} has {size} bytes; {most} are read at most")
    return path


def _check_inner(path: Path, sizes: list[int], most: int) -> None:
    total, outer = sum(sizes), path.stat().st_size
    if total > min(most, max(_FREE, _RATIO * outer)):
        raise InputError(
            f"{path} has {outer} bytes and says that it unpacks to {total}; save it with "
            "numpy.savez, without compression, if that is so"
        )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    with archive.open(info) as file:
        values = _array(file, info.file_size, name)
    return values if values.dtype.kind in "UV" else _numbers(values, name)


def _array(file: IO[bytes], size: int, name: str) -> NDArray[Any]:
    """An array whose header agrees with the bytes that follow it."""
    try:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, columns_first, dtype = header(file)
    # The header is a Python literal; what may be wrong with one has no common name.
    except Exception as error:
        raise InputError(f"{name} is not a .npy file of numbers: {str(error)[:200]}") from None
    if not all(part.kind in "fiubU" and not part.shape for part in _parts(dtype)):
        raise InputError(f"{name} is not a .npy file of numbers: it holds {dtype}")
    wanted = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or not 0 <= wanted <= size:
        reason = f"an array of shape {shape} is not in {size} bytes"
        raise InputError(f"{name} is not a .npy file of numbers: {reason}")
    data = _read(file, wanted)
    if len(data) != wanted:
        reason = f"it ends after {len(data)} of {wanted} bytes"
        raise InputError(f"{name} is not a .npy file of numbers: {reason}")
    if not wanted:
        return np.empty(shape, dtype)
    order = "F" if columns_first else "C"
    return np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]


def _parts(dtype: np.dtype[Any]) -> list[np.dtype[Any]]:
    """The kinds of a record's fields; of anything else its own."""
    return [dtype] if dtype.fields is None else [field[0] for field in dtype.fields.values()]


def _read(file: IO[bytes], size: int) -> bytes:
    """As many bytes as there are, up to size, in pieces: memory follows what is really there."""
    buffer = io.BytesIO()
    while buffer.tell() < size and (piece := file.read(min(1 << 24, size - buffer.tell()))):
        buffer.write(piece)
    return buffer.getvalue()


def _numbers(values: NDArray[Any], name: str) -> Array:
    if values.dtype.kind in "UV":
        raise InputError(f"{name} is not a .npy file of numbers: it holds {values.dtype}")
    with np.errstate(all="ignore"):
        return np.array(values, float)


def _parsed(lines: Any, path: Path, empty: float | None) -> tuple[tuple[str, ...], Array]:
    rows = ((lines.line_num, row) for row in lines if any(map(str.strip, row)))
    names = _header(next(rows, (0, []))[1], path)
    cells = array("d", _cells(rows, names, path, empty))
    if not cells:
        raise InputError(f"{path} needs a header line and at least one row of numbers")
    return names, np.array(cells, float).reshape(-1, len(names))


def _header(row: list[str], path: Path) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in row)
    if not names:
        raise InputError(f"{path} needs a header line and at least one row of numbers")
    if all(_number(name) is not None for name in names):
        raise InputError(f"{path} starts with numbers; its first line must name the columns")
    if not all(names):
        raise InputError(
            f"{path}, column {1 + names.index('')} has no name: name it, or leave it out (pandas "
            "writes its index so: to_csv(..., index=False))"
        )
    if len(set(names)) != len(names):
        raise InputError(f"{path} must give each column a different name; got [{_few(names)}]")
    return names


def _cells(
    rows: Iterator[tuple[int, list[str]]], names: tuple[str, ...], path: Path, empty: float | None
) -> Iterator[float]:
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} values for {len(names)} columns "
                f"[{_few(names)}]: values are separated by commas, and the first line holds the "
                "names and nothing else"
            )
        for name, cell in zip(names, row, strict=True):
            value = _number(cell) if cell.strip() else empty
            if value is None:
                told = f"{path}, line {line}, column {name!r}: {cell[:40]!r} is not a number"
                raise InputError(told + _hint(cell))
            yield value


def _hint(cell: str) -> str:
    """What a cell that is no number may be, and what to do about it."""
    if not cell.strip():
        return "; leave out rows that lack a value, or write nan where missing values are allowed"
    return "; values are separated by commas" if {";", "\t"} & set(cell) else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _few(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in list(names)[:10])
    return shown + (f", ... ({len(names)} in all)" if len(names) > 10 else "")
