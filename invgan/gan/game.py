"""The adversarial stage: generator against critic in the head's latent space.

One loop plays every game: what the two sides minimise, how the critic's gradient is held, how the
parts of its loss are weighed and what else is asked of draws are functions that the settings name,
chosen before the first step.

Held-out pairs are judged by a classifier of their own, trained anew at every evaluation: it is no
part of the game, so the generator cannot learn to fool it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from invgan.gan.content import Outputs
from invgan.gan.evidence import evidence
from invgan.gan.judge import divergence
from invgan.gan.likelihood import descend_clipped
from invgan.gan.networks import Generator
from invgan.gan.packing import packed
from invgan.gan.players import build_players, precision
from invgan.gan.rules import build_rules
from invgan.gan.stage import Column, Pairs, Source, decay
from invgan.settings import TrainConfig

__all__ = ["GameStage"]

_COLUMNS = (
    "critic_loss",
    "generator_loss",
    "critic_real",
    "critic_fake",
    "gradient_penalty",
    "critic_grad_norm",
    "generator_grad_norm",
)


class GameStage:
    """Plays the game that the settings name; keeps the average of the generator."""

    name = "gan"

    def __init__(
        self, pairs: Source[Column], selection: Pairs, config: TrainConfig, rng: torch.Generator,
        push: Outputs | None = None,
    ) -> None:  # fmt: skip
        self._pairs, self._selection, self._config = pairs, selection, config
        self._rules, rate = build_rules(config), config.learning_rate
        self._rates = config.generator_rate or rate, config.critic_rate or rate
        self._longest = config.clip or math.inf
        players = build_players(config, pairs, rng, push)
        self._generator, self._critic = players.generator, players.critic
        self._terms, self.kept = players.terms, players.kept
        self._of_generator, self._of_critic = players.of_generator, players.of_critic
        self.columns = (*_COLUMNS, *(term.column for term in self._terms))
        self.state = players.state(rng)

    def begin_from(self, generator: Generator) -> None:
        """Start with the weights of a generator of another game."""
        for network in (self._generator, self.kept):
            network.load_state_dict(generator.state_dict())

    def step(self, step: int, record: bool) -> Tensor | None:
        """Critic steps, then one generator step, then the average."""
        share, times = decay(step, self._config.steps), self._config.critic_steps
        for number in range(step * times, step * times + times):
            critic = self._critic_step(share, number, record)
        generator = self._generator_step(share)
        ours: list[Tensor] = [*self.kept.parameters(), *self.kept.buffers()]
        theirs: list[Tensor] = [*self._generator.parameters(), *self._generator.buffers()]
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - self._memory(step))
        if not record:
            return None
        (loss, real, fake, penalty, norm), (answer, strength, *terms) = critic, generator
        figures = [loss, answer, real, fake, penalty, norm, strength, *terms]
        return torch.stack(figures).detach()

    def _memory(self, step: int) -> float:
        """Decay of the average: smaller at first, so that untrained weights are soon forgotten."""
        return min(self._config.averaging, (1 + step) / (10 + step))

    def _critic_step(self, share: float, number: int, record: bool) -> tuple[Tensor, ...]:
        """Loss without weights, mean outputs, penalty, norm of the gradient.

        A penalty that is not due is computed for the record alone.
        """
        every = self._config.penalty_every
        due = number % every == 0
        with precision(self._config, self._pairs.u.device):
            u, y, _, fake = self._round()
            both, twice = torch.cat([u, fake.detach()]), torch.cat([y, y])
            both.requires_grad_(due or record)
            twice.requires_grad_((due or record) and self._config.penalty_over == "pair")
            scores = self._critic(both, twice).float()
            a, b = scores.chunk(2)
            parts = self._rules.loss.critic(a, b, self._config.real_label)
            penalty = scores.new_zeros(())
            if due or record:
                penalty = self._rules.penalty(self._critic, both, twice, scores, self.state.rng)
        weights = self._rules.weights(parts, a, b, self._critic)
        weighed = _sum([weight * part for weight, part in zip(weights, parts, strict=False)])
        total = weighed + self._rules.weight * every * due * penalty
        norm = descend_clipped(self._of_critic, total, self._rates[1] * share, self._longest)
        return _sum(parts), a.mean(), b.mean(), penalty, norm

    def _generator_step(self, share: float) -> tuple[Tensor, ...]:
        """Loss, norm of the gradient, and the terms."""
        with precision(self._config, self._pairs.u.device):
            u, y, z, fake = self._round()
            a, b = self._critic(torch.cat([u, fake]), torch.cat([y, y])).float().chunk(2)
            loss = self._rules.loss.generator(a, b)
            terms = [term(z, y, fake, u) for term in self._terms]
        weighed = [term.weight * value for term, value in zip(self._terms, terms, strict=True)]
        total = _sum([loss, *weighed])
        norm = descend_clipped(self._of_generator, total, self._rates[0] * share, self._longest)
        return loss, norm, *terms

    def _round(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A real batch (u, y), latent numbers, and the generator's answer to the same y."""
        rng = self.state.rng
        u, y = packed(*self._pairs.batch(self._config.batch_size, rng), self._config.packing, rng)
        z = self._generator.latent(len(y), rng)
        return u, y, z, self._generator(z, y).float()

    def measure(self) -> float:
        """How well a fresh classifier tells generated held-out pairs from real ones, in nats.

        The terms are added with their weights: what is kept must serve them too.
        """
        found = divergence(self.kept, self._pairs, self._selection, self._config.hidden)
        return found + sum(t.weight * t.measure(self.kept, self._selection) for t in self._terms)

    def evidence(self) -> dict[str, float]:
        """What tells a game that fails from one that does not."""
        return evidence(self._generator, self.kept, self._critic, self._pairs, self._selection)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return reduce(add, parts)
