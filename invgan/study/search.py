"""Which settings to try next: all of a grid, random ones, or what a sampler of Optuna proposes.

Every search is asked for a batch of settings and told their scores, until it has no more. What it
answers depends on its seed and on the scores alone, never on how many runs go on at once: so a
sweep in parallel is the same as a serial one, and one that was stopped is taken up by asking again
and telling what is known.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from invgan.errors import InputError
from invgan.study.changes import Choice
from invgan.study.plan import SweepPlan
from invgan.study.spaces import Space, Values

__all__ = ["Search", "search_of"]

_TRIES = 200


class Search(Protocol):
    """What proposes settings."""

    def ask(self) -> list[Choice]:
        """The next settings to try, none where the search is over."""
        ...

    def tell(self, scores: Sequence[float | None]) -> None:
        """The scores of the settings asked for last, None for one that has no score."""
        ...


def search_of(plan: SweepPlan, seed: int) -> Search:
    """The search that the plan asks for.

    Raises:
        InputError: it needs Optuna, which is not installed.
    """
    if plan.method == "grid":
        return _Listed(_grid(plan))
    if plan.method == "random":
        return _Listed(_random(plan, seed))
    return _Proposed(plan, seed)


class _Listed:
    """Settings that are known from the start."""

    def __init__(self, choices: list[Choice]) -> None:
        self._choices = choices

    def ask(self) -> list[Choice]:
        choices, self._choices = self._choices, []
        return choices

    def tell(self, scores: Sequence[float | None]) -> None:
        pass


def _grid(plan: SweepPlan) -> list[Choice]:
    """Every combination, the last setting varying fastest."""
    levels = [space.levels(plan.levels) for space in plan.spaces.values()]
    return [dict(zip(plan.spaces, values, strict=True)) for values in itertools.product(*levels)]


def _random(plan: SweepPlan, seed: int) -> list[Choice]:
    """Independent draws, none twice; more runs are the same ones and then others."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    found: dict[str, Choice] = {}
    for _ in range(plan.runs):
        for _ in range(_TRIES):
            choice = {name: space.draw(rng) for name, space in plan.spaces.items()}
            key = json.dumps(choice, sort_keys=True)
            if key not in found:
                found[key] = choice
                break
    return list(found.values())


class _Proposed:
    """What a sampler of Optuna proposes, a batch at a time."""

    def __init__(self, plan: SweepPlan, seed: int) -> None:
        self._optuna = _optuna()
        self._spaces, self._left, self._batch = plan.spaces, plan.runs, plan.batch
        self._open: list[Any] = []
        with _quiet(self._optuna):
            sampler = _sampler(self._optuna, plan.sampler, seed)
            self._study = self._optuna.create_study(sampler=sampler, direction="minimize")
        self._laws = {name: _law(self._optuna, space) for name, space in self._spaces.items()}

    def ask(self) -> list[Choice]:
        count = min(self._batch, self._left)
        self._left -= count
        with _quiet(self._optuna):
            self._open = [self._study.ask(self._laws) for _ in range(count)]
        return [
            {name: _value(self._spaces[name], value) for name, value in trial.params.items()}
            for trial in self._open
        ]

    def tell(self, scores: Sequence[float | None]) -> None:
        failed = self._optuna.trial.TrialState.FAIL
        with _quiet(self._optuna):
            for trial, score in zip(self._open, scores, strict=True):
                if score is None:
                    self._study.tell(trial, state=failed)
                else:
                    self._study.tell(trial, score)


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "method: optuna needs the package optuna: pip install 'invgan[optuna]', or choose "
            "method grid or random"
        ) from None
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna tells of every step by a log of its own, and of samplers that it calls new."""
    import warnings  # noqa: PLC0415

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    kinds = {"tpe": "TPESampler", "gp": "GPSampler", "qmc": "QMCSampler"}
    return getattr(optuna.samplers, kinds[name])(seed=seed)


def _law(optuna: Any, space: Space) -> Any:
    """The values of a list by their places, since Optuna takes no lists for values."""
    laws = optuna.distributions
    if isinstance(space, Values):
        return laws.CategoricalDistribution(tuple(range(len(space.values))))
    if space.whole:
        return laws.IntDistribution(int(space.low), int(space.high), log=space.log)
    return laws.FloatDistribution(space.low, space.high, log=space.log)


def _value(space: Space, drawn: Any) -> Any:
    return space.values[drawn] if isinstance(space, Values) else drawn
