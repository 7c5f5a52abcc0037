"""How far the members of an ensemble are apart at one observation.

Members trained from different seeds on the same pairs agree where the data decide, and differ where
each had to guess (Lakshminarayanan, Pritzel and Blundell 2017); no truth is needed to see it. The
distance is Wasserstein-1 of each parameter in standard deviations of all members' draws together,
beside what it is between two sets of draws of one member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import seeds_from
from invgan.calibration.draws import Drawer, drawn
from invgan.errors import InputError
from invgan.metrics import wasserstein

__all__ = ["Disagreement", "disagreement"]

Array = NDArray[np.float64]

_TIMES_SD = 4.0


@dataclass(frozen=True)
class Disagreement:
    """Distances between members at one observation.

    Attributes:
        distances: of each pair of members in each parameter, symmetric, shape (K, K, D).
        floor: what two sets of draws of one member stay below, shape (D,).
    """

    distances: Array
    floor: Array

    @property
    def largest(self) -> Array:
        """The largest distance between two members in each parameter, shape (D,)."""
        return np.asarray(self.distances.max(axis=(0, 1)))

    def sentence(self, names: Sequence[str]) -> str:
        """The parameter in which the members are furthest apart, in words."""
        j = int(np.argmax(self.largest - self.floor))
        return (
            f"the members of the ensemble differ most in {names[j]}: by {self.largest[j]:.2f} of "
            f"its standard deviation, and by chance they would by up to {self.floor[j]:.2f}"
        )


def disagreement(
    drawers: Sequence[Drawer], at: Array, *, draws: int = 2000, replicates: int = 10, seed: int = 0
) -> Disagreement:
    """Compare the answers of several inverses at one observation.

    Args:
        drawers: the K members, two or more.
        at: the observation, shape (1, L).

    Other Args:
        draws: of each member.
        replicates: pairs of sets of draws of each member that give the floor.
        seed: of all draws.

    Raises:
        InputError: there are fewer than two members, or more than one observation.
    """
    if len(drawers) < 2 or at.shape[0] != 1:
        raise InputError(
            "a disagreement takes two members or more and one row of outputs; got "
            f"{len(drawers)} and {at.shape}"
        )
    seeds = seeds_from(seed, len(drawers))
    sets = 1 + replicates
    clouds = [
        drawn(d, np.repeat(at, sets, axis=0), draws, s) for d, s in zip(drawers, seeds, strict=True)
    ]
    scale = np.concatenate([c[0] for c in clouds]).std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    distances = np.zeros((len(drawers), len(drawers), len(scale)))
    for i, j in combinations(range(len(drawers)), 2):
        distances[i, j] = distances[j, i] = wasserstein(clouds[i][0], clouds[j][0]) / scale
    same = np.array(
        [wasserstein(c[r], c[r + 1]) / scale for c in clouds for r in range(replicates)]
    )
    return Disagreement(distances, same.mean(axis=0) + _TIMES_SD * same.std(axis=0))
