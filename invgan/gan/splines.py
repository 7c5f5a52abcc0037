"""Monotonic rational-quadratic splines (Durkan et al. 2019), many side by side.

Such a spline takes [-B, B] to itself through K bins, in each of which it is a ratio of two
quadratics (Gregory and Delbourgo 1982); outside it is the identity. With w and h the width and the
height of a bin, s = h / w its mean slope, d0 and d1 the slopes at its ends and z = (x - x0) / w,

    y = y0 + h (s z^2 + d0 z (1 - z)) / (s + (d0 + d1 - 2 s) z (1 - z)).

The numbers that make a spline are bounded softly on their way, so that no bin is narrower than a
thousandth of the widest and no slope beyond a thousand. They mean what they mean in the library
zuko, whose transform this one replaces: it asks for fewer passes over them, which are most of the
cost of a flow.
"""

from __future__ import annotations

import math

import torch
import zuko
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Spline"]

_BOUND, _STEEPEST = 5.0, math.log(1e3)


class Spline(zuko.transforms.Transform):  # type: ignore[misc]
    """Splines of x (...).

    Args:
        bins: logarithms of widths and of heights, but for a constant, shape (..., 2, K).
        slopes: logarithms of the slopes at the inner knots, shape (..., K - 1).
    """

    domain = zuko.transforms.constraints.real
    codomain = zuko.transforms.constraints.real
    bijective = True
    sign = +1

    def __init__(self, bins: Tensor, slopes: Tensor) -> None:
        super().__init__()
        # Bounded as they are, the numbers need no care when their exponentials are taken.
        ends = (bins / (1 + bins.abs() * (2 / _STEEPEST))).exp().cumsum(dim=-1)
        self.knots = pad(ends * (2 * _BOUND / ends[..., -1:]) - _BOUND, (1, 0), value=-_BOUND)
        self.log_slopes = pad(slopes / (1 + slopes.abs() / _STEEPEST), (1, 1))

    def _bin(self, at: Tensor, axis: int) -> tuple[Tensor, ...]:
        """Start, width, start and height of the bin that holds a value, and its slopes; each (...).

        Args:
            at: the values, (...).
            axis: 0 where they are x, 1 where they are y.
        """
        place = (self.knots[..., axis, 1:-1] < at[..., None]).sum(dim=-1)
        ends = torch.stack((place, place + 1), dim=-1)
        d0, d1 = self.log_slopes.gather(-1, ends).exp().unbind(dim=-1)
        knots = self.knots.gather(-1, ends[..., None, :].expand(*ends.shape[:-1], 2, 2))
        x0, y0 = knots[..., 0].unbind(dim=-1)
        w, h = (knots[..., 1] - knots[..., 0]).unbind(dim=-1)
        return x0, w, y0, h, d0, d1

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Y (...) and log dy/dx (...)."""
        x0, w, y0, h, d0, d1 = self._bin(x, 0)
        s, z = h / w, ((x - x0) / w).clamp(0, 1)
        rest = 1 - z
        both = z * rest
        below = s + (d0 + d1 - 2 * s) * both
        y = y0 + h * (s * z * z + d0 * both) / below
        slope = (s / below).square() * (2 * s * both + d0 * rest * rest + d1 * z * z)
        inside = x.abs() < _BOUND
        return torch.where(inside, y, x), torch.where(inside, slope.log(), 0.0)

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log dy/dx at x (...)."""
        return self.call_and_ladj(x)[1]

    def _inverse(self, y: Tensor) -> Tensor:
        """The root of ``a z^2 + b z + c`` that lies in the bin."""
        x0, w, y0, h, d0, d1 = self._bin(y, 1)
        s, risen = h / w, torch.minimum((y - y0).clamp_min(0), h)
        bent = risen * (d0 + d1 - 2 * s)
        a, b, c = h * (s - d0) + bent, h * d0 - bent, -s * risen
        root = (b * b - 4 * a * c).clamp_min(0).sqrt()
        return torch.where(y.abs() < _BOUND, x0 - w * (2 * c) / (b + root), y)
