"""Linear regression of many rows, a slight ridge keeping it from ever being singular.

Sums are taken in double precision: of outputs that nearly depend on each other, those over hundreds
of thousands of rows have more rounding in single precision than the ridge makes up for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor

__all__ = ["regression"]

_RIDGE, _JITTER = 1.0, 1e-6
_ROWS_AT_ONCE = 65_536


def regression(e: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope (L, E), offset (E,) and covariance of the residuals (E, E) of e (n, E) on y (n, L)."""
    n, features, outputs = len(e), e.shape[1], y.shape[1]
    level, centre = (_sum(rows.sum(dim=0) for rows in _doubles(of)) / n for of in (e, y))

    def centred() -> Iterator[tuple[Tensor, Tensor]]:
        for a, b in zip(_doubles(e), _doubles(y), strict=True):
            yield a - level, b - centre

    square = _sum(b.T @ b for _, b in centred()) + _RIDGE * torch.eye(outputs).to(centre)
    slope = torch.linalg.solve(square, _sum(b.T @ a for a, b in centred()))
    rests = (a - b @ slope for a, b in centred())
    covariance = _sum(rest.T @ rest for rest in rests) / n
    covariance += _JITTER * torch.eye(features).to(covariance)
    return slope.to(e), (level - centre @ slope).to(e), covariance.to(e)


def _doubles(rows: Tensor) -> Iterator[Tensor]:
    """The rows in double precision, some at a time; an MPS device has none."""
    place = torch.device("cpu") if rows.device.type == "mps" else rows.device
    for some in torch.split(rows, _ROWS_AT_ONCE):
        yield some.to(place).double()


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return cast(Tensor, sum(parts))
