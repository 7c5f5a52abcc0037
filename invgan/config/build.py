"""From a checked configuration to the problem: import the model, read the observations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from invgan.config.model import load_model
from invgan.config.sections import GALLERY, Config, ProblemConfig
from invgan.laws import observations_from, prior_from
from invgan.problem import Problem
from invgan.settings import unknown

__all__ = ["build_problem", "relocated"]

_AS_GIVEN = ("outputs", "vectorized", "stochastic", "question", "noise")


def build_problem(config: Config, directory: str | Path = ".") -> Problem:
    """Import the model and put the problem together. This runs the model's file.

    Args:
        config: what `load_config` returned.
        directory: where relative paths start: the folder of the configuration file.

    Raises:
        ModelError: the model's file cannot be run, or lacks the function.
        InputError: the observations cannot be read, or the parts contradict each other.
    """
    given, folder = config.problem, Path(directory)
    own = _gallery_problem(given.model.removeprefix(GALLERY)) if _is_gallery(given) else None
    seen, likelihood = given.observations, given.log_likelihood
    parts: dict[str, Any] = {
        "model": load_model(given.model, folder) if own is None else None,
        "prior": None if given.prior is None else prior_from(given.prior),
        "observations": None if seen is None else observations_from(seen, folder),
        "log_likelihood": None
        if likelihood is None
        else load_model(likelihood, folder, "problem.log_likelihood"),
    } | {key: getattr(given, key) for key in _AS_GIVEN}
    if own is not None:
        parts = {key: getattr(own, key) if parts[key] is None else parts[key] for key in parts}
    return Problem(**parts)


def relocated(config: Config, old: str | Path, new: str | Path) -> Config:
    """The same configuration for a file in another folder: its relative paths start there.

    Args:
        config: what `load_config` returned.
        old: the folder of its file.
        new: the folder that it is to be written to.
    """
    given = config.problem
    changes: dict[str, Any] = {}
    for key in ("model", "log_likelihood"):
        file, colon, function = (getattr(given, key) or "").rpartition(":")
        if file.endswith(".py"):
            changes[key] = f"{_moved(file, old, new)}{colon}{function}"
    if isinstance(given.observations, str):
        changes["observations"] = _moved(given.observations, old, new)
    problem = ProblemConfig(**{**dict(given), **changes})
    return Config(**{**dict(config), "problem": problem})


def _is_gallery(problem: ProblemConfig) -> bool:
    return problem.model.startswith(GALLERY)


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
