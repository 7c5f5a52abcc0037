"""From rows of outputs to summaries: the one place that knows about absent values and kinds.

A summary ``s = S(y)`` loses nothing that matters if ``p(x given s) = p(x given y)``. Fitting S
and a conditional density of x given S(y) together by likelihood maximises a lower bound of the
mutual information of x and S(y) (Barber and Agakov 2003), which is largest for a sufficient
summary; so S needs no loss of its own.

Every network takes values in the shape of a row, zero where absent, and a mask of what was seen.
Zero is the median on the scale of normal scores, and the mask tells it from a measured zero.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.gan.embedding.grids import Convolution
from invgan.gan.embedding.layers import Perceptron, initialise
from invgan.gan.embedding.sequences import Attention, Recurrence
from invgan.gan.embedding.sets import DeepSet
from invgan.structure import EmbeddingConfig, row_shape

__all__ = ["Embedding", "build_embedding"]


class Embedding(nn.Module):
    """S(y): rows y (n, L), NaN where absent, to summaries (n, S), always finite.

    Attributes:
        inputs: L.
        features: S.
        learnt: whether there is anything to learn.
    """

    def __init__(self, shape: tuple[int, ...], features: int, network: nn.Module) -> None:
        super().__init__()
        self.inputs, self.features = math.prod(shape), features
        self._shape = shape
        self.learnt = not isinstance(network, Identity)
        self.network = network

    def forward(self, y: Tensor) -> Tensor:
        """Summaries (n, S).

        Raises:
            InputError: y has not L columns.
        """
        if y.ndim != 2 or y.shape[1] != self.inputs:
            raise InputError(
                f"the embedding takes rows (n, {self.inputs}), one column for each output; "
                f"got {tuple(y.shape)}"
            )
        rows = y.reshape(-1, *self._shape)
        seen = ~rows.isnan()
        return cast(Tensor, self.network(torch.where(seen, rows, 0.0), seen))


class Identity(nn.Module):
    """The outputs themselves; an absent one counts as its column's median."""

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Values, as they are."""
        return values


def build_embedding(config: EmbeddingConfig, outputs: int, rng: torch.Generator) -> Embedding:
    """The network that the settings ask for, on the CPU.

    Args:
        config: kind, shape of a row, and size.
        outputs: L, the number of columns.
        rng: of the weights; no other generator is touched.

    Raises:
        SettingError: the shape of the settings has not L entries.
    """
    shape = row_shape(config, outputs)
    features = outputs if config.kind == "none" else config.features
    network = _network(config, shape)
    initialise(network, rng)
    return Embedding(shape, features, network)


def _network(config: EmbeddingConfig, shape: tuple[int, ...]) -> nn.Module:
    size = (config.features, config.hidden, config.layers)
    narrow = (config.features, config.hidden // 2, config.layers)
    match config.kind:
        case "none":
            return Identity()
        case "mlp":
            return Perceptron(shape[0], *size)
        case "set":
            return DeepSet(shape[1], *size, attention=config.pooling == "attention")
        case "recurrent":
            return Recurrence(shape[0], shape[1], *narrow)
        case "transformer":
            return Attention(shape[0], shape[1], *narrow)
        case "conv1d":
            return Convolution(shape[0], (1, shape[1]), *narrow)
        case "conv2d":
            return Convolution(shape[0], (shape[1], shape[2]), *narrow)
