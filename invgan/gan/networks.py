"""The networks of the game: plain perceptrons of the latent noise and the outputs.

The generator starts as the identity on the first E of its K noise coordinates (its last layer is
zero), so that before the first step its draws are those of the head it refines.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import torch
import zuko
from torch import Tensor, nn

__all__ = ["Critic", "Generator", "blank_linear", "initialise", "linear_layers", "perceptron"]

_SLOPE = 0.2


def perceptron(inputs: int, outputs: int, hidden: int, layers: int) -> nn.Sequential:
    """Leaky-ReLU layers of equal width and a linear last one."""
    steps: list[nn.Module] = []
    for a, b in pairwise([inputs, *[hidden] * layers]):
        steps += [blank_linear(a, b), nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*steps, blank_linear(hidden, outputs))


def blank_linear(inputs: int, outputs: int) -> nn.Module:
    """A linear layer whose weights are yet to be drawn, so that no global generator is touched."""
    layer = nn.Linear(inputs, outputs, device="meta")
    return layer.to_empty(device="cpu")


class Generator(nn.Module):
    """G(z, y): noise z (n, K) and output scores y (n, L) to head-space draws u (n, E), K >= E."""

    def __init__(self, noise: int, outputs: int, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.noise, self.features = noise, features
        self.network = perceptron(noise + outputs, features, hidden, layers)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Draws u (n, E)."""
        return z[:, : self.features] + cast(Tensor, self.network(torch.cat([z, y], dim=1)))

    def draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw u (n, E) for each row of y (n, L)."""
        z = torch.randn(len(y), self.noise, generator=rng, device=y.device)
        return cast(Tensor, self(z, y))


class Critic(nn.Module):
    """D(u, y): scores (n, 1) of pairs, the higher the more real."""

    def __init__(self, features: int, outputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.network = perceptron(features + outputs, 1, hidden, layers)

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        """Scores (n, 1)."""
        return cast(Tensor, self.network(torch.cat([u, y], dim=1)))


def linear_layers(module: nn.Module) -> list[Any]:
    """All linear layers, in order: torch's, and zuko's own, which a flow of one parameter has."""
    return [m for m in module.modules() if isinstance(m, nn.Linear | zuko.nn.Linear)]


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Draw all linear weights anew from rng, uniform within 1/sqrt(fan-in) of zero."""
    for layer in linear_layers(module):
        bound = layer.weight.shape[1] ** -0.5
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                draws = torch.rand(parameter.shape, generator=rng) * 2 - 1
                parameter.data.copy_(draws * bound)
    if isinstance(module, Generator):
        last = cast(nn.Linear, module.network[-1])
        last.weight.data.zero_()
        last.bias.data.zero_()
