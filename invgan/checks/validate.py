"""The verdict on an answer, with its reasons.

For the population question the draws are pushed through the model and compared with the
observations, each figure beside its own noise floor. Whether the prior can explain the observations
at all, whether the answer is as far from the prior as its push-forward is, and whether the inverse
gives back held-out simulations it never saw need no outputs. For the posterior question it is the
inverse that must be calibrated on held-out simulations and at the observation, and the draws that
must predict what was observed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, whole
from invgan.calibration.regions import LogDensity
from invgan.calibration.typicality import Embedding
from invgan.checks import consistency, population, posterior
from invgan.checks.fields import by_quantities
from invgan.checks.levels import effective, evenly
from invgan.errors import InputError
from invgan.ground import own_ground
from invgan.health import Health, summary
from invgan.predictability import explained
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate
from invgan.validation import Measure, Validation, Verdict

__all__ = ["validate"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_FEWEST, _BLUNT = 20, 0.15
_NO_ANSWER = (
    "outside", "outside jointly", "missing otherwise", "explained mass", posterior.PRIOR_DEPTH,
    posterior.PRIOR_GAPS,
)  # fmt: skip


@own_ground()
def validate(
    problem: Problem,
    samples: Samples,
    *,
    simulations: Simulations | None = None,
    inverse: consistency.Drawer | None = None,
    log_prob: LogDensity | None = None,
    members: Sequence[consistency.Drawer] = (),
    embed: Embedding | None = None,
    residuals: consistency.Residuals | None = None,
    doubts: Sequence[Health] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Validation:
    """Judge an answer.

    Args:
        problem: model and observations.
        samples: the answer, by whichever road; run through the model here where it was not yet.
            Draws whose weights differ are resampled by them.

    Other Args:
        simulations: prior simulations; with them predictability and the distance to the prior
            are checked too.
        inverse: the trained inverse; with it and the simulations it is checked on held-out pairs,
            for the posterior question in its calibration and at the observation too.
        log_prob: log p(x given y) of matched rows, but for a function of y: with it the regions
            whose coverage is checked are those of highest density. Of an inverse that has one,
            ``log_prob_of_heads``.
        members: inverses of an ensemble, two or more; with them the posterior question asks
            whether they agree.
        embed: summaries (n, E) of outputs (n, L), in which an observation is held against the
            simulations; by default the outputs themselves.
        residuals: of outputs by the likelihood that the draws rest on: the posterior question asks
            whether the model's outputs for the draws are those that it expects. Of an inverse that
            ``rests_on_likelihood``, its ``residuals``.
        doubts: what went wrong in the games that the generators were kept from, as in
            ``inverse.doubts``. They are among the reasons and change no verdict: what a failed
            game does to an answer the figures see, and one may fail and do nothing to it.
        seed: of all comparisons.
        progress: called with (model runs done, total).

    Returns:
        Every figure with its floor, and the verdict with its reasons. ``info["calibration"]`` has
        the curves where calibration was checked.

    Raises:
        InputError: there are too few samples to compare (20), or their weights are none.
    """
    check_kinds(
        problem=(problem, Problem), samples=(samples, Samples),
        simulations=(simulations, Simulations | None),
        inverse=(inverse, consistency.Drawer | None),
    )  # fmt: skip
    whole("seed", seed, least=0)
    problem.check_names("samples", samples.names, samples.outputs)
    if len(samples) < _FEWEST:
        raise InputError(f"validate needs {_FEWEST} samples or more; got {len(samples)}")
    started = time.perf_counter()
    samples = evenly(samples, seed)
    y = samples.y
    runs = 0 if y is not None else len(samples) * problem.runs_per_row
    info: dict[str, Any] = {"model_evaluations": runs}
    if y is None:
        y = evaluate(problem, samples.x, seed=seed, progress=progress)
    finite = problem.usable(y)
    x, y, count = samples.x[finite], y[finite], effective(samples) * float(finite.mean())
    simulations = None if simulations is None else simulations.few()
    if problem.field is not None:
        x, log_prob = problem.quantified(x), None
        simulations, inverse, members = by_quantities(problem, simulations, inverse, members)
    measures, blunt = [_finite_share(samples, finite)], list[str]()
    if len(y) < _FEWEST:
        return Validation("not consistent", (_reason(measures[0]),), tuple(measures), info)
    if simulations is not None:
        measures += explained(problem, simulations, seed=seed)
    if problem.question == "population":
        measures += _population(problem, x, y, count, simulations, inverse, seed)
    else:
        measures += posterior.predictive(problem, y, simulations, seed)
        if simulations is not None:
            measures += posterior.typical(problem, simulations, embed, seed)
        if simulations is not None and inverse is not None:
            measures += _posterior(problem, x, count, simulations, inverse, log_prob, seed, info)
            blunt = _blunt(measures, info)
        if residuals is not None and problem.field is None:
            measures += consistency.against_likelihood(residuals, x, y, seed)
        if members:
            at, names = posterior.observed(problem), problem.quantities
            measures += consistency.in_agreement(members, at, names, seed)
    verdict, reasons = _verdict(problem, measures, samples, info, _played(doubts), blunt)
    info |= {"seconds": time.perf_counter() - started, "seed": seed}
    return Validation(verdict, reasons, tuple(measures), info)


def _population(
    problem: Problem, x: Array, y: Array, count: float, simulations: Simulations | None,
    inverse: consistency.Drawer | None, seed: int,
) -> list[Measure]:  # fmt: skip
    """A model with noise has answers whose law of x given y is not the prior's."""
    measures = population.push_forward(problem, y, count, seed)
    if simulations is None:
        return measures
    if not problem.random:
        measures += population.distance_to_prior(problem, x, y, simulations, seed)
        measures += population.against_simulations(problem, x, y, simulations, seed)
    if inverse is not None:
        measures += consistency.self_consistency(inverse, simulations.heldout, seed)
        if not problem.random:
            names = problem.quantities
            measures += consistency.against_inverse(inverse, x, y, names, count, seed)
    return measures


def _posterior(
    problem: Problem, x: Array, count: float, simulations: Simulations,
    inverse: consistency.Drawer, density: LogDensity | None, seed: int, info: dict[str, Any],
) -> list[Measure]:  # fmt: skip
    heldout, at = simulations.heldout, posterior.observed(problem)
    measures = consistency.self_consistency(inverse, heldout, seed)
    found, calibration = consistency.calibrated(inverse, heldout, density, seed)
    if calibration is not None:
        info["calibration"] = calibration.to_dict()
    condition = np.repeat(at, len(x), axis=0)
    return [
        *measures,
        *found,
        *consistency.nearby(inverse, heldout, at, seed),
        *consistency.against_inverse(inverse, x, condition, problem.quantities, count, seed),
    ]


def _finite_share(samples: Samples, finite: NDArray[np.bool_]) -> Measure:
    """Draws that are none: dropped on the way, still outside the cut prior, or not finite here."""
    gone = (samples.info.get(name, 0.0) for name in ("lost", "outside"))
    lost = 1 - math.prod(1 - share for share in gone) * float(finite.mean())
    return Measure(
        "lost draws", None, lost, 0.05, lost <= 0.05,
        "share of draws without finite outputs, or that no round's prior has",
    )  # fmt: skip


def _verdict(
    problem: Problem, measures: list[Measure], samples: Samples, info: dict[str, Any],
    played: str | None, blunt: list[str],
) -> tuple[Verdict, tuple[str, ...]]:  # fmt: skip
    failed = [m for m in measures if not m.passed]
    message = samples.info.get("message")
    doubts = (str(message),) if samples.info.get("converged") is False and message else ()
    if any(m.name in _NO_ANSWER for m in failed):
        failed.sort(key=lambda m: m.name not in _NO_ANSWER)
        return "not answerable", tuple(map(_reason, failed)) + doubts
    if failed or doubts:
        return "not consistent", (*map(_reason, failed), *doubts, *([played] if played else []))
    reserved = [f"with a reservation: {doubt}" for doubt in (*blunt, played) if doubt]
    if problem.question == "posterior":
        found = info.get("calibration", {}).get("sentences", [])[:1]
        return "consistent", ("the draws' outputs agree with the observation", *found, *reserved)
    worst = max(m.value for m in measures if m.name == "KS")
    accuracy = next(m.value for m in measures if m.name == "C2ST")
    return "consistent", (
        f"pushed back through the model, the draws reproduce the observations: the largest gap "
        f"of the distribution functions is {worst:.3f}, and a classifier tells the two apart "
        f"with accuracy {accuracy:.3f} (0.5 is guessing)",
        *reserved,
    )


def _blunt(measures: list[Measure], info: dict[str, Any]) -> list[str]:
    """What is to be said of a calibration that rests on so few pairs that much would pass."""
    limits = [m.limit for m in measures if m.name == "coverage at 50 %" and m.limit is not None]
    if not limits:
        return ["too few simulations were held out to judge the calibration: run more"]
    if limits[0] <= _BLUNT:
        return []
    low, high = 50 - 100 * limits[0], 50 + 100 * limits[0]
    return [
        f"{info['calibration']['pairs']} held-out simulations are few to judge the calibration by: "
        f"regions of 50 % would have passed with {low:.0f} to {high:.0f} %; run more simulations"
    ]


def _played(doubts: Sequence[Health]) -> str | None:
    """What is to be said of the games, in one sentence, or None."""
    if not doubts:
        return None
    told = "the history of the game that the generator was kept from says: " + summary(doubts[0])
    others = ", ".join(doubt.name for doubt in doubts[1:])
    return f"{told}; those of other members say: {others}" if others else told


def _reason(m: Measure) -> str:
    where = f" of {m.output}" if m.output else ""
    limit = m.floor if m.limit is None else m.limit
    note = f"; {m.note}" if m.note else ""
    digits = 3 if f"{m.value:.3g}" != f"{limit:.3g}" else 6
    value = f"{m.value:.{digits}g}, and must not exceed {limit:.{digits}g}"
    return f"{m.name}{where} is {value}: {m.meaning}{note}"
