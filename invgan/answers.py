"""A population's answer: draws, the model's outputs for them, and the correction of both.

Half as many draws again as wanted are made. Where the correction counts few of them, the answer
would be few draws many times over: then further ones are made, in all five times as many as wanted,
or what half a gigabyte holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from invgan.arguments import seeds_from
from invgan.correction import push_forward
from invgan.errors import CorrectionError
from invgan.problem import Problem
from invgan.samples import Samples

__all__ = ["Draw", "corrected_draws", "runs_for"]

_SPARE, _MOST, _MOST_NUMBERS = 1.5, 5, 2**26


class Draw(Protocol):
    """Draws of a generator."""

    def __call__(self, n: int, /, *, seed: int) -> Samples:
        """So many draws, which have no outputs yet."""
        ...


def corrected_draws(
    problem: Problem,
    draw: Draw,
    correct: Callable[[Samples, int], Samples],
    n: int,
    *,
    seeds: tuple[int, int],
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Samples, Samples]:
    """The corrected draws, and those that they were chosen from.

    Args:
        problem: a population's, of a deterministic model.
        draw: gives so many of the generator's draws.
        correct: called with draws that have outputs and a seed; gives n that count equally, whose
            ``info`` has the ``effective_share`` of the draws that they were chosen from.
        n: how many are wanted.

    Other Args:
        seeds: of the draws, and of the correction.
        scratch: a folder where outputs are kept as they come.
        progress: called with (model runs done, total).

    Returns:
        The answer and all draws. Where the correction cannot be believed the answer is the draws
        themselves, and its ``info`` has ``converged`` False and the reason as ``message``.
    """

    def pushed(count: int, seed: int) -> Samples:
        return push_forward(
            problem, draw(count, seed=seed), seed=seed, scratch=scratch, progress=progress
        )

    raw = pushed(runs_for(n)[0], seeds[0])
    answer = _corrected(correct, raw, seeds[1])
    short = _short(answer, raw, n)
    if short > 0:
        raw = _joined(raw, pushed(short, *seeds_from(seeds[0], 1)))
        answer = _corrected(correct, raw, seeds[1])
    return answer, raw


def runs_for(n: int) -> tuple[int, int]:
    """Model runs for n corrected draws: those that are always made, and the most."""
    return int(_SPARE * n), _MOST * n


def _short(answer: Samples, raw: Samples, n: int) -> int:
    """How many more draws are made, as memory allows, where fewer than n of these count."""
    share = float(answer.info.get("effective_share", 1.0))
    if share * len(raw) >= n:
        return 0
    room = _MOST_NUMBERS // (len(raw.names) + len(raw.outputs))
    return min(runs_for(n)[1], room) - len(raw)


def _corrected(correct: Callable[[Samples, int], Samples], raw: Samples, seed: int) -> Samples:
    """The corrected draws, or the raw ones with the reason why they cannot be believed."""
    try:
        return correct(raw, seed)
    except CorrectionError as error:
        info = {**raw.info, "converged": False, "message": str(error)}
        return replace(raw, info=info)


def _joined(first: Samples, further: Samples) -> Samples:
    """Both, with what they cost together."""
    info = dict(first.info)
    for name in ("seconds", "model_evaluations", "not_finite"):
        info[name] += further.info[name]
    info["lost"] = info["not_finite"] / info["model_evaluations"]
    x, weights = (
        np.concatenate([getattr(first, part), getattr(further, part)]) for part in ("x", "weights")
    )
    y = None if first.y is None or further.y is None else np.concatenate([first.y, further.y])
    return replace(first, x=x, y=y, weights=weights, info=info)
