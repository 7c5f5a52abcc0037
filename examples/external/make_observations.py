"""Make observations.csv: the lowest oxygen on 250 days of known parameters, by the closed form.

    python examples/external/make_observations.py

With deoxygenation k, reaeration r, load L and first deficit D, the deficit is largest at

    t = log(r / k * (1 - D (r - k) / (k L))) / (r - k),    where it is    k / r * L exp(-k t),

or at the outfall itself where that t is not above zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DAYS = 250
SATURATION, DEFICIT = 9.1, 1.0  # mg/L


def lowest(x: Array) -> dict[str, Array]:
    """Lowest oxygen (mg/L) and its day of travel, a column (n,) each, of parameters x (n, 3)."""
    k, r, load = x.T
    inside = r / k * (1 - DEFICIT * (r - k) / (k * load))
    day = np.log(np.maximum(inside, 1e-12)) / (r - k)
    sags = (inside > 0) & (day > 0)
    deficit = np.where(sags, k / r * load * np.exp(-k * np.where(sags, day, 0)), DEFICIT)
    return {"oxygen": SATURATION - deficit, "day": np.where(sags, day, 0)}


def days(n: int = DAYS, seed: int = 0) -> Array:
    """Parameters (n, 3) of the days: two seasons, and a load that knows of neither."""
    rng = np.random.default_rng(seed)
    warm = rng.random(n) < 0.4
    deoxygenation = rng.lognormal(np.where(warm, np.log(0.42), np.log(0.24)), 0.1)
    reaeration = rng.lognormal(np.where(warm, np.log(0.8), np.log(0.6)), 0.1)
    return np.stack([deoxygenation, reaeration, rng.lognormal(np.log(10), 0.15, n)], axis=1)


def table() -> str:
    """The observations as text: a header, then a line for each day."""
    seen = lowest(days())
    rows = np.stack(list(seen.values()), axis=1)
    lines = [",".join(f"{value:.3f}" for value in row) for row in rows]
    return "\n".join([",".join(seen), *lines]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("observations.csv").write_text(table(), encoding="utf-8")
