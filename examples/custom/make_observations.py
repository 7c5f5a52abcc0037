"""Write observations.csv: the blood of 400 invented people, three of ten of them slow metabolisers.

    python make_observations.py

Since these people are invented, their parameters are known, and solve.py can set the answer beside
the truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from model import concentrations
from numpy.typing import NDArray

Array = NDArray[np.float64]

PEOPLE, SEED = 400, 7


def people(n: int = PEOPLE, seed: int = SEED) -> Array:
    """Parameters (n, 4) of invented people: absorption, volume, vmax, bioavailability."""
    rng = np.random.default_rng(seed)
    absorption = rng.lognormal(np.log(0.9), 0.25, n)
    volume = rng.lognormal(np.log(38), 0.15, n)
    slow = rng.random(n) < 0.3
    vmax = np.where(slow, rng.normal(16, 1.5, n), rng.normal(34, 3, n))
    bioavailability = rng.beta(40, 12, n)
    return np.stack([absorption, volume, vmax, bioavailability], axis=1)


def table() -> str:
    """The observations as text: a header, then a line for each person."""
    seen = concentrations(people())
    rows = np.stack(list(seen.values()), axis=1)
    lines = [",".join(f"{value:.3f}" for value in row) for row in rows]
    return "\n".join([",".join(seen), *lines]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("observations.csv").write_text(table(), encoding="utf-8")
