"""An answer with the doubt that held-out pairs cast on it, so that a region around it is safe.

What a region cuts away does not come back, so it must not trust an answer that is too narrow or in
the wrong place; and it should not be spread by stray draws, which a network of few simulations
has. Held-out pairs whose outputs are near the observed ones tell both. For each of them the network
draws anew, and two distances are taken, in units of the spread of its draws: from their centre
("far"), and from the nearest of them ("near"), of the true parameters and of draws that were set
apart. They give

- the stretch: how much further true parameters are than draws, from the centre, as a factor;
- the blur: how much further they are from the nearest draw, ``sqrt(d_true^2 - d_own^2)``, which
  sees errors small beside the whole answer and large beside the thickness of a thin one;
- the reach: once and a half the largest of either distance that a true parameter has.

Draws for the observations beyond the reach are dropped, the others stretched and blurred. What can
be lost is a part of the answer that is out of reach and that none of k pairs has shown: a share s
of it goes unseen with probability ``(1 - s)^k``, so on average less than ``1 / (e k)`` is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from invgan.arguments import seeds_from
from invgan.gan import Inverse
from invgan.problem import Problem
from invgan.rounds.inside import Confined, conditions
from invgan.samples import Simulations
from invgan.scaling import OutputScaling

__all__ = ["Doubt", "doubted"]

Array = NDArray[np.float64]

_CONDITIONS, _PAIRS = 2500, 500
_OWN, _AROUND = 16, 32
_LEVELS, _BEYOND = (0.5, 0.8), 5
_REACH = 1.5
_LEAST_REACH = 1e-3
_CENTRAL = (0.1587, 0.5, 0.8413)
_AT_ONCE = 250


@dataclass(frozen=True)
class Doubt:
    """What held-out pairs say of a network's draws.

    Attributes:
        stretch: a factor, one or more.
        blur: in units of the draws' spread.
        reach: largest distances (far, near) of a draw that counts, in the same units.
    """

    stretch: float
    blur: float
    reach: tuple[float, float]

    @classmethod
    def of(cls, drawer: Confined, x: Array, y: Array, seed: int) -> Doubt:
        """Compare true parameters x (n, D) of outputs y (n, L) with draws that were set apart."""
        cloud = _Cloud.draw(drawer, y, seed)
        far, near = cloud.distances(drawer.inverse.parameters.to_network(x)[:, None])
        far_own, near_own = cloud.distances(cloud.own)
        outer = (*_LEVELS, max(0.5, 1 - _BEYOND / len(x)))
        own = np.maximum(np.quantile(far_own, outer), _LEAST_REACH)
        stretch = min(float((np.quantile(far, outer) / own).max()), 1 / _LEAST_REACH)
        excess = np.quantile(near, _LEVELS) ** 2 - np.quantile(near_own, _LEVELS) ** 2
        reach = _REACH * float(far.max()), _REACH * float(near.max())
        return cls(max(1.0, stretch), float(np.sqrt(excess.max().clip(0))), reach)


def doubted(
    problem: Problem, inverse: Inverse, simulations: Simulations, seed: int
) -> tuple[Array, dict[str, Any]]:
    """Draws (n, D) for the observations with the doubt on them, and its figures."""
    seeds = seeds_from(seed, 3)
    rng = np.random.default_rng(seeds[0])
    y = conditions(problem, _CONDITIONS, rng)
    drawer = Confined(inverse, problem.prior)
    doubt = Doubt.of(drawer, *_near(simulations, y), seeds[1])
    cloud = _Cloud.draw(drawer, y, seeds[2])
    far, near = cloud.distances(cloud.own)
    kept = (far <= doubt.reach[0]) & (near <= doubt.reach[1])
    widened = cloud.widened(doubt, rng)[kept]
    found = {
        "stretch": doubt.stretch,
        "blur": doubt.blur,
        "stray": 1 - float(kept.mean()),
        "heldout": inverse.info.get("divergence_of_head"),
    }
    return inverse.parameters.to_parameters(widened), found


@dataclass(frozen=True)
class _Cloud:
    """Draws for each of n rows of outputs, in network space.

    Attributes:
        own: draws that are set apart, shape (n, 16, E).
        around: draws that distances are taken from, shape (n, 32, E).
        centre: their median, shape (n, 1, E).
        width: half their central 68 % range, shape (n, 1, E).
    """

    own: Array
    around: Array
    centre: Array
    width: Array

    @classmethod
    def draw(cls, drawer: Confined, y: Array, seed: int) -> _Cloud:
        """Draws for y (n, L)."""
        x = drawer.draw(np.repeat(y, _OWN + _AROUND, axis=0), seed=seed)
        e = drawer.inverse.parameters.to_network(x).reshape(len(y), _OWN + _AROUND, -1)
        own, around = e[:, :_OWN], e[:, _OWN:]
        low, centre, high = np.quantile(around, _CENTRAL, axis=1)[:, :, None]
        width = (high - low) / 2
        # Draws that pile up at a bound have no spread of their own.
        width = np.maximum(width, 0.1 * np.median(width, axis=0) + 1e-12)
        return cls(own, around, centre, width)

    def distances(self, points: Array) -> tuple[Array, Array]:
        """Distances of points (n, k, E) from centre and nearest draw, (n, k) each."""
        far = np.abs((points - self.centre) / self.width).max(axis=2)
        u, around = points / self.width, self.around / self.width
        rows = range(0, len(u), _AT_ONCE)
        near = [_nearest(u[i : i + _AT_ONCE], around[i : i + _AT_ONCE]) for i in rows]
        return far, np.concatenate(near)

    def widened(self, doubt: Doubt, rng: np.random.Generator) -> Array:
        """The own draws stretched and blurred; shape (n, 16, E)."""
        factor = rng.uniform(1, doubt.stretch, (*self.own.shape[:2], 1))
        noise = rng.standard_normal(self.own.shape) / np.sqrt(self.own.shape[2])
        stretched = self.centre + factor * (self.own - self.centre)
        return np.asarray(stretched + doubt.blur * self.width * noise)


def _nearest(points: Array, around: Array) -> Array:
    gaps = points[:, :, None] - around[:, None]
    return np.asarray(np.sqrt(np.square(gaps).sum(axis=3)).min(axis=2))


def _near(simulations: Simulations, y: Array) -> tuple[Array, Array]:
    """Held-out pairs (x, y) whose outputs are nearest to the observed ones."""
    held = simulations.selection, simulations.heldout
    x, found = (np.concatenate([getattr(part, name) for part in held]) for name in ("x", "y"))
    scored = OutputScaling.fit(simulations.y).to_network
    tree = cKDTree(np.nan_to_num(scored(np.unique(y, axis=0))))
    rows = np.argsort(tree.query(np.nan_to_num(scored(found)))[0])[:_PAIRS]
    return x[rows], found[rows]
