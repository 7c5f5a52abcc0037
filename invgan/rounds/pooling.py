"""The rows of several rounds: draws of the last prior, and what training learns from beside them.

Together the rows of all rounds follow a mixture of priors cut to nested regions R_k,

    m(x) = sum over k of n_k / n  q(x) 1_{R_k}(x) / q(R_k),

which inside the last region R_K is q times a constant. So there

    m(x | y) 1_{R_K}(x)  =  q(x | y) 1_{R_K}(x)    but for a factor of y:

a network that learns from all rows, and whose draws outside R_K are drawn again, answers for the
last prior. Nothing that was simulated is lost to it. Whatever else looks at simulations wants draws
of one prior, and sees the rows inside R_K alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from invgan.fields import field_shape
from invgan.priors import CutPrior, PriorLike
from invgan.problem import Problem
from invgan.rounds.inside import confined
from invgan.samples import Simulations, failure_records
from invgan.truncation import Region, Truncated, within

__all__ = ["learnable", "pooled"]

Array = NDArray[np.float64]

_FEWEST_BEYOND = 100


class _Mixture:
    """The law of rows that several priors gave; a `PriorLike`.

    Args:
        parts: the priors, the first of which reaches as far as any.
        shares: of the rows, shape (K,), with sum one.
    """

    def __init__(self, parts: Sequence[PriorLike], shares: Array) -> None:
        self._parts, self._shares = parts, shares
        self.names, self.support = parts[0].names, parts[0].support
        self.field = field_shape(parts[0])

    @property
    def whole(self) -> PriorLike:
        """The first of the priors, before any cut."""
        first = self._parts[0]
        return first.whole if isinstance(first, CutPrior) else first

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) are left of the last prior; shape (n,)."""
        return within(self._parts[-1], x)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D)."""
        counts = rng.multinomial(n, self._shares)
        drawn = [part.sample(size, rng) for part, size in zip(self._parts, counts, strict=True)]
        return rng.permutation(np.concatenate(drawn))

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        logs = np.stack([part.log_prob(x) for part in self._parts])
        return np.asarray(logsumexp(logs, axis=0, b=self._shares[:, None]))


def pooled(problem: Problem, parts: Sequence[Simulations], seed: int) -> Simulations:
    """All simulations so far, in random order; those outside the problem's prior stand beyond."""
    prior, last, rng = problem.prior, parts[-1], np.random.default_rng(seed)
    kept = [within(prior, part.x) for part in parts]
    x, y, failed = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "failed")
    )
    own = _together([part.own for part in parts])
    records = failure_records([r for part in parts for r in part.failures.tolist()])
    every, of_failed = np.concatenate(kept), within(prior, failed)
    rows, others = (rng.permutation(np.flatnonzero(which)) for which in (every, ~every))
    summed = ("seconds", "model_evaluations", "not_finite")
    info = {
        "seed": seed,
        **{key: sum(part.info[key] for part in parts) for key in summed},
        "regions": last.info["regions"],
        "rounds": [
            part.info["round"] | {"inside": int(which.sum())}
            for part, which in zip(parts, kept, strict=True)
        ],
    }
    named = last.names, last.outputs
    beyond = None
    if len(others) >= _FEWEST_BEYOND:
        own_beyond = None if own is None else own[others]
        beyond = Simulations(x[others], y[others], *named, failed[:0], own=own_beyond)
    return Simulations(
        x[rows], y[rows], *named, failed[of_failed], info, records[of_failed], beyond,
        None if own is None else own[rows],
    )  # fmt: skip


def _mingled(beyond: Array, inside: Array) -> Array:
    """Rows of two arrays, evenly among each other: whoever looks at the first few sees both.

    Where shares are rounded, the first row of a part moves up to the part before: one beyond, not
    a row held out.
    """
    sizes = len(beyond), len(inside)
    places = [(np.arange(n) + k / 2) / max(n, 1) for k, n in enumerate(sizes)]
    return np.concatenate([beyond, inside])[np.argsort(np.concatenate(places), kind="stable")]


def _together(columns: Sequence[Array | None]) -> Array | None:
    """Arrays one after the other, where none is missing."""
    there = [column for column in columns if column is not None]
    return np.concatenate(there) if len(there) == len(columns) else None


def learnable(problem: Problem, simulations: Simulations) -> tuple[Problem, Simulations]:
    """What a conditional network is trained on.

    Args:
        problem: with the prior as it was before any round.
        simulations: of one round or several.

    Returns:
        The problem with the law of all rows for its prior, and all rows. Each of their three parts
        holds the same part of the simulations, so that what was held out stays held out, with rows
        of both kinds in every stretch of it.
    """
    beyond = simulations.beyond
    if beyond is None:
        return confined(problem, simulations), simulations
    regions = [Region.from_dict(data) for data in simulations.info["regions"]]
    rounds = simulations.info["rounds"]
    cuts = [regions[: row["regions"]] for row in rounds]
    priors = [Truncated(problem.prior, cut) if cut else problem.prior for cut in cuts]
    sizes = np.array([row["simulations"] for row in rounds], float)
    both = [
        (getattr(beyond, name), getattr(simulations, name))
        for name in ("training", "selection", "heldout")
    ]
    together = replace(
        simulations,
        x=np.concatenate([_mingled(a.x, b.x) for a, b in both]),
        y=np.concatenate([_mingled(a.y, b.y) for a, b in both]),
        own=_together([None if a.own is None else _mingled(a.own, b.own) for a, b in both]),
        beyond=None,
    )
    return replace(problem, prior=_Mixture(priors, sizes / sizes.sum())), together
