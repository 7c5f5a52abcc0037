"""What one run of a sweep gave: its settings, its figures, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["FIGURES", "Row"]

FIGURES = {
    "critic_loss": "critic's loss, mean over the last tenth of the game",
    "generator_loss": "generator's loss, the same",
    "heldout": "divergence of pairs (drawn x, y) from held-out pairs, by one classifier (nats)",
    "divergence": "the same as training saw it: comparable for equal head and train.hidden (nats)",
    "divergence_of_head": "the same of the head alone (nats)",
    "kept_step": "step of the game whose generator was kept; 0 is the head alone",
    "pushforward": "C2ST of the answer's outputs against the observations",
    "pushforward_raw": "the same before correction",
    "share": "effective share of the draws in the correction",
    "nll": "negative log-density of held-out parameters by the head (nats)",
    "exact": "C2ST of the answer's parameters against exact draws",
}
"""The figures of a run by name, with their meaning; a C2ST of 0.5 is indistinguishable."""


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        number: of its settings, in the order in which they were chosen.
        seed: of its training.
        settings: the values that vary, by dotted name.
        figures: by the names of `FIGURES`; None for what this problem has not.
        health: what the course of training looked like, or None where nobody judged it.
        seconds: of training.
        failure: why the run cannot be used, or None.
        again: whether that was no word of invgan's own, such as a lack of memory, so that a sweep
            that is taken up runs it once more.
    """

    number: int
    seed: int
    settings: Mapping[str, Any]
    figures: Mapping[str, float | None] = field(default_factory=dict)
    health: str | None = None
    seconds: float = 0.0
    failure: str | None = None
    again: bool = False

    def score(self, name: str) -> float | None:
        """The figure of this name; None for a run that failed or has not got it."""
        return None if self.failure else self.figures.get(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` made.

        Raises:
            TypeError: other keys than those of a row.
        """
        return cls(**data)
