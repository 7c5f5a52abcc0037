"""Whether a law of the user's own has the density that its draws have.

Draws of a law stay draws of it under a Metropolis step by its density: what a step adds to any
function of them is zero in the mean (detailed balance; Hastings 1970). A density that lacks a
Jacobian, a scale or a dependence moves them. The steps change one column of each draw, the
functions are ranks of columns, their squares and products, and the rank of the density itself:
bounded, whatever the tails are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError

__all__ = ["SURPRISE", "check_density", "imbalance", "stepped"]

Array = NDArray[np.float64]

_DRAWS, _COLUMNS = 4_000, 100

SURPRISE = 6.0
"""Standard errors that a density does not show of its own draws."""


def check_density(
    what: str,
    names: Sequence[str],
    sample: Callable[[int, np.random.Generator], Array],
    log_prob: Callable[[Array], Array],
) -> None:
    """Refuse a density that is not that of the draws; a factor that it lacks does not matter.

    It sees what columns that can be moved one at a time show with 4,000 steps: a spread that is
    a quarter too wide, a Jacobian or a correlation left out, not a spread that is a tenth too wide.

    Args:
        what: the law is called in a sentence.
        names: of its D columns.
        sample: as that of a prior; the same draws for the same generator.
        log_prob: as that of a prior; -inf where there are no draws.

    Raises:
        InputError: the density is of another law.
    """
    rng = np.random.default_rng(0)
    x = sample(_DRAWS, rng)
    moved, column = stepped(x, rng)
    with np.errstate(all="ignore"):
        before, after = log_prob(x), log_prob(moved)
    where, away = imbalance(x, moved, column, before, after)
    if away > SURPRISE:
        along = " with ".join(repr(names[j]) for j in where) or "all columns"
        raise InputError(
            f"{what}: log_prob is not the density of what sample draws: Metropolis steps by it "
            f"move the draws along {along} ({away:.0f} standard errors); look for a Jacobian, a "
            "scale or a dependence that one of the two lacks"
        )


def stepped(
    x: Array, rng: np.random.Generator, *, width: int | None = None, decades: float = 0.0
) -> tuple[Array, NDArray[np.intp]]:
    """Draws, each moved in one column by about the width of its middle half, or by less.

    Args:
        x: draws (n, D).
        rng: of the moves.

    Other Args:
        width: the first so many columns are moved, by default all.
        decades: steps are shorter by a factor between 1 and ten to this power.

    Returns:
        The draws after the step, and the column in which each was moved; of many a hundred are.
    """
    n, every = len(x), x.shape[1] if width is None else width
    column = np.resize(np.linspace(0, every - 1, min(every, _COLUMNS)).astype(int), n)
    rows = np.arange(n)
    low, high = np.quantile(x[:, :every], [0.25, 0.75], axis=0)
    moved = x.copy()
    length = (high - low)[column] * 10 ** -(decades * rng.random(n))
    moved[rows, column] += length * rng.normal(size=n)
    return moved, column


def imbalance(
    x: Array, moved: Array, column: NDArray[np.intp], before: Array, after: Array
) -> tuple[tuple[int, ...], float]:
    """Along which columns steps that are accepted by a density lead draws away, and how far.

    Args:
        x: draws (n, D).
        moved: the same after a step, as `stepped` gives them.
        column: that each was moved in.
        before: log-density of x, shape (n,), but for a constant.
        after: of moved.

    Returns:
        Columns, none for all together, and standard errors: above ``SURPRISE`` the density is that
        of another law.
    """
    with np.errstate(invalid="ignore"):
        accepted = np.exp(np.minimum(after - before, 0))
    accepted[np.isnan(accepted)] = 0
    away = _surprises(_ranks(x, x), _ranks(x, moved), accepted, column)
    before, after = before[:, None], after[:, None]
    denser = (_ranks(before, after) - _ranks(before, before)) * accepted[:, None]
    away[()] = max(away[()], float(_standard_errors(denser).max()))
    # Columns say more than all together, where they say enough.
    where = max(away, key=lambda where: (bool(where) and away[where] > SURPRISE, away[where]))
    return where, away[where]


def _ranks(x: Array, of: Array) -> Array:
    """Shares of x (n, D) below each number and half of those at it, by column, less a half."""
    ordered = np.sort(x, axis=0).T
    both = [
        np.searchsorted(a, b, "left") + np.searchsorted(a, b, "right")
        for a, b in zip(ordered, of.T, strict=True)
    ]
    return np.stack(both, axis=1) / (2 * len(x)) - 0.5


def _surprises(
    ranks: Array, moved: Array, accepted: Array, column: NDArray[np.intp]
) -> dict[tuple[int, ...], float]:
    """What the steps add, in standard errors: of a column, of two, or of all together."""
    away: dict[tuple[int, ...], float] = {}
    own = np.empty((len(ranks), 2))
    for j in np.unique(column):
        rows = column == j
        products = moved[rows] * moved[rows][:, [j]] - ranks[rows] * ranks[rows][:, [j]]
        added = np.column_stack([products, moved[rows, j] - ranks[rows, j]])
        added *= accepted[rows][:, None]
        own[rows] = added[:, [j, -1]]
        found = _standard_errors(added)
        k = int(np.argmax(found))
        away[(j,) if k in (j, len(found) - 1) else (j, k)] = float(found[k])
    away[()] = float(_standard_errors(own).max())
    return away


def _standard_errors(added: Array) -> Array:
    """The sums of columns, in units of their own noise."""
    noise = np.sqrt(np.square(added).sum(axis=0))
    return np.asarray(np.abs(added.sum(axis=0)) / np.where(noise > 0, noise, 1))
