"""Validation: what the model itself says of an answer, and whether to believe it.

For the population question the draws are pushed through the model and compared with the
observations, each figure beside its own noise floor: what the figure would be between the
observations and as many fresh draws of them. Three checks need no outputs: whether the prior can
explain the observations at all, whether the answer is as far from the prior as its push-forward is
(``KL(P_X || q) = KL(P_Y || q_Y)`` for the exact answer), and whether the inverse gives back
held-out simulations it never saw. For the posterior question it is the residual of the draws'
outputs, on the scale of the prior's own, that must be small.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.metrics import c2st, energy_distance, kl_divergence, kolmogorov_smirnov, wasserstein
from invgan.observations import Table
from invgan.predictability import explained
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.scaling import OutputScaling
from invgan.simulation import evaluate, sort_repeats
from invgan.validation import Measure, Validation, Verdict

__all__ = ["compare", "validate"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

# What is near enough to exact for any use, however many draws could tell the difference.
_KS, _WASSERSTEIN, _ENERGY, _C2ST, _PAIRS, _KL = 0.02, 0.05, 0.002, 0.52, 0.55, 0.1
_RESIDUAL, _TAIL = 0.1, 0.005
_REFERENCE_ROWS, _REPLICATES, _FEW_REPLICATES = 50_000, 100, 20
_FEW_DIMENSIONS, _DIVERGENCE_ROWS = 3, 20_000


class Drawer(Protocol):
    """What the self-consistency check asks of an inverse."""

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector (n, D) for each row of outputs y (n, L)."""
        ...

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of y lie within the outputs that were trained on."""
        ...


def validate(
    problem: Problem,
    samples: Samples,
    *,
    simulations: Simulations | None = None,
    inverse: Drawer | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Validation:
    """Judge an answer.

    Args:
        problem: model and observations.
        samples: the answer, by whichever road; run through the model here where it was not yet.

    Other Args:
        simulations: prior simulations; with them predictability and the distance to the prior
            are checked too.
        inverse: the trained inverse; with it and the simulations its self-consistency is checked.
        seed: of all comparisons.
        progress: called with (model runs done, total).

    Returns:
        Every figure with its floor, and the verdict with its reasons.

    Raises:
        InputError: there are too few samples to compare (20).
    """
    if len(samples) < 20:
        raise InputError(f"validate needs 20 samples or more; got {len(samples)}")
    started = time.perf_counter()
    y = samples.y
    runs = 0 if y is not None else len(samples) * problem.repeats
    if y is None:
        y = evaluate(problem, samples.x, seed=seed, progress=progress)
    finite = np.asarray(np.isfinite(y).all(axis=1))
    x, y = samples.x[finite], y[finite]
    measures = [_finite_share(finite)]
    if len(y) < 20:
        return Validation("not consistent", (_reason(measures[0]),), tuple(measures))
    if simulations is not None:
        measures += explained(problem, simulations, seed=seed)
    if problem.question == "population":
        measures += _push_forward(problem, y, seed)
        if simulations is not None:
            measures += _distance_to_prior(x, y, simulations, seed)
    else:
        measures += _residuals(problem, y, simulations)
    if simulations is not None and inverse is not None:
        measures += _self_consistency(inverse, simulations.heldout, seed)
    verdict, reasons = _verdict(problem, measures, samples)
    info = {"seconds": time.perf_counter() - started, "model_evaluations": runs, "seed": seed}
    return Validation(verdict, reasons, tuple(measures), info)


def compare(a: Samples, b: Samples, *, seed: int = 0) -> dict[str, float]:
    """Two answers side by side: how far apart, and what each cost.

    Returns:
        C2ST in x; the largest Wasserstein-1 distance of a parameter in standard deviations of b;
        and for each answer, where known, model runs beyond the simulations that both roads use,
        seconds (training included) and effective draws a second.
    """
    scale = b.x.std(axis=0)
    distances = wasserstein(a.x, b.x) / np.where(scale > 0, scale, 1)
    out = {
        "C2ST in x": c2st(a.x, b.x, seed=seed),
        "largest Wasserstein-1 in x / sd": float(distances.max()),
    }
    for samples in (a, b):
        name = samples.info.get("method", "answer")
        if "model_evaluations" in samples.info:
            out[f"model_evaluations ({name})"] = float(samples.info["model_evaluations"])
        seconds = samples.info.get("seconds", 0.0) + samples.info.get("training_seconds", 0.0)
        if seconds:
            out[f"seconds ({name})"] = float(seconds)
            effective = float(samples.info.get("effective_samples", len(samples)))
            out[f"effective draws a second ({name})"] = effective / seconds
    return out


def _push_forward(problem: Problem, y: Array, seed: int) -> list[Measure]:
    """KS and Wasserstein-1 for each output, energy distance and C2ST for all together."""
    rng = np.random.default_rng(seed)
    seen = problem.observations
    reference = seen.rows if isinstance(seen, Table) else seen.sample(_REFERENCE_ROWS, rng)
    size = min(len(y), len(reference))

    replicates = [seen.sample(size, rng) for _ in range(_REPLICATES)]
    scale = reference.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    floors = {
        "KS": np.quantile([kolmogorov_smirnov(r, reference) for r in replicates], 0.99, axis=0),
        "Wasserstein-1 / sd": np.quantile(
            [wasserstein(r, reference) / scale for r in replicates], 0.99, axis=0
        ),
    }
    values = {
        "KS": kolmogorov_smirnov(y, reference),
        "Wasserstein-1 / sd": wasserstein(y, reference) / scale,
    }
    enough = {"KS": _KS, "Wasserstein-1 / sd": _WASSERSTEIN}
    meaning = {
        "KS": "largest gap between the distribution functions of push-forward and observations",
        "Wasserstein-1 / sd": "mean distance of push-forward from observations, in their sd",
    }
    measures = [
        _measure(name, output, float(values[name][j]), float(floors[name][j]), enough[name],
                 meaning[name])
        for j, output in enumerate(problem.outputs)
        for name in values
    ]  # fmt: skip
    few = [
        energy_distance(r, reference, seed=i) for i, r in enumerate(replicates[:_FEW_REPLICATES])
    ]
    together = "between push-forward and observations, all outputs together"
    energy = energy_distance(y, reference, seed=seed)
    floor = float(np.mean(few) + 3 * np.std(few))
    accuracy = c2st(y, reference, seed=seed)
    rows = 2 * min(10_000, size)
    return [
        *measures,
        _measure("energy distance", None, energy, floor, _ENERGY, together),
        _measure("C2ST", None, accuracy, _c2st_floor(rows), _C2ST,
                 "how often a classifier tells push-forward from observations; 0.5 is never"),
    ]  # fmt: skip


def _distance_to_prior(x: Array, y: Array, simulations: Simulations, seed: int) -> list[Measure]:
    """KL(P_X || q) against KL(P_Y || q_Y), where nearest neighbours can estimate both."""
    if max(x.shape[1], y.shape[1]) > _FEW_DIMENSIONS:
        return []
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(x))[:_DIVERGENCE_ROWS]
    of_x = kl_divergence(*_scored(x[rows], simulations.x))
    of_y = kl_divergence(*_scored(y[rows], simulations.y))
    gap, limit = abs(of_x - of_y), _KL + 0.1 * abs(of_y)
    return [
        Measure("KL(P_X || q)", None, of_x, float("nan"), True, "nats from prior to answer"),
        Measure("KL(P_Y || q_Y)", None, of_y, float("nan"), True, "the same among the outputs"),
        Measure("KL gap", None, gap, limit, gap <= limit,
                "the answer strays from the prior by no more than the observations ask"),
    ]  # fmt: skip


def _scored(a: Array, b: Array) -> tuple[Array, Array]:
    """Both clouds on the normal scores of b."""
    scale = OutputScaling.fit(b)
    return scale.to_network(a), scale.to_network(b)


def _self_consistency(inverse: Drawer, heldout: Simulations, seed: int) -> list[Measure]:
    """Outputs of held-out simulations must give back their parameters in distribution.

    The held-out rows are few, so that noise and a gap too small to matter come on top of each
    other.
    """
    known = inverse.knows(heldout.y)
    x, y = heldout.x[known], heldout.y[known]
    if len(x) < 50:
        return []
    again = inverse.draw(y, seed=seed)
    gap = float(kolmogorov_smirnov(again, x).max())
    _, scores = _scored(y, y)
    accuracy = c2st(np.hstack([again, scores]), np.hstack([x, scores]), seed=seed)
    floor = math.sqrt(2 / len(x)) * math.sqrt(-0.5 * math.log(0.01 / 2 / x.shape[1]))
    return [
        _measure("self-consistency KS", None, gap, floor, floor + _KS,
                 "largest gap between parameters drawn for held-out outputs and the true ones"),
        _measure("self-consistency C2ST", None, accuracy, _c2st_floor(2 * len(x)), _PAIRS,
                 "how often a classifier tells (drawn x, y) from held-out pairs; 0.5 is never"),
    ]  # fmt: skip


def _residuals(problem: Problem, y: Array, simulations: Simulations | None) -> list[Measure]:
    """Outputs of posterior draws against the one observation."""
    seen = problem.observations
    if not isinstance(seen, Table):
        raise InputError("the posterior question needs observed rows")
    target = sort_repeats(seen.rows[None]).reshape(-1)
    names = [f"{n}" for _ in range(problem.repeats) for n in problem.outputs]
    if problem.stochastic:
        below = (y < target).mean(axis=0) + 0.5 * (y == target).mean(axis=0)
        outside = 1 - 2 * np.minimum(below, 1 - below)
        limit = 1 - 2 * _TAIL / len(target)
        return [
            Measure("posterior predictive depth", name, float(v), limit, bool(v <= limit),
                    "central share of predicted outputs that must be taken to reach the observed")
            for name, v in zip(names, outside, strict=True)
        ]  # fmt: skip
    cloud = y if simulations is None else simulations.y
    low, high = np.quantile(cloud, [0.16, 0.84], axis=0)
    spread = np.where(high > low, (high - low) / 2, np.maximum(np.abs(target), 1e-300))
    worst = np.quantile(np.abs(y - target), 0.9, axis=0) / spread
    return [
        Measure("residual", name, float(v), _RESIDUAL, bool(v <= _RESIDUAL),
                "90 % of draws are this near to the observation, in units of the prior's outputs")
        for name, v in zip(names, worst, strict=True)
    ]  # fmt: skip


def _finite_share(finite: NDArray[np.bool_]) -> Measure:
    lost = 1 - float(finite.mean())
    return Measure(
        "lost draws", None, lost, 0.05, lost <= 0.05, "share of draws without finite outputs"
    )


def _measure(
    name: str, output: str | None, value: float, floor: float, enough: float, meaning: str
) -> Measure:
    """Passed where the value is below the noise floor, or too small to matter."""
    limit = max(floor, enough)
    return Measure(name, output, value, floor, value <= limit, meaning, limit)


def _c2st_floor(rows: int) -> float:
    """99 % quantile of the accuracy of guessing this many rows."""
    return 0.5 + 2.33 * math.sqrt(0.25 / rows)


def _verdict(
    problem: Problem, measures: list[Measure], samples: Samples
) -> tuple[Verdict, tuple[str, ...]]:
    failed = [m for m in measures if not m.passed]
    message = samples.info.get("message")
    doubts = (str(message),) if samples.info.get("converged") is False and message else ()
    if any(m.name in ("outside", "outside jointly", "explained mass") for m in failed):
        return "not answerable", tuple(map(_reason, failed)) + doubts
    if failed or doubts:
        return "not consistent", tuple(map(_reason, failed)) + doubts
    if problem.question == "posterior":
        return "consistent", ("the draws' outputs agree with the observation",)
    worst = max(m.value for m in measures if m.name == "KS")
    accuracy = next(m.value for m in measures if m.name == "C2ST")
    return "consistent", (
        f"pushed back through the model, the draws reproduce the observations: the largest gap "
        f"of the distribution functions is {worst:.3f}, and a classifier tells the two apart "
        f"with accuracy {accuracy:.3f} (0.5 is guessing)",
    )


def _reason(m: Measure) -> str:
    where = f" of {m.output}" if m.output else ""
    limit = m.floor if m.limit is None else m.limit
    return f"{m.name}{where} is {m.value:.3g}, and must not exceed {limit:.3g}: {m.meaning}"
