"""Draws of heads, weighed by what a likelihood says of them.

With h the density of the heads and ``q(e) l(y given e)`` that of the other road (`bayes`), draws of
the one become draws of

    q(e) (h(e given y) / q(e))^a l(y given e)^b

by choosing among candidates in proportion to its ratio to h (sampling-importance resampling, Rubin
1988). Where few of them count, many draws for one y are then moved (`moves`). The powers 1 and 0
are the first road, 0 and 1 the second, and what the prior says counts once, whatever the powers.
Which they are, and whether draws are weighed at all, held-out pairs say (`weighing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from invgan.gan.bayes import (
    LARGEST_LOG,
    KnownPrior,
    LearntPrior,
    Likelihood,
    PriorDensity,
)
from invgan.gan.judge import share
from invgan.gan.member import Member, log_mean
from invgan.gan.moves import moved
from invgan.settings import TrainConfig

__all__ = ["Powers", "Terms", "Weigher"]

Powers = tuple[float, float]
"""Of what the heads say beyond the prior, and of the likelihood."""

_AT_ONCE = 16_384
_FEWEST, _LEAST, _MOST_FOR_ONE, _MOST_FOR_CROWD = 16, 8.0, 64, 2048
_FEWEST_FOR_MASS, _MOST_FOR_MASS, _WORTH = 512, 16_384, 400.0
_CROWD, _SPARE, _MOST_EACH, _MOVES = 50, 1.5, 4, 20


@dataclass(frozen=True)
class Terms:
    """Logarithms of what is known of parameters e given outputs y, each but for a function of y.

    Attributes:
        prior: of q(e).
        heads: of h(e given y) / q(e).
        likelihood: of l(y given e).
    """

    prior: Tensor
    heads: Tensor
    likelihood: Tensor

    def reshape(self, *shape: int) -> Terms:
        """The same in another shape."""
        return Terms(*(part.reshape(shape) for part in self._parts))

    @classmethod
    def joined(cls, several: Sequence[Terms]) -> Self:
        """Those of one after those of the other."""
        return cls(*(torch.cat(parts) for parts in zip(*(t._parts for t in several), strict=True)))

    def log_density(self, powers: Powers) -> Tensor:
        """Log of the law aimed at."""
        return self.prior + powers[0] * self.heads + powers[1] * self.likelihood

    def log_weight(self, powers: Powers) -> Tensor:
        """Log of its ratio to the heads."""
        return (powers[0] - 1) * self.heads + powers[1] * self.likelihood

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.prior, self.heads, self.likelihood


class Weigher(nn.Module):
    """Weighs draws of heads by likelihoods, and chooses among them.

    Args:
        prior: density of network parameters e (n, E).
        likelihoods: flows from different seeds; what counts is the mean of their densities.
        powers: a and b.
    """

    def __init__(
        self, prior: PriorDensity, likelihoods: Sequence[Likelihood], powers: Powers
    ) -> None:
        super().__init__()
        self.prior = prior
        self.likelihoods, self.powers = nn.ModuleList(likelihoods), powers

    def to_dict(self) -> dict[str, Any]:
        """What must be known beside the weights, as plain values."""
        return {
            "prior": "learnt" if isinstance(self.prior, LearntPrior) else "known",
            "kind": self._first.kind,
            "plain": self._first.plain,
            "repeats": self._first.repeats,
            "varying": self._first.varying,
            "likelihoods": len(self.likelihoods),
            "powers": list(self.powers),
        }

    @classmethod
    def blank(
        cls, config: TrainConfig, form: Mapping[str, Any], features: int, outputs: int
    ) -> Self:
        """One of the form that `to_dict` gave, on the CPU; its weights are to be filled in."""
        kind, plain, repeats = form["kind"], form["plain"], form["repeats"]
        likelihoods = [
            Likelihood(config, kind, plain, features, outputs, 0, repeats, form.get("varying"))
            for _ in range(form["likelihoods"])
        ]
        learnt = form["prior"] == "learnt"
        prior = LearntPrior(config, features, 0) if learnt else KnownPrior.blank(features)
        return cls(prior, likelihoods, tuple(form["powers"]))

    def to_powers(self, powers: Powers) -> Weigher:
        """The same with other powers."""
        return Weigher(self.prior, self.each, powers)

    def only(self, number: int) -> Weigher:
        """The same with the likelihood of this number alone."""
        return Weigher(self.prior, [self.each[number]], self.powers)

    def choose(self, members: Sequence[Member], y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw e (n, E) for each row of scores y (n, L).

        Equal rows that follow each other have their candidates in common.
        """
        e = y.new_empty(len(y), self._first.features)
        alike = y.nan_to_num(nan=torch.inf)
        counts = torch.unique_consecutive(alike, dim=0, return_counts=True)[1]
        starts = counts.cumsum(dim=0) - counts
        rows = y[starts]
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
        e = y.new_empty(len(y), count, self._first.features)
        crowd = count >= _CROWD
        need = max(_LEAST, _SPARE * count)
        most = max(_MOST_FOR_CROWD if crowd else _MOST_FOR_ONE, _MOST_EACH * count)
        waiting = torch.arange(len(y), device=y.device)
        pool, log_w = self.weighed(members, y, max(_FEWEST, 2 * count), rng)
        while len(waiting):
            size = log_w.shape[1]
            enough = size * share(log_w) >= need
            done = enough | torch.tensor(2 * size > most, device=y.device)
            places = _resampled(log_w[done], count, rng)
            e[waiting[done]] = pool[done].take_along_dim(places[:, :, None], dim=1)
            poor = waiting[done & ~enough]
            if crowd and len(poor):
                e[poor] = self._moved(members, e[poor], y[poor], rng)
            waiting, pool, log_w = waiting[~done], pool[~done], log_w[~done]
            if len(waiting):
                more, weights = self.weighed(members, y[waiting], size, rng)
                pool, log_w = torch.cat([pool, more], dim=1), torch.cat([log_w, weights], dim=1)
        return e

    def _moved(
        self, members: Sequence[Member], e: Tensor, y: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Draws e (n, count, E) for rows y (n, L) after steps that leave what is aimed at."""
        heard = members if self.powers[0] else ()

        def log_density(crowds: Tensor) -> Tensor:
            some, many = crowds.flatten(0, 1), y.repeat_interleave(crowds.shape[1], dim=0)
            found = [
                self.terms(heard, some[i : i + _AT_ONCE], many[i : i + _AT_ONCE])
                for i in range(0, len(some), _AT_ONCE)
            ]
            return Terms.joined(found).log_density(self.powers).reshape(crowds.shape[:2])

        return moved(log_density, e, _MOVES, rng)

    def weighed(
        self, members: Sequence[Member], y: Tensor, count: int, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Candidates e (n, m, E) from the members in turn, and the log of their weights (n, m)."""
        e, terms = self.candidates(members, y, count, rng)
        return e, terms.log_weight(self.powers)

    def log_mass(self, members: Sequence[Member], y: Tensor, rng: torch.Generator) -> Tensor:
        """Log of the integral of the law aimed at, for each row of scores y (n, L); shape (n,).

        It is the mean weight of draws of the heads: as many as are worth `_WORTH` even ones, whose
        mean has a relative error of 5 %, or `_MOST_FOR_MASS`.
        """
        if not len(y):
            return y.new_empty(0)
        blocks = torch.split(y, max(1, _AT_ONCE // _FEWEST_FOR_MASS))
        return torch.cat([self._log_mass(members, rows, rng) for rows in blocks])

    def _log_mass(self, members: Sequence[Member], y: Tensor, rng: torch.Generator) -> Tensor:
        log_w = self.weighed(members, y, _FEWEST_FOR_MASS, rng)[1]
        size, total, square = log_w.shape[1], log_w.logsumexp(1), (2 * log_w).logsumexp(1)
        counts = torch.full_like(total, size)
        while size < _MOST_FOR_MASS:
            poor = (counts == size) & ((2 * total - square).exp() < _WORTH)
            if not poor.any():
                break
            log_w = self.weighed(members, y[poor], size, rng)[1]
            total[poor] = torch.logaddexp(total[poor], log_w.logsumexp(1))
            square[poor] = torch.logaddexp(square[poor], (2 * log_w).logsumexp(1))
            size *= 2
            counts[poor] = size
        return total - counts.log()

    def candidates(
        self, members: Sequence[Member], y: Tensor, count: int, rng: torch.Generator
    ) -> tuple[Tensor, Terms]:
        """Candidates e (n, m, E) from the members in turn, and their terms (n, m)."""
        e, terms = y.new_empty(len(y) * count, self._first.features), []
        for start in range(0, len(e), _AT_ONCE):
            part = e[start : start + _AT_ONCE]
            many = y[torch.arange(start, start + len(part), device=y.device) // count]
            for number, member in enumerate(members):
                turn = slice(number, None, len(members))
                part[turn] = member.draw(many[turn], rng)
            terms.append(self.terms(members, part, many))
        return e.reshape(len(y), count, -1), Terms.joined(terms).reshape(len(y), count)

    def terms(self, members: Sequence[Member], e: Tensor, y: Tensor) -> Terms:
        """What is known of e (n, E) given scores y (n, L), each (n,); heads zero if no members."""
        prior = self.prior(e)
        heads = torch.zeros_like(prior)
        if members:
            heads = log_mean([member.log_prob(e, y) for member in members]) - prior
        likelihoods = [likelihood.log_prob(e, y) for likelihood in self.each]
        return Terms(prior, _bounded(heads), _bounded(log_mean(likelihoods)))

    @property
    def each(self) -> list[Likelihood]:
        """The likelihoods, one by one."""
        return [cast(Likelihood, each) for each in self.likelihoods]

    @property
    def _first(self) -> Likelihood:
        return self.each[0]


def _resampled(log_w: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Places (n, count) of candidates by systematic resampling, in random order; log_w (n, m)."""
    device = log_w.device
    first, order = (torch.rand(len(log_w), k, generator=rng, device=device) for k in (1, count))
    # On the CPU, since not every device has the digits for a long sum.
    ends = log_w.cpu().double().softmax(dim=1).cumsum(dim=1)
    ticks = (first.cpu().double() + torch.arange(count)) * ends[:, -1:] / count
    places = torch.searchsorted(ends, ticks).clamp_max(log_w.shape[1] - 1)
    return places.to(device).gather(1, order.argsort(dim=1))


def _bounded(logs: Tensor) -> Tensor:
    return logs.nan_to_num(nan=-LARGEST_LOG).clamp(-LARGEST_LOG, LARGEST_LOG)
