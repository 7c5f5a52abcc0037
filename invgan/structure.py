"""The structure of a row of outputs: a plain vector, a time series, an image, or a set.

A row (L,) is read in C order as one of

| kind | shape of a row | columns on one scale |
|---|---|---|
| none, mlp | L single quantities | each its own |
| conv1d, recurrent, transformer | [channels, length] | a channel |
| conv2d | [channels, height, width] | a channel |
| set | [elements, width] | one value of the elements |

Absent values are NaN: those behind the end of a shorter series, right of and below a smaller image,
the elements that a smaller set does not have, and anything that was not measured in between. Two
numbers in the place of each, the value or zero and whether it was seen, tell all that there is to
tell of such a row: the networks read it so, and all that measures distances does (`filled`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError
from invgan.settings import AXES, ONE_CHANNEL, EmbeddingConfig, SettingError

__all__ = [
    "EmbeddingConfig",
    "check_masks",
    "column_groups",
    "filled",
    "pad_row",
    "row_shape",
    "thin_sets",
]

Array = NDArray[np.float64]


def row_shape(config: EmbeddingConfig, outputs: int) -> tuple[int, ...]:
    """The shape of a row of L outputs; (L,) where it has no structure.

    Raises:
        SettingError: the shape of the settings has not L entries.
    """
    if config.shape is None:
        return (1, outputs) if config.kind in ONE_CHANNEL else (outputs,)
    if math.prod(config.shape) != outputs:
        raise SettingError(
            ("shape",),
            f"{list(config.shape)} has {math.prod(config.shape)} entries and a row has {outputs} "
            f"outputs; give [{', '.join(AXES[config.kind])}] whose product is {outputs}",
        )
    return config.shape


def column_groups(config: EmbeddingConfig, outputs: int) -> tuple[int, ...] | None:
    """For each of the L columns, which scale it shares; None where each has its own.

    All times of a channel, all pixels of a channel and all elements of a set share one scale, so
    that the shape of a curve, the contrast of an image and the order of a set's values are kept.
    """
    shape = row_shape(config, outputs)
    if len(shape) == 1:
        return None
    if config.kind == "set":
        return tuple(range(shape[1])) * shape[0]
    return tuple(int(j) for j in np.repeat(np.arange(shape[0]), outputs // shape[0]))


def check_masks(config: EmbeddingConfig) -> None:
    """Refuse an embedding that does not tell an absent value from a measured one.

    Raises:
        SettingError: there is none.
    """
    if config.kind == "none":
        raise SettingError(
            ("kind",),
            "none cannot tell a missing output from a measured one; outputs with missing values "
            "need a network that reads what was seen: mlp for plain rows, conv1d, recurrent or "
            "transformer for series, conv2d for images, set for repeats",
        )


def filled(*clouds: Array) -> tuple[Array, ...]:
    """Rows of numbers for rows with absent values, so that distances between them can be taken.

    Args:
        clouds: on a scale whose middle is zero, NaN where absent, each (n, L).

    Returns:
        Each cloud with zeros in the place of NaN and M columns more, one or zero for seen or not,
        of the M outputs that any row of any cloud lacks, (n, L + M); the clouds themselves where
        nothing is absent.
    """
    absent = [np.isnan(cloud) for cloud in clouds]
    lacking = np.any([a.any(axis=0) for a in absent], axis=0)
    if not lacking.any():
        return clouds
    return tuple(
        np.hstack([np.where(a, 0.0, cloud), ~a[:, lacking]])
        for a, cloud in zip(absent, clouds, strict=True)
    )


def pad_row(observed: ArrayLike, shape: int | tuple[int, ...]) -> Array:
    """One row (1, L) for something smaller than a full row, NaN where there is nothing.

    Args:
        observed: a shorter series (channels, length), a smaller image or a smaller set.
        shape: of a full row.

    Raises:
        InputError: observed has more entries along an axis, or other axes, than a full row.
    """
    part = np.asarray(observed, float)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if part.ndim != len(shape):
        raise InputError(
            f"a full row has {len(shape)} axes, {shape}, and what was observed {part.ndim}, "
            f"{part.shape}: give it as many, as in observed[None] for one channel"
        )
    if any(a > b for a, b in zip(part.shape, shape, strict=True)):
        raise InputError(f"a row holds at most {shape}; got {part.shape}")
    row = np.full(shape, np.nan)
    row[tuple(slice(k) for k in part.shape)] = part
    return row.reshape(1, -1)


def thin_sets(y: Array, elements: int, rng: np.random.Generator, *, fewest: int = 1) -> Array:
    """Sets of random sizes from simulations of R repeats each.

    A network trained on them answers for a set of any size up to R: given the size, the elements
    that are left are iid draws like the others. The size is uniform on fewest, ..., R; which
    elements are left is random too, since repeats may come sorted.

    Args:
        y: R repeats of w outputs, shape (n, R * w).
        elements: R.
        rng: of the sizes and the choice of elements.

    Other Args:
        fewest: smallest size, 0 to R.

    Returns:
        A copy of y with NaN in the elements taken away.

    Raises:
        InputError: the columns of y are not R equal parts, or fewest is not within 0 to R.
    """
    if y.ndim != 2 or elements < 1 or y.shape[1] % elements:
        raise InputError(f"rows of {elements} equal elements are needed; got y of shape {y.shape}")
    if not 0 <= fewest <= elements:
        raise InputError(f"fewest must be 0 to {elements} (the elements of a row); got {fewest}")
    sizes = rng.integers(fewest, elements + 1, size=len(y))
    rank = rng.random((len(y), elements)).argsort(axis=1)
    kept = np.repeat(rank < sizes[:, None], y.shape[1] // elements, axis=1)
    return np.where(kept, y, np.nan)
