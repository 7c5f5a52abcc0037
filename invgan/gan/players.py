"""Who plays the game that the settings name: networks, their optimisers, and further terms.

A term is asked of the generator's draws beside what the critic says: a loss with parameters of its
own, which are trained with the generator's. The information of a code is one, the content that
draws share with real parameters another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from invgan.gan.checkpoint import State
from invgan.gan.codes import CodeReader
from invgan.gan.content import Content, Outputs
from invgan.gan.networks import (
    Critic,
    Generator,
    build_critic,
    build_generator,
    initialise,
    latent_size,
)
from invgan.gan.stage import Column, Pairs, Source
from invgan.settings import TrainConfig

__all__ = ["OPTIMISERS", "Players", "Term", "build_players", "precision"]

_BETAS = (0.0, 0.99)
_MEMORY = 0.99


class Term(Protocol):
    """What is asked of draws beside the critic's opinion; a module.

    Attributes:
        column: its name in the history.
        weight: in the generator's loss.
    """

    column: str
    weight: float

    def __call__(self, z: Tensor, y: Tensor, u: Tensor, real: Tensor) -> Tensor:
        """Its loss, for draws u (n, E) that were made from z (n, K) and y (n, L).

        The real parameters (n, E) of the same y stand beside them.
        """
        ...

    def measure(self, generator: Generator, heldout: Pairs) -> float:
        """Its loss on held-out pairs."""
        ...


@dataclass(frozen=True)
class Players:
    """The two sides.

    Attributes:
        generator: the one that plays.
        kept: the average of its weights, for evaluation.
        critic: of pairs.
        modules: the terms, as modules.
        of_generator: optimiser of the generator and the terms.
        of_critic: optimiser of the critic.
    """

    generator: Generator
    kept: Generator
    critic: Critic
    modules: nn.ModuleList
    of_generator: torch.optim.Optimizer
    of_critic: torch.optim.Optimizer

    @property
    def terms(self) -> tuple[Term, ...]:
        """What is asked of draws beside the critic's opinion."""
        return tuple(cast(Term, module) for module in self.modules)

    def state(self, rng: torch.Generator) -> State:
        """What a checkpoint must hold of the players, and of the game's generator."""
        networks: dict[str, nn.Module] = {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.kept,
            "terms": self.modules,
        }
        return State(networks, {"generator": self.of_generator, "critic": self.of_critic}, rng)


def build_players(
    config: TrainConfig, pairs: Source[Column], rng: torch.Generator, push: Outputs | None = None
) -> Players:
    """New players for these pairs, on their device.

    Args:
        config: settings.
        pairs: training pairs.
        rng: of the game; the seed of the weights is its first one.
        push: outputs of draws, where their content is compared by these.
    """
    features, outputs, device = pairs.u.shape[1], pairs.y.shape[1], pairs.u.device
    weights = torch.Generator().manual_seed(rng.initial_seed())
    generator = build_generator(config, latent_size(config, features), outputs, features)
    critic = build_critic(config, features, outputs, rng)
    size = (config.hidden, config.layers)
    modules = nn.ModuleList(
        CodeReader(features, outputs, config.codes, *size, config.code_weight)
        for _ in range(config.codes > 0)
    )
    if config.content_weight:
        modules.append(Content(config.content_weight, push))
    for network in (generator, critic, *modules):
        initialise(network, weights)
        network.to(device)
    generator.prepare(*pairs.some(), weights)
    kept = copy.deepcopy(generator)
    fused = device.type in ("cpu", "cuda")
    of_generator, of_critic = (
        OPTIMISERS[config.optimiser](list(side.parameters()), config.learning_rate, fused)
        for side in (nn.ModuleList([generator, *modules]), critic)
    )
    return Players(generator.train(), kept, critic, modules, of_generator, of_critic)


def precision(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Half precision where it is asked for and there is a GPU; weights and losses stay single."""
    half = config.mixed_precision and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()


OPTIMISERS: dict[str, Callable[[list[nn.Parameter], float, bool], torch.optim.Optimizer]] = {
    "adam": lambda weights, rate, fused: torch.optim.Adam(weights, rate, _BETAS, fused=fused),
    "rmsprop": lambda weights, rate, fused: torch.optim.RMSprop(weights, rate, _MEMORY),
    "sgd": lambda weights, rate, fused: torch.optim.SGD(weights, rate, fused=fused),
}
"""Optimisers by name: of parameters, at a rate that every step sets anew."""
