"""From a checked configuration to the problem: import the model, read the observations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from invgan.config.model import load_model
from invgan.config.models import build_model, moved_model
from invgan.config.sections import Config, ProblemConfig
from invgan.errors import InputError
from invgan.laws import observations_from, prior_from
from invgan.models import load_table, summarised
from invgan.observations import Observations, as_observations
from invgan.priors import PriorLike
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import unknown

__all__ = ["build_problem", "build_simulations", "relocated"]

_AS_GIVEN = ("outputs", "vectorized", "stochastic", "question", "noise", "missing")


def build_problem(
    config: Config, directory: str | Path = ".", *, out: str | Path | None = None
) -> Problem:
    """Import the model and put the problem together. This runs the model's file.

    Args:
        config: what `load_config` returned.
        directory: where relative paths start: the folder of the configuration file.
        out: the run folder, where failed runs of a program may be kept.

    Raises:
        ModelError: the model's file cannot be run, or lacks the function.
        InputError: the observations cannot be read, or the parts contradict each other.
    """
    given, folder = config.problem, Path(directory)
    own = None if given.gallery is None else _gallery_problem(given.gallery)
    seen, likelihood = given.observations, given.log_likelihood
    prior = None if given.prior is None else prior_from(given.prior)
    place = None if out is None else Path(out)
    parts: dict[str, Any] = {
        "model": None if prior is None or own else _model(config, folder, prior, place),
        "prior": prior,
        "observations": None if seen is None else _observed(given, folder),
        "log_likelihood": None
        if likelihood is None
        else load_model(likelihood, folder, "problem.log_likelihood"),
    } | {key: getattr(given, key) for key in _AS_GIVEN}
    if own is not None:
        parts = {key: getattr(own, key) if parts[key] is None else parts[key] for key in parts}
    return Problem(**parts)


def _model(config: Config, folder: Path, prior: PriorLike, out: Path | None) -> Any:
    """The model, and what is made of its outputs."""
    given = config.problem
    model = build_model(given.model, folder, names=prior.names, device=config.device, out=out)
    if given.summary is None:
        return model
    summary = load_model(given.summary, folder, "problem.summary")
    return summarised(model, summary, vectorized=bool(given.vectorized))


def _observed(given: ProblemConfig, folder: Path) -> Observations:
    """What was observed; a table may have gaps where the problem says so."""
    seen = given.observations
    if not given.missing or isinstance(seen, dict):
        return observations_from(seen, folder)
    return as_observations(folder / seen if isinstance(seen, str) else seen, missing=True)


def build_simulations(
    config: Config, problem: Problem, directory: str | Path = "."
) -> Simulations | None:
    """Simulations that were made elsewhere, where the configuration names a table of them.

    Args:
        config: what `load_config` returned.
        problem: what `build_problem` returned.
        directory: where relative paths start.

    Raises:
        InputError: the table cannot be read, or is no draw of the prior.
    """
    table = config.problem.table
    if table is None:
        return None
    if config.simulate.rounds > 1:
        raise InputError("problem.table cannot be made in rounds: leave simulate.rounds at 1")
    return load_table(Path(directory) / table, problem, seed=config.seed)


def relocated(config: Config, old: str | Path, new: str | Path) -> Config:
    """The same configuration for a file in another folder: its relative paths start there.

    Args:
        config: what `load_config` returned.
        old: the folder of its file.
        new: the folder that it is to be written to.
    """
    given = config.problem
    changes: dict[str, Any] = {}
    for key in ("model", "log_likelihood", "summary"):
        if (named := getattr(given, key)) is not None:
            changes[key] = moved_model(named, lambda file: _moved(file, old, new))
    for key in ("observations", "table"):
        if isinstance(getattr(given, key), str):
            changes[key] = _moved(getattr(given, key), old, new)
    problem = ProblemConfig(**{**dict(given), **changes})
    return Config(**{**dict(config), "problem": problem})


def _gallery_problem(name: str) -> Problem:
    from invgan.gallery import PROBLEMS, get  # noqa: PLC0415  (most configurations do without)

    if name not in PROBLEMS:
        raise unknown((name,), PROBLEMS, "a problem of the gallery")
    return get(name).problem


def _moved(file: str, old: str | Path, new: str | Path) -> str:
    if Path(file).is_absolute():
        return file
    target = Path(old, file).resolve()
    try:
        return Path(os.path.relpath(target, Path(new).resolve())).as_posix()
    except ValueError:  # another drive
        return str(target)
