"""Convolutional bodies of generator and critic: the plane of the DCGAN, and the time series.

The **DCGAN** (Radford, Metz and Chintala 2016) is here the one for a few physical parameters: a
dense layer opens a plane of 10 x 10 in two channels; four convolutions, 3 x 3 without stride, lead
over 128, 64, 32 and 16 channels; a dense layer reads all 1,600 units. Its generator with 100 latent
numbers and three outputs has 125,835 parameters (880 of them running statistics), its critic with
two inputs 101,513.

The **series** bodies are for parameters that are C series of T times, read as (C, T) row by row.
The generator opens a short series and doubles its length between convolutions; the critic halves
it. What is conditioned on enters the critic as one series more, through a dense layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.gan.layers import Crop, Dropout, blank, blank_linear, hidden_layer, last_layer
from invgan.settings import NetworkConfig

__all__ = ["SeriesCritic", "dcgan_critic", "dcgan_generator", "series_critic", "series_generator"]

Size = tuple[int, int]

_PLANE = (2, 10, 10)
_CHANNELS = (2, 128, 64, 32, 16)
_UNITS, _READ = 200, 1600
_KERNEL = 5


def dcgan_generator(
    noise: int, outputs: int, features: int, size: Size, form: NetworkConfig
) -> nn.Module:
    """Latent numbers and outputs (n, K + L) to draws (n, E); of one size."""
    norm, slope = form.generator_norm, form.slope
    steps = [*hidden_layer(blank_linear(noise + outputs, _UNITS), _UNITS, norm, slope)]
    steps.append(nn.Unflatten(1, _PLANE))
    for a, b in pairwise(_CHANNELS):
        layer = nn.ConvTranspose2d(a, b, 3, padding=1, bias=False, device="meta")
        steps += hidden_layer(blank(layer), b, norm, slope)
    return nn.Sequential(*steps, nn.Flatten(), blank_linear(_READ, features))


def dcgan_critic(
    features: int, outputs: int, size: Size, form: NetworkConfig, dropout: Dropout
) -> nn.Module:
    """Draws and outputs (n, E + L) to scores (n, 1); of one size."""
    norm = form.critic_norm
    steps = [blank_linear(features + outputs, _UNITS), nn.Unflatten(1, _PLANE)]
    for a, b in pairwise(_CHANNELS):
        layer = nn.Conv2d(a, b, 3, padding=1, device="meta")
        steps += hidden_layer(blank(layer), b, norm, form.slope)
    return nn.Sequential(*steps, nn.Flatten(), dropout, last_layer(_READ, 1, norm))


def series_generator(
    noise: int, outputs: int, features: int, size: Size, form: NetworkConfig
) -> nn.Module:
    """Latent numbers and outputs (n, K + L) to draws (n, E) of C series."""
    norm, slope, stages = form.generator_norm, form.slope, size[1] - 1
    length, width = _length(features, form.channels), max(size[0] // 2, 1)
    start = -(-length >> stages)
    opening = width * start
    steps = hidden_layer(blank_linear(noise + outputs, opening), opening, norm, slope)
    steps.append(nn.Unflatten(1, (width, start)))
    for _ in range(stages):
        steps.append(nn.Upsample(scale_factor=2))
        steps += hidden_layer(_along(width, width), width, norm, slope)
    return nn.Sequential(*steps, Crop(length), _along(width, form.channels), nn.Flatten())


def series_critic(
    features: int, outputs: int, size: Size, form: NetworkConfig, dropout: Dropout
) -> nn.Module:
    """Draws of C series and outputs (n, E + L) to scores (n, 1)."""
    norm, width = form.critic_norm, max(size[0] // 2, 1)
    length = _length(features, form.channels)
    steps: list[nn.Module] = []
    for a, b in pairwise([form.channels + (outputs > 0), *[width] * size[1]]):
        steps += hidden_layer(_along(a, b, stride=2), b, norm, form.slope)
    left = -(-length >> size[1])
    body = nn.Sequential(*steps, nn.Flatten(), dropout, last_layer(width * left, 1, norm))
    return SeriesCritic(body, (form.channels, length), outputs)


class SeriesCritic(nn.Module):
    """A body of series (n, C, T) that is given rows, with a dense layer for the outputs."""

    def __init__(self, body: nn.Module, shape: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.shape = shape
        self.beside = blank_linear(outputs, shape[1]) if outputs else None
        self.body = body

    def forward(self, h: Tensor) -> Tensor:
        """Scores (n, 1) of rows (n, E + L)."""
        channels, length = self.shape
        series = h[:, : channels * length].reshape(-1, channels, length)
        if self.beside is not None:
            beside = self.beside(h[:, channels * length :])
            series = torch.cat([series, beside[:, None]], dim=1)
        return cast(Tensor, self.body(series))


def _along(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """A convolution along a series that keeps its length, or divides it by the stride."""
    padding = _KERNEL // 2
    return blank(nn.Conv1d(inputs, outputs, _KERNEL, stride, padding, device="meta"))


def _length(features: int, channels: int) -> int:
    """How long each of the series is."""
    if features % channels:
        raise InputError(
            f"{features} parameters cannot be shared out among train.network.channels = {channels} "
            "series of equal length; choose a divisor"
        )
    return features // channels
