"""Learning a likelihood beside the heads, and whether their draws are weighed by it.

A likelihood has a kind of flow, of those that heads have, and a scale of the outputs, their own
units or normal scores. Each of these forms is fitted on a quarter of the steps, the one that
held-out pairs like best once more from four seeds in full. One half of the selection pairs then
chooses the power of the ratio, by what a choice out of 64 gains (`judge.gained`); the other half
says whether that is beyond doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgan.gan.bayes import KnownPrior, Likelihood
from invgan.gan.device import generator_on
from invgan.gan.heads import LinearHead
from invgan.gan.judge import gained, mean_of, share
from invgan.gan.likelihood import LikelihoodStage
from invgan.gan.member import Member
from invgan.gan.stage import Pairs, Plan, run_stage
from invgan.gan.weigher import Weigher
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = ["MOST_OUTPUTS", "Scales", "Weighing"]

Planner = Callable[[str, int, int], Plan]
"""A plan for a stage of this name and so many steps, after so many steps of stages before."""

MOST_OUTPUTS = 50
"""Of more outputs no law is learnt."""

_TRIALS, _FULL = 4, 4
_CANDIDATES = 64
_TEMPERATURES = (0.25, 0.5, 0.7, 0.85, 1.0)
_SIGNIFICANT = 2.0
_MOST_HELDOUT = 1024
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Scales:
    """What a likelihood must know beside pairs.

    Attributes:
        parameters: scale of the parameters.
        outputs: scale of the outputs.
        prior: of the network parameters.
    """

    parameters: ParameterScaling
    outputs: OutputScaling
    prior: KnownPrior


@dataclass(frozen=True)
class Weighing:
    """What a likelihood is learnt from, and by which settings.

    Attributes:
        config: settings.
        scales: of parameters and outputs, and the prior.
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: held-out pairs.
        plan: of each stage.
    """

    config: TrainConfig
    scales: Scales
    pairs: Pairs
    selection: Pairs
    plan: Planner

    @staticmethod
    def steps(config: TrainConfig) -> int:
        """Steps of all fits together."""
        quarter = -(-config.steps_of_head // _TRIALS)
        return quarter * len(_forms()) + _FULL * config.steps_of_head

    def run(self, members: Sequence[Member], seed: int) -> tuple[Weigher | None, dict[str, Any]]:
        """A weigher of the draws of these members, or None where held-out pairs gain nothing.

        Also returned: the form of the likelihoods, their gain in nats a pair, its standard error
        and the effective share of the candidates.
        """
        states = np.random.SeedSequence(seed).generate_state(2 + _FULL)
        first, decide, *fits = (int(state) for state in states)
        quarter, full = -(-self.config.steps_of_head // _TRIALS), self.config.steps_of_head
        forms = _forms()
        tried = []
        for place, (kind, plain) in enumerate(forms):
            name = f"{kind}-{'units' if plain else 'scores'}"
            figure, _ = self._fit(
                kind, plain, quarter, first, self.plan(name, quarter, place * quarter)
            )
            tried.append((figure, kind, plain))
        _, kind, plain = min(tried)
        before, likelihoods = quarter * len(forms), []
        for place, own in enumerate(fits):
            plan = self.plan(f"{kind}-{place}", full, before + place * full)
            likelihoods.append(self._fit(kind, plain, full, own, plan)[1])
        weigher, found = self._decide(members, likelihoods, decide)
        return weigher, {"kind": kind, "plain": plain, **found}

    def _fit(
        self, kind: str, plain: bool, steps: int, seed: int, plan: Plan
    ) -> tuple[float, Likelihood]:
        """One likelihood; the held-out nats a pair of its outputs' scores, and itself."""
        device, sizes = self.pairs.u.device, (self.pairs.u.shape[1], self.pairs.y.shape[1])
        likelihood = Likelihood(self.config, kind, plain, *sizes, seed).to(device)
        scales = self.scales
        likelihood.settle(
            scales.parameters, scales.outputs, scales.prior, self.pairs.u, self.pairs.y
        )
        pairs, held = (_exchanged(likelihood, part) for part in (self.pairs, self.selection))
        estimator = likelihood.estimator
        if isinstance(estimator.head, LinearHead):
            estimator.head.fit(*pairs.some())
        config = self.config.model_copy(update={"head_steps": steps})
        stage = LikelihoodStage(estimator, pairs, held, config, generator_on(device, seed))
        run_stage(stage, plan, lead=0.0)
        estimator.temper(held)
        figure = stage.measure() - float(likelihood.log_slope(self.selection.y).mean())
        return figure if math.isfinite(figure) else math.inf, likelihood

    def _decide(
        self, members: Sequence[Member], likelihoods: Sequence[Likelihood], seed: int
    ) -> tuple[Weigher | None, dict[str, float]]:
        """How far to go, by one half of the held-out pairs; whether at all, by the other."""
        half = len(self.selection.u) // 2
        tuning, deciding = (
            Pairs(self.selection.u[rows], self.selection.y[rows])
            for rows in (
                slice(None, min(half, _MOST_HELDOUT)), slice(half, half + 2 * _MOST_HELDOUT)
            )
        )  # fmt: skip
        own, others = _weights(Weigher(likelihoods, 1.0), members, tuning, seed)
        gains = [float(gained(t * own, t * others).mean()) for t in _TEMPERATURES]
        weigher = Weigher(likelihoods, _TEMPERATURES[int(np.argmax(gains))])
        own, others = _weights(weigher, members, deciding, seed + 1)
        gain, error = mean_of([gained(own, others)])
        found = {
            "gain": gain, "error": error, "effective_share": float(share(others).mean()),
            "temperature": weigher.temperature,
        }  # fmt: skip
        return (weigher if gain > _SIGNIFICANT * error else None), found


def _forms() -> list[tuple[str, bool]]:
    """Kinds of flows, and whether the outputs are seen in their own units."""
    return [(kind, plain) for kind in ("linear", "affine") for plain in (True, False)]


@torch.no_grad()
def _exchanged(likelihood: Likelihood, pairs: Pairs) -> Pairs:
    """Pairs with their sides exchanged: outputs as the flow sees them, and its conditions."""
    return Pairs(likelihood.seen(pairs.y), likelihood.conditions(pairs.u))


@torch.no_grad()
def _weights(
    weigher: Weigher, members: Sequence[Member], pairs: Pairs, seed: int
) -> tuple[Tensor, Tensor]:
    """Log-weights of the real parameters of pairs, (n,), and of draws for their outputs, (n, m)."""
    rng = generator_on(pairs.u.device, seed)
    own, others = [], []
    for e, y in pairs.chunks(_ROWS_AT_ONCE):
        own.append(weigher(members, e, y))
        others.append(weigher.weighed(members, y, _CANDIDATES, rng)[1])
    return torch.cat(own), torch.cat(others)
