"""Simulations that were made elsewhere: a table of parameters and outputs from a file.

The rows must be draws of the prior, with the model's own outputs for them, without the noise of the
measurement. That each parameter is drawn from its prior is checked; that the outputs are the
model's, by running it again on a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from invgan.drawn import check_drawn
from invgan.errors import InputError
from invgan.priors import PriorLike
from invgan.samples import Simulations
from invgan.tables import MOST_BYTES, read_csv, read_npz

__all__ = ["Asked", "held_against", "load_table"]

Array = NDArray[np.float64]

_FEWEST = 20


class Asked(Protocol):
    """What of a Problem a table is held against."""

    @property
    def prior(self) -> PriorLike:
        """Whose draws the parameters are."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        ...

    def usable(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of outputs (n, L) count; NaN may be missing ones."""
        ...


def load_table(
    path: str | Path, problem: Asked, *, seed: int = 0, most: int = MOST_BYTES
) -> Simulations:
    """Read simulations that were made elsewhere.

    Args:
        path: a .csv or .parquet with a column for each parameter and each output, by name; or an
            .npz with such arrays (n,), or with x (n, D) and y (n, L) in the problem's order.
        problem: its prior and its outputs.

    Other Args:
        seed: of the order into which the rows are brought, since a table may be sorted.
        most: the largest table that is read, in bytes.

    Returns:
        The rows with finite outputs; the parameters of the others stand in `Simulations.failed`.

    Raises:
        InputError: the file cannot be read, lacks a column, or its parameters are not finite, lie
            outside the prior or are not draws of it.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"load_table takes a path and then a problem; got {type(path).__name__}")
    path = Path(path)
    names, outputs = tuple(problem.prior.names), tuple(problem.outputs)
    x, y = _columns(path, names, outputs, most)
    if len(x) < _FEWEST:
        raise InputError(f"{path} has {len(x)} rows; {_FEWEST} or more are needed to learn from")
    _check_parameters(x, problem.prior, path)
    _check_repeats(x, y, path)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    good = problem.usable(y)
    if good.sum() < _FEWEST:
        raise InputError(f"{path}: {good.sum()} of {len(x)} rows have finite outputs")
    info = {
        "table": path.name,
        "seed": seed,
        "seconds": 0.0,
        "model_evaluations": 0,
        "not_finite": int((~good).sum()),
    }
    return Simulations(x[good], y[good], names, outputs, x[~good], info)


def held_against(
    simulations: Simulations, model: Callable[[Array], Array], *, rows: int = 20
) -> None:
    """Run a deterministic model again on a few rows that were simulated elsewhere.

    Args:
        simulations: what is doubted.
        model: gives the outputs (m, L) of parameters (m, D), in their order.

    Other Args:
        rows: how many.

    Raises:
        InputError: the outputs are not the model's; they must agree to six digits, which leaves
            room for another machine and for tables in text.
    """
    x, there = simulations.x[:rows], simulations.y[:rows]
    here = model(x)
    scale = np.nanmean(np.abs(simulations.y), axis=0)
    far = ~np.isclose(here, there, rtol=1e-6, atol=1e-6 * scale, equal_nan=True)
    if far.any():
        i, j = np.argwhere(far)[0]
        first = ", ".join(f"{n}: {v:.6g}" for n, v in zip(simulations.names, x[i], strict=True))
        raise InputError(
            f"{far.any(axis=1).sum()} of {len(x)} rows that were run again differ: for {{{first}}} "
            f"the model gives {simulations.outputs[j]} = {here[i, j]:.6g}, and the simulations say "
            f"{there[i, j]:.6g}; they are another model's"
        )


def _columns(
    path: Path, names: tuple[str, ...], outputs: tuple[str, ...], most: int
) -> tuple[Array, Array]:
    """Parameters (n, D) and outputs (n, L)."""
    readers = {".csv": _from_csv, ".parquet": _from_parquet, ".npz": _from_npz}
    if path.suffix not in readers:
        raise InputError(f"a table is a .csv, .parquet or .npz file; got {str(path)!r}")
    found = readers[path.suffix](path, (*names, *outputs), most)
    whole = {"x", "y"} <= set(found) and found["x"].ndim == found["y"].ndim == 2
    if whole or (not set(names) <= set(found) and {"x", "y"} <= set(found)):
        x, y = (_wide(found[key]) for key in ("x", "y"))
        if x.shape[1:] != (len(names),) or y.shape != (len(x), len(outputs)):
            raise InputError(
                f"{path} has x of shape {x.shape} and y of shape {y.shape}; expected "
                f"(n, {len(names)}) and (n, {len(outputs)})"
            )
        return x, y
    missing = [name for name in (*names, *outputs) if name not in found]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; it needs {[*names, *outputs]}")
    return _stacked(found, names, path), _stacked(found, outputs, path)


def _from_csv(path: Path, wanted: Sequence[str], most: int) -> dict[str, Array]:
    names, rows = read_csv(path, empty=float("nan"), most=most)
    return dict(zip(names, rows.T, strict=True))


def _from_npz(path: Path, wanted: Sequence[str], most: int) -> dict[str, Array]:
    found = read_npz(path, most=most)
    return {name: values for name, values in found.items() if values.dtype.kind == "f"}


def _from_parquet(path: Path, wanted: Sequence[str], most: int) -> dict[str, Array]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  (optional)
    except ImportError:
        raise InputError("reading .parquet needs pyarrow: pip install invgan[parquet]") from None
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    try:
        with parquet.ParquetFile(path) as file:
            cells = file.metadata.num_rows * len(wanted)
            if not 0 <= 8 * cells <= most or path.stat().st_size > most:
                raise InputError(f"{path} says that it has {cells} values; that is too many")
            here = [name for name in wanted if name in file.schema_arrow.names]
            table = file.read(columns=here)
            return {name: _numbers(table[name], name, path) for name in here}
    except (ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is not a .parquet file, or is damaged: {str(error)[:200]}"
        ) from None


def _numbers(column: Any, name: str, path: Path) -> Array:
    try:
        return np.array(column.to_numpy(), float)
    except (TypeError, ValueError):
        raise InputError(f"{path}, column {name!r}: holds {column.type}, not numbers") from None


def _wide(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 else values


def _stacked(found: dict[str, Array], names: tuple[str, ...], path: Path) -> Array:
    columns = [found[name] for name in names]
    shapes = {column.shape for column in columns}
    if len(shapes) > 1 or columns[0].ndim != 1:
        raise InputError(f"{path}: the columns have different shapes {sorted(shapes)}")
    return np.stack(columns, axis=1)


def _check_parameters(x: Array, prior: PriorLike, path: Path) -> None:
    if not np.isfinite(x).all():
        i, j = np.argwhere(~np.isfinite(x))[0]
        raise InputError(f"{path}, row {i + 1}: the parameter {prior.names[j]!r} is not finite")
    check_drawn(x, prior, str(path))


def _check_repeats(x: Array, y: Array, path: Path) -> None:
    """Equal rows would stand among the trained and the held-out ones."""
    rows = np.ascontiguousarray(np.concatenate([x, y], axis=1))
    different = len(np.unique(rows, axis=0))
    if different < 0.99 * len(rows):
        raise InputError(
            f"{path}: {len(rows) - different} of {len(rows)} rows are there twice; keep each once"
        )
