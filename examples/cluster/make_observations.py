"""Make observations.csv: the counts in one cell whose parameters are known.

python examples/cluster/make_observations.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from model import counts

TRUTH = np.array([4.0, 0.1])  # production, decay, per minute


def table(seed: int = 0) -> str:
    """The observations as text: a header and one line."""
    seen = counts(TRUTH, np.random.default_rng(seed))
    return f"{','.join(seen)}\n{','.join(f'{value:g}' for value in seen.values())}\n"


if __name__ == "__main__":
    Path(__file__).with_name("observations.csv").write_text(table(), encoding="utf-8")
