"""Figures: arrays in, a matplotlib `Figure` out.

Nothing is registered with pyplot, so no display is needed, no window opens and no figure outlives
its last reference. Everywhere the answer is blue, MCMC a dashed vermilion, what was observed
dark grey (the palette of Okabe and Ito, which colour-blind readers can tell apart).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import corner
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.interpolate import CloughTocher2DInterpolator, NearestNDInterpolator
from scipy.spatial import QhullError

from invgan.files import replacing

__all__ = [
    "DPI",
    "MAX_CORNER",
    "MAX_OUTPUTS",
    "Figure",
    "Surface",
    "interpolate",
    "plot_answer",
    "plot_corner",
    "plot_figure6",
    "plot_history",
    "plot_pushforward",
    "save_png",
    "strongest",
]

Array = NDArray[np.float64]
_Dash = Literal["-", "--"]

DPI = 150
"""Dots per inch of the PNG files."""
MAX_CORNER = 8
"""Parameters in a corner plot, at most."""
MAX_OUTPUTS = 12
"""Outputs in a push-forward figure, at most."""

_ANSWER, _BASELINE, _OBSERVED, _PRIOR, _RULE = "#0072B2", "#D55E00", "#404040", "#8C8C8C", "#D9D9D9"
_MAX_POINTS = 5000
_MAX_LINES = 40
_MAX_PAIRS = 20_000
_LEVELS = (0.5, 0.9)


@dataclass(frozen=True)
class Surface:
    """One output of a two-parameter model over a rectangle, for its contours.

    Attributes:
        x1: first parameter, shape (G,).
        x2: second parameter, shape (G,).
        y: the output, shape (G, G), rows along x2; NaN where it is not known.
        output: its name.
        marks: values whose contours stand out, increasing, such as quantiles of P_Y.
    """

    x1: Array
    x2: Array
    y: Array
    output: str
    marks: tuple[float, ...] = ()


def interpolate(
    x: Array, y: Array, output: str, marks: Sequence[float] = (), size: int = 160
) -> Surface | None:
    """A `Surface` from scattered pairs, without running the model again.

    Cubic on a triangulation (Clough and Tocher 1965) of at most 20,000 of the pairs.

    Args:
        x: parameters, shape (n, 2).
        y: one output, shape (n,).
        output: its name.
        marks: values whose contours shall stand out.
        size: grid points along each side.

    Returns:
        None where the pairs span no area.
    """
    x, y = _some(x, _MAX_PAIRS), _some(y, _MAX_PAIRS)
    if len(x) < 4 or not np.all(np.ptp(x, axis=0) > 0):
        return None
    (x1, x2), scale = [np.linspace(*_extent(column), size) for column in x.T], np.ptp(x, axis=0)
    try:
        cubic = CloughTocher2DInterpolator(x / scale, y)
    except QhullError:
        return None
    grid = np.meshgrid(x1 / scale[0], x2 / scale[1])
    # The triangles end a little inside the prior's edges: the nearest draw fills that strip.
    nearest = NearestNDInterpolator(x / scale, y)(*grid, distance_upper_bound=0.03)
    inner = cubic(*grid)
    values = np.where(np.isfinite(inner), inner, nearest)
    return Surface(x1, x2, values, output, tuple(sorted(set(map(float, marks)))))


def strongest(x: Array, prior_x: Array | None, count: int) -> list[int]:
    """The parameters that the observations moved most, in their own order.

    Moved in the sense of Kolmogorov and Smirnov's distance from the prior; the first ones where
    no prior draws are given.

    Args:
        x: draws of the answer, shape (n, D).
        prior_x: draws of the prior, shape (m, D), or None.
        count: how many to name.
    """
    if prior_x is None or not len(prior_x) or x.shape[1] <= count:
        return list(range(min(count, x.shape[1])))
    moved = [_distance(a, b) for a, b in zip(x.T, prior_x.T, strict=True)]
    return sorted(int(j) for j in np.argsort(moved)[::-1][:count])


def plot_answer(
    x: Array,
    names: Sequence[str],
    surface: Surface | None = None,
    prior_x: Array | None = None,
) -> Figure:
    """Draws of P_X, for two parameters over the model's contours.

    One parameter alone is drawn as a histogram; of more than two, the pair that moved most.

    Args:
        x: draws, shape (n, D).
        names: the D parameter names.
        surface: the model's output over the two parameters, or None for no contours.
        prior_x: draws of the prior, shape (m, D), for the limits and for what moved most.
    """
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    _draw_answer(figure, x, names, surface, prior_x)
    return figure


def plot_pushforward(
    y: Array,
    observed: Array,
    outputs: Sequence[str],
    baseline_y: Array | None = None,
    *,
    single: bool = False,
) -> Figure:
    """The answer's push-forward against the observations, one panel for each output.

    Args:
        y: the model's outputs for the answer, shape (n, L).
        observed: rows of P_Y, shape (N, L).
        outputs: the L output names; those beyond the first twelve are counted in words.
        baseline_y: the model's outputs for MCMC's draws, shape (m, L), or None.

    Other Args:
        single: the observed rows are one experiment: each is a vertical line, not a distribution.
    """
    columns, rows = _layout(min(len(outputs), MAX_OUTPUTS))
    figure = Figure(figsize=(max(3.4 * columns, 5.0), max(2.6 * rows, 3.6)), layout="constrained")
    _draw_pushforward(figure, y, observed, outputs, baseline_y, single=single)
    return figure


def plot_figure6(
    x: Array,
    y: Array,
    observed: Array,
    names: Sequence[str],
    outputs: Sequence[str],
    *,
    surface: Surface | None = None,
    prior_x: Array | None = None,
    baseline_y: Array | None = None,
    single: bool = False,
) -> Figure:
    """The answer and its check: `plot_answer` (panel A1) beside `plot_pushforward` (panel A2)."""
    columns, rows = _layout(min(len(outputs), MAX_OUTPUTS))
    beside = rows <= 2
    size = (4.9 + max(2.7 * columns, 4.7), 4.6) if beside else (9.6, 4.4 + 2.2 * rows)
    figure = Figure(figsize=size, layout="constrained")
    parts: Any = (
        figure.subfigures(1, 2, width_ratios=[4.9, size[0] - 4.9], wspace=0.02)
        if beside
        else figure.subfigures(2, 1, height_ratios=[4.4, 2.2 * rows], hspace=0.02)
    )
    a1, a2 = parts
    _draw_answer(a1, x, names, surface, prior_x)
    _draw_pushforward(a2, y, observed, outputs, baseline_y, single=single)
    for part, label in ((a1, "A1  parameters"), (a2, "A2  push-forward")):
        part.suptitle(label, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def plot_corner(
    x: Array,
    baseline_x: Array | None,
    names: Sequence[str],
    truth: Sequence[float] | None = None,
    prior_x: Array | None = None,
) -> Figure:
    """Every pair of parameters: the answer over MCMC, as 50 % and 90 % regions.

    Args:
        x: draws of the answer, shape (n, D).
        baseline_x: MCMC's draws, shape (m, D), or None.
        names: the D parameter names; of more than eight, those that moved most are drawn.
        truth: D values to mark, or None.
        prior_x: draws of the prior, shape (k, D), for what moved most.
    """
    chosen = strongest(x, prior_x, MAX_CORNER)
    side = max(1.45 * len(chosen) + 1, 4.8)
    figure = Figure(figsize=(side, side))
    clouds: list[tuple[Array, str, str, _Dash]] = [(x, "cGAN", _ANSWER, "-")]
    if baseline_x is not None and len(baseline_x):
        clouds.insert(0, (baseline_x, "MCMC", _BASELINE, "--"))
    both = np.concatenate([cloud[:, chosen] for cloud, *_ in clouds])
    extents = [_extent(column) for column in both.T]
    labels = [_text(names[j]) for j in chosen]
    for cloud, _, colour, dash in clouds:
        _draw_corner(
            figure, cloud[:, chosen], labels=labels, extents=extents, colour=colour, dash=dash
        )
    handles = [Line2D([], [], color=c, linestyle=d, label=label) for _, label, c, d in clouds[::-1]]
    if truth is not None:
        corner.overplot_lines(figure, [float(truth[j]) for j in chosen], color="k", lw=0.8)
        handles.append(Line2D([], [], color="k", lw=0.8, label="truth"))
    _finish_corner(figure, len(chosen), handles)
    return figure


def plot_history(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The course of training; panels whose figures are missing are left out.

    Args:
        history: rows with a phase (``"head"`` or ``"gan"``) and a step. Rows of the head may hold
            train_nll and heldout_nll; those of the game critic_loss, generator_loss, critic_real,
            critic_fake, critic_grad_norm, generator_grad_norm, and where the generator was
            evaluated heldout (smaller is better) and kept.
    """
    found = []
    for title, phase, keys in _PANELS:
        lines = {label: _series(history, phase, key) for key, label in keys.items()}
        lines = {label: line for label, line in lines.items() if len(line)}
        if lines:
            found.append((title, lines))
    columns, rows = _layout(max(len(found), 1))
    figure = Figure(figsize=(3.6 * columns + 0.6, 2.7 * rows + 0.3), layout="constrained")
    if not found:
        figure.text(0.5, 0.5, "no training history", ha="center", color=_PRIOR)
        return figure
    for (title, lines), axes in zip(found, _panels(figure, len(found)), strict=True):
        _draw_course(axes, title, lines)
        if title == _HELDOUT:
            _mark_kept(axes, history)
    return figure


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None}
        )


_HELDOUT = "held-out two-sample measure"
_PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("head: negative log-likelihood", "head", {"train_nll": "training", "heldout_nll": "held out"}),
    ("losses of the game", "gan", {"critic_loss": "critic", "generator_loss": "generator"}),
    (
        "critic's output",
        "gan",
        {"critic_real": "simulated pairs", "critic_fake": "generated pairs"},
    ),
    (
        "gradient norms",
        "gan",
        {"critic_grad_norm": "critic", "generator_grad_norm": "generator"},
    ),
    (_HELDOUT, "gan", {"heldout": "generator"}),
)


def _draw_answer(
    figure: Figure | SubFigure,
    x: Array,
    names: Sequence[str],
    surface: Surface | None,
    prior_x: Array | None,
) -> None:
    (axes,) = _panels(figure, 1)
    axes.set_box_aspect(0.9)
    if x.shape[1] == 1:
        _draw_marginal(axes, x, names[0], prior_x)
    else:
        _draw_pair(axes, x, names, strongest(x, prior_x, 2), prior_x)
    if surface is not None and x.shape[1] == 2:
        _draw_contours(axes, surface)
    _legend_below(figure, axes)


def _draw_pair(
    axes: Axes, x: Array, names: Sequence[str], pair: list[int], prior_x: Array | None
) -> None:
    shown = _some(x, _MAX_POINTS)[:, pair]
    label = "draws" if len(shown) == len(x) else f"{len(shown):,} of {len(x):,} draws"
    strength = float(np.clip(20 / math.sqrt(len(shown)), 0.3, 0.9))
    dots: dict[str, Any] = {"color": _ANSWER, "marker": "o", "ls": "", "mew": 0}
    axes.plot(shown[:, 0], shown[:, 1], ms=2.2, alpha=strength, rasterized=True, zorder=3, **dots)
    axes.plot([], [], ms=5, label=label, **dots)
    around = x if prior_x is None or not len(prior_x) else prior_x
    limits = [_extent(around[:, j], x[:, j]) for j in pair]
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set(xlabel=_text(names[pair[0]]), ylabel=_text(names[pair[1]]))


def _draw_marginal(axes: Axes, x: Array, name: str, prior_x: Array | None) -> None:
    prior = np.empty(0) if prior_x is None else prior_x[:, 0]
    edges = _edges(x[:, 0], prior)
    if len(prior):
        axes.stairs(_density(prior, edges), edges, color=_PRIOR, lw=1.2, label="prior")
    axes.stairs(_density(x[:, 0], edges), edges, color=_ANSWER, lw=1.6, label="draws")
    axes.set(xlabel=_text(name), ylabel="density", ylim=(0, None))


def _draw_contours(axes: Axes, surface: Surface) -> None:
    known = surface.y[np.isfinite(surface.y)]
    quantiles = np.quantile(known, np.linspace(0, 1, 13)[1:-1]) if len(known) else known
    levels = np.unique([float(f"{value:.2g}") for value in quantiles])
    if len(levels) < 2:
        return
    grid = surface.x1, surface.x2, np.ma.masked_invalid(surface.y)
    shades = BoundaryNorm(levels, 256, extend="both")
    axes.contourf(*grid, levels, norm=shades, cmap="Greys", alpha=0.18, zorder=0, extend="both")
    lines = axes.contour(*grid, levels, colors=_PRIOR, linewidths=0.5, zorder=1)
    axes.clabel(lines, fontsize=6, fmt=lambda value: f"{value:g}")
    marks = [mark for mark in surface.marks if known.min() < mark < known.max()]
    if marks:
        axes.contour(*grid, marks, colors=_OBSERVED, linewidths=1.4, zorder=4)
        label = f"{_text(surface.output)} = {', '.join(f'{mark:.3g}' for mark in marks)}"
        axes.plot([], [], color=_OBSERVED, lw=1.4, label=label)


def _draw_pushforward(
    figure: Figure | SubFigure,
    y: Array,
    observed: Array,
    outputs: Sequence[str],
    baseline_y: Array | None,
    *,
    single: bool,
) -> None:
    count = min(len(outputs), MAX_OUTPUTS)
    for j, axes in enumerate(_panels(figure, count)):
        other = np.empty(0) if baseline_y is None else baseline_y[:, j]
        _draw_output(axes, y[:, j], observed[:, j], other, single)
        axes.set_xlabel(_text(outputs[j]))
        if j % _layout(count)[0] == 0:
            axes.set_ylabel("density")
    if len(outputs) > count:
        axes.plot([], [], ls="", label=f"({len(outputs) - count} more outputs are not drawn)")
    _legend_below(figure, axes)


def _draw_output(axes: Axes, y: Array, seen: Array, other: Array, single: bool) -> None:
    edges = _edges(y, other, seen[:0] if single else seen)
    if single:
        strength = max(0.25, 1 / math.sqrt(len(seen)))
        for i, value in enumerate(seen[:_MAX_LINES]):
            label = "observed" if i == 0 else None
            axes.axvline(value, color=_OBSERVED, lw=1.4, alpha=strength, zorder=4, label=label)
    else:
        bars = _density(seen, edges)
        axes.stairs(bars, edges, fill=True, color=_OBSERVED, alpha=0.25, label="observed")
    axes.stairs(_density(y, edges), edges, color=_ANSWER, lw=1.6, label="model at cGAN draws")
    if len(other):
        bars = _density(other, edges)
        axes.stairs(bars, edges, color=_BASELINE, lw=1.2, ls="--", label="model at MCMC draws")
    axes.set(ylim=(0, None), yticks=[])


def _draw_corner(
    figure: Figure,
    x: Array,
    *,
    labels: list[str],
    extents: list[tuple[float, float]],
    colour: str,
    dash: _Dash,
) -> None:
    # A contour of a few draws shows the smoothing, not the answer: points are honest there.
    many = len(np.unique(x, axis=0)) >= 50 * x.shape[1]
    if len(x) <= x.shape[1]:
        x = np.repeat(x, x.shape[1], axis=0)
    bins = int(np.clip(round(len(x) ** (1 / 3)), 12, 36))
    corner.corner(
        x,
        fig=figure,
        range=extents,
        bins=bins,
        smooth=1.0 if many else None,
        levels=_LEVELS,
        labels=labels,
        label_kwargs={"fontsize": 10},
        color=colour,
        quiet=True,
        max_n_ticks=4,
        labelpad=-0.05 if x.shape[1] < 4 else 0.0,
        plot_density=False,
        plot_contours=many,
        plot_datapoints=not many,
        fill_contours=many and dash == "-",
        no_fill_contours=True,
        contour_kwargs={"linestyles": dash, "linewidths": 1.2},
        contourf_kwargs={"colors": ["none", colour + "22", colour + "55"]},
        hist_kwargs={"density": True, "linestyle": dash, "linewidth": 1.4},
        data_kwargs={"alpha": 0.5, "ms": 2.5},
    )


def _finish_corner(figure: Figure, count: int, handles: list[Line2D]) -> None:
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
    top = figure.axes[count - 1].get_position()
    figure.legend(
        handles=handles,
        loc="upper right" if count > 1 else "lower right",
        bbox_to_anchor=(top.x1, top.y1),
        frameon=False,
        fontsize=11,
        ncols=1 if count > 1 else 3,
    )


def _draw_course(axes: Axes, title: str, lines: dict[str, Array]) -> None:
    _style(axes)
    for (label, line), colour, dash in zip(
        lines.items(), (_ANSWER, _BASELINE), ("-", "--"), strict=False
    ):
        thin = len(line) > 200
        if thin:
            axes.plot(*line.T, color=colour, lw=0.5, alpha=0.3)
        axes.plot(*_smooth(line).T if thin else line.T, color=colour, ls=dash, lw=1.4, label=label)
    axes.set_title(title, fontsize=10, loc="left", pad=18)
    axes.set_xlabel("step")
    if title == "gradient norms" and all(np.all(line[:, 1] > 0) for line in lines.values()):
        axes.set_yscale("log")
    if title == "losses of the game":
        axes.axhline(math.log(2), color=_PRIOR, ls=":", lw=1, label="log 2: neither side wins")
    _legend(axes)


def _mark_kept(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    for kept, face, label in ((True, _ANSWER, "kept"), (False, "white", "not kept")):
        rows = [row for row in history if bool(row.get("kept")) is kept]
        points = _series(rows, "gan", "heldout")
        if len(points):
            axes.plot(*points.T, "o", ms=5, mec=_ANSWER, mfc=face, ls="", label=label, zorder=3)
    _legend(axes)


def _series(history: Sequence[Mapping[str, Any]], phase: str, key: str) -> Array:
    """Finite points (step, value) of one figure, shape (m, 2)."""
    rows = [(row.get("step"), row.get(key)) for row in history if row.get("phase") == phase]
    points = np.array([pair for pair in rows if None not in pair], float).reshape(-1, 2)
    return np.asarray(points[np.isfinite(points).all(axis=1)])


def _smooth(line: Array) -> Array:
    """Running mean over a twentieth of the course."""
    width = max(len(line) // 20, 1)
    return np.stack([np.convolve(c, np.ones(width) / width, "valid") for c in line.T], axis=1)


def _layout(count: int) -> tuple[int, int]:
    columns = next((c for c, most in ((1, 1), (2, 4), (3, 9)) if count <= most), 4)
    return columns, -(-count // columns)


def _panels(figure: Figure | SubFigure, count: int) -> list[Axes]:
    columns, rows = _layout(count)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return [_style(axes) for axes in grid[:count]]


def _style(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_PRIOR)
    axes.tick_params(labelsize=8, color=_PRIOR)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    return axes


def _legend(axes: Axes) -> None:
    """A legend above the axes, where it hides no data."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        frameon=False,
        fontsize=8,
        ncols=3,
        borderaxespad=0.2,
    )


def _legend_below(figure: Figure | SubFigure, axes: Axes) -> None:
    """One legend below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize=8.5, ncols=len(labels)
    )


def _text(name: str) -> str:
    """A user's name as plain text: no mathematics in it, and not too long for an axis."""
    short = name if len(name) <= 40 else f"{name[:39]}…"
    return short.replace("$", r"\$")


def _some(rows: Array, most: int) -> Array:
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(int)])


def _distance(a: Array, b: Array) -> float:
    """The two-sample distance of Kolmogorov and Smirnov."""
    both = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(c), both, side="right") / len(c) for c in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _extent(*columns: Array) -> tuple[float, float]:
    """Where the columns live: from end to end, or without their tails where these are long."""
    ends = [_ends(column) for column in columns if len(column)]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if not low < high:
        width = max(abs(low) * 0.05, 0.5)
        return low - width, high + width
    return low, high


def _ends(column: Array) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    inner = np.quantile(column, [0.002, 0.998])
    if high - low <= 1.3 * float(np.ptp(inner)):
        return low, high
    return float(inner[0]), float(inner[1])


def _edges(*columns: Array) -> Array:
    """Bin edges common to all the columns, about as many as the fewest draws allow."""
    low, high = _extent(*columns)
    least = min(len(column) for column in columns if len(column))
    return np.linspace(low, high, int(np.clip(round(2 * least ** (1 / 3)), 10, 60)) + 1)


def _density(column: Array, edges: Array) -> Array:
    """Heights of a histogram whose area is the share of the column inside the edges."""
    counts, _ = np.histogram(column, edges)
    return np.asarray(counts / (max(len(column), 1) * np.diff(edges)))
