"""The other road to a posterior: a learnt law of the outputs, times the prior.

A head learns p(e given y). By Bayes' theorem the same law is, but for a factor of y,

    q(e) l(y given e),

with the prior q, which is known or told by draws that cost nothing, and the law l of the outputs,
which can be learnt as a head is (Papamakarios, Sterratt and Murray 2019). Which of the two is the
easier is a matter of the model: an instrument with a simple error has a simple l, and may have a
posterior in four pieces. So both are learnt, and the first is weighed by the second (`weigher`).

The law of the outputs is that of a head with its two sides exchanged. It is told the parameters
twice, on the network's scale and in the user's units, and speaks of the outputs on whichever of the
two scales held-out pairs like better: what is linear with a normal error in the user's units is so
nowhere else.

Repeats of one experiment are independent given its parameters. So the law of one is learnt, from
all of them, and l is a product, over those that are there where they are a set of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from invgan.gan.heads import log_prob
from invgan.gan.known import GRID, read_table
from invgan.gan.member import Estimator, build_estimator
from invgan.gan.stage import Pairs
from invgan.priors import CutPrior, MultivariateNormal, Prior, PriorLike
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import EmbeddingConfig, TrainConfig

__all__ = [
    "LARGEST_LOG",
    "KnownPrior",
    "LearntPrior",
    "Likelihood",
    "PriorDensity",
    "known_prior",
]

Array = NDArray[np.float64]

LARGEST_LOG = 1e4
"""Where the logarithm of a density is cut, on either side."""

_SMALLEST, _ENOUGH = 1e-6, 20_000


class KnownPrior(nn.Module):
    """Log-density ``-e' P e / 2 + sum_j t_j(e_j)`` of network parameters, but for a constant.

    Args:
        precision: P, shape (E, E).
        table: of t_j on the grid, shape (E, K).
    """

    precision: Tensor
    table: Tensor

    def __init__(self, precision: Array, table: Array) -> None:
        super().__init__()
        self.register_buffer("precision", torch.as_tensor(precision, dtype=torch.float32))
        self.register_buffer("table", torch.as_tensor(table, dtype=torch.float32))

    @classmethod
    def blank(cls, features: int) -> Self:
        """A standard normal one."""
        return cls(np.eye(features), np.zeros((features, len(GRID))))

    def forward(self, e: Tensor) -> Tensor:
        """Log q(e) but for a constant, of e (n, E); shape (n,)."""
        return _read(self.table, e).sum(dim=1) - 0.5 * ((e @ self.precision) * e).sum(dim=1)


class LearntPrior(nn.Module):
    """The density of a prior that only its draws tell: a flow without conditions.

    Args:
        config: settings of the training, for the size of the flow.
        features: E.
        seed: of the weights.
    """

    def __init__(self, config: TrainConfig, features: int, seed: int) -> None:
        super().__init__()
        self.estimator = _flow(config, "flow", features, 1, seed)

    @staticmethod
    def pairs(e: Tensor) -> Pairs:
        """Draws e (n, E) with conditions that say nothing."""
        return Pairs(e, e.new_zeros(len(e), 1))

    def forward(self, e: Tensor) -> Tensor:
        """Log q(e) of e (n, E), shape (n,)."""
        return log_prob(self.estimator, *self.pairs(e).some())


class Likelihood(nn.Module):
    """The law of output scores y (n, R L) given network parameters e (n, E).

    Args:
        config: settings of the training, for the size of the flow.
        kind: of the flow, as of a head.
        plain: whether outputs are seen in the user's units rather than as normal scores.
        features: E.
        outputs: R L.
        seed: of the weights.
        repeats: R, of one experiment.
        varying: places among the L outputs of those that it is a law of, in order; all if left out.
            One that is the same in every simulation has no density, and tells nothing.
    """

    parameter_table: Tensor
    output_table: Tensor

    def __init__(
        self, config: TrainConfig, kind: str, plain: bool, features: int, outputs: int, seed: int,
        repeats: int = 1, varying: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.plain, self.repeats, self.features = kind, plain, repeats, features
        self.varying = list(range(outputs // repeats) if varying is None else varying)
        self.estimator = _flow(config, kind, len(self.varying), 2 * features, seed)
        self.register_buffer("parameter_table", torch.zeros(features, len(GRID)))
        self.register_buffer("output_table", torch.zeros(outputs, len(GRID)))

    def settle(
        self, parameters: ParameterScaling, outputs: OutputScaling, e: Tensor, y: Tensor
    ) -> None:
        """Take over the scales.

        Args:
            parameters: scale of the parameters.
            outputs: scale of the outputs.
            e: network parameters (n, E), whose mean and spread set the units.
            y: output scores (n, R L), the same.
        """
        self.parameter_table = _standardised(_told(parameters), e)
        images = np.stack([m.inverse(GRID) for m in outputs.columns])
        if self.plain:
            self.output_table = _standardised(images, y, self.repeats)
        elif self.repeats > 1:
            self.output_table = _shared_scores(images, y, self.repeats)

    def exchanged(self, e: Tensor, y: Tensor) -> Pairs:
        """Pairs with their sides exchanged, of all repeats that are there.

        Args:
            e: network parameters, shape (n, E).
            y: output scores, shape (n, R L), NaN where absent.

        Returns:
            t (m, V), what the flow sees of the V outputs that vary, and what it is told,
            c (m, 2 E); m is n R where none of the repeats is absent.
        """
        rows, conditions = self._rows(e, y)
        there = _there(rows)
        return Pairs(rows[there], conditions[there])

    def _rows(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The same of all repeats, (n R, V) and (n R, 2 E)."""
        conditions = torch.cat([e, _read(self.parameter_table, e)], dim=1)
        rows = self.seen(y).reshape(len(y) * self.repeats, -1)[:, self.varying]
        return rows, conditions.repeat_interleave(self.repeats, dim=0)

    def seen(self, y: Tensor) -> Tensor:
        """Output scores y (n, R L) on the scale of the flow, t (n, R L)."""
        return _read(self.output_table, y) if self._rescales else y

    @property
    def _rescales(self) -> bool:
        """Sorted repeats have scores of their own each, and must share one scale."""
        return self.plain or self.repeats > 1

    def log_slope(self, y: Tensor) -> Tensor:
        """Log of |det dt/dy| of what varies at output scores y (n, R L), shape (n,)."""
        if not self._rescales:
            return y.new_zeros(len(y))
        step = float(GRID[1] - GRID[0])
        rise = self.seen(y + step) - self.seen(y - step)
        logs = (rise / (2 * step)).clamp_min(1e-30).log().nan_to_num(0.0)
        return logs.reshape(len(y), self.repeats, -1)[..., self.varying].sum(dim=(1, 2))

    def log_prob(self, e: Tensor, y: Tensor) -> Tensor:
        """Log of l(y given e) but for a function of y, of e (n, E) and scores y (n, R L); (n,)."""
        rows, conditions = self._rows(e, y)
        logs = log_prob(self.estimator, rows.nan_to_num(0.0), conditions)
        return logs.where(_there(rows), 0.0).reshape(len(y), self.repeats).sum(dim=1)

    @torch.no_grad()
    def nats(self, heldout: Pairs) -> float:
        """Held-out nats a pair of the scores of its outputs, whatever scale the flow is on."""
        logs = [self.log_prob(e, y) + self.log_slope(y) for e, y in heldout.chunks()]
        return -float(torch.cat(logs).mean())


PriorDensity = KnownPrior | LearntPrior


def known_prior(prior: PriorLike, parameters: ParameterScaling) -> KnownPrior | None:
    """The prior on the network's scale, where its density there is known, or None.

    Independent laws are standard normal there, and a normal prior is normal. Of independent laws
    that were cut (`CutPrior`) the scale was fitted to draws, and their density is taken from them.
    """
    size = parameters.dimension
    flat = np.zeros((size, len(GRID)))
    if isinstance(prior, Prior):
        return KnownPrior(np.eye(size), flat)
    if isinstance(prior, MultivariateNormal):
        scale = np.sqrt(np.diag(prior.cov))
        return KnownPrior(np.linalg.inv(prior.cov / np.outer(scale, scale)), flat)
    if not (isinstance(prior, CutPrior) and isinstance(prior.whole, Prior)):
        return None
    x, laws = _told(parameters), prior.whole.laws.values()
    log_p = np.stack([law.logpdf(row) for law, row in zip(laws, x, strict=True)])
    slope = np.gradient(x, GRID, axis=1)
    table = log_p + np.log(np.maximum(slope, np.finfo(float).tiny)) + 0.5 * GRID**2
    return KnownPrior(np.eye(size), np.clip(table, -LARGEST_LOG, LARGEST_LOG))


def _told(parameters: ParameterScaling) -> Array:
    """Each parameter at the grid, (E, K); of proportions, the share of the rest that each takes."""
    if parameters.simplex:
        return np.stack([expit(m.inverse(GRID)) for m in parameters.maps])
    return parameters.to_parameters(np.repeat(GRID[:, None], parameters.dimension, axis=1)).T


def _flow(config: TrainConfig, kind: str, features: int, conditions: int, seed: int) -> Estimator:
    """A flow of a head's kind and size, that sees its conditions as they are."""
    bare = config.model_copy(update={"embedding": EmbeddingConfig()})
    return build_estimator(bare, kind, features, conditions, seed)


def _standardised(table: Array, rows: Tensor, repeats: int = 1) -> Tensor:
    """A table (C, K) of images of the grid, in units in which those of rows (n, C) are standard.

    Columns of repeats, one after the other, share their units. One that hardly varies among the
    rows is left as large as its whole table.
    """
    images = torch.as_tensor(np.ascontiguousarray(table))
    found = _read(images, rows.cpu().double()).reshape(len(rows) * repeats, -1)
    found = found[_there(found)]
    extent = (images.amax(dim=1) - images.amin(dim=1)).reshape(repeats, -1).amax(dim=0)
    centre, scale = found.mean(dim=0), found.std(dim=0)
    scale = torch.where(scale > _SMALLEST * extent, scale, extent).clamp_min(1e-300)
    return ((images - centre.repeat(repeats)[:, None]) / scale.repeat(repeats)[:, None]).to(rows)


def _shared_scores(table: Array, rows: Tensor, repeats: int) -> Tensor:
    """A table (C, K) of images of the grid as normal scores that columns of repeats share."""
    raw = _read(torch.as_tensor(np.ascontiguousarray(table)), rows[:_ENOUGH].cpu().double())
    scale = OutputScaling.fit(raw.reshape(len(raw) * repeats, -1).numpy())
    width = len(table) // repeats
    return torch.as_tensor(
        np.stack([scale.maps[place % width](image) for place, image in enumerate(table)])
    ).to(rows)


def _there(rows: Tensor) -> Tensor:
    """Which rows (n, L) are not absent, shape (n,)."""
    return ~rows.isnan().any(dim=1)


def _read(table: Tensor, scores: Tensor) -> Tensor:
    """Images (n, C) of scores by a table (C, K)."""
    grid = torch.as_tensor(GRID, dtype=table.dtype, device=table.device)
    return read_table(scores, grid.expand(len(table), -1).contiguous(), table)
