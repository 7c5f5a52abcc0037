"""The inverse of an autoregressive transform, one feature after the other.

Each feature is moved by a map whose numbers a masked network reads off the features before it, so
that an inverse takes as many passes as there are features. A pass needs the numbers of one feature
alone: the last layer's rows for it, and one map of one column. The first layer is brought up to
date by what the pass has found. So the D passes cost little more than D times the hidden layers,
where whole passes would cost D times all D maps.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import zuko
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["inverted"]


def inverted(transform: Any, u: Tensor, y: Tensor) -> Tensor:
    """The features e (n, E) that a transform takes to u (n, E), given outputs y (n, L)."""
    if not isinstance(transform, zuko.flows.MaskedAutoregressiveTransform):
        return cast(Tensor, transform(y).inv(u))
    features, sizes = u.shape[1], [math.prod(shape) for shape in transform.shapes]
    first, *hidden, last = transform.hyper
    inner, outer = (layer.mask * layer.weight for layer in (first, last))
    rows, offsets = outer.unflatten(0, (features, -1)), last.bias.unflatten(0, (features, -1))
    seen = linear(y, inner[:, features:], first.bias)
    e: list[Tensor] = [u] * features
    for place in transform.order.argsort().tolist():
        units = seen
        for layer in hidden:
            units = layer(units)
        numbers = torch.split(linear(units, rows[place], offsets[place]), sizes, dim=1)
        parts = zip(numbers, transform.shapes, strict=True)
        univariate = transform.univariate(*(part.reshape(-1, *shape) for part, shape in parts))
        e[place] = univariate.inv(u[:, place])
        seen = seen + e[place][:, None] * inner[:, place]
    return torch.stack(e, dim=1)
