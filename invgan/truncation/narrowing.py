"""The region around draws of an answer, and the prior cut to it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import seeds_from
from invgan.errors import InputError
from invgan.priors import Box, PriorLike
from invgan.ratio import fit_log_odds
from invgan.truncation.prior import Truncated, within
from invgan.truncation.region import Chart, Region

__all__ = ["narrowed"]

Array = NDArray[np.float64]

_MARGIN = 0.1
_FIT = 20_000
_FEWEST_DRAWS = 100


def narrowed(prior: PriorLike, answer: Array, *, miss: float = 1e-3, seed: int = 0) -> PriorLike:
    """The prior cut to where draws of the answer are.

    Args:
        prior: the prior, or one that was cut before; the new region lies inside the old ones.
        answer: draws of the present answer, shape (n, D), of which those outside a prior that was
            cut do not count; half of them fit the classifier and the other half place its level,
            so n should be some tens times ``1 / miss``.

    Other Args:
        miss: share of the answer that may be lost, 0 to 1.
        seed: of the halves, the classifier and the draws of the prior.

    Returns:
        The cut prior; the box alone cuts where the classifier's region is too small to be drawn
        from, and the prior comes back as it is where the box is too small as well, or
        where fewer than 100 draws lie in it.

    Raises:
        InputError: the answer holds fewer than 100 draws or miss is no share.
    """
    if len(answer) < _FEWEST_DRAWS or not 0 < miss < 1:
        raise InputError(
            f"a region needs {_FEWEST_DRAWS} draws of the answer or more and miss between 0 and 1; "
            f"got {len(answer)} draws and miss={miss}"
        )
    seeds = seeds_from(seed, 3)
    whole, earlier = _parts(prior)
    answer = answer[within(prior, answer)]
    if len(answer) < _FEWEST_DRAWS:
        return prior
    box = _box(prior, answer, miss)
    try:
        boxed = Truncated(whole, (*earlier, box), seed=seeds[0])
    except InputError:
        return prior
    region = _classified(boxed, box, answer, miss, seeds[1])
    try:
        return Truncated(whole, (*earlier, region), seed=seeds[2])
    except InputError:
        return boxed


def _parts(prior: PriorLike) -> tuple[PriorLike, tuple[Region, ...]]:
    return (prior.prior, prior.regions) if isinstance(prior, Truncated) else (prior, ())


def _box(prior: PriorLike, answer: Array, miss: float) -> Region:
    """The box of the answer: at most half of miss is beyond it, and then its sides move out."""
    beyond = miss / (4 * answer.shape[1])
    low, high = np.quantile(answer, [beyond, 1 - beyond], axis=0)
    gap = _MARGIN * np.maximum(high - low, 1e-9 * np.maximum(np.abs(low), np.abs(high)) + 1e-290)
    low, high = low - gap, high + gap
    if isinstance(prior.support, Box):
        low, high = np.maximum(low, prior.support.low), np.minimum(high, prior.support.high)
    return Region(low, high)


def _classified(boxed: Truncated, box: Region, answer: Array, miss: float, seed: int) -> Region:
    """The box cut by a classifier between the answer and the prior in the box."""
    rng = np.random.default_rng(seed)
    answer = answer[rng.permutation(len(answer))]
    fitted, held = np.array_split(answer[: 2 * _FIT], 2)
    fitted = fitted[box.contains(fitted)]
    prior = boxed.sample(len(fitted), rng)
    chart = Chart.fit(fitted, prior, box.low, box.high)
    odds = fit_log_odds(chart(fitted), chart(prior), seed=seed)
    scores = np.where(box.contains(held), odds(chart(held)), -np.inf)
    lost = miss * len(held)
    level = float(np.sort(scores)[max(0, int(lost - 2 * math.sqrt(lost)))])
    return Region(box.low, box.high, chart, odds, level)
