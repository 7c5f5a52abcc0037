"""The look of every figure: its colours, the grid of its panels, its legends, its file.

The answer is blue, MCMC a dashed vermilion, what was observed dark grey: the palette of Okabe and
Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from invgan.files import replacing

__all__ = [
    "ANSWER",
    "BASELINE",
    "DPI",
    "OBSERVED",
    "PRIOR",
    "layout",
    "legend_above",
    "legend_below",
    "own_style",
    "panels",
    "plain_text",
    "save_png",
]

DPI = 150
"""Dots per inch of the PNG files."""

ANSWER, BASELINE, OBSERVED, PRIOR = "#0072B2", "#D55E00", "#404040", "#8C8C8C"


def own_style() -> AbstractContextManager[None]:
    """Let the figures inside look as designed, whatever a model's file has set of matplotlib."""
    return style.context("default")


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None}
        )


def layout(count: int) -> tuple[int, int]:
    """Columns and rows of a grid of so many panels."""
    columns = next((c for c, most in ((1, 1), (2, 4), (3, 9)) if count <= most), 4)
    return columns, -(-count // columns)


def panels(figure: Figure | SubFigure, count: int, *, stacked: bool = False) -> list[Axes]:
    """So many empty panels of a figure, row by row, or one above the other."""
    columns, rows = (1, count) if stacked else layout(count)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return [_plain(axes) for axes in grid[:count]]


def _plain(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PRIOR)
    axes.tick_params(labelsize=8, color=PRIOR)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    return axes


def legend_above(axes: Axes) -> None:
    """A legend above the axes, where it hides no data."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        frameon=False,
        fontsize=8,
        ncols=3,
        borderaxespad=0.2,
    )


def legend_below(figure: Figure | SubFigure, axes: Axes) -> None:
    """One legend below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize=8.5, ncols=len(labels)
    )


def plain_text(name: str) -> str:
    """A user's name as plain text: no mathematics in it, and not too long for an axis."""
    short = name if len(name) <= 40 else f"{name[:39]}…"
    return short.replace("$", r"\$")
