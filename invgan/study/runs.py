"""One run of a sweep: train on the shared simulations, and judge what came of it.

It does what `invgan solve` does with the same settings and seed, by the same road, so that the best
setting gives there what it gave here. Whatever goes wrong in it is its own row's reason, never the
end of the sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from invgan.config import Settings
from invgan.errors import InputError, InvganError
from invgan.gan import Inverse
from invgan.gan.device import few_threads
from invgan.health import diagnose
from invgan.metrics import c2st
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.stages import Work, stage_seeds
from invgan.study.changes import Choice, changed
from invgan.study.row import FIGURES, Row
from invgan.study.yardstick import held_out_divergence

__all__ = ["Task", "carry_out", "one_thread"]

Array = NDArray[np.float64]
History = Sequence[Mapping[str, Any]]
Figures = dict[str, float | None]

_ROWS = 5_000
_LAST = 0.1


@dataclass(frozen=True)
class Task:
    """All that one run needs, ready to travel to another process.

    Attributes:
        number: of the setting.
        seed: of the training.
        choice: the values that vary.
        settings: of all stages, before the choice.
        problem: what is asked, or what makes it in the process that runs the task.
        simulations: shared by all runs.
        exact: draws (m, D) of the exact answer, or None.
        answer: whether the answer is drawn and the model run on it.
        device: where to train and draw.
    """

    number: int
    seed: int
    choice: Choice
    settings: Settings
    problem: Problem | Callable[[], Problem]
    simulations: Simulations
    exact: Array | None
    answer: bool
    device: str


@contextmanager
def one_thread() -> Iterator[None]:
    """Bound all numerical libraries to one thread: runs share the cores, not layers."""
    with threadpool_limits(1), few_threads():
        yield


def carry_out(task: Task) -> Row:
    """Train with the task's settings and seed; a row in any case."""
    try:
        with one_thread():
            return _judged(task)
    except Exception as error:
        again = not isinstance(error, InvganError)
        return Row(task.number, task.seed, task.choice, failure=_reason(error), again=again)


def _reason(error: Exception) -> str:
    known = isinstance(error, InvganError) and str(error)
    text = str(error) if known else f"{type(error).__name__}: {error}".rstrip(": ")
    return " ".join(text.split())


def _judged(task: Task) -> Row:
    problem = task.problem if isinstance(task.problem, Problem) else task.problem()
    work = Work(problem, changed(task.settings, task.choice), task.device, None)
    seeds, simulations = stage_seeds(task.seed), task.simulations
    inverse = work.train(simulations, seeds["train"], None)
    if not isinstance(inverse, Inverse):
        raise InputError(f"train.method must be cgan in a sweep; got {work.settings.train.method}")
    found = _course(inverse) | _held_out(problem, inverse, simulations)
    failure = _blown_up(inverse.history, found)
    wanted = problem.question == "population" or task.exact is not None
    if failure is None and task.answer and wanted:
        answer, raw = work.sample(simulations, inverse, seeds["sample"], seeds["correct"])
        found |= _answered(problem, answer, raw, task.exact, seeds["validate"])
    return Row(
        number=task.number,
        seed=task.seed,
        settings=task.choice,
        figures={name: _finite(found.get(name)) for name in FIGURES},
        health=_health(inverse.history),
        seconds=float(inverse.info.get("seconds", 0.0)),
        failure=failure,
    )


def _game(history: History) -> list[Mapping[str, Any]]:
    """The rows of the game, but for the untrained state."""
    return [row for row in history if row.get("phase") == "gan" and "critic_loss" in row]


def _health(history: History) -> str | None:
    """The name of what the course of training looks like; None where there was no game."""
    return diagnose(history).name if _game(history) else None


def _course(inverse: Inverse) -> Figures:
    """Figures of the training itself."""
    game, info = _game(inverse.history), inverse.info
    last = game[-max(1, round(_LAST * len(game))) :]
    losses: Figures = {
        name: float(np.mean([row[name] for row in last])) if last else None
        for name in ("critic_loss", "generator_loss")
    }
    return {
        **losses,
        "divergence": info.get("divergence"),
        "divergence_of_head": info.get("divergence_of_head"),
        "kept_step": info.get("kept_step"),
    }


def _blown_up(history: History, found: Figures) -> str | None:
    """Why the course of training is none, where its end is not finite."""
    for name in ("critic_loss", "generator_loss", "heldout", "divergence"):
        value = found[name]
        if value is not None and not math.isfinite(value):
            rows = [row for row in history if not math.isfinite(row.get(name, 0.0))]
            since = f" from step {rows[0].get('step')} on" if rows else ""
            return f"{FIGURES[name].partition(',')[0].partition(' (')[0]} is not finite{since}"
    return None


def _held_out(problem: Problem, inverse: Inverse, simulations: Simulations) -> Figures:
    """Figures of simulations that training never saw, in which all settings are judged alike."""
    simulations = simulations.few()
    found: Figures = {"heldout": held_out_divergence(inverse, simulations)}
    heldout = simulations.heldout
    known = inverse.knows(heldout.y)
    if problem.question == "posterior" and inverse.has_density and known.any():
        x, y = heldout.x[known], heldout.y[known]
        found["nll"] = -float(np.mean(inverse.log_prob_of_heads(x, y)))
    return found


def _answered(
    problem: Problem, answer: Samples, raw: Samples, exact: Array | None, seed: int
) -> Figures:
    """Figures of the answer, against the observations and the exact one."""
    found: Figures = {"share": answer.info.get("effective_share")}
    if problem.question == "population" and answer.y is not None and raw.y is not None:
        seen, rng = problem.observations, np.random.default_rng(seed)
        rows = seen.rows if isinstance(seen, Table) else seen.sample(_ROWS, rng)
        found["pushforward"] = c2st(answer.y, rows, seed=seed, most=_ROWS)
        found["pushforward_raw"] = c2st(raw.y, rows, seed=seed, most=_ROWS)
    if exact is not None:
        found["exact"] = c2st(answer.x, exact, seed=seed, most=_ROWS)
    return found


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
