"""Whether outputs can be told from the observations, by more than would matter to anyone.

Every figure has a limit: what two samples of one law stay below in about 99 of 100 cases, or what
is too small to matter for any use, whichever is larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invgan.metrics import c2st, energy_distance, kolmogorov_smirnov

__all__ = ["Agreement", "agreement"]

Array = NDArray[np.float64]

_KS, _ENERGY, _C2ST = 0.02, 0.002, 0.52
_PERMUTATIONS, _MOST = 20, 1000


@dataclass(frozen=True)
class Agreement:
    """Distances of outputs from observed rows.

    Attributes:
        ks: Kolmogorov-Smirnov distance of each output, shape (L,).
        energy: energy distance of all outputs together.
        c2st: held-out accuracy of a classifier between the two; 0.5 is guessing.
        limits: what must not be exceeded by the largest KS, the energy distance and the C2ST.
    """

    ks: tuple[float, ...]
    energy: float
    c2st: float
    limits: tuple[float, float, float]

    @property
    def excess(self) -> float:
        """The largest figure in units of its limit (C2ST: of both above 0.5); 1 or less passes."""
        ks, energy, accuracy = self.limits
        of_c2st = (self.c2st - 0.5) / (accuracy - 0.5)
        return max(max(self.ks) / ks, self.energy / energy, of_c2st)

    def __str__(self) -> str:
        ks, energy, accuracy = self.limits
        return (
            f"largest KS {max(self.ks):.3f} (limit {ks:.3f}), energy distance {self.energy:.4f} "
            f"({energy:.4f}), C2ST {self.c2st:.3f} ({accuracy:.3f})"
        )


def agreement(y: Array, rows: Array, *, seed: int = 0) -> Agreement:
    """Compare outputs y (n, L) with observed rows (R, L).

    Args:
        y: outputs.
        rows: the observed ones.

    Other Args:
        seed: of the classifier and of the permutations behind the limit of the energy distance.
    """
    ks = kolmogorov_smirnov(y, rows)
    size = min(len(y), len(rows), 10_000)
    by_ks = math.sqrt(-0.5 * math.log(0.01 / 2 / len(ks)) * (1 / len(y) + 1 / len(rows)))
    by_c2st = 0.5 + 2.33 * math.sqrt(0.25 / (2 * size))
    limits = max(by_ks, _KS), max(_energy_floor(y, rows, seed), _ENERGY), max(by_c2st, _C2ST)
    energy = energy_distance(y, rows, most=_MOST, seed=seed)
    return Agreement(tuple(map(float, ks)), energy, c2st(y, rows, seed=seed), limits)


def _energy_floor(y: Array, rows: Array, seed: int) -> float:
    """Mean and three standard deviations of the energy distance when the labels are shuffled."""
    rng = np.random.default_rng(seed)
    sizes = min(len(y), _MOST), min(len(rows), _MOST)
    some = [c[rng.choice(len(c), m, replace=False)] for c, m in zip((y, rows), sizes, strict=True)]
    both, values = np.concatenate(some), []
    for _ in range(_PERMUTATIONS):
        shuffled = rng.permutation(both)
        values.append(energy_distance(shuffled[: sizes[0]], shuffled[sizes[0] :], most=_MOST))
    return float(np.mean(values) + 3 * np.std(values))
