"""Learning a likelihood beside the heads, and whether their draws are weighed by it.

A likelihood has a kind of flow, of those that heads have, a scale of the outputs, their own units
or normal scores, and a pace, the learning rate or four times as much: where outputs follow their
parameters closely there is far to go, and where pairs are soon over-fitted the slow one ends
nearer. Each of these forms is fitted on a quarter of the steps, the two that held-out pairs like
best in full, and the better of them from further seeds, until there are as many as members. The
selection pairs then choose the powers, by what a choice out of 64 gains (`judge.gained`); whether
there is a gain beyond doubt is asked of each half of them with the powers that the other half
chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.arguments import seeds_from
from invgan.gan.bayes import (
    LARGEST_LOG,
    KnownPrior,
    LearntPrior,
    Likelihood,
    PriorDensity,
)
from invgan.gan.device import generator_on, to_array
from invgan.gan.fits import Fit, Fitter, one_by_one
from invgan.gan.judge import gained, mean_of, share
from invgan.gan.member import Member
from invgan.gan.stage import Pairs, Plan
from invgan.gan.weigher import Powers, Terms, Weigher
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = [
    "MOST_OUTPUTS",
    "MOST_PARAMETERS",
    "MOST_REPEATS",
    "POWERS",
    "Scales",
    "Weighing",
    "chosen",
    "decided",
]

Array = NDArray[np.float64]
Planner = Callable[[str, int, int], Plan]
"""A plan for a stage of this name and so many steps, after so many steps of stages before."""

Form = tuple[str, bool, float]
"""Kind of the flow, whether the outputs are seen in their own units, and the pace of the fit."""

MOST_OUTPUTS, MOST_PARAMETERS, MOST_REPEATS = 50, 50, 20
"""Of more no law is learnt; of more repeats none is asked, since each costs the same."""

POWERS: tuple[Powers, ...] = tuple((a / 8, b / 10) for a in range(9) for b in range(1, 13))
"""Among which held-out pairs choose."""

_PACES = (1.0, 4.0)
_FORMS: tuple[Form, ...] = tuple(product(("linear", "affine"), (True, False), _PACES))
_TRIALS, _FINALISTS = 4, 2
_CANDIDATES = 64
_SIGNIFICANT, _LEAST_GAIN = 2.0, 1e-3
_FEWEST, _MOST_HELDOUT, _HELD_PRIOR = 20, 2048, 5_000
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Scales:
    """What a likelihood must know beside pairs.

    Attributes:
        parameters: scale of the parameters.
        outputs: scale of the outputs.
        prior: of the network parameters, or what draws from it (n, E) where its density is not
            known.
        repeats: of one experiment, side by side in the outputs.
        inside: which parameters (n, D) are asked about, None where all: those left of a prior that
            was cut, since of rows from several rounds the density is known there alone.
    """

    parameters: ParameterScaling
    outputs: OutputScaling
    prior: KnownPrior | Callable[[], Tensor]
    repeats: int = 1
    inside: Callable[[Array], NDArray[np.bool_]] | None = None

    def within(self, e: Tensor) -> Tensor:
        """Which network parameters (..., E) are asked about, shape (...)."""
        shape = e.shape[:-1]
        if self.inside is None:
            return torch.ones(shape, dtype=torch.bool, device=e.device)
        found = self.inside(self.parameters.to_parameters(to_array(e.flatten(0, -2))))
        return torch.as_tensor(found, device=e.device).reshape(shape)

    def asked(self, pairs: Pairs) -> Pairs:
        """Those pairs whose parameters are asked about."""
        return pairs.at(self.within(pairs.u))

    @property
    def learns_prior(self) -> bool:
        """Whether the density of the prior is to be learnt too."""
        return not isinstance(self.prior, KnownPrior)


@dataclass(frozen=True)
class Weighing:
    """What a likelihood is learnt from, and by which settings.

    Attributes:
        config: settings.
        scales: of parameters and outputs, and the prior.
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: held-out pairs.
        plan: of each stage.
        fitter: fits what knows nothing of each other.
    """

    config: TrainConfig
    scales: Scales
    pairs: Pairs
    selection: Pairs
    plan: Planner
    fitter: Fitter = one_by_one

    @staticmethod
    def steps(config: TrainConfig, members: int, *, prior: bool = False) -> int:
        """Steps of all fits together, for so many members, and of the prior where it is learnt."""
        quarter = -(-config.steps_of_head // _TRIALS)
        return quarter * len(_FORMS) + (_FINALISTS + members - 1 + prior) * config.steps_of_head

    @cached_property
    def _varying(self) -> list[int]:
        """Places of those outputs of one experiment that are not the same in all pairs."""
        y = self.pairs.y.reshape(len(self.pairs.y) * self.scales.repeats, -1)
        least, most = y.nan_to_num(math.inf).amin(dim=0), y.nan_to_num(-math.inf).amax(dim=0)
        return (most > least).nonzero()[:, 0].tolist()

    def run(self, members: Sequence[Member], seed: int) -> tuple[Weigher | None, dict[str, Any]]:
        """A weigher of the draws of these members, or None where held-out pairs gain nothing.

        Also returned: the form of the likelihoods, their gain in nats a pair, its standard error
        and the effective share of the candidates.
        """
        if not self._varying:
            return None, {}
        first, decide, *fits, last = seeds_from(seed, 3 + len(members))
        form, best = self._best(first, fits[0])
        before, full = self.steps(self.config, 1), self.config.steps_of_head
        asked = [_Asked(form, full, own, str(place + 1)) for place, own in enumerate(fits[1:])]
        fitted = [best, *self._fitted(asked, before)]
        likelihoods = [likelihood for figure, likelihood in fitted if math.isfinite(figure)]
        told: dict[str, Any] = {"kind": form[0], "plain": form[1], "pace": form[2]}
        if not likelihoods:
            return None, told
        weigher = Weigher(self._prior(len(members), last), likelihoods, (0.0, 1.0))
        powers, found = decided(weigher, members, self.selection, self.scales.within, decide)
        told |= found
        return (None if powers is None else weigher.to_powers(powers)), told

    def _prior(self, members: int, seed: int) -> PriorDensity:
        """The density of the network parameters, learnt where it is not known."""
        given, device = self.scales.prior, self.pairs.u.device
        if isinstance(given, KnownPrior):
            return given.to(device)
        draws = given().to(device)
        prior = LearntPrior(self.config, draws.shape[1], seed).to(device)
        full = self.config.steps_of_head
        plan = self.plan("prior", full, self.steps(self.config, members))
        held, rest = map(prior.pairs, draws.tensor_split([_HELD_PRIOR]))
        prior.estimator.fit(rest, held, self.config, generator_on(device, seed), plan)
        return prior

    def _best(self, first: int, seed: int) -> tuple[Form, tuple[float, Likelihood]]:
        """The form that held-out pairs like best, and its figure and a likelihood of it in full."""
        full = self.config.steps_of_head
        quarter = -(-full // _TRIALS)
        trials = [_Asked(form, quarter, first, "trial") for form in _FORMS]
        tried = [figure for figure, _ in self._fitted(trials, 0)]
        finalists = [_FORMS[place] for place in np.argsort(tried)[:_FINALISTS]]
        asked = [_Asked(form, full, seed, "0") for form in finalists]
        finals = self._fitted(asked, quarter * len(_FORMS))
        best = int(np.argmin([figure for figure, _ in finals]))
        return finalists[best], finals[best]

    def _fitted(self, asked: Sequence[_Asked], before: int) -> list[tuple[float, Likelihood]]:
        """Likelihoods, each with the held-out nats a pair of its outputs' scores."""
        blank = [self._blank(one) for one in asked]
        ahead = np.cumsum([before, *(one.steps for one in asked)]).tolist()
        self.fitter(self._fit(*each) for each in zip(blank, asked, ahead[:-1], strict=True))
        found = []
        for likelihood in blank:
            held = likelihood.exchanged(self.selection.u, self.selection.y)
            likelihood.estimator.temper(held)
            figure = likelihood.nats(self.selection)
            found.append((figure if math.isfinite(figure) else math.inf, likelihood))
        return found

    def _blank(self, asked: _Asked) -> Likelihood:
        """A likelihood that is yet to be fitted, on its scales."""
        sizes = self.pairs.u.shape[1], self.pairs.y.shape[1]
        scales, config = self.scales, self.config
        kind, plain, _ = asked.form
        found = Likelihood(config, kind, plain, *sizes, asked.seed, scales.repeats, self._varying)
        found.to(self.pairs.u.device)
        found.settle(scales.parameters, scales.outputs, self.pairs.u, self.pairs.y)
        return found

    def _fit(self, likelihood: Likelihood, asked: _Asked, before: int) -> Fit:
        """How it is fitted, after so many steps of likelihoods before it."""
        (kind, plain, pace), steps = asked.form, asked.steps
        name = f"{kind}-{'units' if plain else 'scores'}-{pace:g}-{asked.which}"
        plan = self.plan(name, steps, before)
        pairs, held = (likelihood.exchanged(p.u, p.y) for p in (self.pairs, self.selection))
        config = self.config.model_copy(update={"head_steps": steps})
        return Fit(likelihood.estimator, pairs, held, config, asked.seed, plan, pace)


@dataclass(frozen=True)
class _Asked:
    """A likelihood that is wanted.

    Attributes:
        form: of it.
        steps: of its fit.
        seed: of weights, batches and noise.
        which: its part in the course, for the name of its checkpoint.
    """

    form: Form
    steps: int
    seed: int
    which: str


def decided(
    weigher: Weigher, members: Sequence[Member], heldout: Pairs,
    within: Callable[[Tensor], Tensor], seed: int,
) -> tuple[Powers | None, dict[str, Any]]:  # fmt: skip
    """How far to go, by all held-out pairs; whether at all, by each half with the other's.

    Args:
        weigher: whose powers are to be found.
        members: what gives the draws.
        heldout: pairs of network parameters and output scores.
        within: which network parameters (..., E) are asked about: pairs elsewhere say nothing, and
            draws elsewhere would be drawn again.
        seed: of the draws.

    Returns:
        The powers, or None; the gain of a pair in nats, its standard error, the powers again, and
        the effective share of the draws, where there are pairs enough to tell.
    """
    pairs = heldout.at(within(heldout.u)).at(slice(_MOST_HELDOUT))
    if len(pairs.u) < _FEWEST:
        return None, {}
    terms, others, at = _terms(weigher, members, pairs, seed)
    allowed = torch.where(within(at), 0.0, -LARGEST_LOG)
    unweighed = gained(torch.zeros_like(terms.prior), allowed)
    weights = [(terms.log_weight(p), others.log_weight(p) + allowed) for p in POWERS]
    gains = torch.stack([gained(own, other) - unweighed for own, other in weights])
    gain, error = mean_of(_crossed(gains))
    best = chosen(gains)
    found = {
        "gain": gain, "error": error, "powers": list(POWERS[best]),
        "effective_share": float(share(weights[best][1]).mean()),
    }  # fmt: skip
    return (POWERS[best] if gain > max(_SIGNIFICANT * error, _LEAST_GAIN) else None), found


def chosen(gains: Tensor) -> int:
    """Place of the powers whose gains (P, n) are the largest in the mean."""
    return int(gains.mean(dim=1).argmax())


def _crossed(gains: Tensor) -> tuple[Tensor, Tensor]:
    """Gains (P, n) of either half of the pairs by the powers that the other half chooses."""
    first, second = gains.chunk(2, dim=1)
    return first[chosen(second)], second[chosen(first)]


@torch.no_grad()
def _terms(
    weigher: Weigher, members: Sequence[Member], pairs: Pairs, seed: int
) -> tuple[Terms, Terms, Tensor]:
    """Terms of the real parameters of pairs (n,), of draws for their outputs (n, m); the draws."""
    rng = generator_on(pairs.u.device, seed)
    own, others, at = [], [], []
    for e, y in pairs.chunks(_ROWS_AT_ONCE):
        own.append(weigher.terms(members, e, y))
        draws, terms = weigher.candidates(members, y, _CANDIDATES, rng)
        others.append(terms)
        at.append(draws)
    return Terms.joined(own), Terms.joined(others), torch.cat(at)
