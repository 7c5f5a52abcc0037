"""The regularised generator (r-GAN): the population as a whole, from one unconditional network.

A generator x = g(z) is taught by two critics at once (Parikh et al. 2022; Rumbell et
al. 2023): one in output space, between f(g(z)) and the observations, with f the model or a learnt
stand-in for it; and one that holds g(z) to draws of the prior. With the losses L_y and L_x that
the critics give the generator, it minimises

    L_y + w L_x.

Why this answers the question. Processing data never adds divergence: whatever g is, its draws are
no nearer to the prior than their outputs are to the prior's outputs, and for a deterministic model
equality holds where x given y is distributed as under the prior (for the relativistic loss by
Jensen's inequality: on such a law no critic of x beats its mean over x given y). So among all laws
with the right push-forward, the data-consistent one has the smallest L_x: it is the limit of small
w. For a *stochastic* model the least L_x still chooses one law among those whose outputs agree with
the observations, where averaging posteriors gives none.

The critic of x is shown f(x) too, of both. It follows from x, so it changes none of this; but what
tells the answer from the prior is a function of y, often a steep one, which would have to be learnt
from x anew.

A finite w is a compromise, and one with a bias: it draws the push-forward towards the prior's. So
w ends small. It begins large, and falls by the same factor at each step: the generator starts as
the prior itself, and parts of the answer that lie apart must be held while the draws move to the
observations, since no later step would find them again.

Several populations that were observed apart (control and treated) have one output critic each: a
`Block` names the columns and the observations of one. What minimises L_x is then near the
I-projection (`invgan.intervention`), but not the same: that one is nearest in relative entropy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invgan.arguments import check_kinds, seeds_from
from invgan.errors import InputError
from invgan.files import digest
from invgan.gan.device import choose_device, few_threads, generator_on, to_tensor
from invgan.gan.known import as_theirs
from invgan.gan.pairing import check_simulations
from invgan.gan.population import PopulationGenerator, RganConfig
from invgan.gan.regularised import RganStage
from invgan.gan.stage import Plan, run_stage
from invgan.gan.surrogate import (
    Differentiable,
    KnownModel,
    Surrogate,
    TargetScale,
    pairs_for,
    surrogate_stage,
)
from invgan.ground import own_ground
from invgan.observations import Observations, Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import ParameterScaling

__all__ = ["Block", "PopulationGenerator", "RganConfig", "train_rgan"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_LAW_ROWS = 50_000
_PRIOR_DRAWS, _PRIOR_VALUES = 2**17, 2**24


@dataclass(frozen=True)
class Block:
    """Outputs that were observed together: one population.

    Attributes:
        columns: which columns of the model's outputs.
        observations: their rows or law, (N, len(columns)).
    """

    columns: tuple[int, ...]
    observations: Observations


@own_ground()
def train_rgan(
    problem: Problem,
    simulations: Simulations,
    config: RganConfig | None = None,
    *,
    blocks: Sequence[Block] | None = None,
    differentiable: Differentiable | None = None,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> PopulationGenerator:
    """Learn to draw parameters whose outputs are distributed as the observations are.

    Args:
        problem: prior, model and observations of a population.
        simulations: pairs of parameters and outputs, which the stand-in is learnt from; of those
            that are mapped from the disk the first 100,000, or 128 MB of them.
        config: settings.

    Other Args:
        blocks: populations that were observed apart, one critic each; by default all outputs
            together with the problem's observations.
        differentiable: the model in torch, (n, D) -> (n, L) of double precision, in the place of a
            learnt stand-in.
        seed: of weights, batches and noise; the same seed gives the same result on one machine.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        checkpoint: a file for the state of training; where one of the same training lies there,
            it is taken up, and the result is the same as without the interruption.
        progress: called with (steps done, steps).

    Returns:
        The generator whose outputs came nearest to the observations.

    Raises:
        InputError: the question is the posterior, or the simulations or blocks do not fit.
    """
    check_kinds(problem=(problem, Problem), simulations=(simulations, Simulations))
    config = config or RganConfig()
    differentiable = None if differentiable is None else as_theirs(differentiable)
    started = time.perf_counter()
    simulations = simulations.few()
    chosen = _checked(problem, simulations, blocks)
    place = choose_device(device)
    seeds = seeds_from(seed, 6)
    rng = np.random.default_rng(seeds[0])
    rows = [_rows(block.observations, rng) for block in chosen]
    scale = TargetScale.fit(simulations.training.y, _by_column(chosen, rows))
    parameters = ParameterScaling.fit(problem.prior, rng)
    few = torch.tensor(simulations.x[:64], dtype=torch.float64, device=place)
    known = None if differentiable is None else differentiable(few)
    asked = [
        seed, place.type, problem.random, parameters.to_dict(), [block.columns for block in chosen],
        None if known is None else known.tolist(),
    ]  # fmt: skip
    plans = _Plans(config, checkpoint, _fingerprint(config, simulations, rows, asked), progress)
    with few_threads():
        surrogate, history, error = _surrogate(
            problem, simulations, parameters, scale, differentiable, plans, seeds[1:3], place
        )
        targets = [
            (list(block.columns), to_tensor(scale.columns(seen, block.columns), place))
            for block, seen in zip(chosen, rows, strict=True)
        ]
        width = parameters.dimension + len(simulations.outputs)
        many = min(_PRIOR_DRAWS, max(_PRIOR_VALUES // width, config.batch_size))
        game = RganStage(
            surrogate,
            targets,
            to_tensor(parameters.to_network(problem.prior.sample(many, rng)), place),
            config,
            seeds[3],
            generator_on(place, seeds[4]),
        )
        history += run_stage(game, plans.game())
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "device": str(place),
        "surrogate_error": error,
        "energy": game.measure(),
        "blocks": len(chosen),
    }
    return PopulationGenerator(
        game.kept, parameters, simulations.names, simulations.outputs, config, history, info
    )


@dataclass(frozen=True)
class _Plans:
    """The plans of the two stages, with one progress and a checkpoint file each."""

    config: RganConfig
    checkpoint: str | Path | None
    fingerprint: str
    progress: Progress | None

    def surrogate(self) -> Plan:
        """The fit of the stand-in."""
        return self._plan("surrogate", self.config.surrogate_steps, 0, self.config.patience)

    def game(self) -> Plan:
        """The game, to the end of its schedule: it settles as the learning rate falls."""
        return self._plan("rgan", self.config.steps, self.config.surrogate_steps, None)

    def _plan(self, name: str, steps: int, before: int, patience: int | None) -> Plan:
        path = None if self.checkpoint is None else Path(f"{self.checkpoint}-{name}.safetensors")
        total = self.config.surrogate_steps + self.config.steps

        def shifted(done: int, _: int) -> None:
            if self.progress is not None:
                self.progress(before + done, total)

        return Plan(steps, self.config.evaluations, patience, path, self.fingerprint, shifted)


def _surrogate(
    problem: Problem,
    simulations: Simulations,
    parameters: ParameterScaling,
    scale: TargetScale,
    differentiable: Differentiable | None,
    plans: _Plans,
    seeds: list[int],
    place: torch.device,
) -> tuple[Surrogate, list[dict[str, Any]], float | None]:
    """The differentiable model, the history of its fit, and its held-out figure."""
    if differentiable is not None and problem.random:
        raise InputError(
            "a differentiable model would leave out the noise of this problem; leave "
            "differentiable out, and the model is learnt with its noise"
        )
    if differentiable is not None:
        return KnownModel(differentiable, parameters, scale).to(place), [], None
    pairs, selection = (
        pairs_for(part.x, part.y, parameters, scale, place)
        for part in (simulations.training, simulations.selection)
    )
    kind = plans.config.surrogate
    if kind == "auto":
        kind = "flow" if problem.random else "regression"
    network, stage = surrogate_stage(
        kind, pairs, selection, steps=plans.config.surrogate_steps, hidden=plans.config.hidden,
        seed=seeds[0], rng=generator_on(place, seeds[1]),
    )  # fmt: skip
    history = run_stage(stage, plans.surrogate())
    return network, history, min(row["heldout"] for row in history if row.get("kept"))


def _rows(seen: Observations, rng: np.random.Generator) -> Array:
    """All rows of a table, or many even draws of a law."""
    return seen.rows if isinstance(seen, Table) else seen.representative(_LAW_ROWS, rng)


def _by_column(blocks: Sequence[Block], rows: Sequence[Array]) -> list[Array]:
    """The observed values of each output column, in order."""
    found = {
        column: seen[:, k]
        for block, seen in zip(blocks, rows, strict=True)
        for k, column in enumerate(block.columns)
    }
    return [found[column] for column in sorted(found)]


def _checked(
    problem: Problem, simulations: Simulations, blocks: Sequence[Block] | None
) -> Sequence[Block]:
    """The blocks, once everything fits together."""
    if problem.question != "population":
        raise InputError("the regularised generator is for question='population'")
    check_simulations(problem, simulations)
    every = tuple(range(len(problem.outputs)))
    if blocks is None:
        return [Block(every, problem.observations)]
    named = sorted(column for block in blocks for column in block.columns)
    fitting = all(block.observations.width == len(block.columns) for block in blocks)
    if tuple(named) != every or not fitting:
        raise InputError(
            f"the blocks must share out the {len(every)} output columns, with as many observed "
            f"columns each; got columns {[list(b.columns) for b in blocks]} and widths "
            f"{[b.observations.width for b in blocks]}"
        )
    return blocks


def _fingerprint(
    config: RganConfig, simulations: Simulations, rows: Sequence[Array], asked: list[Any]
) -> str:
    """What a checkpoint must match to be taken up again."""
    return digest(json.dumps([asdict(config), *asked]), simulations.x, simulations.y, *rows)
