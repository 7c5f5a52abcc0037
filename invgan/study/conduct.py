"""The sweep itself: simulate once, try settings, keep every row, and say which was best.

    check -> simulate once -> [ask -> run -> keep -> tell]... -> Study -> table, figures, best.yml

A row is kept as soon as its run is over, so that nothing finished is lost or repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, rows_of
from invgan.config import Settings, plain
from invgan.errors import InputError
from invgan.execution import Execution
from invgan.files import digest
from invgan.fingerprints import fingerprints
from invgan.folder import Folder
from invgan.models.identity import while_working
from invgan.predictability import check_predictability
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.stages import ProgressFactory, Work, stage_seeds
from invgan.study.changes import Choice
from invgan.study.outcome import Study
from invgan.study.plan import SweepPlan, check
from invgan.study.row import Row
from invgan.study.runs import Task, one_thread
from invgan.study.search import Search, search_of
from invgan.study.store import Store
from invgan.study.summary import write_summary
from invgan.study.workers import carried_out
from invgan.study.yardstick import check_heldout

__all__ = ["rehearse", "sweep"]

Array = NDArray[np.float64]
Advance = Callable[[int, int], None]


@while_working
def sweep(
    problem: Problem,
    settings: Settings | None,
    plan: SweepPlan | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    simulations: Simulations | None = None,
    executor: Executor | None = None,
    exact: Array | None = None,
    rebuild: Callable[[], Problem] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressFactory | None = None,
    resolved: Mapping[str, Any] | None = None,
) -> Study:
    """Train with many settings on the same simulations, and compare what comes of it.

    Args:
        problem: what is asked.
        settings: of all stages, those that vary to be replaced; None for the defaults.
        plan: what varies, in which way, and what best means; a mapping is checked first.
        out: the folder of the sweep; one that was stopped there goes on. Without one nothing is
            written.

    Other Args:
        simulations: prior simulations that were made before; without them they are made here.
        executor: carries out the runs, several at once; without one they are done here in turn.
            The model is then run where its run is, whatever the problem's execution says.
        exact: draws of the exact answer, shape (m, D), where they are known.
        rebuild: makes the problem in another process, for one that cannot be pickled.
        seed: of the simulations and the search, and of the training where the plan has no seeds.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called with a title; gives a context with a (done, total) callback.
        resolved: the whole configuration as plain data, for best.yml; the settings by default.

    Returns:
        One row for each run, and the best setting.

    Raises:
        InputError: something in the plan is not usable, or the folder holds another sweep.
        OutsideError: no parameter of the prior explains the observations.
        ModelError: the model raised while it was simulated.
    """
    check_kinds(plan=(plan, SweepPlan | Mapping))
    settings = settings or Settings()
    plan = plan if isinstance(plan, SweepPlan) else SweepPlan(**plan)
    check(plan, problem, settings, exact is not None)
    search = search_of(plan, seed)
    about = dict(resolved or {"seed": seed, "device": device, **plain(settings)})
    keys = fingerprints(problem, settings, seed)
    key = keys["sample"] + ("" if simulations is None else digest(simulations.x, simulations.y))
    key += "" if exact is None else digest(rows_of("exact", exact, len(problem.prior.names)))
    store = Store(None if out is None else Path(out), key, plan, about)
    rows = store.rows()
    store.open()
    work = Work(_executed(problem, settings), settings, device, progress)
    simulate_seed = stage_seeds(seed)["simulate"]
    if simulations is None:
        place = Folder(store.path, keys, device).store
        simulations = work.simulate(simulate_seed, place, retry=not rows)
    else:
        problem.check_names("simulations", simulations.names, simulations.outputs)
        simulations = work.take(simulations, simulate_seed)
    check_predictability(problem, simulations, seed=stage_seeds(seed)["validate"])
    if plan.score == "heldout" and "train.focus" not in plan.vary:
        check_heldout(problem, simulations, settings.train)
    there = (rebuild or problem.on(None)) if executor else _executed(problem, settings)
    task = Task(
        0, seed, {}, settings, there, simulations, exact, plan.push_forward, device
    )  # fmt: skip
    bar = progress("sweep") if progress else nullcontext(_silent)
    course = _Course(task, plan, store, rows, executor)
    study = Study(plan, settings, course.rows(search, bar))
    if store.path is not None:
        write_summary(study, store.path, about)
    return study


def rehearse(
    problem: Problem, settings: Settings, plan: SweepPlan, *, exact: bool, seed: int = 0
) -> tuple[int, int]:
    """Check a sweep, and count its settings and runs, of a search by Optuna at most.

    Args:
        problem: what is asked.
        settings: of all stages.
        plan: what varies.

    Other Args:
        exact: whether draws of the exact answer are at hand.
        seed: of the search.

    Raises:
        InputError: something in the plan is not usable.
    """
    check(plan, problem, settings, exact)
    search = search_of(plan, seed)
    count = plan.runs if plan.method == "optuna" else len(search.ask())
    return count, count * len(plan.seeds or (seed,))


def _silent(done: int, total: int) -> None:
    pass


def _executed(problem: Problem, settings: Settings) -> Problem:
    """The problem with its model run as the settings say, where the problem itself does not."""
    chosen = settings.simulate
    if problem.execution is not None:
        return problem
    return problem.on(Execution(chosen.workers, chosen.timeout, chosen.retries))


class _Course:
    """The runs of a sweep, those of earlier sessions included.

    Args:
        task: what all runs have in common.
        plan: what varies.
        store: where rows are kept.
        known: the rows of earlier sessions, by number and seed.
        executor: who carries out the runs, or None.
    """

    def __init__(
        self,
        task: Task,
        plan: SweepPlan,
        store: Store,
        known: dict[tuple[int, int], Row],
        executor: Executor | None,
    ) -> None:
        self._task, self._plan, self._store, self._executor = task, plan, store, executor
        self._known, self._numbers = known, dict[str, int]()
        self._seeds = plan.seeds or (task.seed,)
        self._found: dict[tuple[int, int], Row] = {}

    def rows(self, search: Search, bar: AbstractContextManager[Advance]) -> tuple[Row, ...]:
        """All rows in order, each kept as soon as its run is over."""
        with bar as advance, one_thread():
            while choices := search.ask():
                numbers = [self._number(choice) for choice in choices]
                tasks = list(self._tasks(numbers, choices))
                total = len(self._found) + len(tasks)
                for row in carried_out(tasks, self._executor):
                    self._store.keep(row)
                    self._found[row.number, row.seed] = row
                    advance(len(self._found), total)
                search.tell([self._score(number) for number in numbers])
        return tuple(row for _, row in sorted(self._found.items()))

    def _number(self, choice: Choice) -> int:
        """The number of a setting; one that was tried before has its own."""
        return self._numbers.setdefault(
            json.dumps(dict(choice), sort_keys=True), len(self._numbers)
        )

    def _tasks(self, numbers: Sequence[int], choices: Sequence[Choice]) -> Iterator[Task]:
        """What is still to be run; what earlier sessions left is taken up."""
        for number, choice in dict(zip(numbers, choices, strict=True)).items():
            for seed in self._seeds:
                row = self._known.get((number, seed))
                if row is not None and dict(row.settings) != json.loads(json.dumps(dict(choice))):
                    raise InputError(
                        f"{self._store.path} holds run {number} with other settings than this "
                        "sweep gives it: name another folder (--out)"
                    )
                if row is not None:
                    self._found[number, seed] = row
                elif (number, seed) not in self._found:
                    yield replace(self._task, number=number, seed=seed, choice=choice)

    def _score(self, number: int) -> float | None:
        """Mean score over the seeds; None where a run has none."""
        scores = [self._found[number, seed].score(self._plan.score) for seed in self._seeds]
        known = [score for score in scores if score is not None]
        return float(np.mean(known)) if len(known) == len(scores) else None
