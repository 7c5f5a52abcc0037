"""Parameter vectors to simulate: independent draws of the prior, or a design that fills it evenly.

They come in blocks, each with a seed of its own, so that any rows can be had again without those
before them.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.priors import Prior, PriorLike

__all__ = ["Design", "Draws", "Given"]

Array = NDArray[np.float64]
Design = Literal["random", "sobol"]

_BLOCK = 4096
_BITS = 30


class Given:
    """Rows that are there already, x (n, D), in the place of a design."""

    def __init__(self, x: Array) -> None:
        self._x = x

    def rows(self, start: int, stop: int) -> Array:
        """The rows from start up to stop, shape (stop - start, D)."""
        return self._x[start:stop]


class Draws:
    """The rows of a design, without end.

    ``"sobol"`` are the points of a scrambled Sobol sequence (Sobol 1967; Owen 1998), taken through
    the quantile functions of independent laws. They fill the prior more evenly than independent
    draws, and each row alone is still a draw of the prior.

    Args:
        prior: what to draw from.
        design: ``"random"`` or ``"sobol"``.
        seed: of the draws.

    Raises:
        InputError: there is no such design, or this prior has no quantile functions.
    """

    def __init__(self, prior: PriorLike, design: Design, seed: int) -> None:
        if design not in get_args(Design):
            raise InputError(f"design must be 'random' or 'sobol'; got {design!r}")
        if design == "sobol" and not isinstance(prior, Prior):
            raise InputError(
                "design='sobol' needs independent laws, whose quantile functions are known; this "
                f"prior is a {type(prior).__name__}: use design='random'"
            )
        self._prior, self._design, self._seed = prior, design, seed
        self._sequence: Any = None
        self._last: tuple[int, Array] = (-1, np.empty((0, len(prior.names))))

    def rows(self, start: int, stop: int) -> Array:
        """The rows from start up to stop, shape (stop - start, D)."""
        blocks = range(start // _BLOCK, max(-(-stop // _BLOCK), start // _BLOCK + 1))
        found = [self._block(k) for k in blocks]
        first = blocks[0] * _BLOCK
        x = found[0] if len(found) == 1 else np.concatenate(found)
        return x[start - first : stop - first]

    def _block(self, k: int) -> Array:
        if self._last[0] != k:
            drawn = self._random(k) if self._design == "random" else self._sobol(k)
            self._last = (k, drawn)
        return self._last[1]

    def _random(self, k: int) -> Array:
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(k,)))
        x = np.asarray(self._prior.sample(_BLOCK, rng), float)
        wanted = (_BLOCK, len(self._prior.names))
        if x.shape != wanted:
            raise InputError(
                f"the prior's sample({_BLOCK}, rng) gave draws of shape {x.shape}; expected "
                f"{wanted}, one column for each of {', '.join(self._prior.names)}"
            )
        return x

    def _sobol(self, k: int) -> Array:
        from scipy.stats import qmc  # noqa: PLC0415

        laws = self._prior.laws if isinstance(self._prior, Prior) else {}
        if self._sequence is None or self._sequence.num_generated > k * _BLOCK:
            self._sequence = qmc.Sobol(len(laws), scramble=True, bits=_BITS, rng=self._seed)
        if skipped := k * _BLOCK - self._sequence.num_generated:
            self._sequence.fast_forward(skipped)
        # The points lie on a grid that begins at zero, where a quantile may be infinite.
        u = self._sequence.random(_BLOCK) + 0.5 ** (_BITS + 1)
        columns = [law.ppf(u[:, j]) for j, law in enumerate(laws.values())]
        return np.stack(columns, axis=1).astype(float)
