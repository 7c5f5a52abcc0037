"""Convolutional bodies for parameters that are a field, and outputs that may be a coarse one.

The **generator** follows super-resolution networks (Ledig et al. 2017): residual blocks on the
coarse grid, a long skip around them, then one stage for each doubling of the sides: a convolution
to four times the channels and their arrangement on the finer grid (pixel shuffle, Shi et al. 2016).
What the fine field has and the coarse one has not must come from noise. So the latent numbers are
taken for planes of the fine field, one for each parameter, and handed in on every grid: a square of
pixels becomes as many channels of one coarse pixel, which loses nothing. As the work is done on the
coarse grid it costs little, and few layers see far.

The **critic** sees the field, and the coarse field over the same pixels, through convolutions with
a stride of two and twice the channels each time, and a dense layer.

Outputs that are no coarse field, codes and further latent numbers become planes of the coarse grid
by a dense layer, as many as hold them all. Beyond its edges a plane is zero, the middle of every
parameter and output on these scales: so an edge can be told from the inside, and a field's law be
another one there.

The width of the networks is a quarter of the units in a hidden layer, since a plane has many units.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from invgan.errors import InputError
from invgan.gan.layers import (
    NORMS,
    Dropout,
    Residual,
    blank,
    blank_linear,
    hidden_layer,
    last_layer,
)
from invgan.settings import NetworkConfig, doublings

__all__ = ["FieldCritic", "FieldGenerator", "Planes", "srgan_critic", "srgan_generator"]

Size = tuple[int, int]
Shape = tuple[int, int, int]

_USUAL_DOUBLINGS = 2
_LEAST_SIDE = 2


def srgan_generator(
    noise: int, outputs: int, features: int, size: Size, form: NetworkConfig
) -> nn.Module:
    """Latent numbers and outputs (n, I) to fields (n, E); as many blocks as the settings say."""
    return FieldGenerator(noise, outputs, _field(features, form), size, form)


def srgan_critic(
    features: int, outputs: int, size: Size, form: NetworkConfig, dropout: Dropout
) -> nn.Module:
    """Packs of fields and outputs (n, m E + m L) to scores (n, 1)."""
    packing = max(features // math.prod(form.field or (1,)), 1)
    field = _field(features // packing, form)
    return FieldCritic(field, outputs // packing, packing, size, form, dropout)


class Planes(nn.Module):
    """Rows as planes (n, P, h, w) of the coarse grid.

    The first c h w numbers of each pack are its planes, the others become planes by a dense layer.

    Args:
        numbers: in a row.
        coarse: (c, h, w) of what is a field among them; c may be 0.
        packing: rows that stand one after the other in one.

    Attributes:
        count: P.

    Raises:
        InputError: there are fewer numbers than the coarse field has.
    """

    def __init__(self, numbers: int, coarse: Shape, packing: int = 1) -> None:
        super().__init__()
        self._coarse, self._packing = coarse, packing
        self._own = math.prod(coarse)
        left, grid = (numbers - self._own) * packing, coarse[1] * coarse[2]
        if left < 0:
            raise InputError(
                f"train.network.coarse is {list(coarse)}, {self._own} numbers, and the generator "
                f"is given {numbers}; it needs the outputs themselves, without an embedding"
            )
        extra = -(-left // grid)
        self.beside = blank_linear(left, extra * grid) if left else None
        self.count = coarse[0] * packing + extra

    def forward(self, rows: Tensor) -> Tensor:
        """Planes of rows (n, numbers)."""
        packs = rows.reshape(len(rows), self._packing, -1)
        grid = self._coarse[1:]
        planes = packs[:, :, : self._own].reshape(len(rows), -1, *grid)
        if self.beside is None:
            return planes
        beside: Tensor = self.beside(packs[:, :, self._own :].flatten(1))
        return torch.cat([planes, beside.reshape(len(rows), -1, *grid)], dim=1)


class FieldGenerator(nn.Module):
    """The body of G: residual blocks on the coarse grid, then doublings to the fine one."""

    def __init__(
        self, noise: int, outputs: int, field: Shape, size: Size, form: NetworkConfig
    ) -> None:
        super().__init__()
        coarse, times = _grids(field, form)
        width, norm, slope = _width(size), form.generator_norm, form.slope
        self._field, self._times, self._noise = field, times, noise
        self._filled = math.prod(field) if noise >= math.prod(field) else 0
        self.outputs = Planes(outputs, coarse)
        self.further = Planes(noise - self._filled, (0, *coarse[1:]))
        # Latent planes on the grid of each stage, coarse to fine.
        own = field[0] if self._filled else 0
        planes = [own * 4**left for left in range(times, -1, -1)]
        entering = self.outputs.count + self.further.count + planes[0]
        self.opening = _convolution(entering, width)
        self.blocks = nn.Sequential(
            *(Residual(_block(width, norm, slope)) for _ in range(form.blocks)),
            *NORMS[norm](_convolution(width, width), width),
        )
        self.stages = nn.ModuleList(
            _doubling(width, more, norm, slope) for more in [0, *planes[1:-1]][:times]
        )
        self.closing = _convolution(width + (planes[-1] if times else 0), field[0])

    def forward(self, h: Tensor) -> Tensor:
        """Fields (n, E) of rows (n, K + L)."""
        z, y = h[:, : self._noise], h[:, self._noise :]
        fine = z[:, : self._filled].reshape(len(h), -1, *self._field[1:])
        first = [pixel_unshuffle(fine, 1 << self._times)] if self._filled else []
        further = z[:, self._filled :]
        h = self.opening(torch.cat([*first, self.outputs(y), self.further(further)], dim=1))
        h = h + self.blocks(h)
        for step, stage in enumerate(self.stages):
            h = stage(self._beside(h, fine, self._times - step) if step else h)
        return cast(Tensor, self.closing(self._beside(h, fine, 0) if self.stages else h)).flatten(1)

    def _beside(self, h: Tensor, fine: Tensor, times: int) -> Tensor:
        """Planes h with those of the latent field on the same grid."""
        return torch.cat([h, pixel_unshuffle(fine, 1 << times)], dim=1) if self._filled else h


class FieldCritic(nn.Module):
    """The body of D: strided convolutions of a field and what it is conditioned on."""

    def __init__(
        self, field: Shape, outputs: int, packing: int, size: Size, form: NetworkConfig,
        dropout: Dropout,
    ) -> None:  # fmt: skip
        super().__init__()
        coarse, times = _grids(field, form)
        self._field, self._planes, self._factor = field, packing * field[0], 1 << times
        self.outputs = Planes(outputs, coarse, packing)
        norm, slope, width = form.critic_norm, form.slope, _width(size)
        steps = hidden_layer(
            _convolution(self._planes + self.outputs.count, width), width, norm, slope
        )
        height, breadth = field[1:]
        for _ in range(size[1]):
            if min(height, breadth) < 2 * _LEAST_SIDE:
                break
            steps += hidden_layer(_convolution(width, 2 * width, 2), 2 * width, norm, slope)
            width, height, breadth = 2 * width, -(-height // 2), -(-breadth // 2)
        read = hidden_layer(blank_linear(width * height * breadth, size[0]), size[0], norm, slope)
        self.body = nn.Sequential(
            *steps, nn.Flatten(), *read, dropout, last_layer(size[0], 1, norm)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Scores (n, 1) of rows (n, m E + m L)."""
        features = self._planes * self._field[1] * self._field[2]
        fields = h[:, :features].reshape(len(h), self._planes, *self._field[1:])
        outputs = self.outputs(h[:, features:])
        for axis in (2, 3):
            outputs = outputs.repeat_interleave(self._factor, dim=axis)
        return cast(Tensor, self.body(torch.cat([fields, outputs], dim=1)))


def _field(features: int, form: NetworkConfig) -> Shape:
    """The shape of the parameters."""
    if form.field is None:
        raise InputError(
            "a srgan needs to know what field the parameters are; set train.network.field to "
            "[channels, height, width], or give a prior of fields"
        )
    if math.prod(form.field) != features:
        raise InputError(
            f"train.network.field is {list(form.field)}, {math.prod(form.field)} numbers, and "
            f"there are {features} parameters; give the shape of the parameters"
        )
    return form.field


def _grids(field: Shape, form: NetworkConfig) -> tuple[Shape, int]:
    """The coarse field, which may have no channels, and how often its sides are doubled."""
    if form.coarse is not None:
        return form.coarse, cast(int, doublings(form.coarse, field))
    times = 0
    while times < _USUAL_DOUBLINGS and not any(side % (2 << times) for side in field[1:]):
        times += 1
    return (0, field[1] >> times, field[2] >> times), times


def _width(size: Size) -> int:
    return max(size[0] // 4, 1)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """3 x 3, which keeps the sides, or divides them by the stride."""
    return blank(nn.Conv2d(inputs, outputs, 3, stride, 1, device="meta"))


def _doubling(width: int, more: int, norm: str, slope: float) -> nn.Module:
    """Planes, and more of them beside, to planes of twice the sides."""
    inner = hidden_layer(_convolution(width + more, 4 * width), 4 * width, norm, slope)
    return nn.Sequential(*inner, nn.PixelShuffle(2))


def _block(width: int, norm: str, slope: float) -> nn.Module:
    second = NORMS[norm](_convolution(width, width), width)
    return nn.Sequential(*hidden_layer(_convolution(width, width), width, norm, slope), *second)
