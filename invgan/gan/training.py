"""From simulations to a trained inverse: head start, game, judge, held-out pairs deciding.

1. Pairs whose outputs lie near the observations are chosen. The conditional p(x given y) does not
   change when pairs are chosen by y alone, and capacity goes where it will be asked.
2. The head is fitted by likelihood, together with the embedding of structured outputs, with a
   little noise on the parameters: the answer to a deterministic model is a thin sheet whose
   density has no bound, and without the noise the likelihood chases its sharpness instead of how
   much mass lies where (noise regularisation: Rothfuss et al. 2019). The game then sees the
   sharp pairs. Of several heads the one that held-out pairs like best goes on.
3. The training pairs are mapped once into the head's latent space u, where generator and critic
   play. The generator that held-out pairs like best is kept, the head alone being a candidate.
4. For a model with noise several such members are trained from different seeds and drawn from
   equally: where pairs are few, each is too sure of itself in its own way (Lakshminarayanan,
   Pritzel and Blundell 2017). In place of them, a judge may learn what still tells one
   generator's pairs from real ones, and correct its draws where held-out pairs gain by it. The
   answer to a deterministic model is a thin sheet, to which generated draws have no finite ratio.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.files import digest
from invgan.gan.course import Course
from invgan.gan.device import choose_device, few_threads, to_tensor
from invgan.gan.inverse import Inverse
from invgan.gan.networks import check_networks
from invgan.gan.stage import Pairs
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig
from invgan.structure import check_masks, column_groups, thin_sets

__all__ = ["train"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_MEMBERS = 4
_TARGET_DRAWS = 20_000
_FEWEST_PAIRS = 2_000
_FEWEST_SIMULATIONS = 100


def train(
    problem: Problem,
    simulations: Simulations,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Inverse:
    """Learn to draw parameters for outputs like the observed ones.

    Args:
        problem: whose prior scales the parameters and whose observations say what will be asked.
        simulations: pairs of parameters and outputs.
        config: settings; the defaults are one set for all problems.

    Other Args:
        seed: of weights, batches and noise; the same seed gives the same result on one machine.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        checkpoint: a file for the state of training; where one of the same training lies there,
            it is taken up, and the result is the same as without the interruption.
        progress: called with (steps done, steps).

    Returns:
        The inverse that held-out pairs liked best.

    Raises:
        InputError: the simulations are not this problem's, or too few, or the networks of the
            settings do not fit its parameters.
    """
    config = config or TrainConfig()
    _check(problem, simulations, config)
    started = time.perf_counter()
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(3)]
    low, high = _region(problem, simulations, config)
    rows = [_within(part, low, high) for part in (simulations.training, simulations.selection)]
    rows = _thinned(problem, rows, config, np.random.default_rng(seeds[1]))
    parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(seeds[0]))
    check_networks(config, parameters.dimension)
    scaling = OutputScaling.fit(rows[0].y, column_groups(config.embedding, rows[0].y.shape[1]))
    place = choose_device(device)
    pairs, selection = (_pairs(part, parameters, scaling, place) for part in rows)
    fingerprint = _fingerprint(config, simulations, low, seed)
    count = config.members or (_MEMBERS if problem.random else 1)
    judged = config.judge and problem.random and count == 1
    course = Course(config, pairs, selection, count, judged, checkpoint, fingerprint, progress)
    with few_threads():
        finished = course.run(seeds[2])
    members, history, infos = zip(*finished, strict=True)
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "device": str(place),
        "pairs": len(rows[0]),
        "share_of_simulations": len(rows[0]) / len(simulations.training),
        **infos[0],
        "members": list(infos),
    }
    return Inverse(
        members, parameters, scaling, low, high, simulations.names, simulations.outputs, config,
        history[0], info,
    )  # fmt: skip


def _check(problem: Problem, simulations: Simulations, config: TrainConfig) -> None:
    if simulations.names != problem.prior.names or simulations.outputs != problem.outputs:
        raise InputError(
            f"the simulations hold parameters {list(simulations.names)} and outputs "
            f"{list(simulations.outputs)}; the problem has {list(problem.prior.names)} and "
            f"{list(problem.outputs)}"
        )
    if len(simulations) < _FEWEST_SIMULATIONS:
        raise InputError(
            f"{len(simulations)} simulations are too few to train on; "
            f"use {_FEWEST_SIMULATIONS} or more"
        )
    if problem.missing:
        check_masks(config.embedding)


def _region(problem: Problem, simulations: Simulations, config: TrainConfig) -> tuple[Array, Array]:
    """Ends (L,) of the outputs to train on: the observed range and a margin, else everything.

    For the population question only: one training for the posterior question serves every y. The
    margin grows where too few simulations would be left.
    """
    y = simulations.training.y
    if problem.question == "posterior":
        return np.fmin.reduce(y, axis=0), np.fmax.reduce(y, axis=0)
    seen = problem.observations
    rows = seen.rows if isinstance(seen, Table) else seen.sample(_TARGET_DRAWS, _target_rng())
    low, high = np.quantile(rows, [0.001, 0.999], axis=0)
    width = np.where(high > low, high - low, np.ptp(y, axis=0))
    width = np.where(width > 0, width, 1.0)
    away = np.max(np.maximum(low - y, y - high) / width, axis=1)
    fewest = min(_FEWEST_PAIRS, len(y))
    margin = max(config.focus, float(np.partition(away, fewest - 1)[fewest - 1]))
    return low - margin * width, high + margin * width


def _target_rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _within(part: Simulations, low: Array, high: Array) -> Simulations:
    near = np.all(~((part.y < low) | (part.y > high)), axis=1)
    return replace(part, x=part.x[near], y=part.y[near])


def _thinned(
    problem: Problem, parts: list[Simulations], config: TrainConfig, rng: np.random.Generator
) -> list[Simulations]:
    """Sets of repeats lose a random number of elements, so that sets of any size are learnt."""
    if config.embedding.kind != "set" or problem.repeats == 1:
        return parts
    return [replace(part, y=thin_sets(part.y, problem.repeats, rng)) for part in parts]


def _pairs(
    part: Simulations, parameters: ParameterScaling, scaling: OutputScaling, place: torch.device
) -> Pairs:
    return Pairs(
        to_tensor(parameters.to_network(part.x), place),
        to_tensor(scaling.to_network(part.y), place),
    )


def _fingerprint(config: TrainConfig, simulations: Simulations, low: Array, seed: int) -> str:
    """What a checkpoint must match to be taken up again."""
    asked = json.dumps([config.model_dump(), seed, low.tolist()])
    return digest(asked, simulations.x, simulations.y)
