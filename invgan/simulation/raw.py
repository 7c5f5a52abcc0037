"""Raw outputs in a store: where a model has a summary, what is kept is what it returned itself.

    x -> model -> raw outputs (n, R) -> summary -> noise of the measurement -> outputs (n, L)
                      the store

A store is known by the model without its summary. Another summary, or another noise, is a matter of
reading it again, and the model is not run. The summary is called with finite rows alone, many at
once, and rows that it raises for are found and set apart like those of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError, ModelError
from invgan.execution.attempt import Failure, Outcome, Piece, attempt
from invgan.ground import theirs
from invgan.models import RawOutputs, Summarised
from invgan.observations import Table
from invgan.problem import Problem, default_names
from invgan.samples import Simulations
from invgan.simulation.draws import Draws
from invgan.simulation.failures import sorted_out
from invgan.simulation.running import caller_of
from invgan.simulation.runs import attempted, observed

if TYPE_CHECKING:
    from invgan.store import Stored

__all__ = ["kept_problem", "raw_width", "summarised_rows"]

Array = NDArray[np.float64]

_WIDEST = 4096
_TRIED = 20
_CELLS = 2**22


def kept_problem(problem: Problem, store: str | Path, draws: Draws) -> Problem:
    """The problem whose outputs a store keeps: where there is a summary, that of the raw outputs.

    How many raw outputs there are is known from the store, or else from one more run of the model.
    Those of more than 4096 numbers a row are not kept, nor where the problem may have missing
    outputs, or repeats of a model with noise have the noise of the measurement upon them: the store
    then holds the outputs, as for any model.
    """
    model = problem.model
    if not isinstance(model, Summarised) or problem.missing:
        return problem
    if problem.noise is not None and problem.runs_per_row > 1:
        return problem
    width = _probed(problem, model.raw, draws) if _is_new(store) else raw_width(store)
    return _of_outputs(problem, model.raw, width) if 0 < width <= _WIDEST else problem


def raw_width(store: str | Path) -> int:
    """How many raw outputs a store keeps of each run; 0 where it keeps outputs."""
    from invgan.store.disk import attributes_of  # noqa: PLC0415

    found = (attributes_of(Path(store)) or {}).get("raw", 0)
    return found if isinstance(found, int) else 0


def summarised_rows(problem: Problem, stored: Stored, *, seed: int) -> Simulations:
    """The simulations of a problem from the raw outputs that a store keeps.

    Args:
        problem: its model has the summary.
        stored: the raw outputs.
        seed: of the noise of the measurement, as for `observed`.

    Raises:
        InputError: the model has no summary.
        ModelError: the summary raises for every row, or returns another shape.
    """
    from invgan.store.batches import DONE  # noqa: PLC0415

    if not isinstance(problem.model, Summarised):
        raise InputError("the store keeps raw outputs, and the model has no summary of them")
    done = stored.status == DONE
    n, runs = len(done), problem.runs_per_row
    x = np.empty((n, len(stored.names)))
    y = np.full((n, runs, len(problem.outputs)), np.nan)
    bad, records = stored.failures()
    x[~done] = bad
    rows, places = np.flatnonzero(done), np.flatnonzero(~done)
    failures = [Failure(int(i), *map(_plain, r)) for i, r in zip(places, records, strict=True)]
    start = 0
    for drawn, raw in stored.batches(_CELLS // _WIDEST // runs or 1):
        here = rows[start : start + len(drawn)]
        rows_of_runs = raw.reshape(len(raw) * runs, -1)
        found = _summary(problem, problem.model.summary, rows_of_runs, first=start == 0)
        x[here] = drawn
        y[here] = found.y.reshape(len(drawn), runs, -1)
        failures += [f._replace(row=int(here[f.row // runs])) for f in found.failures]
        start += len(drawn)
    seen = observed(problem, y, seed=seed)
    good, told = sorted_out(problem, seen, failures)
    info = {"raw_outputs": stored.width[1] // runs, "not_finite": int(n - good.sum())}
    own = None if problem.noise is None else y[good, 0]
    return Simulations(
        x[good], seen[good], stored.names, problem.outputs, x[~good], info, told, own=own
    )


def _summary(problem: Problem, summary: Callable[..., Any], raw: Array, *, first: bool) -> Outcome:
    """What the summary makes of raw outputs (m, R)."""
    caller = replace(
        caller_of(problem), model=summary, vectorized=True, stochastic=False, runs=1,
        names=default_names(raw.shape[1]), shape=None, seen=None,
    )  # fmt: skip
    try:
        with theirs():
            return attempt(caller, Piece(0, raw, first=first), 0)
    except ModelError as error:
        said = str(error).partition("; if it takes one")[0].replace("the model", "the summary", 1)
        raise ModelError(said.replace(" parameters", " raw outputs", 1)) from error


def _is_new(store: str | Path) -> bool:
    from invgan.store.disk import attributes_of  # noqa: PLC0415

    return attributes_of(Path(store)) is None


def _probed(problem: Problem, model: RawOutputs, draws: Draws) -> int:
    """How many raw outputs a model gives; 0 where it fails for the first rows."""
    probe = _of_outputs(problem, _Width(model), 1)
    for row in range(_TRIED):
        found, _, _ = attempted(probe, draws.rows(row, row + 1), fresh=False)
        if np.isfinite(found).all():
            return int(found.ravel()[0])
    return 0


def _of_outputs(problem: Problem, model: Any, width: int) -> Problem:
    """The same runs of a model with other outputs, so many."""
    names = default_names(width)
    seen = Table(np.zeros((problem.runs_per_row, width)), names)
    return replace(
        problem, model=model, observations=seen, outputs=names, question="posterior", noise=None,
        log_likelihood=None,
    )  # fmt: skip


class _Width:
    """A model whose only output is the number of another's."""

    def __init__(self, model: RawOutputs) -> None:
        self._model = model

    def __call__(self, x: ArrayLike, *noise: np.random.Generator) -> Array:
        y = self._model(x, *noise)
        return np.full(y.shape[:-1], float(y.shape[-1]))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
