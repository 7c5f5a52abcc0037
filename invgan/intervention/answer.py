"""Solve an intervention problem by one of two roads, and judge it by both populations.

- ``projection``: prior simulations are weighed to have both marginals (the I-projection), their
  outputs are coupled rows, and with them the problem is an ordinary one: train the conditional
  generator, draw, correct. The draws are weighed once more to meet the original populations.
- ``rgan``: one generator of xi, a critic for each population, a critic for the prior. It needs no
  coupled rows, and takes models with noise.

Both end in the same judgement: each population's draws against its own observations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from invgan.answers import Draw, corrected_draws
from invgan.arguments import check_kinds, seeds_from, whole
from invgan.correction import correct, push_forward
from invgan.errors import InputError
from invgan.gan import sample, train
from invgan.gan.rgan import Block, RganConfig, train_rgan
from invgan.intervention.coupling import Coupling, couple, matched, population_simulations
from invgan.intervention.design import POPULATIONS, Intervention
from invgan.intervention.judgement import judge
from invgan.intervention.projection import check_rows
from invgan.models.identity import while_working
from invgan.observations import Table
from invgan.predictability import check_predictability
from invgan.samples import Samples, Simulations
from invgan.settings import TrainConfig
from invgan.simulation import simulate
from invgan.validation import Validation

__all__ = ["InterventionSolution", "Road", "solve_intervention"]

Road = Literal["projection", "rgan"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class InterventionSolution:
    """The answer to an intervention problem.

    Attributes:
        intervention: what was asked.
        samples: draws of xi = (x, c) with their joint outputs (n, 2 L).
        simulations: the prior simulations.
        coupling: the weighed simulations on the road ``"projection"``, else None.
        validations: the judgement of each population: ``"control"`` and ``"treated"``.
    """

    intervention: Intervention
    samples: Samples
    simulations: Simulations
    coupling: Coupling | None
    validations: dict[str, Validation]

    @property
    def consistent(self) -> bool:
        """Whether the draws reproduce both populations."""
        return all(found.verdict == "consistent" for found in self.validations.values())

    def population(self, name: str) -> Samples:
        """A population's parameters and outputs, after the change for ``"treated"``."""
        x, y = self.intervention.part(self.samples, name)
        return Samples(
            x, y, self.samples.weights, self.intervention.prior.names, self.intervention.outputs,
            self.samples.info,
        )  # fmt: skip


@while_working
def solve_intervention(
    intervention: Intervention,
    simulations: Simulations | None = None,
    n: int = 20_000,
    *,
    road: Road = "projection",
    budget: int = 100_000,
    train_config: TrainConfig | None = None,
    rgan_config: RganConfig | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> InterventionSolution:
    """Find the law of the parameters that explains both populations and stays near the prior.

    Args:
        intervention: the problem.
        simulations: prior simulations of ``intervention.problem()``; made here by default.
        n: how many draws, 20 or more.

    Other Args:
        road: ``"projection"`` or ``"rgan"``.
        budget: how many simulations are made here.
        train_config: of the conditional generator, which the road ``"projection"`` trains.
        rgan_config: of the regularised generator, which the road ``"rgan"`` trains.
        seed: of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called with (steps done, steps) of the training.

    Raises:
        InputError: no such road, too few draws, or a stochastic model on the road ``"projection"``.
        OutsideError: no parameter of the prior explains one of the populations.
        CorrectionError: too few simulations explain both populations.
    """
    if road not in ("projection", "rgan"):
        raise InputError(f"road must be 'projection' or 'rgan'; got {road!r}")
    n = whole("n", n, least=20)
    check_kinds(
        intervention=(intervention, Intervention), simulations=(simulations, Simulations | None)
    )
    for seen in (intervention.control, intervention.treated):
        if isinstance(seen, Table):
            check_rows(len(seen.rows))
    seeds = seeds_from(seed, 4)
    if simulations is None:
        simulations = simulate(intervention.problem(), budget, seed=seeds[0])
    coupling = None
    if road == "projection":
        coupling = couple(intervention, simulations, seed=seeds[1])
        inverse = train(
            coupling.problem, simulations, train_config, seed=seeds[2], device=device,
            progress=progress,
        )  # fmt: skip
        draw: Draw = partial(sample, inverse, coupling.problem.observations)
    else:
        _check_populations(intervention, simulations, seeds[1])
        generator = train_rgan(
            intervention.problem(), simulations, rgan_config, blocks=blocks(intervention),
            seed=seeds[2], device=device, progress=progress,
        )  # fmt: skip
        draw = generator.sample
    samples = _answer(intervention, draw, coupling, n, seeds[3])
    found = {
        name: judge(intervention, samples, name, simulations=simulations, seed=seeds[1])
        for name in POPULATIONS
    }
    return InterventionSolution(intervention, samples, simulations, coupling, found)


def blocks(intervention: Intervention) -> list[Block]:
    """The two populations as blocks of the joint outputs, for the regularised generator."""
    every = range(2 * len(intervention.outputs))
    seen = {"control": intervention.control, "treated": intervention.treated}
    return [Block(tuple(every[intervention.columns(p)]), seen[p]) for p in POPULATIONS]


def _answer(
    intervention: Intervention, draw: Draw, coupling: Coupling | None, n: int, seed: int
) -> Samples:
    """Draws with their outputs, weighed to meet both populations where that can be done."""
    joint = intervention.problem() if coupling is None else coupling.problem
    if intervention.random:
        return push_forward(joint, draw(n, seed=seed), seed=seed)

    def both(raw: Samples, seed: int) -> Samples:
        """Two steps, which both draw anew from what there is."""
        first = raw if coupling is None else correct(joint, raw, len(raw), seed=seed)
        found = matched(intervention, first, n, seed=seed)[0]
        share = first.info.get("effective_share", 1.0) * found.info["effective_share"]
        told = {
            "effective_share": share,
            "effective_samples": min(float(n), share * len(raw)),
            "distinct": len(np.unique(found.x, axis=0)) / len(found),
        }
        return replace(found, info=found.info | told)

    return _first(corrected_draws(joint, draw, both, n, seeds=(seed, seed))[0], n)


def _first(samples: Samples, n: int) -> Samples:
    y = None if samples.y is None else samples.y[:n]
    return replace(samples, x=samples.x[:n], y=y, weights=samples.weights[:n])


def _check_populations(intervention: Intervention, simulations: Simulations, seed: int) -> None:
    for name in POPULATIONS:
        own = population_simulations(intervention, simulations, name)
        check_predictability(intervention.population(name), own, seed=seed)
