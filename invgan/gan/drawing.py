"""The generator's draws for observations: which rows it answers, and the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import check_kinds, seeds_from, whole
from invgan.calibration import Drawer
from invgan.errors import InputError
from invgan.gan.inverse import Inverse
from invgan.ground import own_ground
from invgan.observations import Observations, Table, as_observations
from invgan.problem import in_order, unnamed
from invgan.samples import Samples
from invgan.simulation import sort_repeats
from invgan.structure import pad_row

__all__ = ["sample"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


@own_ground()
def sample(
    inverse: Inverse,
    observations: Any,
    n: int = 20_000,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Samples:
    """Draw n parameter vectors for observations.

    Args:
        inverse: the trained inverse.
        observations: a `Table` or a `Law` of outputs, as in ``problem.observations``, or
            anything that can be made one. Columns that have names are taken by those of the
            outputs, if these have any. Rows of a table are used equally often. An inverse
            trained for a posterior takes all rows as the repeats of one experiment, as many as it
            was trained on, or of sets fewer.
        n: how many draws.

    Other Args:
        seed: of the choice of rows and of the noise.
        progress: called with (done, total).

    Returns:
        The generator's draws, not yet run through the model.

    Raises:
        InputError: the observations have another number of columns than the training had, or
            names without one of those of its outputs, or one experiment other repeats.
    """
    check_kinds(inverse=(inverse, Drawer))
    started = time.perf_counter()
    rows_seed, noise_seed = seeds_from(seed, 2)
    y = _conditions(inverse, observations, whole("n", n), np.random.default_rng(rows_seed))
    x = inverse.draw(y, seed=noise_seed, progress=progress)
    info = {
        "method": "cgan",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "training_seconds": inverse.info.get("seconds", 0.0),
    }
    return Samples(x, None, np.ones(n), inverse.names, inverse.outputs, info)


def _conditions(inverse: Inverse, observations: Any, n: int, rng: np.random.Generator) -> Array:
    """Rows (n, L) to condition on, L counting the repeats of one experiment."""
    masked = inverse.config.embedding.kind != "none"
    seen: Observations = as_observations(observations, missing=masked)
    if not unnamed(inverse.outputs):
        seen = in_order(seen, inverse.outputs)
    if isinstance(seen, Table) and inverse.info.get("question") == "posterior":
        _check_repeats(inverse, len(seen.rows))
    if len(inverse.low) > len(inverse.outputs) and isinstance(seen, Table):
        row = sort_repeats(seen.rows[None]).reshape(1, -1)
        if inverse.config.embedding.kind == "set" and row.shape[1] < len(inverse.low):
            row = pad_row(row[0], (len(inverse.low),))
        return np.repeat(row, n, axis=0)
    return seen.representative(n, rng)


def _check_repeats(inverse: Inverse, rows: int) -> None:
    """One experiment's rows must be as many as those of the training, or of sets no more."""
    repeats, sets = len(inverse.low) // len(inverse.outputs), inverse.config.embedding.kind == "set"
    if rows != repeats and not (sets and rows < repeats):
        raise InputError(
            f"the inverse was trained for {repeats} row{'s'[: repeats > 1]} of one experiment"
            f"{' or fewer' if sets and repeats > 1 else ''}; got {rows}: train it for {rows} "
            "repeats, or draw for each row of its own"
        )
