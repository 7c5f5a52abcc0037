"""The adversarial stage: generator against critic in the head's latent space.

Held-out pairs are judged by a classifier of their own, trained anew at every evaluation: it is no
part of the game, so the generator cannot learn to fool it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from invgan.gan.checkpoint import State
from invgan.gan.judge import divergence
from invgan.gan.likelihood import descend
from invgan.gan.losses import critic_loss, generator_loss, gradient_penalty
from invgan.gan.networks import Critic, Generator, initialise
from invgan.gan.stage import Pairs, decay
from invgan.settings import TrainConfig

__all__ = ["GameStage"]

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
        return u, y, self._generator.draw(y, self.state.rng)

    def measure(self) -> float:
        """How well a fresh classifier tells generated held-out pairs from real ones, in nats."""
        return divergence(self.kept, self._pairs, self._selection, self._config.hidden)
