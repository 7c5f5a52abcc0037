"""Checks of a posterior's outputs, and of the observation itself.

Deterministic model: the outputs of the draws must come back to the observation. Model with noise:
the observation must be one that the draws could have made. Whether the prior could have made it at
all is another matter: if not, the model is not one of what was observed, and its inverse, never
trained on the like, has no answer to give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invgan.calibration import depth
from invgan.calibration.typicality import Embedding
from invgan.checks.levels import LEVEL
from invgan.errors import InputError
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.simulation import sort_repeats
from invgan.validation import Measure

__all__ = ["PRIOR_DEPTH", "observed", "predictive", "typical"]

Array = NDArray[np.float64]

PRIOR_DEPTH = "prior predictive depth"
_RESIDUAL, _NEARER = 0.1, 0.1
_FEWEST = 1000


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
    names = [f"{n}" for _ in range(problem.repeats) for n in problem.outputs]
    if problem.random:
        return [*_depths(y, target, names), *_joint_depth(y, target, seed)]
    cloud = y if simulations is None else simulations.y
    low, high = np.quantile(cloud, [0.16, 0.84], axis=0)
    spread = np.where(high > low, (high - low) / 2, np.maximum(np.abs(target), 1e-300))
    worst = np.quantile(np.abs(y - target), 0.9, axis=0) / spread
    return [
        Measure("residual", name, float(v), _RESIDUAL, bool(v <= _RESIDUAL),
                "90 % of draws are this near to the observation, in units of the prior's outputs")
        for name, v in zip(names, worst, strict=True)
    ]  # fmt: skip


def _depths(y: Array, target: Array, names: list[str]) -> list[Measure]:
    """Shares are not counted beyond the outermost draw, so the observed is brought nearer first."""
    centre = np.median(y, axis=0)
    near = centre + (target - centre) / (1 + _NEARER)
    below = (y < near).mean(axis=0) + 0.5 * (y == near).mean(axis=0)
    outside = 1 - 2 * np.minimum(below, 1 - below)
    limit = 1 - LEVEL / len(target)
    return [
        Measure("posterior predictive depth", name, float(v), limit, bool(v <= limit),
                "central share of predicted outputs, a tenth wider, that must be taken to reach "
                "the observed")
        for name, v in zip(names, outside, strict=True)
    ]  # fmt: skip


def _joint_depth(y: Array, target: Array, seed: int) -> list[Measure]:
    """All outputs together, where there are several and draws enough."""
    if len(target) == 1 or len(y) < _FEWEST:
        return []
    value, limit = max(depth(target[None], y, seed=seed)), 1 - LEVEL / 2
    return [
        Measure("posterior predictive depth", None, value, limit, value <= limit,
                "share of predicted outputs that are less far out among their like than the "
                "observed, all outputs together")
    ]  # fmt: skip


def typical(
    problem: Problem, simulations: Simulations, embed: Embedding | None, seed: int
) -> list[Measure]:
    """Whether the observation is like any of the simulations."""
    if len(simulations) < _FEWEST:
        return []
    value = max(depth(observed(problem), simulations.y, embed=embed, seed=seed))
    limit = 1 - max(LEVEL / 2, 2 / len(simulations))
    return [
        Measure(PRIOR_DEPTH, None, value, limit, value <= limit,
                "share of simulations that are less far out among their like than the observation")
    ]  # fmt: skip
