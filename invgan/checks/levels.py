"""How large a figure may be: the noise of an exact answer, and what is too small to matter.

About ten figures make a verdict, some with a value for each column. So that an exact answer is
called wrong no more than twice in a hundred times, each figure gets two chances in a thousand,
shared among its columns (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import kolmogi

from invgan.errors import InputError
from invgan.resampling import effective_share, resampled
from invgan.samples import Samples
from invgan.validation import Measure

__all__ = [
    "LEVEL", "above", "effective", "evenly", "from_replicates", "guessing", "largest_gap", "within",
]  # fmt: skip

Array = NDArray[np.float64]

LEVEL = 0.002


def largest_gap(n: float, m: float = math.inf, columns: int = 1) -> float:
    """Kolmogorov-Smirnov distance of n draws from m others of the same law, m infinite for it."""
    return float(kolmogi(LEVEL / columns)) * math.sqrt(1 / n + 1 / m)


def guessing(rows: float) -> float:
    """Accuracy of guessing the labels of this many rows."""
    return 0.5 + float(stats.norm.isf(LEVEL)) * math.sqrt(0.25 / rows)


def above(share: float, n: float, columns: int = 1) -> float:
    """How far a share of n cases strays from its expectation."""
    return float(stats.norm.isf(LEVEL / columns / 2)) * math.sqrt(share * (1 - share) / n)


def from_replicates(values: Array, columns: int = 1) -> Array:
    """Upper end of a positive figure from replicates (R, ...), by a gamma law of their moments."""
    mean, variance = values.mean(axis=0), values.var(axis=0) + 1e-300
    mean = np.maximum(mean, 1e-150)
    return np.asarray(stats.gamma.isf(LEVEL / columns, mean**2 / variance, scale=variance / mean))


def effective(samples: Samples) -> float:
    """How many independent draws the answer is worth."""
    return float(min(len(samples), samples.info.get("effective_samples", len(samples))))


def evenly(samples: Samples, seed: int) -> Samples:
    """Draws that count equally: the same, or resampled by their weights where these differ.

    Raises:
        InputError: a weight is negative or not finite, all are zero, or draws have none.
    """
    weights, n = samples.weights, len(samples)
    fine = weights.shape == (n,) and bool(np.all(weights >= 0)) and 0 < weights.sum() < math.inf
    if not fine:
        raise InputError(
            f"the {n} samples need as many weights, finite, not negative and not all zero; got "
            f"{weights!r}"
        )
    if np.ptp(weights) == 0:
        return samples
    rows = resampled(weights, samples.x[:, 0], n, np.random.default_rng(seed))
    worth = effective(samples) * effective_share(weights)
    return replace(
        samples, x=samples.x[rows], y=None if samples.y is None else samples.y[rows],
        weights=np.ones(n), info=samples.info | {"effective_samples": worth},
    )  # fmt: skip


def within(
    name: str, output: str | None, value: float, floor: float, meaning: str,
    *, enough: float | None = None, slack: float = 0.0, note: str = "",
) -> Measure:  # fmt: skip
    """Passed where the value is below the floor, or too small to matter.

    What is too small to matter is either `enough`, which passes whatever the floor is, or `slack`
    on top of the floor, for figures of few rows whose noise would hide it.
    """
    limit = max(floor + slack, -math.inf if enough is None else enough)
    passed = bool(value <= limit)
    return Measure(name, output, value, floor, passed, meaning, limit, "" if passed else note)
