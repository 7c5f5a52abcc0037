"""The law of a prior inside regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.fields import field_shape
from invgan.priors import Box, CutPrior, Prior, PriorLike, Simplex, Support
from invgan.truncation.region import Region

__all__ = ["Truncated", "mass_of", "within"]

Array = NDArray[np.float64]

_PROBES, _FEWEST_HITS = 50_000, 50
_BLOCK = 100_000
_PATIENCE = 20


class Truncated:
    """A prior cut to the intersection of regions; a `PriorLike` itself.

    A `Prior` of independent laws is drawn inside the box of the regions at once, by its quantiles,
    however narrow the box is; any other is drawn as it is. The rest is rejection.

    Args:
        prior: what to cut.
        regions: the regions, all of which a draw must lie in.

    Other Args:
        seed: of the estimate of the mass.

    Attributes:
        prior: the prior that was cut.
        regions: the regions.
        names: the D parameter names.
        field: the shape (C, H, W) of its draws where they are fields, else None.
        support: the bounds of the prior, cut to those of the regions (a `Simplex` stays one).
        mass: share of the prior that lies in the regions, estimated from 50,000 draws.

    Raises:
        InputError: too little of the prior lies in the regions to be drawn by rejection.
    """

    def __init__(self, prior: PriorLike, regions: Sequence[Region], *, seed: int = 0) -> None:
        self.prior, self.regions, self.names = prior, tuple(regions), prior.names
        self.field = field_shape(prior)
        self._low = np.max([region.low for region in self.regions], axis=0)
        self._high = np.min([region.high for region in self.regions], axis=0)
        if np.any(self._low >= self._high):
            raise InputError("the regions that truncate a prior have no point in common")
        self.support: Support = _cut(prior.support, self._low, self._high)
        hits = int(self.contains(self._propose(_PROBES, np.random.default_rng(seed))).sum())
        if hits < _FEWEST_HITS:
            raise InputError(
                f"{hits} of {_PROBES} draws hit the region that truncates the prior and "
                f"{_FEWEST_HITS} are needed to draw from it: the region is too small; use a wider "
                "one, or independent laws (invgan.Prior), which can be drawn inside a box"
            )
        self._hit_rate = hits / _PROBES
        self.mass = self._hit_rate * _box_mass(prior, self._low, self._high)

    @property
    def whole(self) -> PriorLike:
        """The prior before any cut."""
        return self.prior.whole if isinstance(self.prior, CutPrior) else self.prior

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) lie in all regions; shape (n,)."""
        inside = np.asarray(np.all((x >= self._low) & (x <= self._high), axis=1))
        for region in reversed(self.regions):
            inside[inside] = region.contains(x[inside])
        return inside

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D).

        Raises:
            InputError: far fewer draws hit the regions than when they were made.
        """
        found, missing, most = [], n, _PATIENCE * (n / self._hit_rate + _BLOCK)
        while missing > 0:
            size = min(_BLOCK, math.ceil(1.1 * missing / self._hit_rate) + 16)
            x = self._propose(size, rng)
            x = x[self.contains(x)]
            found.append(x)
            missing, most = missing - len(x), most - size
            if most < 0 < missing:
                raise InputError(f"{missing} of {n} draws of the truncated prior were not found")
        return np.concatenate(found)[:n] if found else np.empty((0, len(self.names)))

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        whole = np.asarray(self.prior.log_prob(x), float)
        return np.where(self.contains(x), whole - math.log(self.mass), -np.inf)

    def _propose(self, n: int, rng: np.random.Generator) -> Array:
        """Draws (n, D) of the prior, inside the box where that can be done at once."""
        if not isinstance(self.prior, Prior):
            return np.asarray(self.prior.sample(n, rng), float)
        u = rng.random((n, len(self.names)))
        bounds = zip(self.prior.laws.values(), self._low, self._high, strict=True)
        columns = [_between(law, a, b, u[:, j]) for j, (law, a, b) in enumerate(bounds)]
        return np.stack(columns, axis=1)

    def __repr__(self) -> str:
        return f"Truncated({self.prior!r}, mass={self.mass:.3g})"


def mass_of(prior: PriorLike) -> float:
    """Share of the original prior that is left: one for a prior that was never cut."""
    return prior.mass if isinstance(prior, Truncated) else 1.0


def within(prior: PriorLike, x: Array) -> NDArray[np.bool_]:
    """Which rows of x (n, D) are left of the original prior: all where it was never cut; (n,)."""
    return prior.contains(x) if isinstance(prior, Truncated) else np.ones(len(x), bool)


def _cut(support: Support, low: Array, high: Array) -> Support:
    if isinstance(support, Simplex):
        return support
    return Box(np.maximum(low, support.low), np.minimum(high, support.high))


def _box_mass(prior: PriorLike, low: Array, high: Array) -> float:
    """Share of a prior of independent laws that lies in the box it is drawn in; else one."""
    if not isinstance(prior, Prior):
        return 1.0
    pairs = zip(prior.laws.values(), low, high, strict=True)
    return math.prod(abs(end - start) for start, end, _ in (_tail(*pair) for pair in pairs))


def _tail(law: Any, low: float, high: float) -> tuple[float, float, bool]:
    """Levels of the two ends, from the nearer tail, where they keep their precision."""
    upper = bool(low > law.median())
    level = law.sf if upper else law.cdf
    return float(level(low)), float(level(high)), upper


def _between(law: Any, low: float, high: float, u: Array) -> Array:
    """Draws of a law between two bounds from uniform draws u (n,)."""
    start, end, upper = _tail(law, low, high)
    levels = start + (end - start) * u
    x = law.isf(levels) if upper else law.ppf(levels)
    return np.asarray(np.clip(x, low, high))
