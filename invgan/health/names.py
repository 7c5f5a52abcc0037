"""The ways in which a game can fail, each with its remedy, and the noun that names one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

__all__ = ["FAILURES", "Health", "Name"]

Name = Literal[
    "blown up",
    "over-fitting of the critic",
    "generator wins",
    "mode collapse",
    "both vanish",
    "critic wins",
    "oscillation",
    "not yet trained",
    "healthy",
]

FAILURES: Mapping[Name, str] = {
    "blown up": "lower train.learning_rate tenfold, or set train.clip, say to 1",
    "over-fitting of the critic": (
        "give it more simulations (simulate.n), or raise train.gamma, or let the critic forget: "
        "fewer train.steps, a smaller train.hidden"
    ),
    "generator wins": (
        "let the critic learn more: raise train.critic_steps or train.critic_rate, widen it "
        "(train.hidden), or lower train.gamma where that is large"
    ),
    "mode collapse": (
        "set train.packing to 2 or more, raise train.gamma, lower train.generator_rate, or choose "
        "train.loss: relativistic"
    ),
    "both vanish": (
        "choose train.loss: relativistic or wasserstein, whose gradients do not vanish; or raise "
        "train.gamma, or lower train.critic_steps"
    ),
    "critic wins": (
        "hold the critic back: raise train.gamma, lower train.critic_rate or train.critic_steps"
    ),
    "oscillation": "raise train.gamma, lower train.learning_rate, or raise train.averaging",
    "not yet trained": "raise train.steps",
}
"""What to change in the settings, by the name of the failure; the gravest come first."""


@dataclass(frozen=True)
class Health:
    """What a history says of a game.

    Attributes:
        name: the failure, or ``"healthy"``.
        evidence: the figures that say so, by name.
        remedy: the settings to change, or nothing to be done.
        healthy: whether there is nothing to complain of.
    """

    name: Name
    evidence: Mapping[str, float]
    remedy: str
    healthy: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: what is not finite is None."""
        finite = {k: v if math.isfinite(v) else None for k, v in self.evidence.items()}
        return {**asdict(self), "evidence": finite}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        evidence = {k: math.nan if v is None else float(v) for k, v in data["evidence"].items()}
        return cls(data["name"], evidence, data["remedy"], data["healthy"])
