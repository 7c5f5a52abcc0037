"""Packs of pairs that a critic judges at once, so that too much alike gives itself away.

In PacGAN (Lin et al. 2018) the critic sees m draws together: a generator that makes the same few
again and again is found out by their sameness, before any one of them looks wrong. What should lie
together where each y occurs once? Here it is pairs with neighbouring y, each draw beside its own:
neighbours within the batch, along a random direction that is drawn anew for every batch. Which rows
form a pack depends on y alone, and generated packs have the y of the real ones; so both kinds of
packs are equal in law where the conditionals are, however far the neighbours are from each other.
Close ones only show the critic better how much draws for one y differ. Without any y a pack is m
independent draws, as in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["packed"]


def packed(u: Tensor, y: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The rows of u (n, E) and y (n, L) in an order in which packs are neighbours.

    Args:
        u: draws.
        y: outputs.
        size: m; where it is one the rows stay as they are, else at most m - 1 are left out.
        rng: of the direction.
    """
    if size == 1:
        return u, y
    direction = torch.randn(y.shape[1], generator=rng, device=y.device)
    order = (y @ direction).argsort()[: len(y) // size * size]
    return u[order], y[order]
