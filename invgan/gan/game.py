"""The adversarial stage: generator against critic in the head's latent space.

Held-out pairs are judged by a classifier of their own, trained anew at every evaluation: it is no
part of the game, so the generator cannot learn to fool it. What it reports,

    log 2 - cross-entropy on held-out pairs,

is a lower bound of the Jensen-Shannon divergence between real and generated pairs in nats
(Goodfellow et al. 2014), zero where it cannot tell them apart.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from invgan.gan.checkpoint import State
from invgan.gan.device import generator_on
from invgan.gan.likelihood import descend
from invgan.gan.losses import critic_loss, generator_loss, gradient_penalty
from invgan.gan.networks import Critic, Generator, initialise
from invgan.gan.stage import Pairs, decay
from invgan.settings import TrainConfig

__all__ = ["GameStage", "divergence"]

_JUDGE_STEPS = 400
_JUDGE_BATCH = 1024
_JUDGE_RATE = 3e-3
_JUDGE_SEED = 13
_BETAS = (0.0, 0.99)


class GameStage:
    """Plays the relativistic paired game with R1 and R2; keeps the average of the generator."""

    name = "gan"
    columns = (
        "critic_loss",
        "generator_loss",
        "critic_real",
        "critic_fake",
        "gradient_penalty",
        "critic_grad_norm",
        "generator_grad_norm",
    )

    def __init__(
        self, pairs: Pairs, selection: Pairs, config: TrainConfig, noise: int, rng: torch.Generator
    ) -> None:
        self._pairs, self._selection, self._config = pairs, selection, config
        features, outputs = pairs.u.shape[1], pairs.y.shape[1]
        device, size = pairs.u.device, (config.hidden, config.layers)
        weights = torch.Generator().manual_seed(rng.initial_seed())
        self._generator = Generator(noise, outputs, features, *size)
        self._critic = Critic(features, outputs, *size)
        for network in (self._generator, self._critic):
            initialise(network, weights)
            network.to(device)
        self.kept = copy.deepcopy(self._generator)
        fused = device.type in ("cpu", "cuda")
        self._of_generator, self._of_critic = (
            torch.optim.Adam(network.parameters(), config.learning_rate, _BETAS, fused=fused)
            for network in (self._generator, self._critic)
        )
        self.state = State(
            {"generator": self._generator, "critic": self._critic, "average": self.kept},
            {"generator": self._of_generator, "critic": self._of_critic},
            rng,
        )

    def step(self, step: int, record: bool) -> Tensor | None:
        """Critic steps, then one generator step, then the average."""
        rate = self._config.learning_rate * decay(step, self._config.steps)
        for _ in range(self._config.critic_steps):
            critic = self._critic_step(rate)
        generator = self._generator_step(rate)
        ours: list[Tensor] = list(self.kept.parameters())
        theirs: list[Tensor] = list(self._generator.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - self._memory(step))
        if not record:
            return None
        loss, real, fake, penalty, norm = critic
        return torch.stack([loss, generator[0], real, fake, penalty, norm, generator[1]]).detach()

    def _memory(self, step: int) -> float:
        """Decay of the average: smaller at first, so that untrained weights are soon forgotten."""
        return min(self._config.averaging, (1 + step) / (10 + step))

    def _critic_step(self, rate: float) -> tuple[Tensor, ...]:
        u, y, fake = self._round()
        both = torch.cat([u, fake.detach()]).requires_grad_()
        scores = self._critic(both, torch.cat([y, y]))
        a, b = scores.chunk(2)
        penalty = 2 * gradient_penalty(scores, both)
        loss = critic_loss(a, b)
        norm = descend(self._of_critic, loss + self._config.gamma / 2 * penalty, rate)
        return loss, a.mean(), b.mean(), penalty, norm

    def _generator_step(self, rate: float) -> tuple[Tensor, Tensor]:
        u, y, fake = self._round()
        a, b = self._critic(torch.cat([u, fake]), torch.cat([y, y])).chunk(2)
        loss = generator_loss(a, b)
        return loss, descend(self._of_generator, loss, rate)

    def _round(self) -> tuple[Tensor, Tensor, Tensor]:
        """A real batch (u, y) and the generator's answer to the same y."""
        u, y = self._pairs.batch(self._config.batch_size, self.state.rng)
        return u, y, self._generator(_noise(self._generator, len(y), self.state.rng, u), y)

    def measure(self) -> float:
        """How well a fresh classifier tells generated held-out pairs from real ones, in nats."""
        return divergence(self.kept, self._pairs, self._selection, self._config.hidden)


def _noise(generator: Generator, n: int, rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(n, generator.noise, generator=rng, device=like.device)


def divergence(generator: Generator, pairs: Pairs, selection: Pairs, hidden: int) -> float:
    """Estimated lower bound of the Jensen-Shannon divergence of generated and real pairs, nats.

    The judge is trained on training pairs and scored on the selection pairs. Its randomness is
    the same at every call, so that two generators are compared like for like.
    """
    device = pairs.u.device
    rng = generator_on(device, _JUDGE_SEED)
    judge = Critic(pairs.u.shape[1], pairs.y.shape[1], hidden, 2)
    initialise(judge, torch.Generator().manual_seed(_JUDGE_SEED))
    judge.to(device)
    optimiser = torch.optim.Adam(judge.parameters(), _JUDGE_RATE, fused=device.type != "mps")
    for step in range(_JUDGE_STEPS):
        u, y = pairs.batch(_JUDGE_BATCH // 2, rng)
        loss = _cross_entropy(judge, generator, Pairs(u, y), rng)
        descend(optimiser, loss, _JUDGE_RATE * decay(step, _JUDGE_STEPS))
    with torch.no_grad():
        return math.log(2) - float(_cross_entropy(judge, generator, selection, rng))


def _cross_entropy(
    judge: nn.Module, generator: Generator, pairs: Pairs, rng: torch.Generator
) -> Tensor:
    with torch.no_grad():
        fake = generator(_noise(generator, len(pairs.y), rng, pairs.u), pairs.y)
    a = judge(pairs.u, pairs.y)
    b = judge(fake, pairs.y)
    return 0.5 * (softplus(-a).mean() + softplus(b).mean())
