"""The arguments of public functions, checked at the door."""

from __future__ import annotations

import operator
from types import NoneType, UnionType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError

__all__ = ["check_kinds", "rows_of", "seeds_from", "whole"]

Array = NDArray[np.float64]

_LONGEST = 60
_WANTED = {
    "Problem": "a Problem, made of a model, a prior and observations",
    "Simulations": "Simulations, as simulate, load_table and open_store give them",
    "Samples": "Samples, as sample, correct and run_mcmc give them",
    "Drawer": "an Inverse, or what draws as one does",
    "Settings": "Settings, such as Settings(train=TrainConfig(steps=6000))",
    "SweepPlan": "a plan, such as {'vary': {'train.gamma': [0.05, 0.5]}}",
    "TrainConfig": "a TrainConfig, such as TrainConfig(steps=6000)",
}


def seeds_from(seed: int, count: int) -> list[int]:
    """So many independent seeds that one seed stands for.

    Raises:
        InputError: the seed is no whole number, or below zero.
    """
    states = np.random.SeedSequence(whole("seed", seed, least=0)).generate_state(count)
    return [int(state) for state in states]


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number that is large enough, of Python's or of numpy's kind.

    Args:
        name: of the argument.
        value: what came for it.

    Other Args:
        least: the smallest that will do.

    Raises:
        InputError: it is something else.
    """
    try:
        found = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"{name} must be a whole number, {least} or more; got {_said(value)}")
    return found


def check_kinds(**given: tuple[Any, type | UnionType]) -> None:
    """Refuse arguments that are not of their class, by their names.

    Args:
        given: what came for each, and the class, or ``Class | None`` where it may be left out.

    Raises:
        InputError: one is something else.
    """
    for name, (value, kind) in given.items():
        if not isinstance(value, kind):
            wanted = next(k.__name__ for k in (*get_args(kind), kind) if k is not NoneType)
            raise InputError(f"{name} must be {_WANTED.get(wanted, wanted)}; got {_said(value)}")


def rows_of(name: str, value: Any, columns: int | None = None) -> Array:
    """A table of numbers (n, columns), of whatever can be one.

    Args:
        name: of the argument.
        value: what came for it.
        columns: how many it must have; any number if left out.

    Raises:
        InputError: it is no such table.
    """
    try:
        rows = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a table of numbers; got {_said(value)}") from None
    if rows.ndim != 2 or columns not in (None, rows.shape[1]):
        size = "" if columns is None else f"{columns} "
        raise InputError(f"{name} must be rows of {size}numbers; got the shape {rows.shape}")
    return rows


def _said(value: Any) -> str:
    """A short value as it is, of another its class."""
    text = repr(value)
    return text if len(text) <= _LONGEST and "\n" not in text else type(value).__name__
