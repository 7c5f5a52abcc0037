"""The rules of a game: its loss, the penalty of the critic's gradient, the weights of the parts.

The zero-centred penalties (Mescheder, Geiger and Nowozin 2018; both together: Huang et al. 2024)

    R1 = E |grad a|^2 on real pairs,      R2 = E |grad b|^2 on generated ones

add ``gamma / 2 * (R1 + R2)`` to the critic's loss, with which the game converges locally. On points
between a real and a generated pair (Gulrajani et al. 2017; one-sided, as in Petzka, Fischer and
Lukovnikov 2018)

    E max(0, |grad D| - 1)^2

holds a Wasserstein critic to slopes of one at most. Its two-sided form, which also forbids smaller
slopes, stands in the way of a critic that must change its sign: in one dimension it stays wrong.

The gradient is that in x, so that the critic may depend on y as it likes, or that in x and y
jointly, which makes it continuous in y too and bounds the distance of the joint laws (Ray,
Murgoitio-Esandi, Dasgupta and Oberai 2023). A penalty may be added at every k-th critic step only,
k times as heavy (lazy regularisation, Karras et al. 2020).

**Adaptive weights** (Zadorozhnyy, Cheng and Ye 2021, algorithm 1). A step down ``L_r + L_f`` may
help one part and harm the other. With the gradients g_r and g_f of the two parts in the critic's
weights, and the mean outputs s_r and s_f of S(D) on real and generated pairs:

- where the critic is weak on real pairs (s_r < 1/2, or s_r < s_f - 0.05), it goes along g_r, less
  its share against g_f: weights ``1 / |g_r|`` and ``-g_r.g_f / (|g_f|^2 |g_r|)``, the latter zero
  where the two gradients agree;
- where it is strong on them (s_r > 3/4, and not as above), the same with the parts exchanged;
- else along the bisector: ``1 / |g_r|`` and ``1 / |g_f|``;

and 0.05 is added to each weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invgan.gan.losses import LOSSES, Loss, Parts, squared_slopes
from invgan.settings import TrainConfig

__all__ = [
    "PENALTIES",
    "Penalty",
    "Rules",
    "adaptive_weights",
    "build_rules",
    "weigh_gradients",
]

Critic = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[Critic, Tensor, Tensor, Tensor, torch.Generator], Tensor]
Weights = Sequence[Tensor | float]

_WEAK, _STRONG, _APART, _LEAST = 0.5, 0.75, 0.05, 0.05
_TINY = 1e-12


@dataclass(frozen=True)
class Rules:
    """What the critic is held to.

    Attributes:
        loss: of both sides.
        penalty: of the critic's gradient.
        weight: of the penalty.
        weights: of the parts of the critic's loss: of the parts, a, b and the critic.
    """

    loss: Loss
    penalty: Penalty
    weight: float
    weights: Callable[[Parts, Tensor, Tensor, nn.Module], Weights]


def build_rules(config: TrainConfig) -> Rules:
    """The rules that the settings name."""
    loss, fixed = LOSSES[config.loss], (config.real_weight, config.fake_weight)
    kind = loss.penalty if config.penalty == "auto" else config.penalty
    return Rules(
        loss,
        PENALTIES[kind],
        config.lipschitz if kind == "interpolated" else config.gamma / 2,
        adaptive_weights if config.adaptive_weights else lambda *_: fixed,
    )


def _both(critic: Critic, u: Tensor, y: Tensor, scores: Tensor, rng: torch.Generator) -> Tensor:
    return 2 * squared_slopes(scores, u, y).mean()


def _r1(critic: Critic, u: Tensor, y: Tensor, scores: Tensor, rng: torch.Generator) -> Tensor:
    return squared_slopes(scores, u, y).chunk(2)[0].mean()


def _r2(critic: Critic, u: Tensor, y: Tensor, scores: Tensor, rng: torch.Generator) -> Tensor:
    return squared_slopes(scores, u, y).chunk(2)[1].mean()


def _interpolated(
    critic: Critic, u: Tensor, y: Tensor, scores: Tensor, rng: torch.Generator
) -> Tensor:
    real, fake = u.detach().chunk(2)
    share = torch.rand(len(real), *[1] * (real.ndim - 1), generator=rng, device=real.device)
    between = real.lerp(fake, share).requires_grad_(u.requires_grad)
    same = y.detach().chunk(2)[0].requires_grad_(y.requires_grad)
    slopes = squared_slopes(critic(between, same), between, same)
    return ((slopes + _TINY).sqrt() - 1).clamp_min(0).square().mean()


def _none(critic: Critic, u: Tensor, y: Tensor, scores: Tensor, rng: torch.Generator) -> Tensor:
    return scores.new_zeros(())


PENALTIES: dict[str, Penalty] = {
    "both": _both,
    "r1": _r1,
    "r2": _r2,
    "interpolated": _interpolated,
    "none": _none,
}
"""Penalties by name: of the critic, u (2 n, E) and y (2 n, L), real pairs first, their scores."""


def adaptive_weights(parts: Parts, a: Tensor, b: Tensor, critic: nn.Module) -> Weights:
    """Weights of the real and the fake part of a critic's loss.

    Args:
        parts: the real and the fake part.
        a: the critic's outputs on real pairs.
        b: its outputs on generated ones.
        critic: whose parameters learn.
    """
    learning = list(critic.parameters())
    real, fake = (
        torch.cat([g.flatten() for g in torch.autograd.grad(part, learning, retain_graph=True)])
        for part in parts
    )
    return weigh_gradients(real, fake, a.detach().sigmoid().mean(), b.detach().sigmoid().mean())


def weigh_gradients(real: Tensor, fake: Tensor, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
    """The rule itself.

    Args:
        real: gradient g_r of the real part, flat.
        fake: gradient g_f of the fake part, flat.
        high: mean output s_r on real pairs, 0 to 1.
        low: mean output s_f on generated pairs.
    """
    r, f = (g.dot(g).clamp_min(_TINY).sqrt() for g in (real, fake))
    against = (-real.dot(fake)).clamp_min(0)
    weak = (high < _WEAK) | (high < low - _APART)
    strong = (high > _STRONG) & ~weak
    of_real = torch.where(strong, against / (r * r * f), 1 / r)
    of_fake = torch.where(weak, against / (f * f * r), 1 / f)
    return of_real + _LEAST, of_fake + _LEAST
