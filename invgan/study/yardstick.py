"""One yardstick for all settings: the held-out divergence by the same classifier in the same space.

Training's own figure will not do. Its classifier is as wide as the networks are set to be and looks
at the head's latent space, so that another width or another head is another measure; and the pairs
that it is scored on have chosen the generator. Here a classifier of fixed size tells pairs
(drawn x, y) from pairs (x, y) in the space that the prior alone defines. It is trained on training
pairs and scored on the held-out ones, which nothing has seen: a lower bound of the Jensen-Shannon
divergence, 0 where it cannot tell them apart and log 2 where it always can. Its weights and batches
are the same for every run, so that settings are compared like for like.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from invgan.errors import InputError
from invgan.gan import Inverse
from invgan.gan.device import to_tensor
from invgan.gan.judge import divergence, with_gaps
from invgan.gan.pairing import region
from invgan.gan.stage import Pairs
from invgan.gan.trained import Weighed
from invgan.metrics import in_range
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import TrainConfig

__all__ = ["check_heldout", "held_out_divergence"]

_HIDDEN = 128
_FEWEST, _COMPARED = 50, 8192


def check_heldout(problem: Problem, simulations: Simulations, config: TrainConfig) -> None:
    """Refuse a comparison by held-out pairs where few of them will be within an inverse's reach.

    Raises:
        InputError: there are fewer than 50.
    """
    simulations = simulations.few()
    reach = np.stack(region(problem, [simulations.training.y], config))
    y = simulations.heldout.y
    count = int(in_range(y, reach).sum())
    if count < _FEWEST:
        raise InputError(
            f"the score heldout needs {_FEWEST} held-out simulations near the observations and "
            f"{count} of {len(y)} are: raise simulate.n, or choose another score, such as "
            "pushforward for a population"
        )


def held_out_divergence(inverse: Inverse, simulations: Simulations) -> float | None:
    """How well draws for held-out outputs can be told from the true parameters, in nats.

    Args:
        inverse: the trained one; it is asked where it was trained.
        simulations: those that all runs share.

    Returns:
        The divergence, or None where fewer than 50 held-out rows are within its reach.
    """
    simulations = simulations.few()
    training, heldout = (
        _pairs(inverse, part) for part in (simulations.training, simulations.heldout)
    )
    if min(len(training.u), len(heldout.u)) < _FEWEST:
        return None
    weigher = inverse.weigher
    draws: Any = _Draws(inverse) if weigher is None else Weighed(weigher, inverse.members)
    gaps = any(bool(pairs.y.isnan().any()) for pairs in (training, heldout))
    seen = {"seen": with_gaps} if gaps else {}
    return divergence(draws, training, _repeated(heldout), _HIDDEN, **seen)


def _pairs(inverse: Inverse, part: Simulations) -> Pairs:
    """The pairs (e, y) whose outputs the inverse knows, e being normal under the prior."""
    known = inverse.knows(part.y)
    place = next(inverse.members[0].parameters()).device
    return Pairs(
        to_tensor(inverse.parameters.to_network(part.x[known]), place),
        to_tensor(inverse.scaling.to_network(part.y[known]), place),
    )


def _repeated(pairs: Pairs) -> Pairs:
    """The pairs over and over, so that many draws for each y are held against its one true e."""
    times = max(1, _COMPARED // len(pairs.u))
    return Pairs(*(rows.repeat(times, *[1] * (rows.ndim - 1)) for rows in (pairs.u, pairs.y)))


class _Draws:
    """All members of an inverse as one generator of e; each answers for a share of a batch."""

    def __init__(self, inverse: Inverse) -> None:
        self._members = inverse.members

    def draw(self, y: Any, rng: Any) -> Any:
        shares = y.chunk(len(self._members))
        drawn = [
            member.draw(rows, rng) for member, rows in zip(self._members, shares, strict=False)
        ]
        e = drawn[0].new_empty(len(y), drawn[0].shape[1])
        for part, rows in zip(drawn, e.chunk(len(self._members)), strict=False):
            rows.copy_(part)
        return e
