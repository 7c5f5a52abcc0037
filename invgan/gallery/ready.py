"""What a ready problem is: a problem together with what is known of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from invgan.problem import Problem

__all__ = ["Exact", "GalleryProblem"]

Array = NDArray[np.float64]
Exact = Callable[[int, int], Array]
"""Draws (n, D) from (n, seed)."""


@dataclass(frozen=True)
class GalleryProblem:
    """A problem and its known answer.

    Attributes:
        title: one line about the problem.
        problem: what the solver gets.
        exact: draws of the exact answer, shape (n, D), from (n, seed); None where nobody has them.
        divergence: KL(P_X || q) in nats where it is known, else None.
        known: what `exact` draws: ``"answer"``, the one answer to the question, or
            ``"population"``, the members that the observations were made from, where the
            observations leave room for others.
        truth: the parameters (D,) that made the observation of a posterior problem, else None.
    """

    title: str
    problem: Problem
    exact: Exact | None
    divergence: float | None = None
    known: Literal["answer", "population"] = "answer"
    truth: Array | None = None
