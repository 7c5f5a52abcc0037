"""Summary statistics as a step of their own, between the model's raw outputs and what is compared.

    x -> model -> raw outputs (n, R) -> summary -> outputs (n, K)

`summarised` composes the two into one model. Raw outputs that were kept can be summarised again, in
another way, without another run of the model: a store of such a model holds the raw outputs (see
`invgan.simulation.raw`), and `apply_summary` takes any simulations of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError, ModelError
from invgan.models.identity import identity
from invgan.samples import Simulations, failure_records

__all__ = ["RawOutputs", "Summarised", "apply_summary", "on_finite_rows", "summarised"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RawOutputs:
    """A model whose outputs are a row of numbers, whatever names or axes they have.

    Attributes:
        model: the model itself.
        vectorized: whether it takes whole batches.
    """

    model: Callable[..., Any]
    vectorized: bool = True

    @property
    def identity(self) -> str:
        """The model's own."""
        return f"raw {identity(self.model)}"

    def __call__(self, x: ArrayLike, *noise: np.random.Generator) -> Array:
        """The raw outputs (n, R) for x (n, D) or, not vectorized, (R,) for (D,)."""
        y = _rows(self.model(x, *noise), len(np.asarray(x)) if self.vectorized else 1)
        return y if self.vectorized else y[0]


@dataclass(frozen=True)
class Summarised:
    """A model and what is made of its outputs.

    Attributes:
        model: whose raw outputs are summarised.
        summary: a function of raw outputs (n, R) that returns a column (n,) for each name, or
            (n, K).
        vectorized: whether the model takes whole batches.
    """

    model: Callable[..., Any]
    summary: Callable[..., Any]
    vectorized: bool = True

    @property
    def identity(self) -> str:
        """The model and the summary."""
        return f"{identity(self.model)}\nsummary {identity(self.summary)}"

    @property
    def raw(self) -> RawOutputs:
        """The model without the summary."""
        return RawOutputs(self.model, self.vectorized)

    def __call__(self, x: ArrayLike, *noise: np.random.Generator) -> dict[str, Any] | Array:
        """The summary of the model's outputs for x, (n, D) or, not vectorized, (D,)."""
        found = on_finite_rows(self.summary, np.atleast_2d(self.raw(x, *noise)))
        if self.vectorized:
            return found
        return {k: v[0] for k, v in found.items()} if isinstance(found, dict) else found[0]


def summarised(
    model: Callable[..., Any], summary: Callable[..., Any], *, vectorized: bool = True
) -> Summarised:
    """A model whose outputs are a summary of another's.

    Args:
        model: of a batch x (n, D), with or without noise, that returns raw outputs (n, R).
        summary: a function of raw outputs (n, R) that returns a column (n,) for each name, or
            (n, K). Rows that are not finite are kept from it.

    Other Args:
        vectorized: False for a model of one parameter vector; the summary gets a batch of one row.

    Raises:
        InputError: one of the two is no function.
    """
    for what, given in (("model", model), ("summary", summary)):
        if not callable(given):
            raise InputError(f"the {what} must be a function; got {type(given).__name__}")
    return Summarised(model, summary, vectorized)


def apply_summary(
    simulations: Simulations,
    summary: Callable[..., Any],
    outputs: Sequence[str] | None = None,
) -> Simulations:
    """Summarise raw simulations that are there already, in the place of running the model again.

    Rows whose summary is not finite join the failed ones. What is returned belongs to no run
    folder yet: its info names the summary, and keeps the fingerprint of the raw simulations as
    ``raw_fingerprint``.

    Args:
        simulations: of the raw outputs, one experiment a row.
        summary: as for `summarised`.
        outputs: names of the summary's columns; those that it gives, or y1, y2, ..., by default.

    Raises:
        InputError: the simulations hold repeats, or the names do not fit.
        ModelError: the summary raised, or returned another shape.
    """
    if simulations.y.shape[1] != len(simulations.outputs):
        raise InputError(
            f"the simulations hold repeats ({simulations.y.shape[1]} columns for "
            f"{len(simulations.outputs)} outputs); summarise simulations of single experiments"
        )
    found = on_finite_rows(summary, simulations.y)
    names, y = _table(found, outputs)
    good = np.isfinite(y).all(axis=1)
    info = {k: v for k, v in simulations.info.items() if k != "fingerprint"}
    info |= {
        "summary": getattr(summary, "__qualname__", type(summary).__qualname__),
        "raw_fingerprint": simulations.info.get("fingerprint"),
        "not_finite": int(info.get("not_finite", 0)) + int((~good).sum()),
    }
    failed = np.concatenate([simulations.failed, simulations.x[~good]])
    unknown = [("not finite", "", 0.0)] * int((~good).sum())
    records = failure_records([*simulations.failures.tolist(), *unknown])
    return Simulations(
        simulations.x[good], y[good], simulations.names, names, failed, info, records
    )


def on_finite_rows(function: Callable[..., Any], y: Array) -> dict[str, Array] | Array:
    """What a function makes of the finite rows of y (n, ...); NaN for the others.

    Raises:
        ModelError: the function raised, or did not return one row for each.
    """
    good = np.asarray(np.isfinite(y).all(axis=tuple(range(1, y.ndim))))
    if good.all() and len(y):
        return _called(function, y)
    if good.any():
        found = _called(function, y[good])
    else:  # Any finite row shows what the function returns; nothing of its value is used.
        with np.errstate(all="ignore"):
            found = _called(function, np.ones((1, *y.shape[1:])))
        good, found = np.zeros(len(y), bool), _no_rows(found)
    if isinstance(found, dict):
        return {name: _spread(column, good) for name, column in found.items()}
    return _spread(found, good)


def _called(function: Callable[..., Any], y: Array) -> dict[str, Array] | Array:
    try:
        found = function(y.copy())
        named = isinstance(found, Mapping)
        columns = [np.asarray(column, float) for column in (found.values() if named else [found])]
    except Exception as error:
        raise ModelError(
            f"the summary raised {type(error).__name__}: {error} (called with outputs {y.shape})"
        ) from error
    for column in columns:
        if column.shape[:1] != (len(y),) or column.ndim > (1 if named else 2):
            raise ModelError(
                f"the summary turned outputs {y.shape} into shape {column.shape}; expected one row "
                f"for each, ({len(y)},) for a name or ({len(y)}, K)"
            )
    if isinstance(found, Mapping):
        return dict(zip(map(str, found), columns, strict=True))
    return columns[0]


def _no_rows(found: dict[str, Array] | Array) -> dict[str, Array] | Array:
    if isinstance(found, dict):
        return {name: column[:0] for name, column in found.items()}
    return found[:0]


def _spread(rows: Array, good: NDArray[np.bool_]) -> Array:
    """The rows at their places among NaN."""
    out = np.full((len(good), *rows.shape[1:]), np.nan)
    out[good] = rows
    return out


def _rows(raw: Any, n: int) -> Array:
    """Raw outputs as a table (n, R)."""
    if isinstance(raw, Mapping):
        columns = [np.asarray(column, float).reshape(n, -1) for column in raw.values()]
        return np.concatenate(columns, axis=1)
    value = raw.detach().cpu().numpy() if hasattr(raw, "detach") else raw
    return np.asarray(value, float).reshape(n, -1)


def _table(
    found: dict[str, Array] | Array, outputs: Sequence[str] | None
) -> tuple[tuple[str, ...], Array]:
    """Names and columns of a summary."""
    if isinstance(found, dict):
        chosen = tuple(found) if outputs is None else tuple(map(str, outputs))
        missing = [name for name in chosen if name not in found]
        if missing:
            raise InputError(f"the summary has no output {missing[0]!r}; it has {list(found)}")
        return chosen, np.stack([found[name] for name in chosen], axis=1)
    y = found.reshape(len(found), -1)
    width = y.shape[1]
    usual = ("y",) if width == 1 else tuple(f"y{j + 1}" for j in range(width))
    names = usual if outputs is None else tuple(map(str, outputs))
    if len(names) != width:
        raise InputError(f"outputs names {len(names)} outputs; the summary has {width} columns")
    return names, y
