"""Two answers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from invgan.arguments import check_kinds, whole
from invgan.checks.levels import evenly
from invgan.errors import InputError
from invgan.ground import own_ground
from invgan.metrics import c2st, wasserstein
from invgan.samples import Samples
from invgan.validation import Validation

__all__ = ["beside", "compare"]

_C2ST, _MOVED = "C2ST in x", "largest Wasserstein-1 in x / sd"
_APART, _FAR = 0.65, 0.25


@own_ground()
def compare(a: Samples, b: Samples, *, seed: int = 0) -> dict[str, float]:
    """Two answers side by side: how far apart, and what each cost.

    Draws whose weights differ are resampled by them.

    Returns:
        C2ST in x; the largest Wasserstein-1 distance of a parameter in standard deviations of b;
        and for each answer, where known, model runs beyond the simulations that both roads use,
        seconds (training included) and effective draws a second.

    Raises:
        InputError: they are draws of other parameters, or of these in another order.
    """
    check_kinds(a=(a, Samples), b=(b, Samples))
    whole("seed", seed, least=0)
    if a.names != b.names:
        raise InputError(
            f"two answers are draws of the same parameters in one order; got {list(a.names)} and "
            f"{list(b.names)}"
        )
    a, b = evenly(a, seed), evenly(b, seed)
    scale = b.x.std(axis=0)
    distances = wasserstein(a.x, b.x) / np.where(scale > 0, scale, 1)
    out = {
        _C2ST: c2st(a.x, b.x, seed=seed),
        _MOVED: float(distances.max()),
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


def beside(answer: Validation, baseline: Validation, comparison: Mapping[str, float]) -> Validation:
    """The verdict on an answer beside a baseline that stands as well and says something else.

    The verdict stays, since either may be the wrong one (walkers that all start in one of several
    parts agree with each other); the disagreement becomes its first reason.
    """
    apart = comparison[_C2ST] > _APART and comparison[_MOVED] > _FAR
    if not apart or answer.verdict != "consistent" or baseline.verdict != "consistent":
        return answer
    said = (
        "with a reservation: the baseline is consistent too and is another answer (C2ST in x "
        f"{comparison[_C2ST]:.2f}, up to {comparison[_MOVED]:.2f} sd away): believe neither before "
        "they agree; train for longer, or on more simulations, or walk for longer"
    )
    return replace(answer, reasons=(said, *answer.reasons))
