"""Whatever draws parameters for outputs, and many draws of it for each row."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import rows_of, seeds_from
from invgan.errors import InputError
from invgan.scaling import OutputScaling, scored

__all__ = ["Drawer", "check_pairs", "conditions", "drawn", "few_columns", "scores"]

Array = NDArray[np.float64]

_MOST_COLUMNS, _AXES_ROWS = 200, 2_000
_AT_ONCE = 10_000_000
_SEED = 200


@runtime_checkable
class Drawer(Protocol):
    """What is judged: a trained inverse, a member of an ensemble, an exact sampler."""

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector (n, D) for each row of outputs y (n, L)."""
        ...


def drawn(drawer: Drawer, y: Array, draws: int, seed: int) -> Array:
    """Several parameter vectors for each row of y (n, L), shape (n, draws, D).

    Outputs are repeated for as many rows at a time as make ten million numbers.
    """
    block = max(1, _AT_ONCE // (draws * y.shape[1]))
    starts, found = range(0, len(y), block), []
    more = seeds_from(seed, len(starts))
    for start, own in zip(starts, [seed, *more[1:]], strict=True):
        rows = np.repeat(y[start : start + block], draws, axis=0)
        x = np.asarray(drawer.draw(rows, seed=own), float)
        if x.ndim != 2 or len(x) != len(rows) or not np.isfinite(x).all():
            raise InputError(
                f"the inverse turned {len(rows)} rows of outputs into an array of shape "
                f"{x.shape}; expected as many rows of finite parameters"
            )
        found.append(x.reshape(-1, draws, x.shape[1]))
    return np.concatenate(found)


def scores(reference: Array, cloud: Array) -> Array:
    """The cloud (..., L) on the normal scores of a reference (n, L), column by column."""
    scaled = OutputScaling.fit(reference).to_network(cloud.reshape(-1, cloud.shape[-1]))
    return scaled.reshape(cloud.shape)


def few_columns(y: Array) -> Array:
    """Two hundred columns of y (n, L) at most: enough of a series or an image.

    They are chosen at random, once and for all: evenly spaced ones would be the same output of
    every repeat, or one column of an image.
    """
    if y.shape[1] <= _MOST_COLUMNS:
        return y
    order = np.random.default_rng(_SEED).permutation(y.shape[1])
    return y[:, np.sort(order[:_MOST_COLUMNS])]


def conditions(y: Array, at: Array, most: int) -> tuple[Array, Array]:
    """What is to be known of outputs, in few columns: leading principal components of their scores.

    Of outputs with absent values, those of their scores and of what was seen: a function of the
    outputs like any other, so that a check which holds for every function of them holds here.

    Args:
        y: outputs that give the scales and the axes, shape (n, L), NaN where absent.
        at: others to be brought to the same columns, shape (m, L).
        most: how many columns there may be.

    Returns:
        Both, (n, C) and (m, C), the first column of size one.
    """
    y, at = few_columns(y), few_columns(at)
    t, t_at = scored(y, y, at)
    centre = t.mean(axis=0)
    _, size, axes = np.linalg.svd(t[:_AXES_ROWS] - centre, full_matrices=False)
    kept = axes[: min(most, max(1, int(np.sum(size > 1e-6 * size[0]))))]
    t, t_at = (t - centre) @ kept.T, (t_at - centre) @ kept.T
    scale = max(float(t[:, 0].std()), 1e-12)
    return t / scale, t_at / scale


def check_pairs(x: Array, y: Array, fewest: int) -> tuple[Array, Array]:
    """Both tables as arrays, or refused where they are no pairs.

    Raises:
        InputError: x and y are not two tables with as many rows, or these are too few.
    """
    x, y = rows_of("x", x), rows_of("y", y)
    if len(x) != len(y):
        raise InputError(
            f"held-out pairs are x (n, D) and y (n, L) with the same n; got {x.shape} and {y.shape}"
        )
    if len(x) < fewest:
        raise InputError(
            f"{len(x)} held-out pairs are too few to judge by and {fewest} are needed: run more "
            "simulations (simulate.n)"
        )
    return x, y
