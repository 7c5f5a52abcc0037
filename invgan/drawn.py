"""Whether parameters are draws of a prior: what is learnt from others answers for another prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.errors import InputError
from invgan.priors import PriorLike

__all__ = ["LOOKED_AT", "check_drawn"]

Array = NDArray[np.float64]

_LEVEL = 1e-6
_ALLOWED = 0.02  # largest distance of two distribution functions that rounding may explain
_COLUMNS, _AT_ONCE = 100, 10_000

LOOKED_AT = 50_000
"""Rows of parameters, of more the first."""


def check_drawn(x: Array, prior: PriorLike, what: str) -> None:
    """Refuse parameters that are no draws of a prior.

    The first 50,000 rows are looked at, and of many parameters a hundred, one at a time.

    Args:
        x: parameters, shape (n, D), finite.
        prior: what they should be drawn from.
        what: they are called in a sentence.

    Raises:
        InputError: they lie outside the prior, or one has another law.
    """
    outside = ~prior.support.contains(x)
    if outside.any():
        first = dict(zip(prior.names, x[np.argmax(outside)].tolist(), strict=True))
        raise InputError(
            f"{what}: {outside.sum()} of {len(x)} rows lie outside the prior (first: {first}); "
            "give the prior that they were drawn from"
        )
    x, width = x[:LOOKED_AT], x.shape[1]
    columns = np.linspace(0, width - 1, min(width, _COLUMNS)).astype(int)
    rng = np.random.default_rng(len(x))
    parts = [len(x[start : start + _AT_ONCE]) for start in range(0, len(x), _AT_ONCE)]
    # Of a field all but these columns are let go at once.
    drawn = np.concatenate([np.asarray(prior.sample(n, rng), float)[:, columns] for n in parts])
    for j, there in zip(columns, drawn.T, strict=True):
        found = stats.ks_2samp(x[:, j], there, method="asymp")
        if found.pvalue < _LEVEL and found.statistic > _ALLOWED:
            raise InputError(
                f"{what}: {prior.names[j]!r} was not drawn from its prior (the distribution "
                f"functions are {found.statistic:.2g} apart); give the prior that the rows were "
                "drawn from"
            )
