"""What training hands on: members with their history and figures, with the game or without it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invgan.gan.evidence import Draws
from invgan.gan.member import Estimator, Member
from invgan.gan.networks import Generator, initialise, plain_generator
from invgan.gan.recovery import Recovered
from invgan.gan.stage import Rows
from invgan.gan.weigher import Weigher
from invgan.health import diagnose_kept

__all__ = [
    "Finished", "Headed", "Inside", "Rung", "Trained", "Weighed", "doubt", "put_aside",
    "untrained", "without_game",
]  # fmt: skip

_REDRAWS = 10


@dataclass(frozen=True)
class Rung:
    """A head to try.

    Attributes:
        kind: of the head.
        pace: of its fit, in learning rates.
    """

    kind: str
    pace: float = 1.0

    def __str__(self) -> str:
        return self.kind if self.pace == 1 else f"faster {self.kind}"


@dataclass(frozen=True)
class Headed:
    """A member's head.

    Attributes:
        number: of the member.
        rung: of the ladder that it stands on.
        estimator: embedding and head.
        history: of its fit.
        rungs: held-out figures of all heads that were fitted.
        seeds: of the game and of the judge that come after it.
    """

    number: int
    rung: Rung
    estimator: Estimator
    history: Rows
    rungs: dict[str, float]
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Trained:
    """A member, the history of its head and game, and its figures for the report."""

    member: Member
    history: Rows
    info: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """All members, what weighs their draws or None, and the figures of that."""

    trained: list[Trained]
    weigher: Weigher | None
    weighed: dict[str, Any]


@dataclass(frozen=True)
class Weighed:
    """Members whose draws are weighed, as one generator of network parameters."""

    weigher: Weigher
    members: tuple[Member, ...]

    def draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw e (n, E) for each row of scores y (n, L)."""
        return self.weigher.choose(self.members, y, rng)


@dataclass(frozen=True)
class Inside:
    """A generator of network parameters whose draws elsewhere are drawn again, a few times."""

    draws: Draws
    within: Callable[[Tensor], Tensor]

    def draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw e (n, E) for each row of scores y (n, L)."""
        e = self.draws.draw(y, rng)
        for _ in range(_REDRAWS):
            outside = ~self.within(e)
            if not outside.any():
                break
            e[outside] = self.draws.draw(y[outside], rng)
        return e


def without_game(trained: Trained) -> Trained:
    """The same member as its head alone; its own networks stay as they are."""
    if not trained.info["kept_step"]:
        return trained
    member = trained.member
    estimator = copy.deepcopy(member.estimator)
    plain = plain_generator(estimator.embedding.features, len(estimator.spread))
    alone = Member(member.kind, estimator, plain.to(estimator.spread.device), None)
    figure = trained.info["divergence_of_head"]
    info = {**trained.info, "kept_step": 0, "divergence": figure, "doubt": None}
    rows = [row if row["phase"] == "head" else {**row, "kept": False} for row in trained.history]
    return Trained(alone, rows, info)


def untrained(generator: Generator) -> Generator:
    """One that draws as the head does."""
    fresh = copy.deepcopy(generator)
    initialise(fresh, torch.Generator())
    return fresh


def put_aside(game: Recovered[Generator]) -> Recovered[Generator]:
    """The game, of which nothing is kept."""
    rows = [{**row, "kept": False} for row in game.history]
    return replace(game, kept=untrained(game.kept), history=rows)


def doubt(history: Rows) -> dict[str, Any] | None:
    """What had gone wrong by the time that the kept generator was kept, or None."""
    health = diagnose_kept(history)
    return None if health is None or health.healthy else health.to_dict()
