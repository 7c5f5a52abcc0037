"""The figures that the findings allow, and their files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan import plots
from invgan.gan.losses import LOSSES
from invgan.observations import Table
from invgan.problem import Problem
from invgan.report.findings import Findings
from invgan.samples import Samples

__all__ = ["figures", "save_figures"]

Array = NDArray[np.float64]

_FIGURES = ("figure6", "calibration", "corner", "chain", "history")
_OBSERVED_ROWS = 20_000
_PAGE_PIXELS = 96 / plots.DPI


def figures(f: Findings) -> dict[str, plots.Figure]:
    """The figures that the findings allow, by name."""
    drawn = {}
    if len(f.samples):
        drawn["figure6"] = _answer(f) if f.problem.field is None else _fields(f, f.problem.field)
        other = None if f.baseline is None else _cloud(f.baseline, f.problem)[0]
        drawn["corner"] = plots.plot_corner(
            f.problem.quantified(_cloud(f.samples, f.problem)[0]),
            other,
            f.problem.quantities,
            prior_x=f.problem.quantified(f.simulations.x),
        )
    if f.calibration:
        drawn["calibration"] = _calibration(f.calibration)
    if f.baseline is not None and f.baseline.chain is not None:
        drawn["chain"] = _chain(f.baseline, f.simulations.x)
    if f.history:
        drawn["history"] = plots.plot_history(f.history, _even(f))
    return drawn


def _even(f: Findings) -> tuple[float, float]:
    """The losses of critic and generator where neither wins."""
    return LOSSES[f.settings.get("train", {}).get("loss", "relativistic")].even


def save_figures(drawn: dict[str, plots.Figure], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the figures and clear those of an earlier run.

    Returns:
        For each figure its file as a data URI, and its width in the page's pixels.
    """
    images = {}
    for name in _FIGURES:
        path = folder / f"{name}.png"
        if name not in drawn:
            path.unlink(missing_ok=True)
            continue
        plots.save_png(drawn[name], path)
        png = path.read_bytes()
        images[name] = {
            "uri": "data:image/png;base64," + base64.b64encode(png).decode(),
            "width": round(int.from_bytes(png[16:20], "big") * _PAGE_PIXELS),
        }
    return images


def _answer(f: Findings) -> plots.Figure:
    """The answer beside its push-forward, where the model was run on it."""
    names, prior_x = f.problem.prior.names, f.simulations.x
    x, y = _cloud(f.samples, f.problem)
    if y is None or not len(y):
        return plots.plot_answer(x, names, _surface(f), prior_x)
    return plots.plot_figure6(
        x,
        y,
        _observed(f.problem),
        names,
        f.problem.outputs,
        surface=_surface(f),
        prior_x=prior_x,
        baseline_y=None if f.baseline is None else _cloud(f.baseline, f.problem)[1],
        single=f.problem.question == "posterior",
    )


def _fields(f: Findings, shape: tuple[int, int, int]) -> plots.Figure:
    """Fields, and the model's outputs at them."""
    x, y = _cloud(f.samples, f.problem)
    return plots.plot_fields(
        x, shape, y, _observed(f.problem), f.problem.outputs, f.problem.output_shape,
        single=f.problem.question == "posterior",
    )  # fmt: skip


def _calibration(found: Mapping[str, Any]) -> plots.Figure:
    """Coverage and ranks from the plain values of `invgan.calibration.Calibration`."""
    low, high = np.array(found["band"], float)
    return plots.plot_calibration(
        np.array(found["levels"], float),
        {
            "densest regions": np.array(found["coverage_curve"], float),
            "TARP": np.array(found["tarp_curve"], float),
        },
        np.array(found["rank_curves"], float),
        found["names"],
        (low, high),
    )


def _chain(baseline: Samples, prior_x: Array) -> plots.Figure:
    """The walkers of MCMC."""
    chain, log_prob = np.asarray(baseline.chain), np.asarray(baseline.chain_log_prob)
    burn_in, thin = baseline.info.get("burn_in", 0), baseline.info.get("thin", 1)
    return plots.plot_chain(chain, log_prob, baseline.names, prior_x, burn_in=burn_in, thin=thin)


def _cloud(samples: Samples, problem: Problem) -> tuple[Array, Array | None]:
    """Draws that count equally, and their finite outputs, repeats of one experiment as rows."""
    rows = np.arange(len(samples))
    if len(rows) and np.ptp(samples.weights) > 0:
        levels = np.cumsum(samples.weights) / np.sum(samples.weights)
        rows = np.searchsorted(levels, (rows + 0.5) / len(rows))
    if samples.y is None:
        return samples.x[rows], None
    y = samples.y[rows].reshape(-1, len(problem.outputs))
    return samples.x[rows], y[problem.usable(y)]


def _observed(problem: Problem) -> Array:
    seen = problem.observations
    if isinstance(seen, Table):
        return seen.rows
    return seen.sample(_OBSERVED_ROWS, np.random.default_rng(0))


def _surface(f: Findings) -> plots.Surface | None:
    """Contours of a deterministic model of two parameters with one output."""
    flat = len(f.problem.prior.names) == 2 and len(f.problem.outputs) == 1
    if not flat or f.problem.random:
        return None
    observed = _observed(f.problem)[:, 0]
    marks = np.quantile(observed, [0.05, 0.5, 0.95])
    s = f.simulations
    return plots.interpolate(s.x, s.y[:, 0], f.problem.outputs[0], tuple(marks))
