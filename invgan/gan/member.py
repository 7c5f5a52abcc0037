"""One trained sampler: a summary of the outputs, a density, a generator, and a judge.

y -> s = S(y);   z -> u = G(z, s), chosen among candidates by the judge;   u -> e = T^-1(u; s)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from invgan.gan.embedding import Embedding, build_embedding
from invgan.gan.heads import (
    Head,
    IdentityHead,
    LinearHead,
    RegressionHead,
    build_head,
    log_prob,
)
from invgan.gan.judge import Judge
from invgan.gan.likelihood import LikelihoodStage
from invgan.gan.networks import Generator, build_generator, plain_generator
from invgan.gan.stage import Column, Pairs, Plan, Rows, Source, run_stage
from invgan.settings import TrainConfig

__all__ = ["Estimator", "Member", "build_estimator", "log_mean"]


_LEAST_VARIANCE = 1e-12


class Estimator(nn.Module):
    """The head's density of e given the outputs themselves, seen through the embedding."""

    centre: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(self, embedding: Embedding, head: Head, features: int) -> None:
        super().__init__()
        self.embedding, self.head = embedding, head
        self.register_buffer("centre", torch.zeros(embedding.features))
        self.register_buffer("scale", torch.ones(embedding.features))
        self.register_buffer("spread", torch.ones(features))

    def fit(
        self, pairs: Source[Column], heldout: Pairs, config: TrainConfig, rng: torch.Generator,
        plan: Plan,
    ) -> Rows:  # fmt: skip
        """Fit by likelihood where there is more to learn than a regression; the history."""
        if isinstance(self.head, LinearHead | RegressionHead):
            self.head.fit(*pairs.some())
        if isinstance(self.head, IdentityHead | RegressionHead):
            return []
        return run_stage(LikelihoodStage(self, pairs, heldout, config, rng), plan, lead=0.0)

    @torch.no_grad()
    def settle(self, y: Tensor) -> None:
        """After the fit: bring the summaries that the game will see to the size of one."""
        if self.embedding.learnt:
            s = self.embedding(y)
            self.centre, self.scale = s.mean(dim=0), s.std(dim=0).clamp_min(1e-6)

    @torch.no_grad()
    def temper(self, heldout: Pairs) -> float:
        """Bring the latent vectors of held-out pairs to a spread of one; the nats won a pair.

        An over-fitted head is too sure of itself: of pairs that it has not seen the latent vectors
        are wider than normal. Of all factors this one makes the held-out likelihood largest.
        """
        squares = sum(self(e, y)[0].square().sum(dim=0) for e, y in heldout.chunks())
        variance = (cast(Tensor, squares) / len(heldout.u)).clamp_min(_LEAST_VARIANCE)
        self.spread *= variance.sqrt()
        return float((variance - 1 - variance.log()).sum() / 2)

    def summary(self, y: Tensor) -> Tensor:
        """What the game sees of outputs y (n, L), shape (n, S)."""
        return (cast(Tensor, self.embedding(y)) - self.centre) / self.scale

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        u, ladj = cast("tuple[Tensor, Tensor]", self.head(e, self.embedding(y)))
        return u / self.spread, ladj - self.spread.log().sum()

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        return self.head.inverse(u * self.spread, self.embedding(y))


class Member(nn.Module):
    """A sampler of e given y.

    Attributes:
        kind: of the head.
        estimator: embedding and head.
        generator: of u, in the head's latent space.
        judge: corrects the generator's draws, or None.
    """

    def __init__(
        self, kind: str, estimator: Estimator, generator: Generator, judge: Judge | None
    ) -> None:
        super().__init__()
        self.kind = kind
        self.estimator, self.generator, self.judge = estimator, generator, judge

    def draw(self, y: Tensor, rng: torch.Generator, code: int | None = None) -> Tensor:
        """One e (n, E) for each row of scores y (n, L), with this code or with codes at random."""
        s = self.estimator.summary(y)
        if self.judge is None:
            u = self.generator.draw(s, rng, code)
        else:
            u = self.judge.choose(self.generator, s, rng, code)
        return self.estimator.inverse(u, y)

    def log_prob(self, e: Tensor, y: Tensor) -> Tensor:
        """The head's log-density of e (n, E) given y (n, L), shape (n,)."""
        return log_prob(self.estimator, e, y)

    @property
    def form(self) -> dict[str, Any]:
        """What must be known to rebuild it, beside the settings."""
        return {
            "head": self.kind,
            "noise": self.generator.noise,
            "judge": self.judge is not None,
            "plain": self.generator.plain,
        }

    @classmethod
    def blank(
        cls, config: TrainConfig, form: Mapping[str, Any], features: int, outputs: int
    ) -> Self:
        """One of this form on the CPU; its weights are to be filled in."""
        estimator = build_estimator(config, form["head"], features, outputs, 0)
        width = estimator.embedding.features
        generator = (
            plain_generator(width, features)
            if form.get("plain")
            else build_generator(config, form["noise"], width, features)
        )
        size = config.hidden, config.layers
        judge = Judge(features, width, *size) if form["judge"] else None
        return cls(form["head"], estimator, generator, judge)

    @property
    def has_density(self) -> bool:
        """Whether there is a head."""
        return not isinstance(self.estimator.head, IdentityHead)


def build_estimator(
    config: TrainConfig, kind: str, features: int, outputs: int, seed: int
) -> Estimator:
    """Embedding and head of this kind as the settings ask for, untrained, on the CPU."""
    rng = torch.Generator().manual_seed(seed)
    embedding = build_embedding(config.embedding, outputs, rng)
    head = build_head(
        kind, features, embedding.features, hidden=config.hidden, transforms=config.transforms,
        rng=rng,
    )  # fmt: skip
    return Estimator(embedding, head, features)


def log_mean(logs: Sequence[Tensor]) -> Tensor:
    """Log of the mean of densities whose logs are given, each (n,)."""
    return torch.stack(list(logs)).logsumexp(dim=0) - math.log(len(logs))
