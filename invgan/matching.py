"""Simulations with the outputs of given draws: what the prior says of x where y is theirs.

The population's answer keeps the prior's law of x given y. So simulations whose outputs are those
of the draws must have parameters like the draws', wherever simulations lie densely enough about
these outputs that the nearest ones are no blur, and are not the same few over and over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from invgan.metrics import has_ties
from invgan.resampling import effective_share
from invgan.samples import Simulations
from invgan.scaling import scored

__all__ = ["matched"]

Array = NDArray[np.float64]

_PROBES = 2_000
_LARGEST_BLUR, _FEWEST = 0.05, 200
_APART = 1e-6


def matched(y: Array, simulations: Simulations, neighbours: int = 1) -> NDArray[np.intp] | None:
    """Rows of the simulations with the nearest outputs, or None where they lie too sparsely.

    Args:
        y: outputs of draws, shape (n, L), in no order.
        simulations: of the prior.
        neighbours: k, how many for each draw.

    Returns:
        Indices of shape (n, k). None where half of the draws are further from their k-th
        neighbour than a twentieth of the draws' narrowest standard deviation, on the normal scores
        of the simulated outputs (those apart that never change), or where all neighbours together
        are worth fewer than 200 rows.
    """
    at, cloud = scored(simulations.y, y, simulations.y)
    if has_ties(simulations.y):
        # Of simulations with the same outputs each draw gets some, and not all draws the same.
        rng = np.random.default_rng(0)
        at, cloud = (part + _APART * rng.normal(size=part.shape) for part in (at, cloud))
    tree = cKDTree(cloud)
    far, _ = tree.query(at[:_PROBES], k=[neighbours])
    narrowest = at.std(axis=0)[np.ptp(cloud, axis=0) > 0].min(initial=np.inf)
    if np.median(far) > _LARGEST_BLUR * max(float(narrowest), 1e-12):
        return None
    rows = np.asarray(tree.query(at, k=range(1, neighbours + 1))[1])
    return rows if _worth(rows) >= _FEWEST else None


def _worth(rows: NDArray[np.intp]) -> float:
    """How many independent rows these are worth, some of which occur many times."""
    times: Array = np.bincount(rows.ravel()).astype(float)
    return len(times) * effective_share(times)
