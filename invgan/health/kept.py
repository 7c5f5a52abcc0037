"""The health of what was kept: of the game as it stood when its best generator was put aside.

What went wrong afterwards is no fault of that generator, and where the head start alone is kept
there is no game behind it at all. So the rules read the history up to the evaluation that was kept,
and no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from invgan.health.diagnosis import diagnose
from invgan.health.names import Health
from invgan.health.trace import game_of

__all__ = ["diagnose_kept"]


def diagnose_kept(history: Sequence[Mapping[str, Any]]) -> Health | None:
    """Name what had gone wrong by the time that the kept generator was kept.

    Without a head start there is nothing but the game: where it bettered nothing, an untrained
    generator is kept, and the whole game is asked why.

    Args:
        history: rows of the head, where there was one, and of the game that the kept generator
            comes from.

    Returns:
        What the history says, or None where the head start alone is kept.

    Raises:
        InputError: the history is not made of rows.
    """
    game = game_of(history)
    kept = [number for number, row in enumerate(game) if row.get("kept")]
    if kept and game[kept[-1]].get("step", 0) > 0:
        return diagnose(game[: kept[-1] + 1])
    return diagnose(game) if len(game) == len(history) else None
