"""From two observed populations to coupled rows, and from draws to draws with both marginals.

The projection weighs prior simulations by their outputs alone, so the law of xi given
(y_control, y_treated) stays the prior's: resampled simulations are draws of the answer, and their
outputs are the coupled rows that make the intervention an ordinary population problem.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import seeds_from
from invgan.errors import InputError
from invgan.intervention.design import POPULATIONS, Intervention
from invgan.intervention.projection import Projection, project
from invgan.observations import Observations, Table
from invgan.predictability import check_predictability
from invgan.problem import Problem
from invgan.resampling import resampled
from invgan.samples import Samples, Simulations

__all__ = ["Coupling", "couple", "matched", "population_simulations"]

Array = NDArray[np.float64]

_LAW_ROWS = 20_000
_REPEATED = 0.05


@dataclass(frozen=True)
class Coupling:
    """Simulations weighed to have both observed marginals.

    Attributes:
        samples: resampled simulations, which are draws of the answer; y (n, 2 L).
        projection: their weights before resampling, and how they were found.
        problem: the joint problem, with the outputs of `samples` for its observations.
        info: figures for the report: seconds and distinct, the share of distinct coupled rows.
    """

    samples: Samples
    projection: Projection
    problem: Problem
    info: dict[str, Any] = field(default_factory=dict)


def couple(
    intervention: Intervention, simulations: Simulations, n: int | None = None, *, seed: int = 0
) -> Coupling:
    """Couple the two populations in the way that is nearest to the prior.

    Args:
        intervention: the problem; its model must be deterministic.
        simulations: prior simulations of ``intervention.problem()``.
        n: how many coupled rows; by default as many as keep 95 % of them distinct.

    Other Args:
        seed: of folds, laws and resampling.

    Raises:
        InputError: the model is stochastic, or the simulations are not this problem's.
        OutsideError: no parameter of the prior explains one of the populations.
        CorrectionError: too few simulations explain both.
    """
    _check(intervention, simulations)
    for name in POPULATIONS:
        own = population_simulations(intervention, simulations, name)
        check_predictability(intervention.population(name), own, seed=seed)
    prior = Samples(
        simulations.x, simulations.y, np.ones(len(simulations)), simulations.names,
        simulations.outputs, {"method": "projection"},
    )  # fmt: skip
    started = time.perf_counter()
    samples, projection = matched(intervention, prior, n, seed=seed)
    info = {
        "seconds": time.perf_counter() - started,
        "distinct": samples.info["distinct"],
    }
    problem = intervention.problem(Table(_outputs(samples)))
    return Coupling(samples, projection, problem, info)


def matched(
    intervention: Intervention, samples: Samples, n: int | None = None, *, seed: int = 0
) -> tuple[Samples, Projection]:
    """Draws resampled so that both populations are met, their x given y left as it is.

    Args:
        intervention: the problem; its model must be deterministic.
        samples: draws of xi with their joint outputs.
        n: how many to return; by default as many as keep 95 % of them distinct.

    Other Args:
        seed: of folds, laws and resampling.

    Returns:
        Draws that count equally, and the projection. ``info`` gains effective_share, distinct,
        mismatch and rounds.

    Raises:
        InputError: the model is stochastic: weights by outputs would not give its population.
        CorrectionError: too few of the draws explain both populations.
    """
    _refuse_noise(intervention)
    started = time.perf_counter()
    y = _outputs(samples)
    rows_seed, fold_seed, pick_seed = seeds_from(seed, 3)
    simulated = [y[:, intervention.columns(name)] for name in POPULATIONS]
    observed = [
        _rows(seen, np.random.default_rng(rows_seed))
        for seen in (intervention.control, intervention.treated)
    ]
    projection = project(simulated, observed, weights=samples.weights, seed=fold_seed)
    n = n or _most_distinct(projection.weights)
    chosen = resampled(projection.weights, y[:, 0], n, np.random.default_rng(pick_seed))
    info = {
        **samples.info,
        "seconds": samples.info.get("seconds", 0.0) + time.perf_counter() - started,
        "effective_share": projection.effective / len(samples),
        "distinct": len(np.unique(chosen)) / n,
        "mismatch": projection.mismatch,
        "rounds": len(projection.rounds),
    }
    drawn = Samples(samples.x[chosen], y[chosen], np.ones(n), samples.names, samples.outputs, info)
    return drawn, projection


def population_simulations(
    intervention: Intervention, simulations: Simulations, name: str
) -> Simulations:
    """Joint simulations with the outputs of one population alone."""
    y = simulations.y[:, intervention.columns(name)]
    return Simulations(
        simulations.x, y, simulations.names, intervention.outputs, simulations.failed,
        simulations.info,
    )  # fmt: skip


def _rows(seen: Observations, rng: np.random.Generator) -> Array:
    return seen.rows if isinstance(seen, Table) else seen.representative(_LAW_ROWS, rng)


def _outputs(samples: Samples) -> Array:
    if samples.y is None:
        raise InputError("the samples have no outputs; push them through the model first")
    return samples.y


def _most_distinct(weights: Array) -> int:
    """The largest number of draws of which no more than 5 % are expected to be repeats."""
    share = np.sort(weights / weights.sum())[::-1]
    low, high = 1, len(weights)
    while low < high:
        n = (low + high + 1) // 2
        repeated = np.maximum(n * share - 1, 0).sum() / n
        low, high = (n, high) if repeated <= _REPEATED else (low, n - 1)
    return low


def _refuse_noise(intervention: Intervention) -> None:
    if intervention.random:
        raise InputError(
            "weighing simulations by their outputs does not give the population of a stochastic "
            "model: take road='rgan', or make the noise an extra parameter with a prior"
        )


def _check(intervention: Intervention, simulations: Simulations) -> None:
    _refuse_noise(intervention)
    problem = intervention.problem()
    if simulations.names != problem.prior.names or simulations.outputs != problem.outputs:
        raise InputError(
            f"the simulations hold parameters {list(simulations.names)} and outputs "
            f"{list(simulations.outputs)}; this intervention has {list(problem.prior.names)} and "
            f"{list(problem.outputs)}: simulate intervention.problem()"
        )
