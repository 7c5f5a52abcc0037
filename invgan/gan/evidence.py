"""What held-out pairs say of a game under way, in figures that know nothing of its loss.

A critic's outputs have no unit: a Wasserstein critic's grow with its slope, and a relativistic one
may add any function of y. So its strength is counted, not measured: the share of pairs that share
a y in which it puts the real one above the generated one,

    wins = P(D(x, y) > D(G(z, y), y)) + P(equal) / 2,

one half where it cannot tell them apart, whatever the loss. On the training pairs and on held-out
pairs it is the same but for what the critic knows by heart; and so are its outputs on the real ones
of both, one being above the other in half of all comparisons.

The draws are compared with held-out pairs in two ways that hold for an exact generator in any
dimension. Pairs i and j with neighbouring y have real parameters that are as far apart as the
draws for the same two y are: the ratio of the two mean distances in each coordinate is one, and
falls where draws crowd together. And a real pair has a generated one nearer than its k-th real
neighbour with probability 1 - (n - 1)...(n - k) / ((2 n - 1)...(2 n - k)), about 1 - 2^-k (the
coverage of Naeem et al. 2020), the share of generated pairs with a real one so near being the
precision of Kynkäänniemi et al. (2019).

Draws that wander are seen by probes: the mean error of the draws along a few directions, alone or
with a sign that depends on y, the same at every evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from invgan.gan.device import generator_on
from invgan.gan.stage import Column, Pairs, Source

__all__ = ["Draws", "evidence"]

_MOST = 1024
_MANY = 2**24
_NEIGHBOUR = 5
_SEED = 29
_NO_SPREAD = 1e-4
_PROBES, _FEW = 3, 32


class Draws(Protocol):
    """What is asked of a generator."""

    def draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One draw (n, E) for each row of y (n, L)."""
        ...


@torch.no_grad()
def evidence(
    generator: Draws, average: Draws, critic: Callable[[Tensor, Tensor], Tensor],
    pairs: Source[Column], selection: Pairs,
) -> dict[str, float]:  # fmt: skip
    """Figures of one evaluation, by the names under which `invgan.health` looks for them.

    No generator of training is touched, and no running statistic of a network: training goes on
    as if it had not been looked at. The cost is bounded, whatever the number of pairs.

    Args:
        generator: the one that plays, whose draws the critic is asked about.
        average: the one that would be kept, whose draws are compared with held-out pairs.
        critic: scores (n, 1) of u (n, E) and y (n, L).
        pairs: those of training.
        selection: those held out.

    Returns:
        compared, compared_training: how many held-out and training pairs were looked at.
        wins_training, wins_heldout: of the critic over the generator, 0 to 1.
        by_heart: share of comparisons in which it puts a training pair above a held-out one.
        reach: root mean square distance of the draws from the mean of the real parameters, in
            standard deviations of these; of the coordinate in which it is largest.
        narrowest: ratio of the spread of draws to that of real parameters at neighbouring y, of
            the coordinate in which it is smallest.
        coverage: share of real pairs with a generated one near.
        precision: share of generated pairs with a real one near.
        probe_1, probe_2, ...: mean error of the playing generator's draws along one direction, in
            standard deviations of real parameters.
    """
    rng = generator_on(pairs.u.device, _SEED)
    seen, heldout = (_some(part, rng) for part in (pairs, selection))
    modules = [m for m in (generator, average, critic) if isinstance(m, nn.Module)]
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    wins = [_wins(generator, critic, part, rng) for part in (seen, heldout)]
    by_heart = _above(critic(seen.u, seen.y), critic(heldout.u, heldout.y))
    reach, probes = _reach(generator, heldout, rng), _probes(generator, heldout, rng)
    narrowest = _narrowest(average, heldout, rng)
    coverage, precision = _neighbours(average, heldout, rng)
    for module, mode in zip(modules, modes, strict=True):
        module.train(mode)
    return {
        "compared": float(len(heldout.u)),
        "compared_training": float(len(seen.u)),
        "wins_training": wins[0],
        "wins_heldout": wins[1],
        "by_heart": by_heart,
        "reach": reach,
        "narrowest": narrowest,
        "coverage": coverage,
        "precision": precision,
        **{f"probe_{k}": value for k, value in enumerate(probes, start=1)},
    }


def _some(pairs: Source[Column], rng: torch.Generator) -> Pairs:
    """At most two thousand of the pairs, in random order; of many millions with replacement."""
    n, device = len(pairs.u), pairs.u.device
    if n > _MANY:
        rows = torch.randint(n, (2 * _MOST,), generator=rng, device=device)
    else:
        rows = torch.randperm(n, generator=rng, device=device)[: 2 * _MOST]
    return pairs.at(rows)


def _wins(
    generator: Draws, critic: Callable[[Tensor, Tensor], Tensor], pairs: Pairs, rng: torch.Generator
) -> float:
    """The share of pairs in which the critic puts the real one above the generated one.

    Few pairs get several generated ones each.
    """
    rows = torch.arange(len(pairs.u), device=pairs.u.device).repeat(max(1, _MOST // len(pairs.u)))
    u, y = pairs.u[rows], pairs.y[rows]
    gap = critic(u, y) - critic(generator.draw(y, rng), y)
    return float((0.5 * (gap.sign() + 1)).mean())


def _above(first: Tensor, second: Tensor) -> float:
    """The share of comparisons in which the first outputs (n, 1) are above the second (m, 1)."""
    return float((0.5 * ((first - second.T).sign() + 1)).mean())


def _probes(generator: Draws, pairs: Pairs, rng: torch.Generator) -> list[float]:
    """Mean errors of the draws along random directions; of the first one for all y alike."""
    u, y = pairs.u.flatten(1), pairs.y.flatten(1)
    wrong = (generator.draw(pairs.y, rng).flatten(1) - u) / u.std(dim=0).clamp_min(1e-12)
    along, sides = (
        torch.randn(part.shape[1], _PROBES, generator=rng, device=u.device) for part in (u, y)
    )
    signs = ((y - y.mean(dim=0)) @ sides).sign()
    signs[:, 0] = 1
    signs[signs == 0] = 1
    found: list[float] = ((wrong @ (along / along.norm(dim=0))) * signs).mean(dim=0).tolist()
    return found


def _reach(generator: Draws, pairs: Pairs, rng: torch.Generator) -> float:
    """How far out the draws lie, in standard deviations of the real parameters."""
    u, drawn = pairs.u.flatten(1), generator.draw(pairs.y, rng).flatten(1)
    scale = u.std(dim=0).clamp_min(1e-12)
    return float(((drawn - u.mean(dim=0)) / scale).square().mean(dim=0).sqrt().max())


def _narrowest(average: Draws, pairs: Pairs, rng: torch.Generator) -> float:
    """The smallest ratio of the spread of draws to that of real parameters at neighbouring y.

    Equal distances are parted at random, so that where all y are the same a pair is any two rows.
    """
    u, y = pairs.u.flatten(1), pairs.y.flatten(1)
    away = _distances(y, y)
    noise = torch.rand(away.shape, generator=rng, device=away.device)
    away = away + 1e-4 * noise * (away.mean() + 1e-6)
    nearest = away.fill_diagonal_(torch.inf).argmin(dim=1)
    drawn, other = (average.draw(part, rng).flatten(1) for part in (pairs.y, pairs.y[nearest]))
    real = (u - u[nearest]).abs().mean(dim=0)
    wide = real > _NO_SPREAD * u.std(dim=0)
    ratios = (drawn - other).abs().mean(dim=0)[wide] / real[wide]
    return float(ratios.min()) if len(ratios) else 1.0


def _neighbours(average: Draws, pairs: Pairs, rng: torch.Generator) -> tuple[float, float]:
    """Coverage and precision: one half of the pairs against draws for the y of the other half."""
    half = len(pairs.u) // 2
    u, y = pairs.u.flatten(1), pairs.y.flatten(1)
    drawn = average.draw(pairs.y[half:], rng).flatten(1)
    real = torch.cat([_even(u[:half], u), _even(y[:half], y)], dim=1)
    made = torch.cat([_even(drawn, u), _even(y[half:], y)], dim=1)
    k = min(_NEIGHBOUR, half - 1)
    radius = _distances(real, real).kthvalue(k + 1, dim=1).values
    near = _distances(real, made) <= radius[:, None]
    return float(near.any(dim=1).float().mean()), float(near.any(dim=0).float().mean())


def _even(rows: Tensor, of: Tensor) -> Tensor:
    """Rows (n, E) in units in which those of `of` have mean zero and total variance one."""
    middle = of.mean(dim=0)
    scale = (of - middle).square().mean(dim=0).sqrt().clamp_min(1e-12)
    return (rows - middle) / (scale * math.sqrt(of.shape[1]))


def _distances(rows: Tensor, others: Tensor) -> Tensor:
    """Distances (n, m); in few dimensions without the shortcut that loses the small ones."""
    exactly = "donot_use_mm_for_euclid_dist"
    mode = exactly if rows.shape[1] <= _FEW else "use_mm_for_euclid_dist"
    distances: Tensor = torch.cdist(rows, others, compute_mode=mode)
    return distances
