"""Molecules in one cell after a gene was switched on, event by event (Gillespie 1977).

A molecule is made at the rate `production`, and each lives for a time of mean 1 / `decay`. The
model is run for one parameter vector at a time and draws its own noise: the kind that is slow, and
that a cluster is for. From none, the count at time t has the law of Poisson with mean
production / decay * (1 - exp(-decay t)), with which the tests compare it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MINUTES", "counts"]

Array = NDArray[np.float64]

MINUTES = (5.0, 10.0, 20.0, 40.0)


def counts(x: Array, rng: np.random.Generator) -> dict[str, float]:
    """The counts m5, m10, m20 and m40 for x = (production, decay), both per minute."""
    production, decay = x
    time, number, seen = 0.0, 0, list[int]()
    while len(seen) < len(MINUTES):
        rate = production + decay * number
        time += rng.exponential(1 / rate)
        while len(seen) < len(MINUTES) and time > MINUTES[len(seen)]:
            seen.append(number)
        number += 1 if rng.random() * rate < production else -1
    return {f"m{minute:g}": float(n) for minute, n in zip(MINUTES, seen, strict=True)}
