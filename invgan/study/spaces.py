"""The values that one setting may take: a list, or a range even in itself or in its logarithm."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from invgan.errors import InputError
from invgan.settings import SettingError, number, short

__all__ = ["Range", "Space", "Values", "space_of"]

_LAWS = ("uniform", "log_uniform")


@dataclass(frozen=True)
class Values:
    """A list of values, taken one by one or drawn evenly."""

    values: tuple[Any, ...]

    def levels(self, count: int) -> tuple[Any, ...]:
        """All of them, however many a range would give."""
        return self.values

    def draw(self, rng: np.random.Generator) -> Any:
        """One of them."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """Numbers from low to high.

    Attributes:
        low: the smallest.
        high: the largest.
        log: even in the logarithm.
        whole: whole numbers alone.
    """

    low: float
    high: float
    log: bool
    whole: bool

    def levels(self, count: int) -> tuple[float, ...]:
        """So many numbers, evenly from low to high; fewer where whole numbers coincide."""
        even = np.geomspace if self.log else np.linspace
        found = even(self.low, self.high, count).tolist()
        return tuple(dict.fromkeys(map(self._number, found)))

    def draw(self, rng: np.random.Generator) -> float:
        """A number of the range, each as likely as any other, or its logarithm."""
        if self.log:
            return self._number(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        return float(rng.uniform(self.low, self.high))

    def _number(self, value: float) -> float:
        bounded = min(max(value, self.low), self.high)
        return round(bounded) if self.whole else bounded


Space = Values | Range


def space_of(raw: Any, *, whole: bool = False) -> Space:
    """The space that plain data describe.

    Args:
        raw: a list of values, or ``{uniform: [low, high]}`` or ``{log_uniform: [low, high]}``.

    Other Args:
        whole: whether the setting takes whole numbers alone.

    Raises:
        SettingError: raw is neither, or its numbers make no range.
    """
    if isinstance(raw, list | tuple):
        return _values(list(raw))
    if not isinstance(raw, Mapping) or len(raw) != 1 or next(iter(raw)) not in _LAWS:
        raise SettingError(
            (),
            "must be a list of values, {uniform: [low, high]} or {log_uniform: [low, high]}; "
            f"got {short(raw)}",
        )
    ((law, ends),) = raw.items()
    return _range(ends, law == "log_uniform", whole, law)


def _values(values: list[Any]) -> Values:
    if not values:
        raise SettingError((), "must not be empty; list the values to try")
    texts = [json.dumps(value, sort_keys=True) for value in values]
    for place, text in enumerate(texts):
        if text in texts[:place]:
            raise SettingError((), f"lists {short(values[place])} twice; keep one")
    return Values(tuple(values))


def _range(ends: Any, log: bool, whole: bool, law: str) -> Range:
    try:
        low, high = (float(number(end)) for end in ends)
    except (InputError, TypeError, ValueError):
        raise SettingError((law,), f"must be [low, high]; got {short(ends)}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SettingError((law,), f"must have low < high, both finite; got {short(ends)}")
    if log and low <= 0:
        raise SettingError((law,), f"must have low above 0, or use uniform; got {short(ends)}")
    if whole and (low != int(low) or high != int(high)):
        raise SettingError((law,), f"must be whole numbers for this setting; got {short(ends)}")
    return Range(low, high, log, whole)
