"""What the observations say of candidate parameters: a matrix of likelihood ratios.

The trained inverse gives the likelihood for nothing: by Bayes' rule

    A(x, y) = p(x | y) / q(x) = p(y | x) / q_Y(y),

and whatever depends on y alone cancels where it is used (`invgan.mixing.steps`). Candidates x are
draws of the inverse for observed rows, hence of the averaged posterior P_1.

**A likelihood must be a law of the outputs.** For every x the integral of p(y | x) over y is one.
A learnt inverse knows nothing of this: its A has the right integral over x for every y, and some
candidates get too much likelihood everywhere, others too little. Step after step the former would
win, whatever the observations say. But for candidates x_i of weights w_i and outputs y_l of the
model itself for draws of these, with the density p_w, the exact

    p(y | x) / p_w(y) = A(x, y) u(x) v(y)

has mean one over all outputs for every candidate, and weighted mean one over the candidates for
every output. Rows and columns of the matrix (i, l) are divided by these means in turn (Sinkhorn and
Knopp 1967), and u is what makes A a law of y again; for the exact A it is constant. Any error that
is a function of x times one of y leaves no trace. The outputs are few, so that u is noisy. It is
taken as it is: shrunk, it would leave a share of the fault in, which grows with every step.

Few rows must stand for many, since the matrix has a column for each. The rows are dealt at random
into five parts, and each part is thinned to rows that are spread evenly: it is halved along its
widest column again and again, and one row of every last cell is taken. Parts are never mixed, so
that any four of them are a fit that knows nothing of the fifth. In few dimensions the inverse is
asked for a sixteenth of the columns, and the others lie between those (`invgan.mixing.between`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from invgan.errors import CorrectionError
from invgan.mixing.between import columns_between
from invgan.observations import Table
from invgan.problem import Problem

__all__ = [
    "PARTS",
    "Evidence",
    "Likelihood",
    "Rows",
    "choose_rows",
    "draw_candidates",
    "normalise",
    "weigh",
]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

PARTS = 5
_ROWS_OF_A_LAW, _AT_ONCE, _BETWEEN = 20_000, 65_536, 16
_BALANCING, _LARGEST_FACTOR, _LEAST_MEAN = 30, 5.0, 1e-30


class Likelihood(Protocol):
    """What the iteration asks of a trained inverse."""

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector (n, D) for each row of outputs y (n, L)."""
        ...

    def log_ratio(self, x: Array, y: Array) -> Array:
        """Log p(x | y) / q(x) of matched rows x (n, D) and y (n, L), shape (n,).

        But for a function of x and one of y, both of which the balance takes out.
        """
        ...


@dataclass(frozen=True)
class Rows:
    """The observed law, by rows.

    Attributes:
        all: every row of a table, or many of a law, shape (R, L).
        nodes: which of them stand for the others, shape (M,).
        part: the part, 0 to 4, that each of the nodes belongs to, shape (M,).
        asked: the nodes, by their place among them, whose columns the inverse is asked for.
    """

    all: Array
    nodes: Indices
    part: Indices
    asked: Indices

    @property
    def y(self) -> Array:
        """The nodes themselves, shape (M, L)."""
        return self.all[self.nodes]

    def only(self, some: Indices) -> Rows:
        """Some of the nodes, by their place among them, all of which are asked for."""
        return Rows(self.all, self.nodes[some], self.part[some], np.arange(len(some)))


@dataclass(frozen=True)
class Evidence:
    """Likelihood ratios A(x_i, y_j) of N candidates and M rows.

    Attributes:
        x: candidates from the averaged posterior, shape (N, D).
        ratios: A(x_i, y_j), each column up to a factor of its own, shape (N, M).
        log_top: logarithms of those factors, shape (M,).
        part: the part that each of the rows belongs to, shape (M,).
    """

    x: Array
    ratios: NDArray[np.float32]
    log_top: Array
    part: Indices


def choose_rows(problem: Problem, most: int, rng: np.random.Generator) -> Rows:
    """The observed rows, and nodes: at most about so many (five at least) that are asked for."""
    seen = problem.observations
    rows = seen.rows if isinstance(seen, Table) else seen.representative(_ROWS_OF_A_LAW, rng)
    scaled = _scaled(rows)
    dealt = np.array_split(rng.permutation(len(rows)), PARTS)
    each = max(most // PARTS, 1)
    thinned = [_spread(scaled, part, _BETWEEN * each, rng) for part in dealt]
    nodes = np.concatenate(thinned)
    asked = _spread(scaled[nodes], np.arange(len(nodes)), PARTS * each, rng)
    part = np.repeat(range(PARTS), list(map(len, thinned)))
    return Rows(rows, nodes, part, np.sort(asked))


def _spread(rows: Array, among: Indices, count: int, rng: np.random.Generator) -> Indices:
    """One of the indices in each of so many cells with equally many rows."""
    if len(among) <= count:
        return among
    if count == 1:
        return rng.choice(among, 1)
    widest = int(np.argmax(np.ptp(rows[among], axis=0)))
    order = among[np.argsort(rows[among, widest])]
    left = count // 2
    cut = round(len(order) * left / count)
    halves = (order[:cut], left), (order[cut:], count - left)
    return np.concatenate([_spread(rows, half, cells, rng) for half, cells in halves])


def draw_candidates(
    problem: Problem, inverse: Likelihood, n: int, rng: np.random.Generator
) -> Array:
    """N parameter vectors of the averaged posterior inside the prior's support, shape (N, D).

    Raises:
        CorrectionError: none is inside.
    """
    y = problem.observations.representative(n, rng)
    x = inverse.draw(y, seed=int(rng.integers(2**31)))
    x = x[np.isfinite(problem.prior.log_prob(x))]
    if not len(x):
        raise CorrectionError("none of the inverse's draws lies where the prior does")
    return x


def weigh(
    inverse: Likelihood, x: Array, rows: Rows, advance: Callable[[int], None]
) -> tuple[Evidence, Rows]:
    """The evidence of all rows on candidates x (N, D), and the rows that some candidate explains.

    Args:
        inverse: of the likelihood ratios.
        x: candidates, shape (N, D).
        rows: the observed rows and their nodes; N evaluations for each that is asked for.
        advance: called with the number of candidates done.

    Raises:
        CorrectionError: no candidate explains any row.
    """
    logs = _logs(inverse, x, rows.y[rows.asked], advance)
    reached = np.isfinite(logs).any(axis=0)
    if not reached.any():
        raise CorrectionError("the inverse gives no candidate any likelihood for any observed row")
    scaled = _scaled(rows.y)
    filled = columns_between(logs, scaled[rows.asked], scaled) if reached.all() else None
    if filled is None:
        rows, filled = rows.only(rows.asked[reached]), logs[:, reached]
    return Evidence(x, *_relative(filled), rows.part), rows


def normalise(
    inverse: Likelihood,
    evidence: Evidence,
    weights: Array,
    y: Array,
    columns: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> Evidence:
    """The evidence with every candidate's likelihood made a law of the outputs.

    Args:
        inverse: of the likelihood ratios.
        evidence: of N candidates, as `weigh` gives it.
        weights: of the candidates, shape (N,), with mean one.
        y: the model's outputs for draws of the candidates as they are weighed, shape (n, L).
        columns: how many of them are used; N evaluations for each.
        rng: of their choice.
        advance: called with the number of candidates done.
    """
    scaled = _scaled(y)
    chosen = _spread(scaled, np.arange(len(y)), _BETWEEN * columns, rng)
    asked = _spread(scaled, chosen, columns, rng)
    logs = _logs(inverse, evidence.x, y[asked], advance)
    reached = np.isfinite(logs).any(axis=0)
    filled = columns_between(logs, scaled[asked], scaled[chosen]) if reached.all() else None
    ratios, _ = _relative(logs[:, reached] if filled is None else filled)
    factor = _balanced(ratios, weights.astype(np.float32))
    return replace(evidence, ratios=evidence.ratios * factor[:, None])


def _balanced(ratios: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The factor of every row (N,) that, with one for every column, brings all means to one."""
    rows = np.ones(len(ratios), np.float32)
    for _ in range(_BALANCING if ratios.size else 0):
        columns = 1 / np.maximum((weights * rows) @ ratios / len(ratios), _LEAST_MEAN)
        rows = 1 / np.maximum(ratios @ columns / ratios.shape[1], _LEAST_MEAN)
        # A candidate that explains none of the outputs must not be blown up to explain them.
        rows = np.minimum(rows, _LARGEST_FACTOR * np.median(rows))
    return rows


def _logs(
    inverse: Likelihood, x: Array, y: Array, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """Log A(x_i, y_j), shape (N, M); minus infinity where it is not finite."""
    logs, step = np.empty((len(x), len(y)), np.float32), max(1, _AT_ONCE // len(y))
    for start in range(0, len(x), step):
        some = x[start : start + step]
        block = inverse.log_ratio(np.repeat(some, len(y), axis=0), np.tile(y, (len(some), 1)))
        block = np.where(np.isfinite(block), block, -np.inf)
        logs[start : start + step] = block.reshape(len(some), -1)
        advance(min(start + step, len(x)))
    return logs


def _relative(logs: NDArray[np.float32]) -> tuple[NDArray[np.float32], Array]:
    """A(x_i, y_j), each column divided by its largest entry, and the logarithms of those (M,).

    The logarithms (N, M) themselves are overwritten.
    """
    log_top = logs.max(axis=0)
    np.exp(logs - np.where(np.isfinite(log_top), log_top, 0), out=logs)
    return logs, log_top.astype(float)


def _scaled(rows: Array) -> Array:
    scale = rows.std(axis=0)
    return np.asarray(rows / np.where(scale > 0, scale, 1))
