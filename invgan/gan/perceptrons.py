"""Fully connected networks: what heads, generator and critic are made of by default."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from invgan.gan.layers import Dropout, Residual, blank_linear, hidden_layer, last_layer
from invgan.settings import NetworkConfig

__all__ = ["mlp_critic", "mlp_generator", "perceptron"]

Size = tuple[int, int]

_SLOPE = 0.2


def perceptron(
    inputs: int,
    outputs: int,
    hidden: int,
    layers: int,
    *,
    norm: str = "none",
    slope: float = _SLOPE,
    residual: bool = False,
    beside: Sequence[nn.Module] = (),
    last: nn.Module | None = None,
) -> nn.Sequential:
    """Leaky-ReLU layers of equal width and a linear last one.

    Args:
        inputs: numbers in a row.
        outputs: numbers in an answer.
        hidden: units in each hidden layer.
        layers: hidden layers.

    Other Args:
        norm: of the hidden layers, by its name in `NORMS`.
        slope: of the units below zero.
        residual: whether each hidden layer but the first adds to its input.
        beside: modules after each hidden layer.
        last: in the place of the linear last layer.
    """
    steps: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise([inputs, *[hidden] * layers])):
        step = [*hidden_layer(blank_linear(a, b), b, norm, slope), *beside]
        steps += [Residual(nn.Sequential(*step))] if residual and i else step
    end = blank_linear(hidden, outputs) if last is None else last
    return nn.Sequential(*steps, end)


def mlp_generator(
    noise: int, outputs: int, features: int, size: Size, form: NetworkConfig
) -> nn.Module:
    """Latent numbers and outputs (n, K + L) to draws (n, E)."""
    return perceptron(
        noise + outputs, features, *size, norm=form.generator_norm, slope=form.slope,
        residual=form.residual,
    )  # fmt: skip


def mlp_critic(
    features: int, outputs: int, size: Size, form: NetworkConfig, dropout: Dropout
) -> nn.Module:
    """Draws and outputs (n, E + L) to scores (n, 1)."""
    return perceptron(
        features + outputs, 1, *size, norm=form.critic_norm, slope=form.slope,
        residual=form.residual, beside=[dropout] * (dropout.share > 0),
        last=last_layer(size[0], 1, form.critic_norm),
    )  # fmt: skip
