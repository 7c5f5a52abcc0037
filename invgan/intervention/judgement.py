"""The judgement of an answer by one population: could its rows be a sample of the draws?

For an ordinary problem the observed rows are themselves P_Y, and an answer can have exactly their
distribution. Here it cannot: two tables of finitely many rows never agree on what their members
share, and one law of the parameters must serve both. So the rows are taken for what they are, a
sample of their population, and each figure stands beside what it would be between the draws and as
many rows of the draws' own law.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.intervention.coupling import population_simulations
from invgan.intervention.design import Intervention
from invgan.metrics import c2st, kolmogorov_smirnov
from invgan.observations import Table
from invgan.predictability import explained
from invgan.samples import Samples, Simulations
from invgan.validation import Measure, Validation, Verdict

__all__ = ["judge"]

Array = NDArray[np.float64]

_KS, _C2ST = 0.02, 0.52
_LAW_ROWS, _FEWEST = 20_000, 20


def judge(
    intervention: Intervention,
    samples: Samples,
    name: str,
    *,
    simulations: Simulations | None = None,
    seed: int = 0,
) -> Validation:
    """Hold the draws' outputs of one population against its own observations.

    Args:
        intervention: the problem.
        samples: draws of xi with their joint outputs.
        name: ``"control"`` or ``"treated"``.

    Other Args:
        simulations: joint prior simulations; with them predictability is checked too.
        seed: of thinning and folds.

    Raises:
        InputError: the draws have no outputs, or there are fewer than 20.
    """
    _, y = intervention.part(samples, name)
    if len(y) < _FEWEST:
        raise InputError(f"judge needs {_FEWEST} draws or more; got {len(y)}")
    problem = intervention.population(name)
    seen = problem.observations
    rng = np.random.default_rng(seed)
    rows = seen.rows if isinstance(seen, Table) else seen.sample(_LAW_ROWS, rng)
    measures: list[Measure] = []
    if simulations is not None:
        own = population_simulations(intervention, simulations, name)
        measures += explained(problem, own, seed=seed)
    unpredicted = [m for m in measures if not m.passed]
    measures += _gaps(y, rows, problem.outputs)
    measures.append(_told_apart(y, rows, seed))
    verdict, reasons = _verdict(measures, unpredicted, samples, name)
    return Validation(verdict, reasons, tuple(measures), {"seed": seed, "rows": len(rows)})


def _gaps(y: Array, rows: Array, outputs: tuple[str, ...]) -> list[Measure]:
    """Two-sample KS of each output, the chance of one false alarm in 100 shared among them."""
    floor = math.sqrt(1 / len(y) + 1 / len(rows)) * math.sqrt(-0.5 * math.log(0.005 / len(outputs)))
    limit = max(floor, _KS)
    return [
        Measure("KS", name, float(gap), floor, bool(gap <= limit),
                "largest gap of the distribution functions of draws and rows", limit)
        for name, gap in zip(outputs, kolmogorov_smirnov(y, rows), strict=True)
    ]  # fmt: skip


def _told_apart(y: Array, rows: Array, seed: int) -> Measure:
    """C2ST of all outputs together."""
    accuracy = c2st(y, rows, seed=seed, folds=min(5, len(rows)))
    judged = 2 * min(len(y), len(rows), 10_000)
    floor = 0.5 + 2.33 * math.sqrt(0.25 / judged)
    limit = max(floor, _C2ST)
    meaning = "how often a classifier tells draws from rows; 0.5 is guessing"
    return Measure("C2ST", None, accuracy, floor, accuracy <= limit, meaning, limit)


def _verdict(
    measures: list[Measure], unpredicted: list[Measure], samples: Samples, name: str
) -> tuple[Verdict, tuple[str, ...]]:
    failed = tuple(_reason(m) for m in measures if not m.passed)
    message = samples.info.get("message")
    doubts = (str(message),) if samples.info.get("converged") is False and message else ()
    if unpredicted:
        return "not answerable", failed + doubts
    if failed or doubts:
        return "not consistent", failed + doubts
    return "consistent", (f"the {name} rows could be a sample of the draws' outputs",)


def _reason(m: Measure) -> str:
    where = f" of {m.output}" if m.output else ""
    limit = m.floor if m.limit is None else m.limit
    return f"{m.name}{where} is {m.value:.3g}, and must not exceed {limit:.3g}: {m.meaning}"
