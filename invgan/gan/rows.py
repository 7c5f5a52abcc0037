"""Outputs that an inverse is asked about, as it was trained to see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import rows_of
from invgan.errors import InputError
from invgan.frames import by_name
from invgan.simulation import sort_repeats

__all__ = ["output_rows"]

Array = NDArray[np.float64]


def output_rows(y: Any, outputs: tuple[str, ...], columns: int) -> Array:
    """Outputs (n, R L): by their names where they have any, R repeats in the order of their size.

    Args:
        y: a table (n, R L) or (n, R, L), or of one run a table whose columns have names.
        outputs: the L names.
        columns: R L.

    Raises:
        InputError: it is no such table.
    """
    repeats = columns // len(outputs)
    named = by_name(y) if repeats == 1 else None
    if named is not None:
        if lacking := [name for name in outputs if name not in named]:
            raise InputError(f"y has no column {lacking[0]!r}; it has {list(named)}")
        y = np.column_stack([named[name] for name in outputs])
    if repeats > 1 and getattr(y, "ndim", 2) == 3:
        y = np.reshape(y, (len(y), -1))
    rows = rows_of("y", y, columns)
    if repeats == 1:
        return rows
    return sort_repeats(rows.reshape(len(rows), repeats, -1)).reshape(rows.shape)
