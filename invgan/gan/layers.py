"""The layers that the game's networks are made of, beside torch's own.

A normalised layer is ``act(norm(W h + b))`` with learnt scale and shift. What norm takes its mean
and variance from:

- ``batch``: the rows of a training step; where nothing is trained, a running mean of them (Ioffe
  and Szegedy 2015);
- ``virtual``: a reference batch, chosen once and sent through the network with every batch, and
  the row itself, so that no row depends on its neighbours (Salimans et al. 2016);
- ``layer``: all units of the row (Ba, Kiros and Hinton 2016).

``spectral`` divides W by its largest singular value instead (Miyato et al. 2018), and the layer has
a slope of one at most. One power iteration a step follows W as it learns.

None of these draws from torch's global generator, nor keeps a count of steps: all that they
remember are plain tensors, which can be averaged and saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm, normalize

__all__ = [
    "NORMS",
    "REFERENCE",
    "BatchNorm",
    "Crop",
    "Dropout",
    "Referenced",
    "Residual",
    "Spectral",
    "VirtualNorm",
    "blank",
    "blank_linear",
    "hidden_layer",
    "last_layer",
]

REFERENCE = 64
"""Rows of the reference batch of virtual batch normalisation."""

_MOMENTUM, _EPSILON = 0.1, 1e-5

_Layer = TypeVar("_Layer", bound=nn.Module)


def blank(layer: _Layer) -> _Layer:
    """A layer made on no device, brought to the CPU with weights that are yet to be drawn."""
    return layer.to_empty(device="cpu")


def blank_linear(inputs: int, outputs: int) -> nn.Module:
    """A linear layer whose weights are yet to be drawn, so that no global generator is touched."""
    return blank(nn.Linear(inputs, outputs, device="meta"))


class BatchNorm(nn.Module):
    """Batch normalisation of each of F units or channels, h (n, F, ...)."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        return batch_norm(
            h, self.mean, self.variance, self.scale, self.shift, self.training, _MOMENTUM, _EPSILON
        )


class VirtualNorm(nn.Module):
    """Virtual batch normalisation of h (n, F, ...), whose first rows are the reference batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        h = h.to(self.scale.dtype)
        first, second = _moments(h)
        mean, square = first[:REFERENCE].mean(dim=0), second[:REFERENCE].mean(dim=0)
        own = h.new_full((len(h), 1), 1 / (REFERENCE + 1))
        own[:REFERENCE] = 0
        mean, square = mean.lerp(first, own), square.lerp(second, own)
        spread = (square - mean * mean).clamp_min(0).add(_EPSILON).sqrt()
        wide = (*mean.shape, *[1] * (h.ndim - 2))
        h = (h - mean.reshape(wide)) / spread.reshape(wide)
        return h * self.scale.reshape(wide[1:]) + self.shift.reshape(wide[1:])


class Referenced(nn.Module):
    """A network that sees a fixed reference batch (R, I) before every batch (n, I)."""

    reference: Tensor

    def __init__(self, network: nn.Module, inputs: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("reference", torch.zeros(REFERENCE, inputs))

    def forward(self, h: Tensor) -> Tensor:
        """The network's answer to the batch alone."""
        return cast(Tensor, self.network(torch.cat([self.reference, h])))[REFERENCE:]


class Spectral(nn.Module):
    """A linear or convolutional layer whose weight, as a matrix, has a largest singular value 1."""

    left: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("left", torch.ones(len(cast(Tensor, layer.weight))))

    def forward(self, h: Tensor) -> Tensor:
        """What the layer would say, divided by its largest singular value."""
        weight = cast(Tensor, self.layer.weight)
        matrix = weight.flatten(1)
        with torch.no_grad():
            right = normalize(matrix.T @ self.left, dim=0)
            left = normalize(matrix @ right, dim=0)
            if self.training:
                self.left = left
        largest = left @ (matrix @ right)
        return cast(Tensor, functional_call(self.layer, {"weight": weight / largest}, h))


class Dropout(nn.Module):
    """Leaves out a share of the units of a training step, drawn from a generator of its own."""

    def __init__(self, share: float, rng: torch.Generator | None) -> None:
        super().__init__()
        self.share, self.rng = share, rng

    def forward(self, h: Tensor) -> Tensor:
        """The same shape; what stays is enlarged, so that the mean remains."""
        if not self.training or self.share == 0:
            return h
        draws = torch.rand(h.shape, generator=self.rng, device=h.device)
        return h * (draws >= self.share) / (1 - self.share)


class Residual(nn.Module):
    """``h + step(h)`` (He et al. 2016)."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        return cast(Tensor, h + self.step(h))


class Crop(nn.Module):
    """The first so many positions of a series h (n, C, T)."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, h: Tensor) -> Tensor:
        """Shape (n, C, length)."""
        return h[:, :, : self.length]


def hidden_layer(layer: nn.Module, width: int, norm: str, slope: float) -> list[nn.Module]:
    """A linear or convolutional layer of so many units or channels, its norm, and leaky units."""
    return [*NORMS[norm](layer, width), nn.LeakyReLU(slope)]


def last_layer(inputs: int, outputs: int, norm: str) -> nn.Module:
    """The linear layer of a critic's score: of a slope of one at most where all others are."""
    layer = blank_linear(inputs, outputs)
    return Spectral(layer) if norm == "spectral" else layer


NORMS: dict[str, Callable[[nn.Module, int], list[nn.Module]]] = {
    "none": lambda layer, width: [layer],
    "batch": lambda layer, width: [layer, BatchNorm(width)],
    "virtual": lambda layer, width: [layer, VirtualNorm(width)],
    "layer": lambda layer, width: [layer, nn.GroupNorm(1, width)],
    "spectral": lambda layer, width: [Spectral(layer)],
}
"""A layer with its norm, by the norm's name."""


def _moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Means of h and of its square over all places of h (n, F, ...), each (n, F)."""
    flat = h.reshape(*h.shape[:2], -1)
    return flat.mean(dim=2), flat.square().mean(dim=2)
