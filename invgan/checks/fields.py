"""Fields seen by a few quantities, so that the checks of vectors serve them too.

A sampler is right only if every function of its draws is: what fails here is wrong, and what passes
is right in these quantities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from invgan.checks.consistency import Drawer
from invgan.problem import Problem
from invgan.samples import Simulations

__all__ = ["by_quantities"]

Array = NDArray[np.float64]

_AT_ONCE = 8192


@dataclass(frozen=True)
class _Seen:
    """An inverse whose draws are the quantities of fields, a part of which is held at a time."""

    problem: Problem
    inverse: Drawer

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        found = [np.empty((0, len(self.problem.quantities)))]
        for start in range(0, len(y), _AT_ONCE):
            own = int(np.random.SeedSequence([seed, start]).generate_state(1)[0])
            x = self.inverse.draw(y[start : start + _AT_ONCE], seed=own)
            found.append(self.problem.quantified(x))
        return np.concatenate(found)

    def knows(self, y: Array) -> NDArray[np.bool_]:
        return self.inverse.knows(y)


def by_quantities(
    problem: Problem,
    simulations: Simulations | None,
    inverse: Drawer | None,
    members: Sequence[Drawer],
) -> tuple[Simulations | None, Drawer | None, Sequence[Drawer]]:
    """Simulations and inverses of a field as those of its quantities."""
    if simulations is not None:
        x, failed = map(problem.quantified, (simulations.x, simulations.failed))
        simulations = replace(simulations, x=x, failed=failed, names=problem.quantities)
    return (
        simulations,
        None if inverse is None else _Seen(problem, inverse),
        [_Seen(problem, member) for member in members],
    )
