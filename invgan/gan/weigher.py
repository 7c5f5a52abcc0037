"""Draws of heads, weighed by what a likelihood says of them.

With h the density of the heads and ``q(e) l(y given e)`` that of the other road (`bayes`),

    w = q(e) l(y given e) / h(e given y)

turns draws of the one into draws of the other, by choosing among candidates in proportion to w
(sampling-importance resampling, Rubin 1988). Where few of them count, many draws for one y are then
moved (`moves`). A power w^t with t below one stops on the way, at ``h^(1 - t) (q l)^t``. How far to
go, and whether to go at all, held-out pairs say (`weighing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from invgan.gan.bayes import Likelihood
from invgan.gan.judge import share
from invgan.gan.member import Member, log_mean
from invgan.gan.moves import moved
from invgan.settings import TrainConfig

__all__ = ["Weigher"]

_AT_ONCE = 16_384
_LARGEST = 1e4
_FEWEST, _LEAST, _MOST_FOR_ONE, _MOST_FOR_CROWD = 16, 8.0, 64, 2048
_CROWD, _SPARE, _MOST_EACH, _MOVES = 50, 1.5, 4, 20


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
        """The same with the likelihood of this number alone."""
        one = cast(Likelihood, self.likelihoods[number])
        return Weigher([one], self.temperature)

    def choose(self, members: Sequence[Member], y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw e (n, E) for each row of scores y (n, L).

        Equal rows that follow each other have their candidates in common.
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

        def log_density(crowds: Tensor) -> Tensor:
            some, many = crowds.flatten(0, 1), y.repeat_interleave(crowds.shape[1], dim=0)
            found = [
                self._log_target(members, some[i : i + _AT_ONCE], many[i : i + _AT_ONCE])
                for i in range(0, len(some), _AT_ONCE)
            ]
            return torch.cat(found).reshape(crowds.shape[:2])

        return moved(log_density, e, _MOVES, rng)

    def _log_target(self, members: Sequence[Member], e: Tensor, y: Tensor) -> Tensor:
        """Log of h^(1 - t) (q l)^t of e (n, E) given y (n, L), shape (n,)."""
        other = self.temperature * self._log_joint(e, y)
        if self.temperature == 1:
            return other
        return other + (1 - self.temperature) * log_mean([m.log_prob(e, y) for m in members])

    def _log_joint(self, e: Tensor, y: Tensor) -> Tensor:
        """Log of q(e) l(y given e), but for a function of y; shape (n,)."""
        likelihoods = [cast(Likelihood, each).log_prob(e, y) for each in self.likelihoods]
        log_p = self._first.log_prior(e) + log_mean(likelihoods)
        return log_p.nan_to_num(nan=-_LARGEST).clamp(-_LARGEST, _LARGEST)

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
        log_w = self._log_joint(e, y) - log_mean([member.log_prob(e, y) for member in members])
        return self.temperature * log_w.nan_to_num(nan=-_LARGEST).clamp(-_LARGEST, _LARGEST)

    @property
    def _first(self) -> Likelihood:
        return cast(Likelihood, self.likelihoods[0])


def _resampled(log_w: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Places (n, count) of candidates by systematic resampling, in random order; log_w (n, m)."""
    device = log_w.device
    first, order = (torch.rand(len(log_w), k, generator=rng, device=device) for k in (1, count))
    # On the CPU, since not every device has the digits for a long sum.
    ends = log_w.cpu().double().softmax(dim=1).cumsum(dim=1)
    ticks = (first.cpu().double() + torch.arange(count)) * ends[:, -1:] / count
    places = torch.searchsorted(ends, ticks).clamp_max(log_w.shape[1] - 1)
    return places.to(device).gather(1, order.argsort(dim=1))
