"""Predictability: whether any parameter of the prior explains the observations.

P_Y must live where the prior's outputs live. Three signs that it does not: observed values beyond
all simulated ones in some column; observed rows far from every simulated row, though each column
is in range; and a mean of ``r(y) = P_Y(y) / q_Y(y)`` over prior simulations that falls short of
one by the mass of observations that no simulation reaches (Butler, Jakeman and Wildey 2018). Where
outputs may be missing there is a fourth: an output that no simulation, or every one, leaves out,
while the observation does not, or does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from invgan.density import fit_density, observed_log_prob
from invgan.errors import OutsideError
from invgan.metrics import ends, has_ties, in_range
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import scored
from invgan.simulation import column_names, sort_repeats
from invgan.validation import Measure

__all__ = ["check_predictability", "explained"]

Array = NDArray[np.float64]

_LARGEST_SHARE, _FALSE_ALARMS = 0.05, 0.01
_LEAST_MASS = 0.8
_TARGET_ROWS, _TREE_ROWS, _PROBES = 5_000, 50_000, 2_000
_MOST_NAMES = 12
_TREE_COLUMNS, _AT_ONCE = 16, 100
_FEW_OUTPUTS, _FEWEST_ROWS, _REACHED = 3, 10, 3
_ROUNDING = 1e-6


def check_predictability(problem: Problem, simulations: Simulations, *, seed: int = 0) -> None:
    """Refuse observations that no parameter of the prior explains.

    Raises:
        OutsideError: more than 5 % of the observations lie outside the simulated outputs; the
            message names the column, the share and both ranges.
    """
    simulations = simulations.few()
    rows = _observed(problem, np.random.default_rng(seed))
    names = column_names(problem)
    _check_gaps(rows, simulations.y, names)
    low, high = ends(simulations.y)
    shares = _outside(rows, simulations.y)
    j = int(np.argmax(shares))
    if shares[j] > _LARGEST_SHARE:
        raise OutsideError(
            f"{shares[j]:.0%} of the observations lie outside the simulated outputs in column "
            f"{names[j]!r} (simulated {low[j]:.4g} to {high[j]:.4g}, observed "
            f"{np.nanmin(rows[:, j]):.4g} to {np.nanmax(rows[:, j]):.4g}): no parameter of the "
            "prior explains them; widen the prior, or check the units of the observations"
        )
    apart = _far(rows, simulations.y, seed)
    if apart > _LARGEST_SHARE:
        raise OutsideError(
            f"{apart:.0%} of the observations lie outside the simulated outputs taken together "
            f"({_few(names)}), though each column is in range: no parameter of the prior "
            "explains such a combination; check the order of the columns, or the model"
        )


def explained(problem: Problem, simulations: Simulations, *, seed: int = 0) -> list[Measure]:
    """The same as figures for the report."""
    simulations = simulations.few()
    rows = _observed(problem, np.random.default_rng(seed))
    shares = _outside(rows, simulations.y)
    limit = _LARGEST_SHARE
    measures = [
        Measure("outside", name, float(share), limit, bool(share <= limit),
                "share of observations beyond the simulated outputs")
        for name, share in zip(column_names(problem), shares, strict=True)
    ]  # fmt: skip
    if len(shares) > 1:
        apart = _far(rows, simulations.y, seed)
        measures.append(
            Measure("outside jointly", None, apart, limit, apart <= limit,
                    "share of observed rows far from every simulated row")
        )  # fmt: skip
    if problem.missing:
        unlike = float(np.mean(_gaps(rows, simulations.y)))
        measures.append(
            Measure("missing otherwise", None, unlike, 0.0, unlike == 0.0,
                    "share of outputs that were observed and are in no simulation, or that were "
                    "not and are in every one")
        )  # fmt: skip
    enough = problem.question == "population" and len(rows) >= _FEWEST_ROWS
    if (
        enough
        and not has_ties(simulations.y, rows)
        and len(shares) <= _FEW_OUTPUTS
        and _can_tell(rows, simulations)
    ):
        measures.append(_explained_mass(problem, simulations, seed))
    return measures


def _can_tell(rows: Array, simulations: Simulations) -> bool:
    """Whether the mean of r rests on enough rows to be told from one.

    Of observations much narrower than the prior's outputs, all rows know that they are reached, and
    the few that the mean is taken over may by chance miss them.
    """
    of_all, of_kept = (
        int(in_range(y, rows).sum()) for y in (simulations.y, simulations.selection.y)
    )
    return of_kept >= _FEWEST_ROWS or of_all < _REACHED


def _explained_mass(problem: Problem, simulations: Simulations, seed: int) -> Measure:
    """One minus the mean of r over simulations that the density of the outputs did not see."""
    fitted, kept = simulations.training.y, simulations.selection.y
    below = fit_density(fitted, seed=seed)
    above = observed_log_prob(problem.observations, seed=seed)
    r = np.exp(np.clip(above(kept) - below.log_prob(kept), -700, 700))
    error = float(r.std()) / math.sqrt(len(r))
    missing = 1 - float(r.mean())
    limit = (1 - _LEAST_MASS) + 3 * error
    return Measure(
        "explained mass", None, missing, limit, missing <= limit,
        "share of the observed law that the prior's simulations do not reach (1 - mean of r)",
    )  # fmt: skip


def _far(rows: Array, y: Array, seed: int) -> float:
    """Share of rows further from their nearest simulation than any simulation is from its own.

    The yardstick is twice the largest such distance among a random part of the simulations, on
    the scale of normal scores. Of discrete outputs that is zero, so rounding is forgiven.
    """
    if y.shape[1] == 1:
        return 0.0
    order = np.random.default_rng(seed).permutation(len(y))
    probes = min(_PROBES, len(y) // 4)
    cloud, own, seen = scored(y, y[order[probes : probes + _TREE_ROWS]], y[order[:probes]], rows)
    usual = np.max(_nearest(cloud, own))
    return float(np.mean(_nearest(cloud, seen) > 2 * usual + _ROUNDING))


def _nearest(cloud: Array, points: Array) -> Array:
    """Distance of each point (m, L) to the nearest row of a cloud (n, L), shape (m,)."""
    if cloud.shape[1] <= _TREE_COLUMNS:
        return np.asarray(cKDTree(cloud).query(points)[0])
    sizes, found = np.square(cloud).sum(axis=1), np.empty(len(points))
    for start in range(0, len(points), _AT_ONCE):
        part = points[start : start + _AT_ONCE]
        squares = sizes - 2 * part @ cloud.T + np.square(part).sum(axis=1, keepdims=True)
        found[start : start + _AT_ONCE] = squares.min(axis=1)
    return np.sqrt(np.maximum(found, 0))


def _outside(rows: Array, y: Array) -> Array:
    """Share of each column's rows (N, L) beyond all simulations (n, L); an absent value is not."""
    low, high = _reach(y, len(rows))
    return np.asarray(np.mean((rows < low) | (rows > high), axis=0))


def _reach(y: Array, rows: int) -> tuple[Array, Array]:
    """How far each column of simulations (n, L) may be said to go, given so many observed rows.

    One of a few rows is an alarm, and each of N exact ones lies beyond all n values of a column
    with probability 2 / n. So the ends move out by twice the gap from the largest value to the
    k-th after it, which leaves ``12 / ((k + 2) (k + 3) n)`` where tails fall as exponentials do,
    with the k that makes one false alarm in a hundred over all L columns.
    """
    low, high = ends(y)
    few = 1 / rows > _LARGEST_SHARE
    excess = 2 * y.shape[1] * rows / (_FALSE_ALARMS * len(y)) if few else 0
    if excess <= 1:
        return low, high
    k = min(math.ceil((math.sqrt(1 + 24 * excess) - 5) / 2), len(y) // 2)
    return low + 2 * (low - _kth(y, k)), high + 2 * (high + _kth(-y, k))


def _kth(y: Array, k: int) -> Array:
    """The value of each column with k smaller ones, absent values being the largest."""
    return np.asarray(np.partition(y, k, axis=0)[k])


def _gaps(rows: Array, y: Array) -> NDArray[np.bool_]:
    """Which outputs (N, L) are absent and in every simulation there, or the other way round."""
    absent, missing = np.isnan(rows), np.isnan(y)
    return np.asarray(np.where(absent, ~missing.any(axis=0), missing.all(axis=0)))


def _check_gaps(rows: Array, y: Array, names: list[str]) -> None:
    unlike = _gaps(rows, y)
    if not unlike.any():
        return
    i, j = np.argwhere(unlike)[0]
    told = "is there in the observation, and no simulation has it"
    if np.isnan(rows[i, j]):
        told = "is missing in the observation, and every simulation has it"
    raise OutsideError(
        f"output {names[j]!r} {told} ({unlike.sum()} of {unlike.size} outputs are so): let the "
        "model give NaN where, and only where, an observation may have nothing"
    )


def _observed(problem: Problem, rng: np.random.Generator) -> Array:
    seen = problem.observations
    if not isinstance(seen, Table):
        return seen.sample(_TARGET_ROWS, rng)
    if problem.question == "posterior":
        return sort_repeats(seen.rows[None]).reshape(1, -1)
    return seen.rows


def _few(names: list[str]) -> str:
    shown = names if len(names) <= _MOST_NAMES else [*names[: _MOST_NAMES - 1], "...", names[-1]]
    return ", ".join(shown)
