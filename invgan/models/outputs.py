"""Outputs by name from what a program wrote: standard output, JSON, CSV or NetCDF.

Whatever the form, the result is a mapping from names to numbers. Nested names are joined by dots,
and the values of a list or of a column are numbered from 1: ``{"peak": 3, "cases": [1, 4]}`` has
the outputs peak, cases_1 and cases_2. Text is passed over.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from invgan.errors import InputError
from invgan.tables import read_csv

__all__ = ["FORMS", "check_reading", "read_outputs"]

FORMS = ("stdout", "json", "csv", "netcdf")
STDOUT = "-"
"""The name of a file that means the standard output."""

_MOST_VALUES = 1_000_000
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?|[-+]?(?:nan|inf)(?:inity)?"
_VALUE = re.compile(rf"(?<![\w.])(?:{_NUMBER})(?![\w.])", re.IGNORECASE)
_LINE = re.compile(rf"\s*([^\s=:,]+)(?:\s*[=:,]\s*|\s+)({_NUMBER})\s*$", re.IGNORECASE)


def check_reading(read: Mapping[str, Any]) -> tuple[str, Any]:
    """The form of the outputs and where they are.

    Args:
        read: one of ``{"stdout": "numbers"}`` (all numbers in their order), ``{"stdout":
            "names"}`` (lines such as ``peak 3.2`` or ``peak = 3.2``), ``{"stdout": {"peak":
            "peak was (.*)"}}`` (a regular expression for each name), and ``{"json": file}``,
            ``{"csv": file}`` or ``{"netcdf": file}``; the file "-" is the standard output.

    Raises:
        InputError: it is none of these.
    """
    if not isinstance(read, Mapping) or len(read) != 1 or not set(read) <= set(FORMS):
        raise InputError(
            f"read must be one of {', '.join(FORMS)}, as in {{json: out.json}}; "
            f"got {str(read)[:80]}"
        )
    ((form, where),) = read.items()
    if form == "stdout":
        return form, where if where in ("numbers", "names") else _patterns(where)
    if not isinstance(where, str) or not where.strip() or (form, where) == ("netcdf", STDOUT):
        raise InputError(f"read.{form} must name the file that the program writes; got {where!r}")
    if where != STDOUT:
        check_inside(where, f"read.{form}")
    return form, where


def check_inside(file: str, what: str) -> str:
    """A file in the working directory, by a relative path that does not leave it."""
    path = Path(file)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in file:
        raise InputError(
            f"{what} must be a file in the program's own working directory; got {file!r}"
        )
    return file


def read_outputs(
    reading: tuple[str, Any], directory: Path, stdout: bytes, most: int
) -> dict[str, float]:
    """The outputs of a program that has ended.

    Args:
        reading: from `check_reading`.
        directory: where the program ran.
        stdout: what it wrote.
        most: bytes of the largest file that is read.

    Raises:
        InputError: they are not there, or not of this form.
    """
    form, where = reading
    if form == "stdout":
        return _from_text(stdout.decode("utf-8", "replace"), where)
    if where == STDOUT:
        (directory / STDOUT).write_bytes(stdout)
    file = _written(directory, where, most)
    reader = {"json": _from_json, "csv": _from_csv, "netcdf": _from_netcdf}[form]
    found = dict(_limited(reader(file), where))
    if not found:
        raise InputError(f"{where} holds no number")
    return found


def _patterns(where: Any) -> dict[str, str]:
    if not isinstance(where, Mapping) or not where:
        raise InputError(
            "read.stdout must be numbers, names, or a regular expression for each output by name; "
            f"got {str(where)[:80]}"
        )
    for name, pattern in where.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)
                re.compile(pattern)
        except FutureWarning as warning:
            raise InputError(
                f"read.stdout.{name} does not mean what it seems to ({str(warning).lower()}): "
                rf"write \[ for a bracket and \d for a digit; got {str(pattern)[:80]}"
            ) from None
        except (re.error, TypeError, OverflowError, RecursionError) as error:
            raise InputError(
                f"read.stdout.{name} is no regular expression ({error}); got {str(pattern)[:80]}"
            ) from None
    return {str(name): str(pattern) for name, pattern in where.items()}


def _from_text(text: str, where: Any) -> dict[str, float]:
    if where == "numbers":
        values = [_float(found) for found in _VALUE.findall(text)]
        found = dict(_limited(((f"y{i}", value) for i, value in enumerate(values, 1)), "stdout"))
    elif where == "names":
        lines = filter(None, map(_LINE.match, text.splitlines()))
        found = {line[1]: _float(line[2]) for line in lines}
    else:
        found = {name: _matched(name, pattern, text) for name, pattern in where.items()}
    if not found:
        raise InputError(f"the standard output holds no outputs; it was {text[-80:]!r}")
    return found


def _matched(name: str, pattern: str, text: str) -> float:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise InputError(f"the standard output has nothing like {pattern!r} for {name!r}")
    value = match[1] if match.re.groups else match[0]
    try:
        return _float(value or "")
    except ValueError:
        raise InputError(
            f"the standard output has {value[:40]!r} for {name!r}, no number"
        ) from None


def _float(text: str) -> float:
    """A number as Python, C or Fortran (1.5D-3) writes it."""
    return float(re.sub("[dD]", "e", text) if re.search(r"\d[dD]", text) else text)


def _written(directory: Path, name: str, most: int) -> Path:
    file = directory / name
    # A link could lead to any file of the machine.
    if not file.is_file() or not file.resolve().is_relative_to(directory.resolve()):
        raise InputError(f"the program wrote no file {name!r}")
    if file.stat().st_size > most:
        raise InputError(f"{name} has {file.stat().st_size} bytes; {most} are read at most")
    return file


def _from_json(file: Path) -> Iterator[tuple[str, float]]:
    try:
        content = json.loads(file.read_bytes())
        yield from _flat("", content if isinstance(content, Mapping) else {"y": content})
    except (ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{file.name} is not JSON: {str(error)[:200]}") from None


def _from_csv(file: Path) -> Iterator[tuple[str, float]]:
    names, rows = read_csv(file, empty=math.nan)
    for name, column in zip(names, rows.T, strict=True):
        yield from _numbered(name, column)


def _from_netcdf(file: Path) -> Iterator[tuple[str, float]]:
    try:
        import netCDF4  # noqa: PLC0415  (optional)
    except ImportError:
        raise InputError("reading NetCDF needs netCDF4: pip install invgan[netcdf]") from None
    try:
        with netCDF4.Dataset(file) as data:
            for name, variable in data.variables.items():
                if getattr(variable.dtype, "kind", "O") in "fiu":
                    if variable.size > _MOST_VALUES:
                        raise InputError(_TOO_MANY.format(file.name))
                    filled: Any = np.ma.filled(np.ma.asarray(variable[...], dtype=float), math.nan)
                    yield from _numbered(name, filled)
    except (OSError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file.name} is not NetCDF: {str(error)[:200]}") from None


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list):
        for key, part in _keys(name, value):
            yield from _flat(key, part)
    elif value is None or isinstance(value, bool | int | float):
        yield name, math.nan if value is None else float(value)


def _keys(name: str, values: list[Any]) -> list[tuple[str, Any]]:
    """One value keeps the name; more are numbered from 1."""
    if len(values) == 1:
        return [(name, values[0])]
    return [(f"{name}_{i}" if name else f"y{i}", value) for i, value in enumerate(values, 1)]


def _numbered(name: str, values: Any) -> Iterator[tuple[str, float]]:
    yield from _keys(name, np.ravel(np.asarray(values, float)).tolist())


def _limited(pairs: Iterator[tuple[str, float]], source: str) -> Iterator[tuple[str, float]]:
    for count, pair in enumerate(pairs):
        if count >= _MOST_VALUES:
            raise InputError(_TOO_MANY.format(source))
        yield pair


_TOO_MANY = (
    f"{{}} holds more than {_MOST_VALUES} numbers: let the program write the outputs that are "
    "compared, or a summary of them"
)
