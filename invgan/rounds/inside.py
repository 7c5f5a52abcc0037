"""The cut prior of a problem, and draws of its inverse that stay inside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import seeds_from
from invgan.gan import Inverse
from invgan.observations import Table
from invgan.priors import PriorLike
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import sort_repeats
from invgan.truncation import Region, Truncated, within

__all__ = ["Confined", "conditions", "confined", "sample_inside"]

Array = NDArray[np.float64]

_MOST_REDRAWS = 100


def confined(problem: Problem, simulations: Simulations) -> Problem:
    """The problem with the prior that the simulations were drawn from: cut, if it was cut."""
    regions = [Region.from_dict(data) for data in simulations.info.get("regions", [])]
    return replace(problem, prior=Truncated(problem.prior, regions)) if regions else problem


@dataclass(frozen=True)
class Confined:
    """An inverse whose draws outside the cut prior's regions are drawn again.

    Attributes:
        inverse: the inverse, trained under the cut prior.
        prior: any prior; nothing is drawn again for one that was not cut.
        progress: called with (rows done, total) of each set of draws, or None.
    """

    inverse: Inverse
    prior: PriorLike
    progress: Callable[[int, int], None] | None = None

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of y (n, L) lie within the outputs that were trained on; shape (n,)."""
        return self.inverse.knows(y)

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector for each row of outputs y (n, L), shape (n, D)."""
        return self.redrawn(y, seed)[0]

    def log_ratio(self, x: Array, y: Array) -> Array:
        """Log of p(x given y) / q(x), but for a function of x, for matched rows; shape (n,)."""
        return self.inverse.log_ratio(x, y)

    def redrawn(self, y: Array, seed: int) -> tuple[Array, float, float]:
        """The draws (n, D), and the shares outside at the first try and after a hundred."""
        x = self.inverse.draw(y, seed=seed, progress=self.progress)
        outside = np.flatnonzero(~within(self.prior, x))
        leaked = len(outside) / max(len(x), 1)
        for again in seeds_from(seed, _MOST_REDRAWS):
            if not len(outside):
                break
            x[outside] = self.inverse.draw(y[outside], seed=again)
            outside = outside[~within(self.prior, x[outside])]
        return x, leaked, len(outside) / max(len(x), 1)


def sample_inside(problem: Problem, inverse: Inverse, n: int = 20_000, *, seed: int = 0) -> Samples:
    """Draw n parameter vectors for the observations, inside the problem's prior.

    Args:
        problem: with the prior that the inverse was trained under, from `confined`.
        inverse: the trained inverse.
        n: how many draws.

    Other Args:
        seed: of the choice of rows and of the noise.

    Returns:
        The draws, not yet run through the model. ``info`` gains leaked, the share that had to be
        drawn again, and outside, the share that was still outside after a hundred draws.
    """
    started = time.perf_counter()
    seeds = seeds_from(seed, 2)
    y = conditions(problem, n, np.random.default_rng(seeds[0]))
    x, leaked, outside = Confined(inverse, problem.prior).redrawn(y, seeds[1])
    info = {
        "method": "cgan",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "training_seconds": inverse.info.get("seconds", 0.0),
        "leaked": leaked,
        "outside": outside,
    }
    return Samples(x, None, np.ones(n), inverse.names, inverse.outputs, info)


def conditions(problem: Problem, n: int, rng: np.random.Generator) -> Array:
    """Rows (n, L) of the observations, L counting the repeats of one experiment."""
    seen = problem.observations
    if problem.question == "posterior" and isinstance(seen, Table):
        return np.repeat(sort_repeats(seen.rows[None]).reshape(1, -1), n, axis=0)
    return seen.representative(n, rng)
