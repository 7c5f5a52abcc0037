"""Sets: summaries that do not depend on the order of the elements.

Every function of a set that is invariant to order has the form ``rho(sum of phi(element))`` (Zaheer
et al. 2017). Here the sum is a mean, joined by the maximum, or a few means with learned weights
(attention pooling: Lee et al. 2019); the number of elements, which a mean forgets and a posterior
needs, goes to rho beside them.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from invgan.gan.embedding.layers import Perceptron, Residual, moments
from invgan.gan.layers import blank_linear

__all__ = ["DeepSet"]

_COUNTS = 2
_QUERIES = 4


class DeepSet(nn.Module):
    """Deep Sets with mean and maximum or with attention, and the count."""

    def __init__(
        self, width: int, features: int, hidden: int, layers: int, *, attention: bool
    ) -> None:
        super().__init__()
        self.element = Perceptron(width, hidden, hidden, layers)
        self.weights = blank_linear(hidden, _QUERIES) if attention else None
        pooled = hidden * (_QUERIES if attention else 2) + _COUNTS
        self.inside = blank_linear(pooled, hidden)
        self.layers = nn.Sequential(*(Residual(hidden) for _ in range(layers)))
        self.outside = blank_linear(hidden, features)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """Features (n, S) of elements (n, R, w); an element of which nothing was seen is absent."""
        present = seen.any(dim=2)
        h = gelu(self.element(values, seen))
        pooled = moments(h, present) if self.weights is None else self._attended(h, present)
        both = torch.cat([pooled, _counts(present)], dim=1)
        return cast(Tensor, self.outside(self.layers(self.inside(both))))

    def _attended(self, h: Tensor, present: Tensor) -> Tensor:
        """Means (n, Q F) of h (n, R, F) with Q sets of learned weights."""
        scores = cast(nn.Module, self.weights)(h)
        absent = ~present[:, :, None]
        # A finite floor: the softmax of an empty set must be a number before it is taken away.
        weights = scores.masked_fill(absent, -1e9).softmax(dim=1).masked_fill(absent, 0.0)
        return torch.einsum("nrq,nrf->nqf", weights, h).flatten(1)


def _counts(present: Tensor) -> Tensor:
    """The number of elements, as its logarithm and as the size of a standard error, (n, 2)."""
    count = present.sum(dim=1).float()
    return torch.stack([torch.log1p(count), (1 + count) ** -0.5], dim=1)
