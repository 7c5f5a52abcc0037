"""Call the user's model, in whichever of its forms, and return a table of outputs (n, L).

Rows are handed over in blocks. Where there is noise, the model's own or the measurement's, each
block of `BLOCK` rows has a random generator of its own, spawned from the seed, so that the noise
does not depend on the chunk size.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import ModelError
from invgan.problem import Problem, default_names

__all__ = ["BLOCK", "Progress", "evaluate", "measure", "run_model", "sort_repeats"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

BLOCK = 1024
_HINT = "; if it takes one parameter vector at a time, set vectorized=False"


def evaluate(
    problem: Problem,
    x: Array,
    *,
    seed: int = 0,
    chunk: int = 8192,
    progress: Progress | None = None,
) -> Array:
    """Outputs, as they would be observed, for each row of x.

    Args:
        problem: whose model to run.
        x: parameters, shape (n, D).

    Other Args:
        seed: for the noise of a stochastic model or of the measurement; others ignore it.
        chunk: rows handed to the model at once (a stochastic model always gets 1024).
        progress: called with (rows done, rows in all) after each chunk.

    Returns:
        Outputs, shape (n, L), or (n, R * L) where one experiment was repeated R times: each
        row's repeats sorted by their first output, which loses nothing, since their order says
        nothing. Values may be NaN or infinite; that is for the caller to sort out.

    Raises:
        ModelError: the model raised, or returned something of another shape.
    """
    if not problem.stochastic:
        y = run_model(problem, x, chunk=chunk, progress=progress)
        return measure(problem, y, seed=seed)
    parts = [np.empty((0, len(problem.outputs) * problem.repeats))]
    for start, rng in _blocks(len(x), seed):
        rows = x[start : start + BLOCK]
        y = _call(problem, np.repeat(rows, problem.repeats, axis=0), rng)
        parts.append(_observed(problem, y, rng))
        if progress is not None:
            progress(min(start + BLOCK, len(x)), len(x))
    return np.concatenate(parts)


def run_model(
    problem: Problem, x: Array, *, chunk: int = 8192, progress: Progress | None = None
) -> Array:
    """The own outputs (n, L) of a deterministic model for each row of x (n, D), without noise.

    Raises:
        ModelError: the model raised, or returned something of another shape.
    """
    parts = [np.empty((0, len(problem.outputs)))]
    for start in range(0, len(x), chunk):
        parts.append(_call(problem, x[start : start + chunk], None))
        if progress is not None:
            progress(min(start + chunk, len(x)), len(x))
    return np.concatenate(parts)


def measure(problem: Problem, y: Array, *, seed: int = 0) -> Array:
    """What would be observed where a deterministic model's own outputs are y.

    Args:
        problem: its noise and its repeats.
        y: outputs without noise, shape (n, L).
        seed: for the noise.

    Returns:
        Outputs as from `evaluate`, shape (n, R * L); y itself where there is no noise.
    """
    if problem.noise is None:
        return y
    parts = [np.empty((0, len(problem.outputs) * problem.repeats))]
    for start, rng in _blocks(len(y), seed):
        rows = y[start : start + BLOCK]
        parts.append(_observed(problem, np.repeat(rows, problem.repeats, axis=0), rng))
    return np.concatenate(parts)


def _blocks(n: int, seed: int) -> Iterator[tuple[int, np.random.Generator]]:
    """The first row of every block of n rows, and the block's generator."""
    starts = range(0, n, BLOCK)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))
    return zip(starts, map(np.random.default_rng, seeds), strict=True)


def _observed(problem: Problem, y: Array, rng: np.random.Generator) -> Array:
    """Observed rows (n, R * L) of experiments whose repeats have outputs y (n * R, L)."""
    if problem.noise is not None:
        y = problem.noise.sample(y, rng)
    if problem.repeats == 1:
        return y
    y = y.reshape(-1, problem.repeats, y.shape[1])
    return sort_repeats(y).reshape(len(y), -1)


def sort_repeats(y: Array) -> Array:
    """Sort the repeats of y (n, R, L) by their first output."""
    order = np.argsort(y[:, :, 0], axis=1, kind="stable")
    return np.take_along_axis(y, order[:, :, None], axis=1)


def _call(problem: Problem, x: Array, rng: np.random.Generator | None) -> Array:
    if problem.vectorized:
        return _table(problem, _run(problem, x, x, rng), x)
    return np.stack([_row(problem, _run(problem, row, row[None], rng), row) for row in x])


def _run(problem: Problem, given: Array, rows: Array, rng: np.random.Generator | None) -> Any:
    """What the model returns for a copy of its argument, which it may write to."""
    noise = () if rng is None else (rng,)
    try:
        return problem.model(given.copy(), *noise)
    except Exception as error:
        raise ModelError(_sentence(problem, error, rows)) from error


def _numbers(result: Any) -> Array:
    """A copy, since a model may hand out one buffer again and again."""
    # A torch tensor comes to numpy by its own methods, without importing torch.
    value = result.detach().cpu().numpy() if hasattr(result, "detach") else result
    try:
        if np.iscomplexobj(value):
            raise TypeError("complex numbers have no order")
        return np.array(value, float)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the model returned {type(result).__name__}, which is not an array of real numbers: "
            f"{error}"
        ) from None


def _table(problem: Problem, result: Any, x: Array) -> Array:
    if isinstance(result, Mapping):
        columns = [_numbers(column).reshape(-1) for column in _named(problem, result)]
        wrong = [len(c) for c in columns if len(c) != len(x)]
        if wrong:
            raise ModelError(
                f"the model turned {x.shape} parameters into a column of {wrong[0]} values; "
                f"expected {len(x)}, one for each row{_HINT}"
            )
        return np.stack(columns, axis=1)
    y = _numbers(result)
    wanted = (len(x), len(problem.outputs))
    if y.shape == wanted[:1] and wanted[1] == 1:
        return y[:, None]
    if y.shape != wanted:
        raise ModelError(
            f"the model turned {x.shape} parameters into outputs of shape {y.shape}; expected "
            f"{wanted}, one column for each observed quantity{_HINT}"
        )
    return y


def _row(problem: Problem, result: Any, x: Array) -> Array:
    values = _named(problem, result) if isinstance(result, Mapping) else [result]
    y = np.concatenate([_numbers(value).reshape(-1) for value in values])
    if len(y) != len(problem.outputs):
        raise ModelError(
            f"the model turned one parameter vector {x.shape} into {len(y)} outputs; expected "
            f"{len(problem.outputs)} ({', '.join(problem.outputs)})"
        )
    return y


def _named(problem: Problem, result: Mapping[str, Any]) -> list[Any]:
    missing = [name for name in problem.outputs if name not in result]
    if not missing:
        return [result[name] for name in problem.outputs]
    unnamed = problem.observations.names is None and problem.outputs == default_names(len(result))
    if unnamed:
        return list(result.values())
    raise ModelError(
        f"the model returned outputs {list(result)}; {missing[0]!r} is observed but not among them"
    )


def _sentence(problem: Problem, error: Exception, x: Array) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    first = ", ".join(f"{n}: {v:.6g}" for n, v in zip(problem.prior.names, x[0], strict=False))
    called = first if len(x) == 1 else f"{len(x)} parameter vectors (first: {first})"
    return (
        f"the model raised {type(error).__name__}: {error} (line {frame.lineno} of "
        f"{frame.filename}, called with {called})"
    )
