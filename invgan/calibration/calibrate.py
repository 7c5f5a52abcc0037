"""Calibration of an inverse over held-out simulations: ranks, expected coverage, TARP.

All three are numbers that would be uniform for an exact inverse (see `ranks` and `regions`), so
each is read from the distribution function of its numbers. Distances are measured on the normal
scores of the prior's own parameters, where bounds and scales do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, whole
from invgan.calibration.draws import Drawer, check_pairs, conditions, drawn, scores
from invgan.calibration.ranks import band, curve, largest_gap, leaning, ranks_below
from invgan.calibration.regions import (
    LogDensity,
    density_ranks,
    distance_ranks,
    neighbour_ranks,
    others,
)
from invgan.errors import InputError
from invgan.ground import own_ground

__all__ = ["NEIGHBOUR", "NOMINAL", "Calibration", "calibrate"]

Array = NDArray[np.float64]

NOMINAL = (0.5, 0.8, 0.95)
NEIGHBOUR = "distance to the nearest simulation"
_LEVELS = np.linspace(0.01, 0.99, 99)
_FEWEST, _BINS, _CONDITIONS = 30, 20, 20


@dataclass(frozen=True)
class Calibration:
    """What held-out pairs say of an inverse.

    Attributes:
        names: the D parameters, and one quantity that depends on the outputs too.
        ranks: of the true values among the draws, on [0, 1], shape (n, D + 1).
        region: share of draws in denser places than the true parameters, shape (n,).
        tarp: share of draws nearer than the truth to a random point, shape (n,).
        draws: how many draws each rank is among.
        by_density: whether `region` comes from a log-density, or from the draws alone.
    """

    names: tuple[str, ...]
    ranks: Array
    region: Array
    tarp: Array
    draws: int
    by_density: bool

    def __len__(self) -> int:
        return len(self.region)

    @property
    def levels(self) -> Array:
        """Nominal levels of the curves, shape (99,)."""
        return _LEVELS

    @property
    def coverage_curve(self) -> Array:
        """Share of true parameters in the densest region of each level, shape (99,)."""
        return curve(self.region, _LEVELS)

    @property
    def tarp_curve(self) -> Array:
        """The same for regions around random points, shape (99,)."""
        return curve(self.tarp, _LEVELS)

    @property
    def rank_curves(self) -> Array:
        """Distribution function of the ranks of each name, shape (D + 1, 99)."""
        return np.stack([curve(u, _LEVELS) for u in self.ranks.T])

    @property
    def band(self) -> tuple[Array, Array]:
        """Where 95 of 100 exact inverses keep such a curve from end to end, each (99,)."""
        return band(len(self), _LEVELS)

    def coverage(self, level: float) -> float:
        """Share of true parameters in the densest region that holds this share of the draws."""
        return float(np.mean(self.region <= level))

    def sentences(self) -> tuple[str, ...]:
        """The findings in words, one for the regions, one for each rank that is out of its band."""
        held = ", ".join(f"{100 * self.coverage(c):.1f} %" for c in NOMINAL)
        found = [f"the densest 50, 80 and 95 % of the draws hold {held} of {len(self)} held-out x"]
        low, high = self.band
        curves = self.rank_curves
        out = np.asarray(np.any((curves < low) | (curves > high), axis=1))
        names = zip(self.names, out, strict=True)
        found += [
            f"by the ranks of {name}, {self.finding(j)}"
            for j, (name, bad) in enumerate(names)
            if bad
        ]
        return tuple(found)

    def finding(self, j: int) -> str:
        """What is wrong with the draws if the ranks of name j are not even, in words."""
        if self.names[j] != NEIGHBOUR:
            return leaning(self.ranks[:, j])
        far = "far from" if self.ranks[:, j].mean() < 0.5 else "near to"
        return f"the draws lie too {far} the parameters of simulations with like outputs"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for reports: curves, band and histograms of ranks, not the ranks."""
        low, high = self.band
        cells = np.linspace(0, 1, _BINS + 1)
        return {
            "pairs": len(self),
            "draws": self.draws,
            "by_density": self.by_density,
            "names": list(self.names),
            "coverage": {f"{c:g}": self.coverage(c) for c in NOMINAL},
            "largest_gaps": [largest_gap(u) for u in self.ranks.T],
            "levels": _LEVELS.tolist(),
            "coverage_curve": self.coverage_curve.tolist(),
            "tarp_curve": self.tarp_curve.tolist(),
            "rank_curves": self.rank_curves.tolist(),
            "rank_counts": [np.histogram(u, cells)[0].tolist() for u in self.ranks.T],
            "band": [low.tolist(), high.tolist()],
            "sentences": list(self.sentences()),
        }


@own_ground()
def calibrate(
    drawer: Drawer,
    x: Array,
    y: Array,
    *,
    names: tuple[str, ...] | None = None,
    log_density: LogDensity | None = None,
    pairs: int = 2000,
    draws: int = 100,
    seed: int = 0,
) -> Calibration:
    """Judge an inverse by held-out simulations.

    Args:
        drawer: draws parameters for outputs.
        x: true parameters of pairs that the drawer was not fitted to, shape (n, D), n >= 30.
        y: their outputs, shape (n, L).

    Other Args:
        names: of the D parameters.
        log_density: log p(x given y) of matched rows, up to a function of y; where it is given
            the regions are those of highest density, else they come from the draws alone.
        pairs: how many pairs are judged, at most two thirds of all; the others lend their
            parameters as points of reference.
        draws: for each pair; the cost is pairs x draws rows of the inverse.
        seed: of the choice of pairs, of the draws and of ties.

    Raises:
        InputError: there are fewer than 30 pairs.
    """
    check_kinds(drawer=(drawer, Drawer))
    x, y = check_pairs(x, y, _FEWEST)
    if names is not None and len(names) != x.shape[1]:
        raise InputError(f"names must be {x.shape[1]}, one for each parameter; got {tuple(names)}")
    rng = np.random.default_rng(whole("seed", seed, least=0))
    order = rng.permutation(len(x))
    n = min(whole("pairs", pairs), 2 * len(x) // 3)
    judged, rest = order[:n], order[n:]
    raw = drawn(drawer, y[judged], whole("draws", draws), int(rng.integers(2**31)))
    # The scale must not know the truths that it is to judge.
    e, e_draws, e_rest = (scores(x[rest], cloud) for cloud in (x[judged], raw, x[rest]))
    t_rest, t = conditions(y[rest], y[judged], _CONDITIONS)
    near = distance_ranks(e, e_draws, others(e_rest, t_rest, t), rng)
    anywhere = rng.normal(size=e.shape)
    if log_density is None:
        region = neighbour_ranks(e, e_draws, rng)
    else:
        region = density_ranks(x[judged], y[judged], raw, log_density, rng)
    width = x.shape[1]
    return Calibration(
        (*(names or tuple(f"x{j + 1}" for j in range(width))), NEIGHBOUR),
        np.column_stack([ranks_below(x[judged], raw, rng), near]),
        region,
        distance_ranks(e, e_draws, anywhere, rng),
        draws,
        log_density is not None,
    )
