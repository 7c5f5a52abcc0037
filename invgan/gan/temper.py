"""How sure an ensemble may be of itself.

A single over-fitted head is too narrow, and `Estimator.temper` widens it. The mixture of several
such heads is wider than each, and would then not be sure enough: one factor on the spreads of all,
the one that makes the held-out likelihood of the mixture largest, brings it right.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invgan.gan.member import Estimator
from invgan.gan.stage import Pairs

__all__ = ["temper_together"]

_FACTORS = torch.linspace(0.7, 1.3, 61)


@torch.no_grad()
def temper_together(estimators: Sequence[Estimator], heldout: Pairs) -> float:
    """Scale all spreads by one factor, and return it."""
    scores = torch.zeros(len(_FACTORS))
    for e, y in heldout.chunks():
        u, ladj = zip(*(estimator(e, y) for estimator in estimators), strict=True)
        squares = torch.stack([each.square().sum(dim=1) for each in u])
        scores += _mixture(squares, torch.stack(ladj), e.shape[1]).cpu()
    factor = float(_FACTORS[scores.argmax()])
    for estimator in estimators:
        estimator.spread *= factor
    return factor


def _mixture(squares: Tensor, ladj: Tensor, features: int) -> Tensor:
    """Summed log-likelihood of the mixture at each factor, but for a constant."""
    factors = _FACTORS.to(squares.device)[:, None, None]
    logs = ladj - 0.5 * squares / factors**2 - features * factors.log()
    return logs.logsumexp(dim=1).sum(dim=1)
