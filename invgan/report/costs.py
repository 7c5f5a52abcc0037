"""What the stages took, and what either road gave for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from invgan.report.findings import Findings
from invgan.samples import Samples

__all__ = ["costs", "stages", "totals"]

_STAGES = ("simulate", "train", "sample", "correct", "mcmc", "validate")
_OWN = {"cgan": ("train", "sample", "correct"), "mcmc": ("mcmc",)}


def totals(f: Findings) -> dict[str, Any]:
    """The few figures of the whole run that come first."""
    table = list(stages(f).values())
    return {
        "draws": len(f.samples),
        "distinct_draws": _distinct(f.samples),
        "model_evaluations": _total(table, "model_evaluations"),
        "seconds": _total(table, "seconds"),
        "effective_share": f.samples.info.get("effective_share"),
    }


def stages(f: Findings) -> dict[str, dict[str, Any]]:
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


def costs(f: Findings) -> dict[str, dict[str, Any]]:
    """What either road gave and took, beyond the prior simulations that they share."""
    table = stages(f)
    return {
        road: _cost(f.roads[road], _effective(f, road), [table[s] for s in own if s in table])
        for road, own in _OWN.items()
        if road in f.roads
    }


def _effective(f: Findings, road: str) -> float | None:
    """How many independent draws the answer is worth; the generator's own are independent."""
    info = f.roads[road].info
    if road == "mcmc" or "effective_samples" in info:
        return info.get("effective_samples")
    if f.iterated:
        return float(info.get("distinct", 1.0)) * len(f.samples)
    drawn = len(f.samples if f.raw is None else f.raw)
    return min(float(info.get("effective_share", 1.0)) * drawn, float(len(f.samples)))


def _cost(samples: Samples, effective: float | None, taken: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = _total(taken, "seconds")
    return {
        "draws": len(samples),
        "distinct_draws": _distinct(samples),
        "effective_samples": effective,
        "model_evaluations": _total(taken, "model_evaluations"),
        "seconds": seconds,
        "effective_samples_per_second": effective / seconds if effective and seconds else None,
    }


def _beyond(info: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage took, from sums after it and before it."""
    keys = [key for key in ("seconds", "model_evaluations") if key in info]
    return {key: max(info[key] - before.get(key, 0), 0) for key in keys}


def _total(taken: list[dict[str, Any]], key: str) -> Any:
    """The sum over stages, or None where none of them counted."""
    counted = [stage[key] for stage in taken if stage[key] is not None]
    return sum(counted) if counted else None


def _distinct(samples: Samples) -> int:
    return len(np.unique(samples.x, axis=0))
