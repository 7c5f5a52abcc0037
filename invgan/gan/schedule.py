"""How many steps of a training lie before each of its stages, at most."""

from __future__ import annotations

from dataclasses import dataclass

from invgan.settings import TrainConfig

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Heads and game of the first member, heads of the others, likelihoods, games of the others.

    Attributes:
        config: settings.
        rungs: how many heads the first member tries.
        members: how many.
        likelihood: steps of all that is learnt to weigh draws by.
    """

    config: TrainConfig
    rungs: int
    members: int
    likelihood: int

    def before_head(self, number: int, place: int) -> int:
        """Steps before a head of a member."""
        if not number:
            return self._head * place
        return self.before_likelihood - self._head * (self.members - number)

    def before_game(self, number: int) -> int:
        """Steps before the game of a member."""
        if not number:
            return self._head * self.rungs
        return self.total - self.config.steps * (self.members - number)

    @property
    def before_likelihood(self) -> int:
        """Steps before the first likelihood."""
        return self._head * (self.rungs + self.members - 1) + self.config.steps

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return self.before_likelihood + self.likelihood + self.config.steps * (self.members - 1)

    @property
    def _head(self) -> int:
        return 0 if self.config.head == "none" else self.config.steps_of_head
