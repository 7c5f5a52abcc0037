"""The course of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from invgan.plots.style import ANSWER, BASELINE, PRIOR, layout, legend_above, panels

__all__ = ["LEAST_DIVERGENCE", "plot_history"]

Array = NDArray[np.float64]
History = Sequence[Mapping[str, Any]]

LEAST_DIVERGENCE = 1e-4
"""Held-out pairs cannot tell a smaller divergence from none; it is drawn as this one."""

_MANY_POINTS = 200
_EVEN = (math.log(2), math.log(2))


@dataclass(frozen=True)
class _Panel:
    """One panel.

    Attributes:
        title: what stands above it.
        phase: the phase of training whose rows it shows.
        labels: its lines, the labels of figures by their keys.
        least: smaller values are drawn as this one, on a logarithmic axis; None for a linear one.
        game: whether it shows the losses, which have a value at which neither side wins.
    """

    title: str
    phase: str
    labels: dict[str, str]
    least: float | None = None
    game: bool = False

    def line(self, rows: History, key: str) -> Array:
        """Finite points (step, value) of one figure, shape (m, 2)."""
        pairs = [(row.get("step"), row.get(key)) for row in rows if row.get("phase") == self.phase]
        points = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=1)]
        if self.least is not None:
            points[:, 1] = np.maximum(points[:, 1], self.least)
        return np.asarray(points)

    def lines(self, rows: History) -> dict[str, Array]:
        """The points of every figure that was recorded and is not at its least all along."""
        found = {label: self.line(rows, key) for key, label in self.labels.items()}
        return {
            label: line
            for label, line in found.items()
            if len(line) and (self.least is None or line[:, 1].max() > self.least)
        }


_PANELS = (
    _Panel("head: negative log-likelihood (nats)", "head", {
        "train_nll": "training", "heldout": "held out"}),
    _Panel("losses of the game", "gan", {
        "critic_loss": "critic", "generator_loss": "generator"}, game=True),
    _Panel("critic's output", "gan", {
        "critic_real": "simulated pairs", "critic_fake": "generated pairs"}),
    _Panel("critic's gradient penalty", "gan", {
        "gradient_penalty": "R1 + R2"}, least=1e-12),
    _Panel("gradient norms", "gan", {
        "critic_grad_norm": "critic", "generator_grad_norm": "generator"}, least=1e-12),
    _Panel("held-out divergence (nats)", "gan", {
        "heldout": "generator"}, least=LEAST_DIVERGENCE),
)  # fmt: skip


def plot_history(history: History, even: tuple[float, float] = _EVEN) -> Figure:
    """The course of training; panels whose figures are missing or all nil are left out.

    Args:
        history: rows with a phase (``"head"`` or ``"gan"``) and a step. Rows of the head may hold
            train_nll; those of the game critic_loss, generator_loss, critic_real, critic_fake,
            gradient_penalty, critic_grad_norm and generator_grad_norm. Where a phase was
            evaluated, its row holds heldout (negative log-likelihood of the head, divergence of
            the generator; smaller is better) and kept, true where it was the best so far.
        even: the critic's and the generator's loss where neither wins.
    """
    shown = [panel for panel in _PANELS if panel.lines(history)]
    columns, rows = layout(max(len(shown), 1))
    figure = Figure(figsize=(3.6 * columns + 0.6, 2.7 * rows + 0.3), layout="constrained")
    if not shown:
        figure.text(0.5, 0.5, "no training history", ha="center", color=PRIOR)
        return figure
    for panel, axes in zip(shown, panels(figure, len(shown)), strict=True):
        _draw_lines(axes, panel.lines(history))
        if "heldout" in panel.labels:
            _mark_kept(axes, panel, history)
        if panel.game:
            for value in sorted(set(even)):
                axes.axhline(value, color=PRIOR, ls=":", lw=1, label=f"even ({value:.2g})")
        _finish(axes, panel)
    return figure


def _draw_lines(axes: Axes, lines: dict[str, Array]) -> None:
    """Faint single steps under their running mean; where there are few, the points themselves."""
    looks = zip((ANSWER, BASELINE), ("-", "--"), strict=True)
    for (label, line), (colour, dash) in zip(lines.items(), looks, strict=False):
        many = len(line) > _MANY_POINTS
        if many:
            axes.plot(*line.T, color=colour, lw=0.5, alpha=0.3)
        axes.plot(*_smooth(line).T if many else line.T, color=colour, ls=dash, lw=1.4, label=label)


def _mark_kept(axes: Axes, panel: _Panel, history: History) -> None:
    evaluated = panel.line(history, "heldout")
    axes.plot(*evaluated.T, "o", ms=4, mec=PRIOR, mfc="white", ls="", zorder=3)
    kept = panel.line([row for row in history if row.get("kept")], "heldout")
    if len(kept):
        label = f"kept (step {kept[-1, 0]:.0f})"
        axes.plot(*kept[-1:].T, "o", ms=6, color="black", ls="", label=label, zorder=4)


def _finish(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title, fontsize=10, loc="left", pad=18)
    axes.set_xlabel("step")
    if panel.least is not None:
        axes.set_yscale("log")
    legend_above(axes)


def _smooth(line: Array) -> Array:
    """Running mean over a twentieth of the course."""
    width = max(len(line) // 20, 1)
    return np.stack([np.convolve(c, np.ones(width) / width, "valid") for c in line.T], axis=1)
