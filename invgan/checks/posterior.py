"""Checks of a posterior's outputs, and of the observation itself.

Deterministic model: the outputs of the draws must come back to the observation. Model with noise:
the observation must be one that the draws could have made. Whether the prior could have made it at
all is another matter: if not, the model is not one of what was observed, and its inverse, never
trained on the like, has no answer to give.

Where outputs may be missing, each value that was observed is held against the draws that have it,
and what was observed at all against what the draws have.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.calibration import depth
from invgan.calibration.typicality import Embedding
from invgan.checks.levels import LEVEL
from invgan.errors import InputError
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.simulation import column_names, sort_repeats
from invgan.validation import Measure

__all__ = ["PRIOR_DEPTH", "PRIOR_GAPS", "observed", "predictive", "typical"]

Array = NDArray[np.float64]

PRIOR_DEPTH, PRIOR_GAPS = "prior predictive depth", "prior predictive gaps"
_RESIDUAL, _NEAR_ONES, _NEARER = 0.1, 0.9, 0.1
_FEWEST, _FEWEST_VALUES = 1000, 20


def observed(problem: Problem) -> Array:
    """The observation as one row (1, L), repeats side by side in order.

    Raises:
        InputError: the observations are a law.
    """
    seen = problem.observations
    if not isinstance(seen, Table):
        raise InputError("the posterior question needs observed rows")
    return sort_repeats(seen.rows[None]).reshape(1, -1)


def predictive(
    problem: Problem, y: Array, simulations: Simulations | None, seed: int
) -> list[Measure]:
    """Outputs y (n, L) of posterior draws against the one observation."""
    target = observed(problem)[0]
    names = column_names(problem)
    gaps = _predicted_gaps(y, target, names) if problem.missing else []
    if problem.random:
        return [*_depths(y, target, names), *gaps, *_joint_depth(y, target, seed)]
    return [*_residuals(y, target, names, y if simulations is None else simulations.y), *gaps]


def _residuals(y: Array, target: Array, names: list[str], cloud: Array) -> list[Measure]:
    """Distances in half the central 68 % range of a cloud; a draw without the value is far."""
    measures = []
    for j in np.flatnonzero(~np.isnan(target)):
        values = cloud[~np.isnan(cloud[:, j]), j]
        low, high = np.quantile(values, [0.16, 0.84]) if len(values) else (0.0, 0.0)
        spread = (high - low) / 2 if high > low else max(abs(target[j]), 1e-300)
        far = np.abs(y[~np.isnan(y[:, j]), j] - target[j])
        level = _NEAR_ONES * len(y) / max(len(far), 1)
        v = float(np.quantile(far, level) / spread) if level <= 1 else math.inf
        measures.append(
            Measure("residual", names[j], v, _RESIDUAL, bool(v <= _RESIDUAL),
                    "90 % of draws are this near to the observation, in units of the "
                    "simulated outputs")
        )  # fmt: skip
    return measures


def _depths(y: Array, target: Array, names: list[str]) -> list[Measure]:
    """Shares are not counted beyond the outermost draw, so the observed is brought nearer first.

    Of few draws by as much more as a normal law's limit lies beyond the outermost of them.
    """
    limit, measures = 1 - LEVEL / len(target), []
    farthest = stats.norm.isf((1 - limit) / 2)
    for j in np.flatnonzero(~np.isnan(target)):
        values = y[~np.isnan(y[:, j]), j]
        if len(values) < _FEWEST_VALUES:
            continue
        centre = np.median(values)
        few = max(1.0, farthest / stats.norm.isf(1 / (len(values) + 1)))
        near = centre + (target[j] - centre) / ((1 + _NEARER) * few)
        below = (values < near).mean() + 0.5 * (values == near).mean()
        v = float(1 - 2 * min(below, 1 - below))
        measures.append(
            Measure("posterior predictive depth", names[j], v, limit, v <= limit,
                    "central share of predicted outputs, a tenth wider or of few draws more, that "
                    "must be taken to reach the observed")
        )  # fmt: skip
    return measures


def _predicted_gaps(y: Array, target: Array, names: list[str]) -> list[Measure]:
    """How many draws lack the output that they lack, or have, most against the observation."""
    if len(y) < _FEWEST:
        return []
    otherwise = np.mean(np.isnan(y) != np.isnan(target), axis=0)
    j = int(np.argmax(otherwise))
    v, limit = float(otherwise[j]), 1 - LEVEL / len(target)
    return [
        Measure("posterior predictive gaps", names[j], v, limit, v <= limit,
                "share of predicted rows in which this output is missing and was observed, or is "
                "there and was not")
    ]  # fmt: skip


def _joint_depth(y: Array, target: Array, seed: int) -> list[Measure]:
    """All outputs together, where there are several and draws enough."""
    if len(target) == 1 or len(y) < _FEWEST:
        return []
    value, limit = max(depth(target[None], y, seed=seed)), _outermost(len(y))
    return [
        Measure("posterior predictive depth", None, value, limit, value <= limit,
                "share of predicted outputs that are less far out among their like than the "
                "observed, all outputs together")
    ]  # fmt: skip


def _outermost(n: int) -> float:
    """The greatest depth among n rows that is no wonder; a depth is told from half of them."""
    return 1 - max(LEVEL / 2, 2 / n)


def typical(
    problem: Problem, simulations: Simulations, embed: Embedding | None, seed: int
) -> list[Measure]:
    """Whether the observation is like any of the simulations, and so are its gaps."""
    if len(simulations) < _FEWEST:
        return []
    at, y = observed(problem), simulations.y
    value = max(depth(at, y, embed=embed, seed=seed))
    limit = _outermost(len(simulations))
    measures = [
        Measure(PRIOR_DEPTH, None, value, limit, value <= limit,
                "share of simulations that are less far out among their like than the observation")
    ]  # fmt: skip
    if problem.missing:
        value = max(depth(*(np.isnan(rows).astype(float) for rows in (at, y)), seed=seed))
        measures.append(
            Measure(PRIOR_GAPS, None, value, limit, value <= limit,
                    "the same of which outputs are missing, whatever the others are")
        )  # fmt: skip
    return measures
