"""Time series through recurrence or attention, patch by patch.

A patch is a few neighbouring times of all channels, so that long series stay affordable: at most
32 patches, for a gated recurrent unit (Cho et al. 2014) and for attention (Vaswani et al. 2017;
patches of series: Nie et al. 2023). Patches behind the end of a series take no part.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from invgan.gan.embedding.grids import Patches, patch_size
from invgan.gan.embedding.layers import moments, share_of
from invgan.gan.layers import blank, blank_linear

__all__ = ["Attention", "Recurrence"]

_PATCHES, _HEADS = 32, 4


class Recurrence(nn.Module):
    """A gated recurrent unit; its last state and the mean of all are read."""

    def __init__(self, channels: int, length: int, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.patches = Patches(channels, (1, patch_size(length, _PATCHES)), hidden)
        self.unit = blank(
            nn.GRU(hidden, hidden, num_layers=layers, batch_first=True, device="meta")
        )
        self.outside = blank_linear(2 * hidden, features)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Features (n, S) of values (n, C, length)."""
        h, present = _sequence(self.patches, values, seen)
        states, _ = self.unit(h)
        end = (present.sum(dim=1) - 1).clamp(min=0)
        last = states[torch.arange(len(h), device=h.device), end]
        mean = (share_of(present)[:, :, None] * states).sum(dim=1)
        return cast(Tensor, self.outside(torch.cat([last, mean], dim=1)))


class Attention(nn.Module):
    """A small transformer; mean and maximum of its patches are read."""

    def __init__(self, channels: int, length: int, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        size = patch_size(length, _PATCHES)
        self.patches = Patches(channels, (1, size), hidden)
        times = _places(patch_size(length, size), hidden)
        self.register_buffer("places", times, persistent=False)
        self.layers = nn.ModuleList(_AttentionLayer(hidden) for _ in range(layers))
        self.outside = blank_linear(2 * hidden, features)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Features (n, S) of values (n, C, length)."""
        h, present = _sequence(self.patches, values, seen)
        h = h + cast(Tensor, self.places)
        for layer in self.layers:
            h = layer(h, present)
        return cast(Tensor, self.outside(moments(h, present)))


class _AttentionLayer(nn.Module):
    """Every patch looks at every other, then thinks for itself; both residual, normed before."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = math.gcd(hidden, _HEADS)
        self.asked = blank_linear(hidden, 3 * hidden)
        self.answer = blank_linear(hidden, hidden)
        self.first, self.second = blank_linear(hidden, hidden), blank_linear(hidden, hidden)

    def forward(self, h: Tensor, present: Tensor) -> Tensor:
        """The same shape (n, T, F)."""
        n, steps, width = h.shape
        asked = self.asked(layer_norm(h, (width,)))
        queries, keys, values = asked.reshape(n, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # A finite floor: where nothing is present the weights must still be numbers.
        floor = -1e9 * (~present)[:, None, None, :].to(h.dtype)
        seen = scaled_dot_product_attention(queries, keys, values, attn_mask=floor)
        h = h + self.answer(seen.transpose(1, 2).flatten(2))
        return cast(Tensor, h + self.second(gelu(self.first(layer_norm(h, (width,))))))


def _sequence(patches: Patches, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (n, T, F) of a series, and which are within it, (n, T)."""
    h, within = patches(values[:, :, None], seen[:, :, None])
    return h[:, :, 0].transpose(1, 2), within[:, 0, 0] > 0


def _places(count: int, width: int) -> Tensor:
    """Sines and cosines (T, F) of the patch number, of wavelengths from 2 pi to 64 pi patches."""
    rates = _PATCHES ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
