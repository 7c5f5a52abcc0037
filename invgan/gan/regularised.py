"""The game of the regularised generator: a critic of (x, y), and one of each observed block."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from invgan.gan.checkpoint import State
from invgan.gan.device import generator_on, to_array
from invgan.gan.likelihood import descend
from invgan.gan.losses import critic_loss, generator_loss, gradient_penalty
from invgan.gan.networks import Critic, Generator, initialise
from invgan.gan.population import RganConfig, draw
from invgan.gan.stage import decay
from invgan.gan.surrogate import Surrogate
from invgan.metrics import energy_distance

__all__ = ["RganStage"]

_JUDGED = 4000
_JUDGE_SEED = 13
_AT_ONCE = 8192
_BETAS = (0.0, 0.99)


class RganStage:
    """Plays the game of one generator against a critic of (x, y) and one for each block of y.

    Args:
        surrogate: the differentiable model; it is not trained here. The first critic sees its
            outputs beside the parameters, of the prior's draws as of the generator's.
        targets: for each block its columns and its observed rows t (N, len(columns)).
        prior: draws of the prior (M, E), by which the first critic knows it.
        config: settings.
        seed: of the weights.
        rng: of batches and noise, on the device.
    """

    name = "rgan"
    columns = ("critic_loss_y", "critic_loss_x", "generator_loss_y", "generator_loss_x", "weight")

    def __init__(
        self,
        surrogate: Surrogate,
        targets: list[tuple[list[int], Tensor]],
        prior: Tensor,
        config: RganConfig,
        seed: int,
        rng: torch.Generator,
    ) -> None:
        self._surrogate, self._targets, self._config = (
            surrogate.requires_grad_(False),
            targets,
            config,
        )
        self._device = targets[0][1].device
        with torch.no_grad():
            parts = [self._joint(e, rng) for e in torch.split(prior, _AT_ONCE)]
        self._prior = torch.cat(parts)
        features = prior.shape[1]
        size, weights = (config.hidden, config.layers), torch.Generator().manual_seed(seed)
        self._generator = Generator(max(features, 4), 0, features, *size)
        widths = [self._prior.shape[1], *(len(columns) for columns, _ in targets)]
        self._critics = [Critic(width, 0, *size) for width in widths]
        for network in (self._generator, *self._critics):
            initialise(network, weights)
            network.to(self._device)
        self.kept = copy.deepcopy(self._generator)
        fused = self._device.type in ("cpu", "cuda")
        self._of_generator, *self._of_critics = (
            torch.optim.Adam(network.parameters(), config.learning_rate, _BETAS, fused=fused)
            for network in (self._generator, *self._critics)
        )
        modules = {"generator": self._generator, "average": self.kept}
        critics = {f"critic{i}": critic for i, critic in enumerate(self._critics)}
        optimisers = {f"critic{i}": optimiser for i, optimiser in enumerate(self._of_critics)}
        self.state = State(
            {**modules, **critics}, {"generator": self._of_generator, **optimisers}, rng
        )

    def step(self, step: int, record: bool) -> Tensor | None:
        """One step of every critic, then one of the generator, then the average."""
        factor = decay(step, self._config.steps)
        rate, weight = self._config.learning_rate * factor, self._weight(step)
        critics = self._critic_steps(rate)
        generator = self._generator_step(rate, weight)
        ours: list[Tensor] = list(self.kept.parameters())
        theirs: list[Tensor] = list(self._generator.parameters())
        memory = min(self._config.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - memory)
        if not record:
            return None
        shown = torch.tensor(weight, device=self._device)
        return torch.stack([*critics, *generator, shown]).detach()

    def _weight(self, step: int) -> float:
        """The weight w at a step, falling from the first to the last by the same factor at each."""
        first, last = self._config.weight, self._config.last_weight
        return first * math.pow(last / first, step / self._config.steps)

    def _critic_steps(self, rate: float) -> tuple[Tensor, Tensor]:
        """Losses of the output critics, their mean, and of the critic of (x, y)."""
        losses = []
        with torch.no_grad():
            fakes = self._fakes(self._generator)
        for real, fake, critic, optimiser in zip(
            self._reals(), fakes, self._critics, self._of_critics, strict=True
        ):
            both = torch.cat([real, fake]).requires_grad_()
            scores = critic(both, both[:, :0])
            a, b = scores.chunk(2)
            loss = critic_loss(a, b)
            penalty = 2 * gradient_penalty(scores, both)
            descend(optimiser, loss + self._config.gamma / 2 * penalty, rate)
            losses.append(loss)
        return torch.stack(losses[1:]).mean(), losses[0]

    def _generator_step(self, rate: float, weight: float) -> tuple[Tensor, Tensor]:
        """L_y, the mean over blocks, and L_x."""
        losses = []
        fakes = self._fakes(self._generator)
        for real, fake, critic in zip(self._reals(), fakes, self._critics, strict=True):
            a, b = critic(torch.cat([real, fake]), real.new_zeros(2 * len(real), 0)).chunk(2)
            losses.append(generator_loss(a, b))
        of_y, of_x = torch.stack(losses[1:]).mean(), losses[0]
        descend(self._of_generator, of_y + weight * of_x, rate)
        return of_y, of_x

    def _reals(self) -> list[Tensor]:
        """A batch of the prior, and one of each block's observed rows."""
        size, rng = self._config.batch_size, self.state.rng
        known = [self._prior, *(rows for _, rows in self._targets)]
        picks = (
            torch.randint(len(rows), (size,), generator=rng, device=self._device) for rows in known
        )
        return [rows[i] for i, rows in zip(picks, known, strict=True)]

    def _fakes(self, generator: Generator) -> list[Tensor]:
        """A batch of draws beside their outputs, and each block of the outputs."""
        e = draw(generator, self._config.batch_size, self.state.rng, self._device)
        both = self._joint(e, self.state.rng)
        t = both[:, e.shape[1] :]
        return [both, *(t[:, columns] for columns, _ in self._targets)]

    def _joint(self, e: Tensor, rng: torch.Generator) -> Tensor:
        return torch.cat([e, self._outputs(e, rng)], dim=1)

    def _outputs(self, e: Tensor, rng: torch.Generator) -> Tensor:
        n = torch.randn(len(e), self._surrogate.noise, generator=rng, device=e.device)
        t: Tensor = self._surrogate(e, n)
        return t

    @torch.no_grad()
    def measure(self) -> float:
        """Energy distance of the draws' outputs from the observed rows, the mean over blocks.

        The draws have the same noise at every call, so that two generators are compared like for
        like.
        """
        rng = generator_on(self._device, _JUDGE_SEED)
        t = self._outputs(draw(self.kept, _JUDGED, rng, self._device), rng)
        distances = [
            energy_distance(to_array(t[:, columns]), to_array(rows), seed=_JUDGE_SEED)
            for columns, rows in self._targets
        ]
        return float(np.mean(distances))

    def evidence(self) -> dict[str, float]:
        """Nothing: the held-out figure says what there is."""
        return {}
