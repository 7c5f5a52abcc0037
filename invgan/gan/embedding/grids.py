"""Images and time series through convolutions; a series is an image one pixel high.

The grid is cut into patches, as coarse as its size asks for, and then halved by residual blocks
until at most 16 positions remain: 1 x 16 of a series, 4 x 4 of an image. These are read out one by
one, since where something happens matters as much as that it happens; their mean is read beside
them.

Shorter series and smaller images end where nothing is seen any more. Whatever a layer would put
behind the end is set to zero again, as the layer's own padding is there: so the summary is that of
the short series itself, whatever the length that it was padded to.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from invgan.gan.layers import blank, blank_linear

__all__ = ["Convolution", "Patches", "patch_size"]

Grid = tuple[int, int]

_SERIES, _IMAGE = ((1, 16), (1, 5)), ((4, 4), (3, 3))


class Patches(nn.Module):
    """Cuts a grid into patches and maps each to a vector."""

    def __init__(self, channels: int, size: Grid, features: int) -> None:
        super().__init__()
        self.size = size
        self.linear = blank(nn.Conv2d(2 * channels, features, size, stride=size, device="meta"))

    def forward(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (n, F, h, w) of values (n, C, H, W), and which are within the data, (n, 1, h, w).

        A patch is within if it begins before the end of what was seen; others are zero.
        """
        both = torch.cat([values, seen.to(values.dtype)], dim=1)
        (height, width), (a, b) = both.shape[2:], self.size
        h = self.linear(pad(both, (0, -width % b, 0, -height % a)))
        within = _within(seen)[:, :, ::a, ::b].to(values.dtype)
        return h * within, within


class Convolution(nn.Module):
    """Patches, residual blocks, read-out."""

    def __init__(self, channels: int, grid: Grid, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.ends, kernel = _SERIES if grid[0] == 1 else _IMAGE
        size = (
            patch_size(grid[0], self.ends[0] << layers),
            patch_size(grid[1], self.ends[1] << layers),
        )
        self.patches = Patches(channels, size, hidden)
        now = (-(-grid[0] // size[0]), -(-grid[1] // size[1]))
        blocks = []
        for _ in range(layers):
            stride = (1 + (now[0] > self.ends[0]), 1 + (now[1] > self.ends[1]))
            blocks.append(_Block(hidden, kernel, stride))
            now = (-(-now[0] // stride[0]), -(-now[1] // stride[1]))
        self.blocks = nn.ModuleList(blocks)
        self.outside = blank_linear(hidden * (1 + self.ends[0] * self.ends[1]), features)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Features (n, S) of values (n, C, length) or (n, C, height, width)."""
        if values.ndim == 3:
            values, seen = values[:, :, None], seen[:, :, None]
        h, within = self.patches(values, seen)
        for block in self.blocks:
            h, within = block(h, within)
        mean = h.sum(dim=(2, 3)) / within.sum(dim=(2, 3)).clamp(min=1)
        full = pad(h, (0, self.ends[1] - h.shape[3], 0, self.ends[0] - h.shape[2]))
        return cast(Tensor, self.outside(torch.cat([full.flatten(1), mean], dim=1)))


class _Block(nn.Module):
    """A linear convolution, which may halve the grid, and a residual one."""

    def __init__(self, width: int, kernel: Grid, stride: Grid) -> None:
        super().__init__()
        self.stride = stride
        around = (kernel[0] // 2, kernel[1] // 2)
        self.down, self.first, self.second = (
            blank(nn.Conv2d(width, width, kernel, stride=step, padding=around, device="meta"))
            for step in (stride, 1, 1)
        )

    def forward(self, h: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        """The new grid, and which of its positions are within the data."""
        within = within[:, :, :: self.stride[0], :: self.stride[1]]
        h = self.down(h) * within
        step = self.second(gelu(self.first(gelu(h))) * within)
        return h + step * within, within


def patch_size(length: int, most: int) -> int:
    """The smallest patches of which at most so many cover a length."""
    return -(-length // most)


def _within(seen: Tensor) -> Tensor:
    """Which positions (n, 1, H, W) lie before the last seen row and column of seen (n, C, H, W)."""
    here = seen.any(dim=1, keepdim=True)
    rows, columns = here.any(dim=3, keepdim=True), here.any(dim=2, keepdim=True)
    return _reach(rows, 2) & _reach(columns, 3)


def _reach(mask: Tensor, axis: int) -> Tensor:
    """True up to the last True along an axis."""
    return mask.flip(axis).cumsum(axis).flip(axis) > 0
