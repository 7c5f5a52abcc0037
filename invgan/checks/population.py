"""Checks of a population answer: its push-forward, and its distance to the prior.

The draws' outputs are compared with the observations. A right push-forward is not enough: many
laws of x have it, and only one stays as near to the prior as its outputs do. Two checks ask for
that one. ``KL(P_X || q) = KL(P_Y || q_Y)`` for the exact answer; and since it keeps the prior's law
of x given y, simulations whose outputs are those of the draws must have parameters like theirs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from invgan.checks.chance import energies, partings, wassersteins
from invgan.checks.levels import from_replicates, guessing, largest_gap, within
from invgan.matching import matched
from invgan.metrics import (
    c2st,
    energy_distance,
    has_ties,
    in_range,
    intrinsic_dimension,
    kl_divergence,
    kolmogorov_smirnov,
    standardised,
    wasserstein,
)
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import scored
from invgan.validation import Measure

__all__ = ["against_simulations", "distance_to_prior", "push_forward"]

Array = NDArray[np.float64]

# What is near enough to exact for any use, however many draws could tell the difference.
_KS, _WASSERSTEIN, _ENERGY, _C2ST, _PAIRS, _KL = 0.02, 0.05, 0.002, 0.52, 0.53, 0.1
_REFERENCE_ROWS, _REPLICATES, _REPLICATE_ROWS = 50_000, 30, 10_000
_REPLICATED, _MOST_REPLICATES, _HEAVIER = 600_000, 300, 1.1
_ENERGY_ROWS, _ENERGY_REPLICATES = 2_000, 100
_TIMES_SD, _TIMES_SD_OF_ONE = 5, 6
_FEW_DIMENSIONS, _DIVERGENCE_ROWS = 3, 20_000
_FEWEST_MEMBERS = 10


def push_forward(problem: Problem, y: Array, count: float, seed: int) -> list[Measure]:
    """KS and Wasserstein-1 for each output, energy distance and C2ST for all together.

    Args:
        problem: its observations are what y is compared with.
        y: outputs of the draws, shape (n, L).
        count: how many independent draws they are worth.
        seed: of replicates and comparisons.
    """
    rng = np.random.default_rng(seed)
    seen = problem.observations
    reference = seen.rows if isinstance(seen, Table) else seen.sample(_REFERENCE_ROWS, rng)
    scale = reference.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    gaps, moved = kolmogorov_smirnov(y, reference), wasserstein(y, reference) / scale
    gap_floor = largest_gap(count, len(reference), len(gaps))
    moved_floor, energy_floor = _noise(y, reference, scale, count, rng)
    measures = []
    for j, output in enumerate(problem.outputs):
        measures += [
            within("KS", output, float(gaps[j]), gap_floor,
                   "largest gap between the distribution functions of push-forward and "
                   "observations", enough=_KS),
            within("Wasserstein-1 / sd", output, float(moved[j]), float(moved_floor[j]),
                   "mean distance of push-forward from observations, in their sd",
                   enough=_WASSERSTEIN),
        ]  # fmt: skip
    energy, accuracy = energy_distance(y, reference, seed=seed), c2st(y, reference, seed=seed)
    size = min(count, len(reference), 10_000)
    return [
        *measures,
        within("energy distance", None, energy, energy_floor,
               "between push-forward and observations, all outputs together", enough=_ENERGY),
        within("C2ST", None, accuracy, guessing(2 * size),
               "how often a classifier tells push-forward from observations; 0.5 is never",
               enough=_C2ST),
    ]  # fmt: skip


def _noise(
    y: Array, reference: Array, scale: Array, count: float, rng: np.random.Generator
) -> tuple[Array, float]:
    """Floors of Wasserstein-1 / sd (L,) and of the energy distance, by permutation.

    Noise falls with the sizes of the clouds, for Wasserstein-1 as their root; draws that are worth
    fewer than their number have more of it. The tail of Wasserstein-1 is heavier than that of the
    gamma law with its moments: by 7 % at two in a thousand between normal clouds, by 15 % of t(3).
    The energy distance of one output has the heaviest tail: two in a thousand lie beyond 5.8
    standard deviations, of three outputs beyond 4.6.
    """
    a, b = rng.permutation(y)[:_REPLICATE_ROWS], rng.permutation(reference)[:_REPLICATE_ROWS]
    union = rng.permutation(np.concatenate([a, b]))
    times = min(max(_REPLICATED // len(union), _REPLICATES), _MOST_REPLICATES)
    moved = wassersteins(union / scale, partings(times, len(a), len(union), rng))
    more = _more_noise((count, len(reference)), (len(a), len(b)))
    few = min(count, _ENERGY_ROWS), min(len(reference), _ENERGY_ROWS)
    half = min(len(a), _ENERGY_ROWS // 2), min(len(b), _ENERGY_ROWS // 2)
    (standard,) = standardised(reference, union[: sum(half)])
    apart = energies(standard, partings(_ENERGY_REPLICATES, half[0], sum(half), rng))
    floor = _HEAVIER * from_replicates(moved, len(scale)) * math.sqrt(more)
    times_sd = _TIMES_SD_OF_ONE if len(scale) == 1 else _TIMES_SD
    return floor, times_sd * float(np.std(apart)) * _more_noise(few, half)


def _more_noise(sizes: tuple[float, float], others: tuple[float, float]) -> float:
    """How much more variance two clouds of these sizes have than two of the others."""
    return sum(1 / n for n in sizes) / sum(1 / n for n in others)


def distance_to_prior(
    problem: Problem, x: Array, y: Array, simulations: Simulations, seed: int
) -> list[Measure]:
    """KL(P_X || q) against KL(P_Y || q_Y), where nearest neighbours can estimate both.

    Outputs are a function of the parameters, so the former is never below the latter, and is above
    it where the law of x given y is not the prior's. Where neighbours find it below, of an answer
    that is a thinner sheet than the distances between draws, they err.

    They cannot where values about the answer are repeated, as those of discrete or clipped outputs
    are, nor by few observed members. Where they are repeated elsewhere, simulations with outputs in
    the range of the answer's are the prior, whose share of all is known.
    """
    if max(x.shape[1], y.shape[1]) > _FEW_DIMENSIONS:
        return []
    near = in_range(simulations.y, y) if has_ties(simulations.y) else slice(None)
    prior_x, prior_y = simulations.x[near], simulations.y[near]
    if not len(prior_x) or has_ties(prior_x) or has_ties(prior_y):
        return []
    rows = _apart(problem, y, simulations, np.random.default_rng(seed))[:_DIVERGENCE_ROWS]
    members = len(np.unique(y[rows], axis=0))
    if members < _FEWEST_MEMBERS:
        return []
    beyond = math.log(len(simulations) / len(prior_x))
    of_x, of_y = (beyond + _divergence(*some) for some in ((x[rows], prior_x), (y[rows], prior_y)))
    distinct = min(members, len(simulations))
    gap, limit = of_x - of_y, _KL + 0.1 * abs(of_y) + 3 / math.sqrt(distinct)
    return [
        Measure("KL(P_X || q)", None, of_x, float("nan"), True, "nats from prior to answer"),
        Measure("KL(P_Y || q_Y)", None, of_y, float("nan"), True, "the same among the outputs"),
        Measure("KL gap", None, gap, limit, gap <= limit,
                "the answer strays from the prior by no more than the observations ask"),
    ]  # fmt: skip


def _divergence(cloud: Array, prior: Array) -> float:
    """KL from the prior's rows, on the sheet where these lie: outputs may depend on each other."""
    a, b = scored(prior, cloud, prior)
    return kl_divergence(a, b, dimension=intrinsic_dimension(b))


def _apart(
    problem: Problem, y: Array, simulations: Simulations, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Rows of draws in random order, of those for one observed member only one.

    Several draws for one member of a table have the same outputs, and where the model is one to one
    the same parameters: clumps that no independent draws of a density form.
    """
    rows, seen = rng.permutation(len(y)), problem.observations
    if not isinstance(seen, Table):
        return rows
    at, members = scored(simulations.y, y[rows], seen.rows)
    nearest = np.asarray(cKDTree(members).query(at)[1])
    _, first = np.unique(nearest, return_index=True)
    return rng.permutation(rows[first])


def against_simulations(
    problem: Problem, x: Array, y: Array, simulations: Simulations, seed: int
) -> list[Measure]:
    """Parameters of the draws against those of the simulations with the nearest outputs.

    Only where simulations lie densely enough about the draws' outputs, and by those of them that
    no correction has learnt from. Each of these stands beside one draw only: a simulation that
    occurs over and over would be known again by a classifier.
    """
    simulations = simulations.unlearnt
    order = np.random.default_rng(seed).permutation(len(x))
    nearest = matched(y[order], simulations)
    if nearest is None:
        return []
    once, draws = np.unique(nearest[:, 0], return_index=True)
    a, b, names = x[order][draws], simulations.x[once], problem.quantities
    accuracy, floor = c2st(a, b, seed=seed, paired=True), largest_gap(len(a), len(b), len(names))
    meaning = "largest gap from the parameters of simulations with the same outputs"
    return [
        *(within("answer against simulations KS", name, float(gap), floor, meaning, slack=_KS)
          for name, gap in zip(names, kolmogorov_smirnov(a, b), strict=True)),
        within("answer against simulations C2ST", None, accuracy, guessing(2 * len(a)),
               "how often a classifier tells the draws from simulations with the same outputs",
               enough=_PAIRS),
    ]  # fmt: skip
