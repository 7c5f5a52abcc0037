"""The correction: draws that agree with the observations, and with the prior's law of x given y.

The generator's draws x, pushed through the model, have some density p_G of outputs that is nearly
P_Y. Weights ``w = P_Y(y) / p_G(y)`` make their push-forward exact and leave the law of x given y as
it is. Where simulations lie densely about the draws' outputs this law is set right too: simulations
with the same outputs follow it, and a classifier between their parameters and the draws' knows the
ratio. The mean weight should be one; the effective share ``(sum w)^2 / (n sum w^2)`` says how much
had to be corrected (Kong 1992), and where it is small the generator has failed.

Of more than twenty outputs, a series or a field, the ratio is that of the leading principal
components, as many as tell 99.9 % of their variance: no more of them could be judged by draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, seeds_from, whole
from invgan.calibration.draws import conditions, few_columns
from invgan.errors import CorrectionError, InputError
from invgan.matching import matched
from invgan.models.identity import while_working
from invgan.observations import Law, Table
from invgan.problem import Problem
from invgan.ratio import Ratio, log_ratio
from invgan.resampling import effective_share, resampled
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate

__all__ = ["correct", "push_forward"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_SMALLEST_SHARE = 0.1
_REPEATED = 0.05
_MOST_REFERENCE = 100_000
_MOST_COLUMNS, _TOLD = 20, 0.999
_NEIGHBOURS, _DETERMINED = 4, 0.1


@while_working
def push_forward(
    problem: Problem,
    samples: Samples,
    *,
    seed: int = 0,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Samples:
    """The samples with the model's outputs filled in; those without finite outputs are dropped.

    Args:
        problem: whose model to run.
        samples: draws, whose outputs may be there already.

    Other Args:
        seed: of the model's noise and the measurement's.
        scratch: a folder where outputs are kept as they come, so that the same call goes on where
            it was stopped.
        progress: called with (model runs done, total).

    Returns:
        The samples. ``info`` gains model_evaluations, not_finite (how many were dropped) and lost
        (their share).

    Raises:
        InputError: the samples are of other parameters or outputs.
        ModelError: the model raised or returned another shape.
        CorrectionError: no draw has finite outputs.
    """
    problem.check_names("samples", samples.names, samples.outputs)
    if samples.y is not None:
        return samples
    y = evaluate(problem, samples.x, seed=seed, scratch=scratch, progress=progress)
    good = problem.usable(y)
    if not good.any():
        raise CorrectionError("the model gives finite outputs for none of the draws")
    info = {
        **samples.info,
        "model_evaluations": len(y) * problem.runs_per_row,
        "not_finite": int(len(y) - good.sum()),
        "lost": 1 - float(good.mean()),
    }
    return Samples(
        samples.x[good], y[good], samples.weights[good], samples.names, samples.outputs, info
    )


@while_working
def correct(
    problem: Problem,
    samples: Samples,
    n: int | None = None,
    *,
    simulations: Simulations | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Samples:
    """Make draws data-consistent: run the model on them, weigh, and resample.

    Args:
        problem: model and observations.
        samples: the generator's draws, best half as many again as wanted.
        n: how many draws to return; by default as many as keep 95 % of them distinct.

    Other Args:
        simulations: of the prior; with them the law of x given y is corrected too, where they lie
            densely about the draws' outputs and these leave parameters open, which are twenty or
            fewer and no field.
        seed: of the ratios' folds and of the resampling.
        progress: called with (model runs done, total).

    Returns:
        Draws that count equally. ``info`` gains mean_weight, effective_share, effective_samples
        (how many independent draws they are worth), largest_weight, distinct (the share of distinct
        points), ratio and ratio_gain (the classifier that was chosen for the outputs, and the nats
        that held-out rows gain by it), and the same for x
        given y: ratio_given_y, gain_given_y.

    Raises:
        InputError: the question is the posterior, where there is nothing to correct.
        CorrectionError: the effective share is below 0.1: the generator has failed.
    """
    check_kinds(
        problem=(problem, Problem), samples=(samples, Samples),
        simulations=(simulations, Simulations | None),
    )  # fmt: skip
    if n is not None:
        whole("n", n)
    if problem.question == "posterior":
        raise InputError("correct is for question='population'; a posterior has no push-forward")
    started = time.perf_counter()
    reference_seed, ratio_seed, pick_seed, noise_seed, given_seed = seeds_from(seed, 5)
    pushed = push_forward(problem, samples, seed=noise_seed, progress=progress)
    y = _outputs(pushed)
    given = _given_outputs(problem, pushed, y, simulations, given_seed)
    weights = pushed.weights * np.exp(given.log)
    reference = _reference(problem, len(y), reference_seed)
    ratio = log_ratio(*_few(reference, y, ratio_seed), of_q=weights, seed=ratio_seed)
    weights = weights * np.exp(ratio.log) * _possible(problem, y)
    share = _check_share(weights)
    mean = float(weights.mean())
    weights = weights / mean
    n = n or _most_distinct(weights)
    rows = resampled(weights, y[:, 0], n, np.random.default_rng(pick_seed))
    info = {
        **pushed.info,
        "seconds": pushed.info.get("seconds", 0.0) + time.perf_counter() - started,
        "mean_weight": mean,
        "effective_share": share,
        "effective_samples": min(float(n), share * len(weights)),
        "largest_weight": float(weights.max()),
        "distinct": len(np.unique(rows)) / len(rows),
        "ratio": ratio.chosen,
        "ratio_gain": ratio.gain,
        "ratio_given_y": given.chosen,
        "gain_given_y": given.gain,
    }
    return Samples(pushed.x[rows], y[rows], np.ones(n), pushed.names, pushed.outputs, info)


def _outputs(samples: Samples) -> Array:
    if samples.y is None:
        raise InputError("the samples have no outputs; push them through the model first")
    return samples.y


def _given_outputs(
    problem: Problem, pushed: Samples, y: Array, simulations: Simulations | None, seed: int
) -> Ratio:
    """Ratio of the prior's law of x given y to the draws', at the draws."""
    x = pushed.x
    vectors = problem.field is None and x.shape[1] <= _MOST_COLUMNS
    if simulations is None or problem.random or not vectors:
        return Ratio.none(len(x))
    simulations = simulations.few().training
    rows = matched(y, simulations, _NEIGHBOURS)
    if rows is None or not _left_open(simulations.x[rows], x):
        return Ratio.none(len(x))
    lent = np.repeat(pushed.weights / _NEIGHBOURS, _NEIGHBOURS)
    weights: Array = np.bincount(rows.ravel(), lent, len(simulations)).astype(float)
    used = np.flatnonzero(weights)
    return log_ratio(
        simulations.x[used], x, of_p=weights[used], of_q=pushed.weights, thorough=True, seed=seed
    )


def _left_open(near: Array, x: Array) -> bool:
    """Whether simulations (n, k, D) with one draw's outputs differ by more than the blur of these.

    Where outputs determine the parameters there is nothing to correct; the nearest simulations
    would only smear the edges of the answer.
    """
    spread = near.var(axis=1).mean(axis=0) / np.maximum(x.var(axis=0), 1e-300)
    return bool(spread.max() > _DETERMINED)


def _reference(problem: Problem, n: int, seed: int) -> Array:
    """Rows of P_Y: all of a table, or many draws of a law."""
    seen = problem.observations
    if isinstance(seen, Table):
        return seen.rows
    return seen.sample(min(4 * n, _MOST_REFERENCE), np.random.default_rng(seed))


def _few(reference: Array, y: Array, seed: int) -> tuple[Array, Array]:
    """Both clouds in few columns, the leading principal components where the outputs are many.

    They are those of both together, in random order: rows lie further out along axes that were
    fitted to them than others of the same law, so the axes of one cloud would tell it.
    """
    if y.shape[1] <= _MOST_COLUMNS:
        return reference, y
    both = np.concatenate([few_columns(reference), few_columns(y)])
    order = np.random.default_rng(seed).permutation(len(both))
    t, _ = conditions(both[order], both[:1], _MOST_COLUMNS)
    told = np.cumsum(t.var(axis=0)) / t.var(axis=0).sum()
    kept = t[:, : 1 + int(np.searchsorted(told, _TOLD))]
    a, b = np.split(kept[np.argsort(order)], [len(reference)])
    return a, b


def _possible(problem: Problem, y: Array) -> Array:
    """Zero for outputs that the observed law excludes, one for others; shape (n,)."""
    seen = problem.observations
    if isinstance(seen, Law):
        return np.isfinite(seen.log_prob(y)).astype(float)
    return np.ones(len(y))


def _check_share(weights: Array) -> float:
    share = effective_share(weights)
    if share < _SMALLEST_SHARE:
        raise CorrectionError(
            f"the correction would rest on {share:.1%} of the draws and 10 % are needed to trust "
            "it: the generator's draws are too far from the answer. Use more simulations "
            "(simulate.n), more steps (train.steps), or a prior that reaches the observations"
        )
    return share


def _most_distinct(weights: Array) -> int:
    """The largest number of draws of which no more than 5 % are expected to be repeats."""
    low, high = 1, len(weights)
    while low < high:
        n = (low + high + 1) // 2
        repeated = np.maximum(n * weights / weights.sum() - 1, 0).sum() / n
        low, high = (n, high) if repeated <= _REPEATED else (low, n - 1)
    return low
