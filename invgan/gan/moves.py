"""Moves that leave a density as it is and make draws of it better: what resampling leaves undone.

Out of few candidates worth keeping, resampling takes some many times. Steps of a Markov chain whose
law is the one aimed at then part the copies, and carry all nearer to it (resample-move: Gilks and
Berzuini 2001). The step is that of differential evolution: a draw moves by the difference of two
others of the same crowd,

    e' = e + g (e_a - e_b) + small noise,       g = 2.38 / sqrt(2 E),

and every fifth time by g = 1, from one mode to another (ter Braak 2006). The others are taken from
the half of the crowd that stands still, so that each half step is a Metropolis step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["moved"]

_LEAP_EVERY = 5
_NOISE = 1e-3


def moved(
    log_density: Callable[[Tensor], Tensor], e: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Crowds e (n, c, E) after so many steps, each crowd by itself; c is 6 or more.

    Args:
        log_density: of crowds (n, k, E), but for a constant of each crowd, shape (n, k).
        e: where they begin.
        steps: in each of which every draw is offered one move.
        rng: of the moves, on the device of e.
    """
    halves = [e[:, ::2].clone(), e[:, 1::2].clone()]
    logs = [log_density(half) for half in halves]
    noise = _NOISE * e.std(dim=1, keepdim=True)
    for step in range(steps):
        reach = 1.0 if step % _LEAP_EVERY == _LEAP_EVERY - 1 else 2.38 / math.sqrt(2 * e.shape[2])
        for mine, other in ((0, 1), (1, 0)):
            offered = halves[mine] + reach * _differences(halves[mine], halves[other], rng)
            offered = offered + noise * torch.randn(offered.shape, generator=rng, device=e.device)
            found = log_density(offered)
            chance = torch.rand(found.shape, generator=rng, device=e.device).log()
            taken = chance < found - logs[mine]
            halves[mine] = torch.where(taken[:, :, None], offered, halves[mine])
            logs[mine] = torch.where(taken, found, logs[mine])
    result = e.clone()
    result[:, ::2], result[:, 1::2] = halves
    return result


def _differences(mine: Tensor, other: Tensor, rng: torch.Generator) -> Tensor:
    """For each of mine (n, k, E) the difference of two of the other half (n, l, E)."""
    size, shape = other.shape[1], mine.shape[:2]
    first = torch.randint(size, shape, generator=rng, device=mine.device)
    second = first + 1 + torch.randint(size - 1, shape, generator=rng, device=mine.device)
    a, b = (other.take_along_dim(places[:, :, None], dim=1) for places in (first, second % size))
    return a - b
