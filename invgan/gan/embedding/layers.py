"""What the embeddings are made of: residual layers, pooling over what is present, weights.

Weights are drawn so that a layer keeps the variance of its inputs (LeCun et al. 1998), and the last
layer of each residual branch starts at zero (Zhang, Dauphin and Ma 2019): every embedding begins as
something all but linear and grows its curves where they help.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from invgan.gan.layers import blank_linear

__all__ = ["Perceptron", "Residual", "initialise", "moments", "share_of"]

_BRANCH_ENDS = ("second", "answer")


class Residual(nn.Module):
    """``h + W2 gelu(W1 h)`` along the last axis."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = blank_linear(hidden, hidden), blank_linear(hidden, hidden)

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        return cast(Tensor, h + self.second(gelu(self.first(h))))


class Perceptron(nn.Module):
    """Fully connected residual layers along the last axis, from values and their mask."""

    def __init__(self, inputs: int, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.inside = blank_linear(2 * inputs, hidden)
        self.layers = nn.Sequential(*(Residual(hidden) for _ in range(layers)))
        self.outside = blank_linear(hidden, features)
        self.skip = blank_linear(2 * inputs, features)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Features (..., S) of values (..., L)."""
        both = torch.cat([values, seen.to(values.dtype)], dim=-1)
        return cast(Tensor, self.outside(self.layers(self.inside(both))) + self.skip(both))


def moments(h: Tensor, present: Tensor) -> Tensor:
    """Mean and maximum (n, 2 F) of h (n, T, F) over what is present (n, T); zero for nothing."""
    mean = (share_of(present)[:, :, None] * h).sum(dim=1)
    largest = h.masked_fill(~present[:, :, None], -torch.inf).amax(dim=1)
    return torch.cat([mean, torch.where(present.any(dim=1)[:, None], largest, 0.0)], dim=1)


def share_of(present: Tensor) -> Tensor:
    """Equal weights (n, T) of what is present that add up to one, or to zero for nothing."""
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Draw all weights from rng: uniform of variance one over fan-in; biases and branches zero."""
    for name, parameter in module.named_parameters():
        *_, layer, kind = name.split(".")
        if "bias" in kind or layer in _BRANCH_ENDS:
            parameter.data.zero_()
        else:
            draws = 2 * torch.rand(parameter.shape, generator=rng) - 1
            parameter.data.copy_(draws * (3 / parameter[0].numel()) ** 0.5)
