"""The plan of a sweep: which settings vary and how, by how many runs, and what best means.

    method: grid                                # grid, random, optuna
    seeds: [0, 1, 2]
    vary:
      train.learning_rate: [1e-3, 2e-3]
      train.gamma: {log_uniform: [0.01, 1]}
    score: heldout

Whatever can be known to be wrong before the first run is refused before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from invgan.config import Settings
from invgan.config.document import read_document
from invgan.errors import InputError
from invgan.problem import Problem
from invgan.settings import Section, SettingError, short
from invgan.study.changes import Choice, changed, takes_numbers, takes_whole_numbers, variable
from invgan.study.spaces import Space, space_of

__all__ = ["Score", "SweepPlan", "check", "load_plan"]

_MOST_TRIED = 4096
_MOST_SETTINGS = 100_000

Score = Literal["heldout", "pushforward", "nll", "exact"]
"""The figures by which settings may be compared."""


class SweepPlan(Section):
    """What a sweep varies, and what it looks for."""

    method: Literal["grid", "random", "optuna"] = Field(
        default="grid",
        description="grid: every combination; random: drawn; optuna: proposed by what was found",
    )
    vary: dict[str, Any] = Field(
        min_length=1,
        description="settings of train and sample by dotted name: a list of values, "
        "`{uniform: [low, high]}` or `{log_uniform: [low, high]}`",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None,
        min_length=1,
        description="every setting is run with each; the configuration's own where left out",
    )
    score: Score = Field(
        default="heldout", description="the figure whose mean over the seeds best makes smallest"
    )
    runs: int = Field(default=20, ge=1, description="settings to try (random, optuna)")
    levels: int = Field(default=3, ge=2, description="values that a grid takes from a range")
    sampler: Literal["tpe", "gp", "qmc"] = Field(
        default="tpe",
        description="of optuna: tree-structured Parzen estimator, Gaussian process, quasi-random",
    )
    batch: int = Field(
        default=4, ge=1, description="settings that optuna proposes before it hears of any of them"
    )
    push_forward: bool = Field(
        default=True,
        description="run the model on each run's draws; false for a model that is expensive",
    )

    @field_validator("vary")
    @classmethod
    def _vary(cls, raw: dict[str, Any]) -> dict[str, Any]:
        for name, values in raw.items():
            variable(name)
            try:
                space_of(values, whole=takes_whole_numbers(name))
            except SettingError as error:
                raise error.under(name) from None
            if not (isinstance(values, list | tuple) or takes_numbers(name)):
                raise SettingError((name,), "takes no range; list the values to try")
        return raw

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if seeds is not None and len(set(seeds)) < len(seeds):
            raise SettingError((), f"must differ from each other; got {list(seeds)}")
        return seeds

    @cached_property
    def spaces(self) -> dict[str, Space]:
        """What each setting that varies may be."""
        return {
            name: space_of(raw, whole=takes_whole_numbers(name)) for name, raw in self.vary.items()
        }


def load_plan(path: str | Path) -> SweepPlan:
    """Read and check the YAML file of a plan.

    Raises:
        InputError: the file cannot be read, or a setting in it is unknown or impossible.
    """
    data = read_document(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold settings by name, such as `vary:`; got {short(data)}")
    if "vary" not in data and set(data) <= set(SweepPlan.model_fields):
        raise SettingError(
            ("vary",), "is missing; say which settings differ, as in {train.gamma: [0.05, 0.5]}"
        )
    return SweepPlan(**data)


def check(plan: SweepPlan, problem: Problem, settings: Settings, exact: bool) -> None:
    """Refuse before anything is run what could not be run or scored.

    Args:
        plan: what varies.
        problem: what is asked.
        settings: of all stages, the varied ones to be replaced.
        exact: whether draws of the exact answer are at hand.

    Raises:
        InputError: a value that no combination can have, or a score that this problem has not.
    """
    if settings.simulate.rounds > 1:
        raise InputError(
            "the runs of a sweep share one set of simulations, and later rounds are made by "
            f"training: set simulate.rounds: 1; got {settings.simulate.rounds}"
        )
    methods = plan.vary.get("train.method", [settings.train.method])
    if methods != ["cgan"]:
        raise InputError(
            "train.method must be cgan in a sweep: the other one is not judged by held-out pairs"
        )
    if plan.method == "grid" and (count := _count(plan)) > _MOST_SETTINGS:
        raise InputError(
            f"the grid has {count} settings: list fewer values, or choose method random with runs"
        )
    _check_score(plan, problem, exact)
    _check_values(plan, settings)


def _count(plan: SweepPlan) -> int:
    """Settings of the grid."""
    sizes = (len(space.levels(plan.levels)) for space in plan.spaces.values())
    return int(np.prod([float(size) for size in sizes]))


def _check_score(plan: SweepPlan, problem: Problem, exact: bool) -> None:
    population = problem.question == "population"
    pushed = population and not problem.random and plan.push_forward
    lacking = {
        "pushforward": (pushed, "compares the outputs of a population's draws, which this problem "
                        "has not, or push_forward: false leaves out"),
        "nll": (not population, "is the density of held-out parameters for the posterior question; "
                "a population has heldout and pushforward"),
        "exact": (exact and not (population and problem.random),
                  "needs draws of the exact answer, which some problems of the gallery have"),
    }  # fmt: skip
    there, why = lacking.get(plan.score, (True, ""))
    if not there:
        raise SettingError(("score",), f"{plan.score} {why}; choose another score")


def _check_values(plan: SweepPlan, settings: Settings) -> None:
    """Every value must be possible beside some values of the other settings."""
    for name, space in plan.spaces.items():
        for level in space.levels(2):
            first = None
            for others in _others(plan, name):
                try:
                    changed(settings, {**others, name: level})
                    break
                except SettingError as error:
                    first = first or error
            else:
                if first is not None:
                    raise first.under("vary")


def _others(plan: SweepPlan, name: str) -> Iterator[Choice]:
    """Combinations of the other settings, of a range the ends; a random part of very many."""
    levels = {key: space.levels(2) for key, space in plan.spaces.items() if key != name}
    product = itertools.product(*levels.values())
    yield from (dict(zip(levels, values, strict=True)) for values in
                itertools.islice(product, _MOST_TRIED))  # fmt: skip
    rng = np.random.default_rng(0)
    if next(product, None) is not None:
        for _ in range(_MOST_TRIED):
            yield {key: values[int(rng.integers(len(values)))] for key, values in levels.items()}
