"""The figures of a run for programs: the content of `results.json`."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.report import words
from invgan.report.costs import costs, stages, totals
from invgan.report.findings import Findings
from invgan.samples import Simulations

__all__ = ["SCHEMA", "results"]

Array = NDArray[np.float64]

SCHEMA = 1
"""Version of the layout of `results.json`: it grows when a key changes its meaning or goes."""

_PACKAGES = ("invgan", "torch", "numpy", "scipy", "zuko", "emcee")
_FAILED_SHOWN = 5
_ELSEWHERE = ("calibration", "rounds", "regions")


def results(f: Findings) -> dict[str, Any]:
    """The content of results.json: plain values, None for whatever is not finite."""
    found = {
        "schema": SCHEMA,
        "verdict": f.validation.verdict,
        "reasons": f.validation.reasons,
        "question": f.problem.question,
        "parameters": f.problem.prior.names,
        "outputs": f.problem.outputs,
        "observed": words.observed(f.problem),
        "key": totals(f),
        "verdicts": {
            road: {"verdict": v.verdict, "reasons": v.reasons, "info": _without(v.info)}
            for road, v in f.validations.items()
        },
        "measures": {road: [asdict(m) for m in v.measures] for road, v in f.validations.items()},
        "calibration": f.calibration,
        "comparison": f.comparison or {},
        "no_baseline": words.no_baseline(f),
        "costs": costs(f),
        "quantiles": _quantiles(f),
        "info": {road: _without(s.info) for road, s in f.roads.items()},
        "simulations": _simulated(f.simulations),
        "rounds": f.rounds,
        "training": f.training,
        "critic_divergence": f.critic_divergence,
        "stages": stages(f),
        "seeds": _seeds(f),
        "settings": f.settings,
        "versions": _versions(),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _without(info: Mapping[str, Any]) -> dict[str, Any]:
    """What is not told elsewhere, and is a finding."""
    return {key: value for key, value in info.items() if key not in _ELSEWHERE}


def _quantiles(f: Findings) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, sd and quantiles of every parameter, or of a field's quantities, by each road."""
    s, seen = f.simulations, f.problem.quantified
    prior = np.concatenate([s.x, s.failed]) if len(s.failed) else s.x
    before = "cut_prior" if f.cut else "prior"
    clouds = {before: (prior, np.ones(len(prior))), "cgan": (f.samples.x, f.samples.weights)}
    if f.baseline is not None:
        clouds["mcmc"] = (f.baseline.x, f.baseline.weights)
    columns = {road: (seen(x), w) for road, (x, w) in clouds.items() if len(x)}
    return {
        name: {road: _summary(q[:, j], w) for road, (q, w) in columns.items()}
        for j, name in enumerate(f.problem.quantities)
    }


def _summary(x: Array, weights: Array) -> dict[str, float]:
    mean = float(np.average(x, weights=weights))
    levels = np.quantile(x, [0.05, 0.5, 0.95], weights=weights, method="inverted_cdf")
    sd = math.sqrt(float(np.average((x - mean) ** 2, weights=weights)))
    return {"mean": mean, "sd": sd, **dict(zip(("q05", "q50", "q95"), levels, strict=True))}


def _simulated(simulations: Simulations) -> dict[str, Any]:
    return {
        "finite": simulations.info.get("rows", len(simulations)),
        "failed": len(simulations.failed),
        "first_failed": simulations.failed[:_FAILED_SHOWN],
        "info": _without(simulations.info),
    }


def _seeds(f: Findings) -> dict[str, Any]:
    infos = {"simulations": f.simulations.info, **{r: s.info for r, s in f.roads.items()}}
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
