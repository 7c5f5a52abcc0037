"""Recovery: a game that failed is played again from its best generator, under gentler settings.

There is a sound rule where theory or practice says which way to go. A stronger gradient penalty
makes the game converge locally (Mescheder, Geiger and Nowozin 2018), holds a critic back that has
won or knows its training pairs by heart, and keeps its slope towards modes that draws have left; a
lower rate mends what has left every scale. A side that won with the higher of two rates goes back
to the one of both. Where the critic is too weak for all that, or the game too short, the remedy
costs what the user has to grant, and nothing is tried.

Held-out pairs decide between the attempts as they decide between evaluations: a restart never makes
the answer worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from invgan.gan.losses import LOSSES
from invgan.gan.stage import Rows
from invgan.health import Health, diagnose, summary
from invgan.settings import TrainConfig

__all__ = ["Play", "Recovered", "play_with_recovery", "remedy"]

T = TypeVar("T")
Changes = dict[str, Any]

_STRONGER, _LEAST_GAMMA, _LEAST_LIPSCHITZ = 10.0, 0.05, 1.0
_GENTLER, _MUCH_GENTLER = 2.0, 10.0
_SIDES = ("generator_rate", "critic_rate")
_RATES = ("learning_rate", *_SIDES)


class Play(Protocol[T]):
    """Plays one game to its end."""

    def __call__(self, config: TrainConfig, start: T | None, attempt: int, /) -> tuple[T, Rows]:
        """What was kept, and the history.

        Args:
            config: settings.
            start: what to start from, or None for the untrained generator.
            attempt: how many games were played before this one.
        """
        ...


@dataclass(frozen=True)
class Recovered(Generic[T]):
    """What came of a game and its restarts.

    Attributes:
        kept: what held-out pairs liked best of all attempts.
        history: of the attempt that it comes from.
        health: of that attempt.
        untrained: the held-out figure before the first step of the first attempt.
        restarts: one record for each: what failed and why, the settings changed (before, after),
            the held-out figure before and after.
    """

    kept: T
    history: Rows
    health: Health
    untrained: float
    restarts: tuple[dict[str, Any], ...]

    @property
    def kept_step(self) -> int:
        """The step at which `kept` was kept; 0 where nothing of the game was."""
        return int(_kept_row(self.history).get("step", 0))

    @property
    def figure(self) -> float:
        """The held-out figure of `kept`."""
        return float(_kept_row(self.history).get("heldout", self.untrained))


def remedy(health: Health, config: TrainConfig) -> TrainConfig | None:
    """Settings under which to play again, or None where no rule is sound or nothing failed."""
    if health.name == "blown up":
        changes = _slower(config, _MUCH_GENTLER)
    elif health.name == "oscillation":
        changes = _slower(config, _GENTLER) | _held(config)
    elif health.name in ("critic wins", "both vanish"):
        changes = _held(config) | _even(config, *_SIDES[::-1])
    elif health.name == "over-fitting of the critic":
        changes = _held(config)
    elif health.name == "mode collapse":
        rate = (config.generator_rate or config.learning_rate) / _GENTLER
        changes = _held(config) | (_even(config, *_SIDES) or {"generator_rate": rate})
    elif health.name == "generator wins":
        changes = _even(config, *_SIDES)
    else:
        changes = {}
    if not changes:
        return None
    return TrainConfig(**{**config.model_dump(), **changes})


def play_with_recovery(play: Play[T], config: TrainConfig, *, restarts: int = 2) -> Recovered[T]:
    """Play a game; where it fails in a way that has a rule, again, a bounded number of times.

    Args:
        play: plays one game.
        config: settings of the first attempt.

    Other Args:
        restarts: most games after the first.
    """
    first = best = latest = _attempt(play, config, None, 0)
    records: list[dict[str, Any]] = []
    for number in range(1, restarts + 1):
        gentler = remedy(latest.health, latest.config)
        if gentler is None:
            break
        start = best.kept if best.trained else None
        before, latest = latest, _attempt(play, gentler, start, number)
        records.append(_record(before, latest))
        best = min(best, latest, key=lambda attempt: attempt.figure)
    untrained = float(first.history[0].get("heldout", math.nan))
    return Recovered(best.kept, best.history, best.health, untrained, tuple(records))


@dataclass(frozen=True)
class _Attempt(Generic[T]):
    """One game that was played, and what is to be said of it."""

    config: TrainConfig
    kept: T
    history: Rows
    health: Health

    @property
    def figure(self) -> float:
        """The held-out figure of what was kept."""
        return float(_kept_row(self.history).get("heldout", math.inf))

    @property
    def trained(self) -> bool:
        """Whether what was kept is better than what the game began with."""
        return int(_kept_row(self.history).get("step", 0)) > 0


def _kept_row(history: Rows) -> dict[str, Any]:
    """The last row at which a generator was kept, {} where there is none."""
    return next((row for row in reversed(history) if row.get("kept")), {})


def _attempt(play: Play[T], config: TrainConfig, start: T | None, number: int) -> _Attempt[T]:
    kept, history = play(config, start, number)
    return _Attempt(config, kept, history, diagnose(history))


def _slower(config: TrainConfig, times: float) -> Changes:
    """All rates that are set, so many times lower."""
    rates = {name: getattr(config, name) for name in _RATES}
    return {name: rate / times for name, rate in rates.items() if rate is not None}


def _even(config: TrainConfig, faster: str, slower: str) -> Changes:
    """The learning rate for both sides, where they were set apart in favour of the first."""
    first, second = (getattr(config, name) or config.learning_rate for name in (faster, slower))
    return {faster: None, slower: None} if first > second else {}


def _held(config: TrainConfig) -> Changes:
    """A stronger penalty of the critic's gradient; the usual one where there was none."""
    bare = config.penalty == "none"
    kind = LOSSES[config.loss].penalty if bare or config.penalty == "auto" else config.penalty
    changes: Changes = {"penalty": "auto"} if bare else {}
    times = 1.0 if bare else _STRONGER
    if kind == "interpolated":
        return changes | {"lipschitz": max(times * config.lipschitz, _LEAST_LIPSCHITZ)}
    return changes | {"gamma": max(times * config.gamma, _LEAST_GAMMA)}


def _record(before: _Attempt[T], after: _Attempt[T]) -> dict[str, Any]:
    old, new = before.config.model_dump(), after.config.model_dump()
    return {
        "failure": before.health.name,
        "said": summary(before.health),
        "changed": {name: [old[name], new[name]] for name in new if old[name] != new[name]},
        "heldout": [before.figure, after.figure],
    }
