"""The report: what was asked, what was found, and whether to believe it.

`write_report` turns the findings of a run into three things under one folder: `report.html`, a
page that needs no other file and no network; `results.json`, the same figures for programs; and
`figures/*.png`. The report computes no science of its own: summaries and pictures of what the
stages found, and no run of the model.
"""

from __future__ import annotations

import base64
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from invgan import plots
from invgan.errors import InputError
from invgan.files import write_text
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.validation import Validation

__all__ = ["SCHEMA", "Findings", "write_report"]

Array = NDArray[np.float64]

SCHEMA = 1
"""Version of the layout of `results.json`: it grows when a key changes its meaning or goes."""

ROADS = {"cgan": "cGAN", "raw": "generator, uncorrected", "mcmc": "MCMC"}

_STAGES = ("simulate", "train", "sample", "correct", "mcmc", "validate")
_FIGURES = ("figure6", "corner", "history")
_PACKAGES = ("invgan", "torch", "numpy", "scipy", "zuko", "emcee")
_OBSERVED_ROWS = 20_000
_FAILED_SHOWN = 5
_PAGE_PIXELS = 96 / plots.DPI
_HISTORY = (
    "Training by step: faint lines are single steps, strong ones their running mean; "
    "filled dots are evaluations on held-out pairs after which the generator was kept."
)


@dataclass(frozen=True)
class Findings:
    """All that a run found.

    Attributes:
        problem: what was asked.
        simulations: the prior draws that were learnt from.
        samples: the answer. Its info counts the seconds and model runs of sampling and correction
            together, as `correct` leaves it.
        validation: what the model says of the answer.
        raw: the generator's draws before their correction; their info counts them alone.
        raw_validation: what the model says of these.
        baseline: MCMC's draws.
        baseline_validation: what the model says of these.
        comparison: cGAN against MCMC: figures by name, as in ``{"C2ST in x": 0.51}``.
        history: rows of the training history, as `plots.plot_history` takes them.
        settings: the resolved configuration.
        seconds: wall seconds by stage: simulate, train, sample, correct, mcmc, validate.
    """

    problem: Problem
    simulations: Simulations
    samples: Samples
    validation: Validation
    raw: Samples | None = None
    raw_validation: Validation | None = None
    baseline: Samples | None = None
    baseline_validation: Validation | None = None
    comparison: Mapping[str, float] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def write_report(findings: Findings, out: str | Path) -> Path:
    """Write report.html, results.json and figures/*.png into a folder.

    Args:
        findings: what the run found.
        out: the folder; it is made where it does not exist.

    Returns:
        The path of report.html.

    Raises:
        InputError: out is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the report goes into a folder; {str(out)!r} is a file, name another")
    images = _save_figures(_figures(findings), folder / "figures")
    results = _results(findings)
    write_text(folder / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    write_text(folder / "report.html", _html(findings, results, images))
    return folder / "report.html"


def _html(findings: Findings, results: dict[str, Any], images: dict[str, Any]) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    template = resources.files("invgan").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        results,
        roads=ROADS,
        rows=_measure_rows(results["measures"]),
        images=images,
        captions=_captions(findings),
        listing="\n".join(_listing(results["settings"])),
    )


def _results(f: Findings) -> dict[str, Any]:
    """The content of results.json: plain values, None for whatever is not finite."""
    results = {
        "schema": SCHEMA,
        "verdict": f.validation.verdict,
        "reasons": f.validation.reasons,
        "question": f.problem.question,
        "parameters": f.problem.prior.names,
        "outputs": f.problem.outputs,
        "observed": _observed_words(f.problem),
        "key": _key(f),
        "verdicts": {
            road: {"verdict": v.verdict, "reasons": v.reasons, "info": v.info}
            for road, v in _validations(f).items()
        },
        "measures": {road: [asdict(m) for m in v.measures] for road, v in _validations(f).items()},
        "comparison": f.comparison or {},
        "costs": _costs(f),
        "quantiles": _quantiles(f),
        "info": {road: s.info for road, s in _samples(f).items()},
        "simulations": _simulated(f.simulations),
        "stages": _stages(f),
        "seeds": _seeds(f),
        "settings": f.settings,
        "versions": _versions(),
    }
    plain: dict[str, Any] = _plain(results)
    return plain


def _samples(f: Findings) -> dict[str, Samples]:
    roads = {"cgan": f.samples, "raw": f.raw, "mcmc": f.baseline}
    return {road: samples for road, samples in roads.items() if samples is not None}


def _validations(f: Findings) -> dict[str, Validation]:
    roads = {"cgan": f.validation, "raw": f.raw_validation, "mcmc": f.baseline_validation}
    return {road: validation for road, validation in roads.items() if validation is not None}


def _observed_words(problem: Problem) -> str:
    seen = problem.observations
    if not isinstance(seen, Table):
        return "a law"
    if problem.question == "posterior":
        count = len(seen.rows)
        return "one experiment" if count == 1 else f"one experiment, repeated {count} times"
    return f"{len(seen.rows):,} rows"


def _key(f: Findings) -> dict[str, Any]:
    stages = list(_stages(f).values())
    return {
        "draws": len(f.samples),
        "distinct_draws": _distinct(f.samples),
        "model_evaluations": _total(stages, "model_evaluations"),
        "seconds": _total(stages, "seconds"),
        "effective_share": f.samples.info.get("effective_share"),
    }


def _distinct(samples: Samples) -> int:
    return len(np.unique(samples.x, axis=0))


def _stages(f: Findings) -> dict[str, dict[str, Any]]:
    """Seconds and model runs of every stage; None for what nobody counted."""
    infos: dict[str, Mapping[str, Any]] = {
        "simulate": f.simulations.info,
        "sample": (f.samples if f.raw is None else f.raw).info,
        "correct": {} if f.raw is None else _beyond(f.samples.info, f.raw.info),
        "mcmc": f.baseline.info if f.baseline is not None else {},
        "validate": f.validation.info,
    }
    table = {}
    for stage in (*_STAGES, *(s for s in f.seconds if s not in _STAGES)):
        info = infos.get(stage, {})
        seconds, runs = f.seconds.get(stage, info.get("seconds")), info.get("model_evaluations")
        if seconds is not None or runs is not None:
            table[stage] = {"seconds": seconds, "model_evaluations": runs}
    return table


def _beyond(info: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage took, from sums after it and before it."""
    keys = [key for key in ("seconds", "model_evaluations") if key in info]
    return {key: max(info[key] - before.get(key, 0), 0) for key in keys}


def _costs(f: Findings) -> dict[str, dict[str, Any]]:
    """What either road gave and took, beyond the prior simulations that they share."""
    stages = _stages(f)
    taken = {"cgan": ("train", "sample", "correct"), "mcmc": ("mcmc",)}
    return {
        road: _cost(samples, _effective(f, road), [stages[s] for s in taken[road] if s in stages])
        for road, samples in _samples(f).items()
        if road in taken
    }


def _effective(f: Findings, road: str) -> float | None:
    """How many independent draws the answer is worth; the generator's own are independent."""
    info = _samples(f)[road].info
    if road == "mcmc" or "effective_samples" in info:
        return info.get("effective_samples")
    drawn = len(f.samples if f.raw is None else f.raw)
    return min(float(info.get("effective_share", 1.0)) * drawn, float(len(f.samples)))


def _cost(
    samples: Samples, effective: float | None, stages: list[dict[str, Any]]
) -> dict[str, Any]:
    seconds = _total(stages, "seconds")
    return {
        "draws": len(samples),
        "distinct_draws": _distinct(samples),
        "effective_samples": effective,
        "model_evaluations": _total(stages, "model_evaluations"),
        "seconds": seconds,
        "effective_samples_per_second": effective / seconds if effective and seconds else None,
    }


def _total(stages: list[dict[str, Any]], key: str) -> Any:
    """The sum over stages, or None where none of them counted."""
    counted = [stage[key] for stage in stages if stage[key] is not None]
    return sum(counted) if counted else None


def _quantiles(f: Findings) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, sd and quantiles of every parameter: before, and after by either road."""
    s = f.simulations
    prior = np.concatenate([s.x, s.failed]) if len(s.failed) else s.x
    clouds = {"prior": (prior, np.ones(len(prior))), "cgan": (f.samples.x, f.samples.weights)}
    if f.baseline is not None:
        clouds["mcmc"] = (f.baseline.x, f.baseline.weights)
    return {
        name: {road: _summary(x[:, j], w) for road, (x, w) in clouds.items() if len(x)}
        for j, name in enumerate(f.problem.prior.names)
    }


def _summary(x: Array, weights: Array) -> dict[str, float]:
    mean = float(np.average(x, weights=weights))
    levels = np.quantile(x, [0.05, 0.5, 0.95], weights=weights, method="inverted_cdf")
    sd = math.sqrt(float(np.average((x - mean) ** 2, weights=weights)))
    return {"mean": mean, "sd": sd, **dict(zip(("q05", "q50", "q95"), levels, strict=True))}


def _simulated(simulations: Simulations) -> dict[str, Any]:
    return {
        "finite": len(simulations),
        "failed": len(simulations.failed),
        "first_failed": simulations.failed[:_FAILED_SHOWN],
        "info": simulations.info,
    }


def _seeds(f: Findings) -> dict[str, Any]:
    infos = {"simulations": f.simulations.info, **{r: s.info for r, s in _samples(f).items()}}
    found = {name: info["seed"] for name, info in infos.items() if "seed" in info}
    return {"run": f.settings["seed"], **found} if "seed" in f.settings else found


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _figures(f: Findings) -> dict[str, plots.Figure]:
    """The figures that the findings allow, by name."""
    figures = {}
    prior_x, names = f.simulations.x, f.problem.prior.names
    x, y = _cloud(f.samples, f.problem)
    other_x, other_y = _cloud(f.baseline, f.problem) if f.baseline is not None else (None, None)
    if len(x):
        if y is None or not len(y):
            figures["figure6"] = plots.plot_answer(x, names, _surface(f), prior_x)
        else:
            figures["figure6"] = plots.plot_figure6(
                x,
                y,
                _observed(f.problem),
                names,
                f.problem.outputs,
                surface=_surface(f),
                prior_x=prior_x,
                baseline_y=other_y,
                single=f.problem.question == "posterior",
            )
        figures["corner"] = plots.plot_corner(x, other_x, names, prior_x=prior_x)
    if f.history:
        figures["history"] = plots.plot_history(f.history)
    return figures


def _cloud(samples: Samples, problem: Problem) -> tuple[Array, Array | None]:
    """Draws that count equally, and their finite outputs, repeats of one experiment as rows."""
    rows = np.arange(len(samples))
    if len(rows) and np.ptp(samples.weights) > 0:
        levels = np.cumsum(samples.weights) / np.sum(samples.weights)
        rows = np.searchsorted(levels, (rows + 0.5) / len(rows))
    if samples.y is None:
        return samples.x[rows], None
    y = samples.y[rows].reshape(-1, len(problem.outputs))
    return samples.x[rows], y[np.isfinite(y).all(axis=1)]


def _observed(problem: Problem) -> Array:
    seen = problem.observations
    if isinstance(seen, Table):
        return seen.rows
    return seen.sample(_OBSERVED_ROWS, np.random.default_rng(0))


def _surface(f: Findings) -> plots.Surface | None:
    """Contours of a deterministic model of two parameters with one output."""
    flat = len(f.problem.prior.names) == 2 and len(f.problem.outputs) == 1
    if not flat or f.problem.stochastic:
        return None
    observed = _observed(f.problem)[:, 0]
    marks = np.quantile(observed, [0.05, 0.5, 0.95])
    s = f.simulations
    return plots.interpolate(s.x, s.y[:, 0], f.problem.outputs[0], tuple(marks))


def _save_figures(figures: dict[str, plots.Figure], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the figures, clear those of an earlier run; the new ones as data URIs."""
    images = {}
    for name in _FIGURES:
        path = folder / f"{name}.png"
        if name not in figures:
            path.unlink(missing_ok=True)
            continue
        plots.save_png(figures[name], path)
        png = path.read_bytes()
        images[name] = {
            "uri": "data:image/png;base64," + base64.b64encode(png).decode(),
            "width": round(int.from_bytes(png[16:20], "big") * _PAGE_PIXELS),
        }
    return images


def _captions(f: Findings) -> dict[str, str]:
    names, count = f.problem.prior.names, len(f.problem.prior.names)
    posterior = f.problem.question == "posterior"
    draws = "p(x given y)" if posterior else "P_X, the distribution of the parameters"
    first = f"A1: draws of {draws}"
    if count == 2 and len(f.problem.outputs) == 1 and not f.problem.stochastic:
        seen = "the observed value" if posterior else "5, 50 and 95 % quantiles of the observations"
        first += (
            f", over contours of {f.problem.outputs[0]} interpolated from the simulations; the "
            f"dark lines are its contours at the {seen}"
        )
    elif count > 2:
        pair = plots.strongest(f.samples.x, f.simulations.x, 2) if len(f.samples) else [0, 1]
        moved = " and ".join(names[j] for j in pair)
        first += f", in the two of {count} parameters that the observations moved most ({moved})"
    second = "A2: the model at these draws against the observed distribution P_Y"
    if posterior:
        second = "A2: the model at these draws; what was observed is the vertical lines"
    corner = "Regions that hold 50 % and 90 % of the draws, for every pair of parameters"
    if count > plots.MAX_CORNER:
        corner += f"; the {plots.MAX_CORNER} of {count} that the observations moved most"
    return {"figure6": f"{first}. {second}.", "corner": f"{corner}.", "history": _HISTORY}


def _measure_rows(measures: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each measure of each output, with a cell for each road that has it."""
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for road, entries in measures.items():
        for entry in entries:
            key = entry["name"], entry["output"]
            blank = {"name": key[0], "output": key[1], "meaning": entry["meaning"], "cells": {}}
            rows.setdefault(key, blank)["cells"][road] = entry
    return list(rows.values())


def _listing(settings: Mapping[str, Any], indent: str = "") -> list[str]:
    """Nested settings, a line each."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", *_listing(value, indent + "  ")]
        else:
            lines.append(
                f"{indent}{name}: {value if isinstance(value, str) else json.dumps(value)}"
            )
    return lines


def _number(value: Any) -> str:
    """A figure for a reader: four digits, thousands apart, a dash for what is not known."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if value == int(value) or 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}" if abs(value) < 1e7 or isinstance(value, int) else f"{value:.4g}"
    return f"{value:.4g}"


def _plain(value: Any) -> Any:
    """The value in JSON's own types; None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value)
