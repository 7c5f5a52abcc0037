"""What a learnt likelihood expects of the outputs, beside those that the model gave.

Draws that are weighed by a likelihood l(y given e) are right where l is. The model has been run for
the draws for an observation: its outputs are draws of the true law at the very parameters that
count, and must not be told from draws of l for the same parameters.

Both are seen as residuals, by the map that makes outputs standard normal if l is their law. It is
one to one, so that nothing is lost, and a classifier need not learn l before it can find its fault.
Counts lie on a lattice, which a density knows nothing of and the parameters do not depend on: what
is drawn of such a column is brought to the nearest value that was seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invgan.gan.device import to_array
from invgan.gan.weigher import Weigher
from invgan.metrics import has_ties

__all__ = ["residuals"]

_AT_ONCE, _LARGEST = 8192, 10.0


@torch.no_grad()
def residuals(
    weigher: Weigher, e: Tensor, y: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Residuals of outputs, and of others that the likelihood draws for the same parameters.

    Args:
        weigher: whose likelihood is asked.
        e: network parameters, shape (n, E).
        y: output scores of the model for them, shape (n, R L).
        rng: of the draws.

    Returns:
        Two tables (m, E + L), parameters beside residuals, with a row for each of the R repeats
        of one experiment that is there.
    """
    likelihoods = weigher.each
    first = likelihoods[0]
    pairs = first.exchanged(e, y)
    which = torch.randint(len(likelihoods), (len(pairs.u),), generator=rng, device=pairs.u.device)
    seen, expected = torch.empty_like(pairs.u), torch.empty_like(pairs.u)
    lattice = [_repeated(column) for column in pairs.u.T]
    for number, likelihood in enumerate(likelihoods):
        for rows in torch.split((which == number).nonzero()[:, 0], _AT_ONCE):
            some = pairs.at(rows)
            noise = torch.randn(some.u.shape, generator=rng, device=some.u.device)
            drawn = _on_lattice(likelihood.estimator.inverse(noise, some.y), lattice)
            seen[rows], _ = first.estimator(some.u, some.y)
            expected[rows], _ = first.estimator(drawn, some.y)
    parameters = pairs.y[:, : e.shape[1]]
    return (
        torch.cat([parameters, _bounded(seen)], dim=1),
        torch.cat([parameters, _bounded(expected)], dim=1),
    )


def _bounded(residual: Tensor) -> Tensor:
    """What no normal number reaches is far off, whatever it is."""
    return residual.nan_to_num(nan=_LARGEST).clamp(-_LARGEST, _LARGEST)


def _repeated(column: Tensor) -> Tensor | None:
    """The values (K,) of a column (n,), in order, where it has ties or but one value."""
    values = torch.unique(column)
    return values if len(values) == 1 or has_ties(to_array(column[:, None])) else None


def _on_lattice(rows: Tensor, lattice: list[Tensor | None]) -> Tensor:
    """Rows (n, L) with the nearest value of each column that has a lattice."""
    columns = [
        column if values is None else values[torch.bucketize(column, _between(values))]
        for column, values in zip(rows.T.contiguous(), lattice, strict=True)
    ]
    return torch.stack(columns, dim=1)


def _between(values: Tensor) -> Tensor:
    """Half way between each value and the next."""
    return (values[1:] + values[:-1]) / 2
