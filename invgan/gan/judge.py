"""The judge: a classifier of real and generated pairs that is no part of the game.

What it reports on held-out pairs,

    log 2 - cross-entropy,

is a lower bound of the Jensen-Shannon divergence between real and generated pairs in nats
(Goodfellow et al. 2014), zero where it cannot tell them apart. Where it can, its odds are the ratio
w = p(u given y) / g(u given y) of the truth to the generator, by which draws can be corrected:
out of m candidates for one y, one is chosen in proportion to w (sampling-importance resampling,
Rubin 1988). That draws from about ``g w / Z(y)``, whose held-out log-likelihood exceeds that of
g by ``E log w - E log Z(y)``; the correction is kept where this gain is beyond doubt. It is for
models with noise, where w is finite: on the thin sheets of a deterministic model's answer a
handful of candidates moves mass to wherever they happen to lie nearest.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from invgan.gan.device import generator_on
from invgan.gan.evidence import Draws
from invgan.gan.likelihood import descend
from invgan.gan.networks import Critic, Generator, initialise
from invgan.gan.stage import Column, Pairs, Source, decay
from invgan.settings import TrainConfig

__all__ = [
    "CANDIDATES",
    "Judge",
    "View",
    "divergence",
    "gained",
    "mean_of",
    "share",
    "train_judge",
    "with_gaps",
]

View = Callable[[Tensor], Tensor]

CANDIDATES = 16
"""Draws for one y among which the judge chooses."""

_QUICK_STEPS, _EVALUATIONS = 400, 12
_BATCH, _QUICK_BATCHES = 512, 100
_FARTHEST = 20.0
_RATE, _QUICK_RATE = 1e-3, 3e-3
_SEED = 13
_MOST_HELDOUT = 8192
_TEMPERATURES = (0.25, 0.5, 0.7, 0.85, 1.0)
_SIGNIFICANT = 2.0
_LARGEST_LOG_WEIGHT = 20.0


class Judge(nn.Module):
    """Log-odds of pairs to be real, calibrated by a temperature."""

    temperature: Tensor

    def __init__(self, features: int, outputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.network = Critic(features, outputs, hidden, layers)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        """Log w of draws u (n, E) given y (n, S), shape (n, 1)."""
        return self.temperature * cast(Tensor, self.network(u, y))

    def choose(
        self, generator: Generator, y: Tensor, rng: torch.Generator, code: int | None = None
    ) -> Tensor:
        """One draw u (n, E) for each row of y (n, S), out of `CANDIDATES`, all with this code."""
        u, log_w = self._candidates(generator, y, rng, code)
        return u[torch.arange(len(y), device=y.device), _chosen(log_w, rng)]

    def _candidates(
        self, generator: Generator, y: Tensor, rng: torch.Generator, code: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draws (n, m, E) and their log w (n, m)."""
        many = y.repeat_interleave(CANDIDATES, dim=0)
        u = generator.draw(many, rng, code)
        log_w = self(u, many).clamp(-_LARGEST_LOG_WEIGHT, _LARGEST_LOG_WEIGHT)
        return u.reshape(len(y), CANDIDATES, -1), log_w.reshape(len(y), CANDIDATES)

    @torch.no_grad()
    def gain(
        self, generator: Generator, heldout: Pairs, rng: torch.Generator
    ) -> tuple[float, float, float]:
        """Held-out gain in log-likelihood, nats a pair; its standard error; effective share.

        The real draw counts among the candidates of Z(y), so that the gain errs on the low side.
        """
        gains, shares = [], []
        for u, y in heldout.chunks(_MOST_HELDOUT // CANDIDATES):
            own = self(u, y).clamp(-_LARGEST_LOG_WEIGHT, _LARGEST_LOG_WEIGHT)
            _, others = self._candidates(generator, y, rng)
            gains.append(gained(own[:, 0], others))
            shares.append(share(others))
        return (*mean_of(gains), float(torch.cat(shares).mean()))


def _chosen(log_w: Tensor, rng: torch.Generator) -> Tensor:
    """One of m candidates for each row, in proportion to its weight; log_w (n, m), places (n,)."""
    noise = torch.rand(log_w.shape, generator=rng, device=log_w.device).clamp_min(1e-12)
    return (log_w - (-noise.log()).log()).argmax(dim=1)


def gained(own: Tensor, others: Tensor) -> Tensor:
    """Nats that a choice by weight wins of each held-out pair, from below; shape (n,).

    Args:
        own: log-weight of the real parameters, shape (n,), which count among the candidates.
        others: log-weights of draws for the same outputs, shape (n, m).
    """
    everyone = torch.cat([own[:, None], others], dim=1)
    return own - everyone.logsumexp(dim=1) + math.log(everyone.shape[1])


def share(log_w: Tensor) -> Tensor:
    """Effective share of m candidates for each row, log-weights (n, m); shape (n,)."""
    return 1 / (log_w.shape[1] * log_w.softmax(dim=1).square().sum(dim=1))


def mean_of(gains: Sequence[Tensor]) -> tuple[float, float]:
    """Mean of gains in parts, and its standard error."""
    each = torch.cat(list(gains))
    return float(each.mean()), float(each.std()) / math.sqrt(len(each))


def train_judge(
    generator: Generator, pairs: Source[Column], selection: Pairs, config: TrainConfig, seed: int
) -> tuple[Judge | None, dict[str, float]]:
    """A judge of the generator, or None where its correction would not help on held-out pairs.

    Half of the selection pairs stop the training and choose the temperature, the other half
    decide. Also returned: the gain in nats, its standard error, the effective share of candidates.
    """
    device, half = pairs.u.device, len(selection.u) // 2
    rng = generator_on(device, seed)
    tuning, deciding = (
        selection.at(part)
        for part in (slice(None, min(half, _MOST_HELDOUT)), slice(half, half + _MOST_HELDOUT))
    )
    judge = Judge(pairs.u.shape[1], pairs.y.shape[1], config.hidden, config.layers)
    initialise(judge, torch.Generator().manual_seed(seed))
    judge.to(device)
    steps = max(config.steps, config.steps_of_head) // 2
    _fit(judge, generator, pairs, tuning, steps, rng, seed)
    scored = []
    for value in _TEMPERATURES:
        judge.temperature.fill_(value)
        scored.append((judge.gain(generator, tuning, generator_on(device, seed))[0], value))
    judge.temperature.fill_(max(scored)[1])
    gain, error, share = judge.gain(generator, deciding, rng)
    info = {"gain": gain, "error": error, "effective_share": share}
    return (judge if gain > _SIGNIFICANT * error else None), info


def _fit(
    judge: Judge, generator: Generator, pairs: Source[Column], tuning: Pairs, steps: int,
    rng: torch.Generator, seed: int,
) -> None:  # fmt: skip
    """Train by cross-entropy; the weights of the best evaluation are left in place."""
    optimiser = torch.optim.Adam(judge.parameters(), _RATE, fused=pairs.u.device.type != "mps")
    best, kept = math.inf, copy.deepcopy(judge.state_dict())
    every = max(1, steps // _EVALUATIONS)
    for step in range(steps):
        loss = _cross_entropy(judge, *_round(generator, pairs, rng))
        descend(optimiser, loss, _RATE * decay(step, steps))
        if (step + 1) % every == 0:
            with torch.no_grad():
                again = generator_on(pairs.u.device, seed)
                heldout = float(_cross_entropy(judge, tuning, _drawn(generator, tuning, again)))
            if heldout < best:
                best, kept = heldout, copy.deepcopy(judge.state_dict())
    judge.load_state_dict(kept)


def _as_it_is(y: Tensor) -> Tensor:
    return y


def divergence(
    draws: Draws, pairs: Source[Column], selection: Pairs, hidden: int, seen: View = _as_it_is
) -> float:  # fmt: skip
    """Estimated lower bound of the Jensen-Shannon divergence of generated and real pairs, nats.

    The judge is trained on training pairs and scored on the selection pairs. Its randomness is
    the same at every call, so that two generators are compared like for like. It goes through the
    same draws several times: of a large network they cost more than the judge.

    Args:
        draws: the generator.
        pairs: to train on.
        selection: held out.
        hidden: units in a layer of the judge.
        seen: what the judge sees of outputs y (n, L), shape (n, S); y themselves if left out.
    """
    device = pairs.u.device
    rng = generator_on(device, _SEED)
    heldout = _as_seen(selection, seen)
    judge = Critic(pairs.u.shape[1], heldout.y.shape[1], hidden, 2)
    initialise(judge, torch.Generator().manual_seed(_SEED))
    judge.to(device)
    optimiser = torch.optim.Adam(judge.parameters(), _QUICK_RATE, fused=device.type != "mps")
    rounds = [_round(draws, pairs, rng, seen) for _ in range(min(_QUICK_STEPS, _QUICK_BATCHES))]
    for step in range(_QUICK_STEPS):
        loss = _cross_entropy(judge, *rounds[step % len(rounds)])
        descend(optimiser, loss, _QUICK_RATE * decay(step, _QUICK_STEPS))
    with torch.no_grad():
        scored = _cross_entropy(judge, heldout, _drawn(draws, selection, rng))
    return math.log(2) - float(scored)


def with_gaps(y: Tensor) -> Tensor:
    """Outputs (n, L) with a zero for each that is missing, and beside them which are."""
    return torch.cat([y.nan_to_num(0.0), y.isnan().to(y)], dim=1)


def _round(
    draws: Draws, pairs: Source[Column], rng: torch.Generator, seen: View = _as_it_is
) -> tuple[Pairs, Tensor]:
    """A batch of pairs as the judge sees them, and draws for their y."""
    real = Pairs(*pairs.batch(_BATCH, rng))
    return _as_seen(real, seen), _drawn(draws, real, rng)


@torch.no_grad()
def _as_seen(pairs: Pairs, seen: View) -> Pairs:
    return Pairs(pairs.u, seen(pairs.y))


@torch.no_grad()
def _drawn(draws: Draws, pairs: Pairs, rng: torch.Generator) -> Tensor:
    """Draws for the y of these pairs, kept from the distances that would blind a classifier."""
    return draws.draw(pairs.y, rng).clamp(-_FARTHEST, _FARTHEST)


def _cross_entropy(judge: nn.Module, real: Pairs, fake: Tensor) -> Tensor:
    a = judge(real.u.clamp(-_FARTHEST, _FARTHEST), real.y)
    b = judge(fake, real.y)
    return 0.5 * (softplus(-a).mean() + softplus(b).mean())
