"""What each setting of a sweep does to the score: main effects and parallel coordinates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from invgan.plots.style import ANSWER, PRIOR, layout, panels, plain_text

__all__ = ["Dimension", "plot_main_effects", "plot_parallel"]

Array = NDArray[np.float64]

_MOST_LEVELS = 8
_BINS, _MARKS = 5, 4
_MAP = "viridis"
_MARGIN = 0.06


@dataclass(frozen=True)
class Dimension:
    """One setting over the n runs.

    Attributes:
        name: of the setting.
        places: where each run stands on its axis, 0 to 1, shape (n,).
        groups: which level each run has, or which fifth of the runs it is in where there are many
            different numbers, shape (n,).
        labels: of the k levels.
        ticks: where the levels stand, 0 to 1, shape (k,).
        marks: what is written along the axis, by place.
    """

    name: str
    places: Array
    groups: NDArray[np.intp]
    labels: tuple[str, ...]
    ticks: Array
    marks: Mapping[float, str]

    @classmethod
    def of(cls, name: str, values: Sequence[Any], *, log: bool = False) -> Self:
        """Order the values of a setting, one for each run.

        Args:
            name: of the setting.
            values: numbers, words, or anything that JSON holds.

        Other Args:
            log: numbers are even in their logarithm.
        """
        levels = sorted({json.dumps(value) for value in values}, key=_order)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if numbers and len(levels) > _MOST_LEVELS:
            return cls._continuous(name, np.array(values, float), log)
        groups = np.array([levels.index(json.dumps(value)) for value in values], dtype=np.intp)
        ticks = (np.arange(len(levels)) + 0.5) / max(len(levels), 1)
        labels = tuple(map(_label, levels))
        marks = dict(zip(ticks.tolist(), labels, strict=True))
        return cls(name, ticks[groups], groups, labels, ticks, marks)

    @classmethod
    def _continuous(cls, name: str, values: Array, log: bool) -> Self:
        scaled = np.log(values) if log else values
        low, high = scaled.min(), scaled.max()
        places = (scaled - low) / (high - low)
        rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        groups = np.asarray(rank * _BINS // len(values), dtype=np.intp)
        inside = [groups == g for g in range(_BINS)]
        labels = tuple(f"{values[i].min():.3g} to {values[i].max():.3g}" for i in inside)
        ticks = np.array([places[i].mean() for i in inside])
        even = np.linspace(0, 1, _MARKS)
        worth = low + even * (high - low)
        shown = [f"{value:.2g}" for value in (np.exp(worth) if log else worth)]
        return cls(
            name, places, groups, labels, ticks, dict(zip(even.tolist(), shown, strict=True))
        )

    def means(self, scores: Array) -> Array:
        """Mean of the scores (n,) at each level, shape (k,)."""
        sums = np.bincount(self.groups, scores, len(self.labels))
        return np.asarray(sums / np.bincount(self.groups, minlength=len(self.labels)))

    def share(self, scores: Array) -> float:
        """The part of the scores' variance that lies between levels, 0 to 1.

        In a full grid the parts of all settings and of their joint effects add up to one.
        """
        total = float(np.square(scores - scores.mean()).sum())
        between = float(np.square(self.means(scores)[self.groups] - scores.mean()).sum())
        return between / total if total > 0 else 0.0


def plot_main_effects(dimensions: Sequence[Dimension], scores: Array, label: str) -> Figure:
    """For each setting every run's score, and the line of the means at its levels.

    Args:
        dimensions: the settings over the runs.
        scores: of the runs, shape (n,).
        label: of the score.
    """
    columns, rows = layout(max(len(dimensions), 1))
    figure = Figure(figsize=(3.2 * columns + 0.6, 2.6 * rows + 0.3), layout="constrained")
    for j, (dimension, axes) in enumerate(
        zip(dimensions, panels(figure, len(dimensions)), strict=True)
    ):
        means = dimension.means(scores)
        axes.plot(dimension.places, scores, "o", ms=3.5, color=PRIOR, alpha=0.6, mew=0)
        axes.plot(dimension.ticks, means, "o-", ms=6, lw=1.6, color=ANSWER)
        axes.axhline(float(scores.mean()), color=PRIOR, lw=0.8, ls=":")
        axes.set_xticks(list(dimension.marks), list(dimension.marks.values()), fontsize=7.5)
        axes.set_xlim(-_MARGIN, 1 + _MARGIN)
        axes.set_title(plain_text(dimension.name), fontsize=10, loc="left")
        if j % columns == 0:
            axes.set_ylabel(label)
        _slant(axes, dimension)
    return figure


def plot_parallel(dimensions: Sequence[Dimension], scores: Array, label: str) -> Figure:
    """Every run as a line through its settings, coloured by its score, the best one on top.

    Args:
        dimensions: the settings over the runs.
        scores: of the runs, shape (n,).
        label: of the score.
    """
    figure = Figure(figsize=(1.9 * len(dimensions) + 3.0, 3.8), layout="constrained")
    axes = figure.subplots()
    low, high = float(scores.min()), float(scores.max())
    width = high - low or 1.0
    scale = Normalize(low, low + width)
    order = np.argsort(scores)[::-1]
    for i in order:
        places = [*(d.places[i] for d in dimensions), (scores[i] - low) / width]
        best = i == order[-1]
        colour = colormaps[_MAP](scale(float(scores[i])))
        axes.plot(range(len(places)), places, color=colour, lw=2.4 if best else 1.0,
                  alpha=1.0 if best else 0.6)  # fmt: skip
    for j, dimension in enumerate(dimensions):
        axes.axvline(j, color=PRIOR, lw=0.8, zorder=0)
        for place, text in dimension.marks.items():
            axes.annotate(text, (j, place), xytext=(4, 0), textcoords="offset points",
                          fontsize=7.5, va="center", bbox={"fc": "white", "ec": "none", "pad": 0.6,
                                                           "alpha": 0.8})  # fmt: skip
    axes.axvline(len(dimensions), color=PRIOR, lw=0.8, zorder=0)
    _finish(figure, axes, dimensions, label, scale)
    return figure


def _finish(
    figure: Figure, axes: Axes, dimensions: Sequence[Dimension], label: str, scale: Normalize
) -> None:
    names = [plain_text(dimension.name) for dimension in dimensions]
    axes.set_xticks(range(len(names) + 1), [*names, "score"], fontsize=8.5)
    axes.set(xlim=(-0.1, len(names) + 0.1), ylim=(-0.03, 1.03), yticks=[])
    axes.spines[:].set_visible(False)
    mappable = ScalarMappable(scale, colormaps[_MAP])
    figure.colorbar(mappable, ax=axes, label=label, pad=0.02)


def _slant(axes: Axes, dimension: Dimension) -> None:
    """Long labels are written at a slant."""
    if sum(map(len, dimension.marks.values())) > 34:
        axes.tick_params(axis="x", rotation=30)


def _order(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    value = json.loads(text)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, text)


def _label(text: str) -> str:
    value = json.loads(text)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return plain_text(value) if isinstance(value, str) else text
