"""The other road to a posterior: a learnt law of the outputs, times the prior.

A head learns p(e given y). By Bayes' theorem the same law is, but for a factor of y,

    q(e) l(y given e),

with the prior q, which is known, and the law l of the outputs, which can be learnt as a head is
(Papamakarios, Sterratt and Murray 2019). Which of the two is the easier is a matter of the model:
an instrument with a simple error has a simple l, and may have a posterior in four pieces. So both
are learnt. With h the density that draws come from, the ratio

    w = q(e) l(y given e) / h(e given y)

turns draws of the heads into draws of the other road, by choosing among candidates in proportion to
w (sampling-importance resampling, Rubin 1988). A power w^t with t below one stops on the way. How
far to go, and whether to go at all, held-out pairs say (`weighing`).

The law of the outputs is that of a head with its two sides exchanged. It is told the parameters
twice, on the network's scale and in the user's units, and speaks of the outputs on whichever of the
two scales held-out pairs like better: what is linear with a normal error in the user's units is so
nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invgan.gan.heads import log_prob
from invgan.gan.judge import share
from invgan.gan.known import GRID, read_table
from invgan.gan.member import Estimator, Member, build_estimator
from invgan.priors import CutPrior, MultivariateNormal, Prior, PriorLike
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import EmbeddingConfig, TrainConfig

__all__ = ["KnownPrior", "Likelihood", "Weigher", "known_prior"]

Array = NDArray[np.float64]

_AT_ONCE = 16_384
_FEWEST, _MOST_FOR_ONE, _MOST_EACH = 16, 64, 32
_LEAST_EFFECTIVE, _SPARE = 8.0, 1.5
_LARGEST = 1e4


@dataclass(frozen=True)
class KnownPrior:
    """Log-density ``-e' P e / 2 + sum_j t_j(e_j)`` of network parameters, but for a constant.

    Attributes:
        precision: P, shape (E, E).
        table: of t_j on the grid, shape (E, K).
    """

    precision: Array
    table: Array


class Likelihood(nn.Module):
    """The law of output scores y (n, L) given network parameters e (n, E), and the prior of e.

    Args:
        config: settings of the training, for the size of the flow.
        kind: of the flow, as of a head.
        plain: whether outputs are seen in the user's units rather than as normal scores.
        features: E.
        outputs: L.
        seed: of the weights.
    """

    precision: Tensor
    prior_table: Tensor
    parameter_table: Tensor
    output_table: Tensor

    def __init__(
        self, config: TrainConfig, kind: str, plain: bool, features: int, outputs: int, seed: int
    ) -> None:
        super().__init__()
        self.kind, self.plain = kind, plain
        bare = config.model_copy(update={"embedding": EmbeddingConfig()})
        self.estimator: Estimator = build_estimator(bare, kind, outputs, 2 * features, seed)
        self.register_buffer("precision", torch.eye(features))
        self.register_buffer("prior_table", torch.zeros(features, len(GRID)))
        self.register_buffer("parameter_table", torch.zeros(features, len(GRID)))
        self.register_buffer("output_table", torch.zeros(outputs, len(GRID)))

    def settle(
        self, parameters: ParameterScaling, outputs: OutputScaling, prior: KnownPrior,
        e: Tensor, y: Tensor,
    ) -> None:  # fmt: skip
        """Take over the scales and the prior.

        Args:
            parameters: scale of the parameters.
            outputs: scale of the outputs.
            prior: of the network parameters.
            e: network parameters (n, E), whose mean and spread set the units.
            y: output scores (n, L), the same.
        """
        grid = np.repeat(GRID[:, None], parameters.dimension, axis=1)
        groups = outputs.groups or range(len(outputs.maps))
        images = np.stack([outputs.maps[g].inverse(GRID) for g in groups])
        self.parameter_table = _standardised(parameters.to_parameters(grid).T, e)
        self.output_table = _standardised(images, y)
        self.precision = torch.as_tensor(prior.precision).to(e)
        self.prior_table = torch.as_tensor(prior.table).to(e)

    def conditions(self, e: Tensor) -> Tensor:
        """What the flow is told of network parameters e (n, E), shape (n, 2 E)."""
        return torch.cat([e, _read(self.parameter_table, e)], dim=1)

    def seen(self, y: Tensor) -> Tensor:
        """Output scores y (n, L) on the scale of the flow, t (n, L)."""
        return _read(self.output_table, y) if self.plain else y

    def log_slope(self, y: Tensor) -> Tensor:
        """Log of |det dt/dy| at output scores y (n, L), shape (n,)."""
        if not self.plain:
            return y.new_zeros(len(y))
        step = float(GRID[1] - GRID[0])
        rise = self.seen(y + step) - self.seen(y - step)
        return (rise / (2 * step)).clamp_min(1e-30).log().sum(dim=1)

    def log_prob(self, e: Tensor, y: Tensor) -> Tensor:
        """Log of l(y given e) but for a function of y, of e (n, E) and scores y (n, L); (n,)."""
        return log_prob(self.estimator, self.seen(y), self.conditions(e))

    def log_prior(self, e: Tensor) -> Tensor:
        """Log of q(e) but for a constant, of e (n, E); shape (n,)."""
        rest = _read(self.prior_table, e).sum(dim=1)
        return rest - 0.5 * ((e @ self.precision) * e).sum(dim=1)


class Weigher(nn.Module):
    """Weighs draws of heads by likelihoods, and chooses among them.

    Args:
        likelihoods: flows from different seeds; what counts is the mean of their densities.
        temperature: the power t of the ratio.
    """

    def __init__(self, likelihoods: Sequence[Likelihood], temperature: float) -> None:
        super().__init__()
        self.likelihoods, self.temperature = nn.ModuleList(likelihoods), temperature

    def to_dict(self) -> dict[str, Any]:
        """What must be known beside the weights, as plain values."""
        return {
            "kind": self._first.kind,
            "plain": self._first.plain,
            "likelihoods": len(self.likelihoods),
            "temperature": self.temperature,
        }

    @classmethod
    def blank(
        cls, config: TrainConfig, form: Mapping[str, Any], features: int, outputs: int
    ) -> Self:
        """One of the form that `to_dict` gave, on the CPU; its weights are to be filled in."""
        kind, plain = form["kind"], form["plain"]
        likelihoods = [
            Likelihood(config, kind, plain, features, outputs, 0)
            for _ in range(form["likelihoods"])
        ]
        return cls(likelihoods, form["temperature"])

    def only(self, number: int) -> Weigher:
        """The same with one of the likelihoods alone, by a number that may go round."""
        one = cast(Likelihood, self.likelihoods[number % len(self.likelihoods)])
        return Weigher([one], self.temperature)

    def choose(self, members: Sequence[Member], y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw e (n, E) for each row of scores y (n, L).

        Equal rows that follow each other have their candidates in common, of which none is chosen
        twice that counts for less than one draw.
        """
        e = y.new_empty(len(y), len(self._first.precision))
        rows, counts = torch.unique_consecutive(y, dim=0, return_counts=True)
        starts = counts.cumsum(dim=0) - counts
        for count in counts.unique().tolist():
            block = max(1, _AT_ONCE // max(_FEWEST, 2 * count))
            for some in (counts == count).nonzero()[:, 0].split(block):
                wanted = starts[some][:, None] + torch.arange(count, device=y.device)
                e[wanted] = self._chosen(members, rows[some], count, rng)
        return e

    def _chosen(
        self, members: Sequence[Member], y: Tensor, count: int, rng: torch.Generator
    ) -> Tensor:
        """Draws e (n, count, E) for each row of y (n, L), out of as many candidates as it takes."""
        e = y.new_empty(len(y), count, len(self._first.precision))
        need, most = max(_LEAST_EFFECTIVE, _SPARE * count), max(_MOST_FOR_ONE, _MOST_EACH * count)
        waiting = torch.arange(len(y), device=y.device)
        pool, log_w = self.weighed(members, y, max(_FEWEST, 2 * count), rng)
        while len(waiting):
            size = log_w.shape[1]
            done = (size * share(log_w) >= need) | torch.tensor(2 * size > most, device=y.device)
            places = _resampled(log_w[done], count, rng)
            e[waiting[done]] = pool[done].take_along_dim(places[:, :, None], dim=1)
            waiting, pool, log_w = waiting[~done], pool[~done], log_w[~done]
            if len(waiting):
                more, weights = self.weighed(members, y[waiting], size, rng)
                pool, log_w = torch.cat([pool, more], dim=1), torch.cat([log_w, weights], dim=1)
        return e

    def weighed(
        self, members: Sequence[Member], y: Tensor, count: int, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Candidates e (n, m, E) from the members in turn, and the log of their weights (n, m)."""
        e, log_w = y.new_empty(len(y) * count, len(self._first.precision)), []
        for start in range(0, len(e), _AT_ONCE):
            part = e[start : start + _AT_ONCE]
            many = y[torch.arange(start, start + len(part), device=y.device) // count]
            for number, member in enumerate(members):
                turn = slice(number, None, len(members))
                part[turn] = member.draw(many[turn], rng)
            log_w.append(self(members, part, many))
        return e.reshape(len(y), count, -1), torch.cat(log_w).reshape(len(y), count)

    def forward(self, members: Sequence[Member], e: Tensor, y: Tensor) -> Tensor:
        """Log of w^t of e (n, E) given scores y (n, L), but for a function of y; shape (n,)."""
        likelihoods = [cast(Likelihood, each).log_prob(e, y) for each in self.likelihoods]
        heads = [member.log_prob(e, y) for member in members]
        log_w = self._first.log_prior(e) + _mean(likelihoods) - _mean(heads)
        return self.temperature * log_w.nan_to_num(nan=-_LARGEST).clamp(-_LARGEST, _LARGEST)

    @property
    def _first(self) -> Likelihood:
        return cast(Likelihood, self.likelihoods[0])


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
    x = parameters.to_parameters(np.repeat(GRID[:, None], size, axis=1))
    laws = prior.whole.laws.values()
    log_p = np.stack([law.logpdf(column) for law, column in zip(laws, x.T, strict=True)])
    slope = np.gradient(x, GRID, axis=0).T
    table = log_p + np.log(np.maximum(slope, np.finfo(float).tiny)) + 0.5 * GRID**2
    return KnownPrior(np.eye(size), np.clip(table, -_LARGEST, _LARGEST))


def _resampled(log_w: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Places (n, count) of candidates by systematic resampling, in random order; log_w (n, m)."""
    device = log_w.device
    first, order = (torch.rand(len(log_w), k, generator=rng, device=device) for k in (1, count))
    # On the CPU, since not every device has the digits for a long sum.
    ends = log_w.cpu().double().softmax(dim=1).cumsum(dim=1)
    ticks = (first.cpu().double() + torch.arange(count)) * ends[:, -1:] / count
    places = torch.searchsorted(ends, ticks).clamp_max(log_w.shape[1] - 1)
    return places.to(device).gather(1, order.argsort(dim=1))


def _mean(logs: Sequence[Tensor]) -> Tensor:
    """Log of the mean of densities whose logs are given, each (n,)."""
    return torch.stack(list(logs)).logsumexp(dim=0) - math.log(len(logs))


def _standardised(table: Array, rows: Tensor) -> Tensor:
    """A table (C, K) of images of the grid, in units in which those of rows (n, C) are standard."""
    images = torch.as_tensor(np.ascontiguousarray(table))
    found = _read(images, rows.cpu().double())
    centre, scale = found.mean(dim=0), found.std(dim=0).clamp_min(1e-300)
    return ((images - centre[:, None]) / scale[:, None]).to(rows)


def _read(table: Tensor, scores: Tensor) -> Tensor:
    """Images (n, C) of scores by a table (C, K)."""
    grid = torch.as_tensor(GRID, dtype=table.dtype, device=table.device)
    return read_table(scores, grid.expand(len(table), -1).contiguous(), table)
