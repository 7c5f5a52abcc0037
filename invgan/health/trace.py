"""A history as the rules read it: one line of figures for each evaluation of the game."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError

__all__ = ["Evidence", "Trace", "best_wins", "game_of", "read"]

Array = NDArray[np.float64]
History = Sequence[Mapping[str, Any]]

_NORMS = ("critic_grad_norm", "generator_grad_norm")
_LOSSES = ("critic_loss", "generator_loss")


@dataclass(frozen=True)
class Evidence:
    """Figures of one evaluation; None where they are not known.

    Attributes:
        heldout: divergence of generated and real pairs, as a classifier outside the game finds
            it, nats.
        compared: how many held-out pairs were looked at.
        compared_training: how many training pairs.
        wins_training: share of training pairs in which the critic puts the real one above a
            generated one with the same y; one half where it cannot tell them apart.
        wins_heldout: the same on held-out pairs.
        by_heart: share of comparisons in which the critic puts a training pair above a held-out
            one; one half where it knows none by heart.
        reach: root mean square distance of draws from the mean of the real parameters, in
            standard deviations of these.
        narrowest: spread of draws in that of real parameters at neighbouring y, of the coordinate
            where it is smallest; one for an exact generator.
        coverage: share of real pairs with a generated one nearer than their fifth real neighbour;
            0.97 for an exact generator.
        precision: share of generated pairs that lie so near to a real one.
        probe_1, probe_2, probe_3: mean errors of the playing generator's draws along directions
            that stay the same, in standard deviations of real parameters.
    """

    heldout: float | None = None
    compared: float | None = None
    compared_training: float | None = None
    wins_training: float | None = None
    wins_heldout: float | None = None
    by_heart: float | None = None
    reach: float | None = None
    narrowest: float | None = None
    coverage: float | None = None
    precision: float | None = None
    probe_1: float | None = None
    probe_2: float | None = None
    probe_3: float | None = None


@dataclass(frozen=True)
class Trace:
    """The evaluations of a game, in order; NaN where a figure was not recorded.

    Attributes:
        figures: of every evaluation, by the names of `Evidence`, each (m,).
        norms: norm of the gradient of critic and generator at every record, by name, each (r,).
        losses: of critic and generator at every record, by name, each (r,).
        broken: figures of any stage that are not finite, by name.
    """

    figures: Mapping[str, Array]
    norms: Mapping[str, Array]
    losses: Mapping[str, Array]
    broken: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.figures["heldout"])

    def first(self, name: str) -> float:
        """The first recorded value, that of the untrained generator where there is one, or NaN."""
        values = self.figures[name][np.isfinite(self.figures[name])]
        return float(values[0]) if len(values) else math.nan

    def second_half(self, name: str) -> Array:
        """The recorded values of a figure from the middle of the game on."""
        values = self.figures[name][len(self) // 2 :]
        return np.asarray(values[np.isfinite(values)])

    def late(self, name: str) -> Array:
        """The recorded values of a figure in the last third of the evaluations, two at least."""
        values = self.figures[name][-max(2, len(self) // 3) :]
        return np.asarray(values[np.isfinite(values)])

    def level(self, name: str) -> float:
        """Where a figure stands at the end: the median of the last third, or NaN."""
        late = self.late(name)
        return float(np.median(late)) if len(late) else math.nan

    def change(self, name: str) -> float:
        """What a figure has gained from the middle of the game to its end, or NaN."""
        values = self.figures[name][np.isfinite(self.figures[name])]
        third = len(values) // 3
        if third < 1:
            return math.nan
        return float(np.median(values[-third:]) - np.median(values[third : len(values) - third]))


def read(history: History, held_out: Evidence | None = None) -> Trace:
    """Order a history for the rules.

    Args:
        history: rows of any stages; of others than the game only whether they are finite counts.
        held_out: figures of the last evaluation, where the rows lack them.

    Raises:
        InputError: a row is no mapping.
    """
    game = game_of(history)
    judged = [dict(row) for row in game if "heldout" in row]
    if held_out is not None:
        given = {name: value for name, value in asdict(held_out).items() if value is not None}
        judged = [*judged[:-1], {**(judged[-1] if judged else {}), **given}]
    figures = {name: _column(judged, name) for name in Evidence.__dataclass_fields__}
    norms, losses = ({name: _recorded(game, name) for name in names} for names in (_NORMS, _LOSSES))
    return Trace(figures, norms, losses, _broken([*history, *judged]))


def game_of(history: History) -> list[Mapping[str, Any]]:
    """The rows of the game among those of all stages.

    Raises:
        InputError: a row is no mapping.
    """
    if not all(isinstance(row, Mapping) for row in history):
        raise InputError("a history must be rows of figures by name, as training returns them")
    return [row for row in history if row.get("phase", "gan") == "gan"]


def best_wins(divergence: float) -> float:
    """How often the best of critics would win where a classifier finds this divergence, nats.

    A guess between two that is right with probability p has cross-entropy
    ``-p log p - (1 - p) log(1 - p)``; the classifier's is log 2 less the divergence.
    """
    p = np.linspace(0.5, 1, 501)[:-1]
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    return float(np.interp(-(math.log(2) - divergence), -entropy, p))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Array:
    return np.array([_number(row.get(name)) for row in rows], dtype=float)


def _recorded(rows: Sequence[Mapping[str, Any]], name: str) -> Array:
    values = _column(rows, name)
    return np.asarray(values[np.isfinite(values)])


def _broken(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The first figure of each name that is not finite. JSON's null is one too."""
    found: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            number = math.nan if value is None else value
            if isinstance(number, float) and not math.isfinite(number):
                found.setdefault(name, number)
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
