"""Observations: what was seen of the model's outputs, as rows of a table or as a named law.

Both kinds can be sampled, which is all that the generator needs; a `Law` knows its density too,
which the correction and MCMC use where it exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.balance import check_density
from invgan.errors import InputError
from invgan.execution.calls import numbered
from invgan.frames import by_name
from invgan.priors import check_law
from invgan.tables import read_csv, read_npy

__all__ = ["Law", "Observations", "Table", "as_observations", "known_by"]

Array = NDArray[np.float64]

_DENSER = 8
_TELLING = 64
_NO_NUMBERS = "mM"


@dataclass(frozen=True)
class Table:
    """Observed rows.

    Attributes:
        rows: shape (N, L), finite, or NaN where an output was not observed.
        names: the L output names, or None where nobody named them.
        field: the shape (c, h, w) of the outputs that come first, where they are a field.
    """

    rows: Array
    names: tuple[str, ...] | None = None
    field: tuple[int, int, int] | None = None

    @property
    def width(self) -> int:
        """The number L of outputs."""
        return int(self.rows.shape[1])

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n rows (n, L), with replacement."""
        return np.asarray(self.rows[rng.integers(len(self.rows), size=n)])

    def representative(self, n: int, rng: np.random.Generator) -> Array:
        """Rows (n, L): each row equally often, the remainder at random, in random order."""
        times, rest = divmod(n, len(self.rows))
        index = np.concatenate(
            [
                np.tile(np.arange(len(self.rows)), times),
                rng.choice(len(self.rows), rest, replace=False),
            ]
        )
        return np.asarray(self.rows[rng.permutation(index)])


@dataclass(frozen=True)
class Law:
    """A named law of the outputs: one for each output, or a joint one.

    Attributes:
        columns: frozen one-dimensional laws of `scipy.stats`; empty for a joint law.
        joint: an object with `sample(n, rng)` and `log_prob(y)`, or a frozen multivariate law of
            scipy.stats with `rvs` and `logpdf`; None for independent columns.
        width: the number L of outputs.
        names: the L output names, or None where nobody named them.
    """

    columns: tuple[Any, ...]
    joint: Any
    width: int
    names: tuple[str, ...] | None = None

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n rows (n, L) of the law."""
        if self.joint is None:
            draws = [law.rvs(size=n, random_state=rng) for law in self.columns]
            return np.stack(draws, axis=1).astype(float)
        return _sample_joint(self.joint, n, rng)

    def representative(self, n: int, rng: np.random.Generator) -> Array:
        """Rows (n, L) whose columns follow their laws more evenly than independent draws.

        Every column is each eighth of eight times as many sorted draws, in random order.
        """
        if self.joint is not None:
            return _sample_joint(self.joint, n, rng)
        dense = [np.sort(law.rvs(size=_DENSER * n, random_state=rng)) for law in self.columns]
        start = rng.integers(_DENSER)
        return np.stack([rng.permutation(column[start::_DENSER]) for column in dense], axis=1)

    def log_prob(self, y: Array) -> Array:
        """Log-density of each row of y (n, L), shape (n,)."""
        if self.joint is None:
            columns = [law.logpdf(y[:, j]) for j, law in enumerate(self.columns)]
            return np.asarray(np.sum(columns, axis=0))
        density = getattr(self.joint, "log_prob", None) or self.joint.logpdf
        return np.asarray(density(y), float).reshape(len(y))


Observations = Table | Law


def known_by(observations: Observations) -> Array:
    """What tells observations from others: all rows of a table, the same few draws of a law."""
    if isinstance(observations, Table):
        return observations.rows
    return observations.sample(_TELLING, np.random.default_rng(0))


def as_observations(source: Any, *, missing: bool = False) -> Observations:
    """Understand whatever the user gave as observations.

    Args:
        source: an array (N, L) or (N,) for one output; N fields (N, h, w) or (N, c, h, w); a
            mapping from names to such arrays, side by side; a data frame; a path to a .csv with a
            header or a .npy; a frozen law of `scipy.stats`; a sequence or a mapping by name of such
            laws, one for each output; or a joint law.

    Other Args:
        missing: whether a table may hold NaN, and a .csv empty cells, for what was not observed.

    Raises:
        InputError: it is none of these, or holds values that are not finite numbers.
    """
    if isinstance(source, Table | Law):
        return source
    if isinstance(source, str | Path):
        return _read(Path(source), missing)
    named = by_name(source)
    if named is not None:
        if named and not any(hasattr(part, "dist") for part in named.values()):
            return _blocks(named, missing)
        return _columns(tuple(named.values()), tuple(map(str, named)))
    if hasattr(source, "dist"):
        return _columns((source,), None)
    if isinstance(source, Sequence) and source and any(hasattr(law, "dist") for law in source):
        return _columns(tuple(source), None)
    if hasattr(source, "log_prob") or hasattr(source, "logpdf"):
        return _joint(source)
    return _table(source, None, "the observations", missing)


def _columns(laws: tuple[Any, ...], names: tuple[str, ...] | None) -> Law:
    if not laws:
        raise InputError("the observations hold no law; give one for each output")
    for j, law in enumerate(laws):
        check_law(law, f"observed law of {names[j] if names else f'output {j + 1}'!r}")
    return Law(laws, None, len(laws), names)


def _joint(law: Any) -> Law:
    try:
        width = _sample_joint(law, 2, np.random.default_rng(0)).shape[1]
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"the observed joint law ({type(law).__name__}) could not be sampled: {error}; "
            "it needs sample(n, rng) and log_prob(y), or rvs and logpdf as in scipy.stats"
        ) from error
    named = getattr(law, "names", None)
    found = Law((), law, width, tuple(named) if named else None)
    if hasattr(law, "log_prob"):  # one of the user's own
        what = f"the observed joint law ({type(law).__name__})"
        names = found.names or [f"output {j + 1}" for j in range(width)]
        check_density(what, names, partial(_sample_joint, law), partial(_tried, found, what))
    return found


def _tried(law: Law, what: str, y: Array) -> Array:
    """The density of each row of y, some of which the law may not draw."""
    try:
        return law.log_prob(y)
    except Exception as error:
        raise InputError(
            f"{what}: log_prob(y) raised {type(error).__name__}: {error} (called with rows of "
            f"shape ({law.width},), some of which the law may not draw): return a number for each "
            "row, -inf where there are no draws"
        ) from error


def _sample_joint(law: Any, n: int, rng: np.random.Generator) -> Array:
    draws = law.sample(n, rng) if hasattr(law, "sample") else law.rvs(n, random_state=rng)
    return np.asarray(draws, float).reshape(n, -1)


def _table(values: Any, names: tuple[str, ...] | None, what: str, missing: bool) -> Table:
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(float), np.nan)
    try:
        if getattr(getattr(values, "dtype", None), "kind", "f") in _NO_NUMBERS:
            raise TypeError
        if np.iscomplexobj(values):
            raise TypeError
        rows = np.array(values, float)
    except (TypeError, ValueError):
        raise InputError(
            f"{what} must be numbers of shape (N, L), a law, or a path to a .csv or .npy; "
            f"got {_described(values)}"
        ) from None
    if rows.ndim == 1:
        rows = rows[:, None]
    if 2 <= rows.ndim <= 4 and not rows.size:
        raise InputError(f"{what} must hold rows of numbers; it has none, the shape {rows.shape}")
    if not 2 <= rows.ndim <= 4:
        raise InputError(
            f"{what} must have shape (N, L), one column for each output, or (N, h, w) or "
            f"(N, c, h, w), a field in each row; got {rows.shape}"
        )
    field = (1, *rows.shape[-2:]) if rows.ndim == 3 else rows.shape[1:]
    rows = rows.reshape(len(rows), -1)
    _check_values(rows, names, what, missing)
    return Table(rows, names, field if len(field) == 3 else None)


def _described(values: Any) -> str:
    """What came, and of rows that are no table why."""
    rows = values if isinstance(values, list | tuple) else []
    sizes = sorted({len(row) for row in rows if isinstance(row, list | tuple | np.ndarray)})
    if len(sizes) > 1:
        return f"{type(values).__name__} of rows of different lengths, {sizes[0]} to {sizes[-1]}"
    if not isinstance(values, np.ndarray):
        return type(values).__name__
    for place, value in np.ndenumerate(values) if values.dtype.kind != "c" else ():
        try:
            float(value)
        except (TypeError, ValueError):
            return f"{repr(value)[:40]} in row {place[0] + 1 if place else 1}"
    return f"{type(values).__name__} of {values.dtype}"


def _blocks(parts: Mapping[Any, Any], missing: bool) -> Table:
    """Arrays by name, side by side; the columns of one that has several are numbered."""
    tables = {
        str(name): _table(
            [part] if np.isscalar(part) else part, None, f"the observed {name!r}", missing
        )
        for name, part in parts.items()
    }
    counts = {name: len(table.rows) for name, table in tables.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"the observations have different numbers of rows: {counts}")
    names = [n for name, part in parts.items() for n in numbered(str(name), np.shape(part)[1:])]
    first = next(iter(tables.values()))
    return Table(np.hstack([t.rows for t in tables.values()]), tuple(names), first.field)


def _check_values(rows: Array, names: tuple[str, ...] | None, what: str, missing: bool) -> None:
    bad = np.isinf(rows) if missing else ~np.isfinite(rows)
    if bad.any():
        i, j = np.argwhere(bad)[0]
        known = "" if missing else ", or say missing=True where NaN means not observed"
        raise InputError(
            f"{what}: {bad.sum()} of {bad.size} values are not finite (first: row {i + 1}, column "
            f"{names[j] if names else j + 1}); leave such rows out{known}"
        )
    empty = np.flatnonzero(np.isnan(rows).all(axis=1))
    if len(empty):
        raise InputError(f"{what}: row {empty[0] + 1} holds no value at all; leave it out")


def _read(path: Path, missing: bool) -> Table:
    if not path.is_file():
        raise InputError(f"observations: there is no file {str(path)!r}")
    if path.suffix == ".npy":
        return _table(read_npy(path), None, str(path), missing)
    if path.suffix == ".csv":
        names, rows = read_csv(path, empty=math.nan if missing else None)
        return _table(rows, names, str(path), missing)
    raise InputError(f"observations come from a .csv or a .npy file; got {str(path)!r}")
