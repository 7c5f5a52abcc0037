"""Two answers side by side."""

from __future__ import annotations

import numpy as np

from invgan.metrics import c2st, wasserstein
from invgan.samples import Samples

__all__ = ["compare"]


def compare(a: Samples, b: Samples, *, seed: int = 0) -> dict[str, float]:
    """Two answers side by side: how far apart, and what each cost.

    Returns:
        C2ST in x; the largest Wasserstein-1 distance of a parameter in standard deviations of b;
        and for each answer, where known, model runs beyond the simulations that both roads use,
        seconds (training included) and effective draws a second.
    """
    scale = b.x.std(axis=0)
    distances = wasserstein(a.x, b.x) / np.where(scale > 0, scale, 1)
    out = {
        "C2ST in x": c2st(a.x, b.x, seed=seed),
        "largest Wasserstein-1 in x / sd": float(distances.max()),
    }
    for samples in (a, b):
        name = samples.info.get("method", "answer")
        if "model_evaluations" in samples.info:
            out[f"model_evaluations ({name})"] = float(samples.info["model_evaluations"])
        seconds = samples.info.get("seconds", 0.0) + samples.info.get("training_seconds", 0.0)
        if seconds:
            out[f"seconds ({name})"] = float(seconds)
            effective = float(samples.info.get("effective_samples", len(samples)))
            out[f"effective draws a second ({name})"] = effective / seconds
    return out
