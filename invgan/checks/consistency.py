"""Checks of the inverse behind an answer, by simulations that it never saw.

Held-out pairs (x, y) and pairs (x', y) with x' drawn for the same y must be indistinguishable; the
true x must rank evenly among many draws for its y; and at the very observation a classifier must
find nothing amiss. Where draws were weighed by a likelihood, it must expect the outputs that the
model gave for them. Last, the answer must be what this inverse says, or this evidence is not about
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from invgan.calibration import Calibration, calibrate, disagreement, draws, local_c2st, nearest
from invgan.calibration.calibrate import NOMINAL
from invgan.calibration.draws import conditions
from invgan.calibration.ranks import largest_gap as gap_of_ranks
from invgan.calibration.regions import LogDensity
from invgan.checks.levels import LEVEL, above, guessing, largest_gap, within
from invgan.metrics import c2st, kolmogorov_smirnov
from invgan.samples import Simulations
from invgan.validation import Measure

__all__ = [
    "Drawer", "Residuals", "against_inverse", "against_likelihood", "calibrated", "in_agreement",
    "nearby", "self_consistency",
]  # fmt: skip

Array = NDArray[np.float64]

# What is too small to matter, on top of the noise or however large it is.
_KS, _PAIRS, _ANSWER, _LAW = 0.02, 0.55, 0.58, 0.60
_COVERAGE, _LOCAL, _APART = 0.03, 0.04, 0.25
_CONDITIONS = 20
_FEWEST, _FEWEST_LOCAL, _COMPARED, _NEARBY, _NEAREST = 50, 200, 4_000, 500, 100


_EVEN = "largest gap from even ranks of the true parameters among the draws for their outputs"
_EVEN_NEARBY = (
    "the same for those held-out pairs alone whose outputs are nearest to the observation"
)
_EVEN_NEAREST = "the same for the hundred that are nearest"


@runtime_checkable
class Drawer(draws.Drawer, Protocol):
    """What the checks ask of an inverse."""

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of y lie within the outputs that were trained on."""
        ...


class Residuals(Protocol):
    """Outputs of the model, and those that a likelihood expects for the same parameters."""

    def __call__(self, x: Array, y: Array, *, seed: int) -> tuple[Array, Array]:
        """Two tables with the same rows, (m, C), of matched rows x (n, D) and y (n, L)."""
        ...


def self_consistency(inverse: Drawer, heldout: Simulations, seed: int) -> list[Measure]:
    """Outputs of held-out simulations must give back their parameters in distribution.

    The held-out rows are few, so that noise and a gap too small to matter come on top of each
    other.
    """
    x, y = _known(inverse, heldout)
    if len(x) < _FEWEST:
        return []
    again = inverse.draw(y, seed=seed)
    gap = float(kolmogorov_smirnov(again, x).max())
    known, _ = conditions(y, y[:1], _CONDITIONS)
    accuracy = c2st(np.hstack([again, known]), np.hstack([x, known]), seed=seed, paired=True)
    return [
        within("self-consistency KS", None, gap, largest_gap(len(x), len(x), x.shape[1]),
               "largest gap between parameters drawn for held-out outputs and the true ones",
               slack=_KS),
        within("self-consistency C2ST", None, accuracy, guessing(2 * len(x)),
               "how often a classifier tells (drawn x, y) from held-out pairs; 0.5 is never",
               enough=_PAIRS),
    ]  # fmt: skip


def calibrated(
    inverse: Drawer, heldout: Simulations, log_density: LogDensity | None, seed: int
) -> tuple[list[Measure], Calibration | None]:
    """Ranks of each parameter, expected coverage and TARP over held-out pairs."""
    x, y = _known(inverse, heldout)
    if len(x) < _FEWEST:
        return [], None
    found = calibrate(inverse, x, y, names=heldout.names, log_density=log_density, seed=seed)
    return [*_ranks("ranks", _EVEN, found), *_coverage(found), _tarp(found)], found


def _ranks(title: str, meaning: str, found: Calibration) -> list[Measure]:
    floor = largest_gap(len(found), columns=len(found.names))
    return [
        within(title, name, gap_of_ranks(u), floor, meaning, slack=_COVERAGE, note=found.finding(j))
        for j, (name, u) in enumerate(zip(found.names, found.ranks.T, strict=True))
    ]


def _coverage(found: Calibration) -> list[Measure]:
    measures = []
    for level in NOMINAL:
        held = found.coverage(level)
        floor = above(level, len(found), len(NOMINAL))
        kind = "narrow" if held < level else "wide"
        note = f"it holds {100 * held:.1f} %, so the draws are too {kind}"
        measures.append(
            within(f"coverage at {100 * level:g} %", None, abs(held - level), floor,
                   "how far the share of true parameters in the region that holds the densest of "
                   "the draws is from theirs", slack=_COVERAGE, note=note)
        )  # fmt: skip
    return measures


def _tarp(found: Calibration) -> Measure:
    return within(
        "TARP", None, gap_of_ranks(found.tarp), largest_gap(len(found)),
        "largest gap of coverage over all levels, by regions around random points",
        slack=_COVERAGE,
    )  # fmt: skip


def nearby(inverse: Drawer, heldout: Simulations, at: Array, seed: int) -> list[Measure]:
    """The inverse about the observation at (1, L) alone: ranks of near pairs, local C2ST.

    The ranks at two distances: a fault that is as narrow as its outputs are rare, in a tail, drowns
    among five hundred pairs and not among one hundred.
    """
    x, y = _known(inverse, heldout)
    if len(x) < _FEWEST_LOCAL:
        return []
    test = local_c2st(inverse, x, y, at, seed=seed)
    order, ranks = nearest(y, at), list[Measure]()
    for title, meaning, pairs, own in (
        ("ranks nearby", _EVEN_NEARBY, _NEARBY, seed + 2),
        ("ranks nearest", _EVEN_NEAREST, _NEAREST, seed + 3),
    ):
        # A third of the rows are points of reference.
        rows = order[: min(3 * pairs // 2, len(x) // 2)]
        found = calibrate(inverse, x[rows], y[rows], names=heldout.names, pairs=pairs, seed=own)
        ranks += _ranks(title, meaning, found)
    return [
        *ranks,
        within("local C2ST", None, 0.5 + test.statistic, 0.5 + test.floor(LEVEL),
               "how sure a classifier of true and drawn parameters is at the observation; 0.5 is "
               "not at all", slack=_LOCAL)
    ]  # fmt: skip


def against_inverse(
    inverse: Drawer, x: Array, y: Array, names: Sequence[str], count: float, seed: int
) -> list[Measure]:
    """Draws of the answer (n, D) against the inverse's for the outputs y (n, L) they belong to."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(inverse.knows(y)))[:_COMPARED]
    if len(rows) < _FEWEST:
        return []
    a, b = x[rows], inverse.draw(y[rows], seed=seed + 1)
    count = min(count, len(rows))
    floor = largest_gap(count, len(rows), len(names))
    accuracy = c2st(a, b, seed=seed, most=_COMPARED, paired=True)
    return [
        *(within("answer against inverse KS", name, float(gap), floor,
                 "largest gap between the answer and what the inverse draws anew", slack=2 * _KS)
          for name, gap in zip(names, kolmogorov_smirnov(a, b), strict=True)),
        within("answer against inverse C2ST", None, accuracy, guessing(2 * count),
               "how often a classifier tells the answer from what the inverse draws anew",
               enough=_ANSWER),
    ]  # fmt: skip


def against_likelihood(residuals: Residuals, x: Array, y: Array, seed: int) -> list[Measure]:
    """Outputs y (n, L) of the answer's draws x (n, D) against what its likelihood expects."""
    rows = np.random.default_rng(seed).permutation(len(x))[:_COMPARED]
    seen, expected = residuals(x[rows], y[rows], seed=seed + 1)
    if len(seen) < _FEWEST_LOCAL:
        return []
    accuracy = c2st(seen, expected, seed=seed, most=_COMPARED, paired=True)
    return [
        within("likelihood C2ST", None, accuracy, guessing(2 * min(len(seen), _COMPARED)),
               "how often a classifier tells the model's outputs for the draws from those that the "
               "learnt likelihood expects, which the draws rest on; 0.5 is never", enough=_LAW),
    ]  # fmt: skip


def in_agreement(
    members: Sequence[Drawer], at: Array, names: Sequence[str], seed: int
) -> list[Measure]:
    """Members of an ensemble against each other at the observation at (1, L)."""
    found = disagreement(members, at, seed=seed)
    meaning = "Wasserstein-1 between the two members of the ensemble that are furthest apart, in sd"
    return [
        within("ensemble disagreement", name, float(far), float(floor), meaning, slack=_APART)
        for name, far, floor in zip(names, found.largest, found.floor, strict=True)
    ]


def _known(inverse: Drawer, heldout: Simulations) -> tuple[Array, Array]:
    """The held-out pairs whose outputs the inverse was trained on."""
    known = inverse.knows(heldout.y)
    return heldout.x[known], heldout.y[known]
