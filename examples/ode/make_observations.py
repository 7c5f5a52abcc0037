"""Make observations.csv: the pupils who were ill on each of 14 days.

    python examples/ode/make_observations.py

The parameters are known, and the counts are off by 10 %.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from model import begin, rates
from numpy.typing import NDArray

from invgan.models import ode_model

Array = NDArray[np.float64]

TRUTH = np.array([1.65, 0.45, 2.0])  # beta, gamma, infected on day 0
DAYS = np.arange(1, 15)
SIGMA = 0.1  # of the logarithm of a count


def cases(seed: int = 0) -> dict[str, float]:
    """The counts by name, I_1 to I_14."""
    model = ode_model(rates, begin, DAYS, states=["S", "I", "R"], observe=["I"])
    exact = model(TRUTH)
    noise = np.random.default_rng(seed).normal(0, SIGMA, len(DAYS))
    return {name: float(exact[name] * np.exp(e)) for name, e in zip(exact, noise, strict=True)}


def table() -> str:
    """The observations as text: a header and one line."""
    seen = cases()
    return f"{','.join(seen)}\n{','.join(f'{value:.1f}' for value in seen.values())}\n"


if __name__ == "__main__":
    Path(__file__).with_name("observations.csv").write_text(table(), encoding="utf-8")
