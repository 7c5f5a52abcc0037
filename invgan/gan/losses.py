"""The adversarial objective: pure functions of the critic's outputs.

A critic D scores pairs. With ``a = D(x, y)`` on a real pair and ``b = D(G(z, y), y)`` on a
generated one that shares its y, the relativistic paired game (Jolicoeur-Martineau 2018) is

    critic:     minimise  E softplus(-(a - b))
    generator:  minimise  E softplus(-(b - a))

and the zero-centred gradient penalties R1 and R2 (Mescheder, Geiger and Nowozin 2018; Huang et
al. 2024) add ``gamma / 2 * (E |grad_x a|^2 + E |grad_x b|^2)`` to the critic's part, with which
the game converges locally.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["critic_loss", "generator_loss", "gradient_penalty"]


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic paired loss of the critic, from its outputs (n, 1) on paired pairs."""
    return softplus(fake - real).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic paired loss of the generator, from the same outputs."""
    return softplus(real - fake).mean()


def gradient_penalty(scores: Tensor, inputs: Tensor) -> Tensor:
    """Mean squared norm of the gradient of scores (n, 1) in inputs (n, E): R1 on real, R2 on fake.

    The graph is kept, so that the penalty itself can be differentiated.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().sum(dim=1).mean()
