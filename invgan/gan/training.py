"""From simulations to a trained inverse: head start, game, judge, held-out pairs deciding.

1. Pairs whose outputs lie near the observations are chosen. The conditional p(x given y) does not
   change when pairs are chosen by y alone, and capacity goes where it will be asked. A run of the
   model whose noise of the measurement is known gives many, each under further noise.
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
5. For the posterior of such a model, and where the heads alone are kept, the law of the outputs
   given the parameters is learnt too, and weighs their draws where held-out pairs gain by it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.arguments import check_kinds, seeds_from
from invgan.errors import InputError
from invgan.files import digest
from invgan.gan.bayes import known_prior
from invgan.gan.content import known_outputs
from invgan.gan.course import Course
from invgan.gan.device import choose_device, few_threads
from invgan.gan.fits import fitting
from invgan.gan.inverse import Inverse
from invgan.gan.networks import check_networks, fitted
from invgan.gan.pairing import check_simulations, material, region, under_noise
from invgan.gan.stage import Watch
from invgan.gan.weighing import MOST_OUTPUTS, MOST_PARAMETERS, MOST_REPEATS, Scales
from invgan.ground import own_ground
from invgan.mapped import folder_of, on_disk
from invgan.priors import CutPrior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig
from invgan.structure import check_masks, row_shape

__all__ = ["check_training", "train"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_MEMBERS = 4
_PRIOR_DRAWS = 100_000
_PASSES, _MOST_STEPS = 60, 20_000


@own_ground()
def train(
    problem: Problem,
    simulations: Simulations,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Inverse:
    """Learn to draw parameters for outputs like the observed ones.

    Args:
        problem: whose prior scales the parameters and whose observations say what will be asked.
        simulations: pairs of parameters and outputs. Those that are mapped from the disk
            (`open_store`) are streamed from there: the training pairs are laid out on the disk
            too, beside the checkpoint or the simulations, and go when training ends.
        config: settings; the defaults are one set for all problems.

    Other Args:
        seed: of weights, batches and noise; the same seed gives the same result on one machine.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        checkpoint: a file for the state of training; where one of the same training lies there,
            it is taken up, and the result is the same as without the interruption.
        progress: called with (steps done, steps).
        watch: called after each evaluation with the history so far of the head or game under way,
            rows as `invgan.health.diagnose` takes them.

    Returns:
        The inverse that held-out pairs liked best.

    Raises:
        InputError: the simulations are not this problem's, or too few, or the networks of the
            settings do not fit its parameters.
    """
    check_kinds(
        problem=(problem, Problem), simulations=(simulations, Simulations),
        config=(config, TrainConfig | None),
    )  # fmt: skip
    config = fitted(config or TrainConfig(), problem.field, problem.output_shape)
    check_simulations(problem, simulations)
    if problem.missing:
        check_masks(config.embedding)
    started = time.perf_counter()
    seeds = seeds_from(seed, 4)
    seen = under_noise(problem, simulations, seed=seeds[1])
    ends = region(problem, seen, config)
    parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(seeds[0]))
    check_networks(config, parameters.dimension, simulations.y.shape[1])
    place = choose_device(device)
    found = material(
        problem, simulations, seen, config, parameters, ends, seed=seeds[1], device=place,
        folder=_room(simulations, checkpoint),
    )  # fmt: skip
    pairs, selection = found.pairs, found.selection
    config = _scheduled(config, problem, len(pairs.u) // found.copies)
    asked = [
        seed, place.type, str(problem.noise), found.copies, problem.question, problem.repeats,
        parameters.to_dict(),
    ]  # fmt: skip
    fingerprint = _fingerprint(config, simulations, ends, asked)
    count = config.members or (_MEMBERS if problem.random else 1)
    paced = _is_answer(problem)
    judged = config.judge and problem.random and count == 1
    known = known_outputs(problem, simulations.x, config, parameters, found.scaling)
    scales = _scales(problem, config, parameters, found.scaling, seeds[3])
    with few_threads(), fitting(config.workers) as fitter:
        course = Course(
            config, pairs, selection, count, paced, judged, checkpoint, fingerprint, progress,
            watch, known, scales, fitter,
        )  # fmt: skip
        finished = course.run(seeds[2], seeds[3])
    infos = [trained.info for trained in finished.trained]
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "device": str(place),
        "pairs": len(pairs.u),
        "copies": found.copies,
        "question": problem.question,
        "missing": problem.missing or (config.embedding.kind == "set" and problem.repeats > 1),
        "share_of_simulations": len(pairs.u) / (found.copies * len(simulations.training)),
        **infos[0],
        "members": infos,
        "likelihood": finished.weighed,
    }
    return Inverse(
        tuple(trained.member for trained in finished.trained), parameters, found.scaling, *ends,
        simulations.names, simulations.outputs, config, finished.trained[0].history, info,
        finished.weigher,
    )  # fmt: skip


def check_training(problem: Problem, config: TrainConfig) -> None:
    """Refuse settings that do not fit a problem, before anything is simulated for it.

    Raises:
        InputError: the method does not answer its question, or the networks do not fit its
            parameters or its outputs, or take no missing ones.
    """
    if config.method == "rgan" and problem.question != "population":
        raise InputError(
            "the regularised generator is for question='population'; got train.method rgan for a "
            f"{problem.question}: set train.method to cgan"
        )
    if problem.missing:
        check_masks(config.embedding)
    config = fitted(config, problem.field, problem.output_shape)
    width = len(problem.outputs) * problem.repeats
    row_shape(config.embedding, width)
    parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(0))
    check_networks(config, parameters.dimension, width)


def _scales(
    problem: Problem, config: TrainConfig, parameters: ParameterScaling, outputs: OutputScaling,
    seed: int,
) -> Scales | None:  # fmt: skip
    """What a likelihood must know; None where it is not asked for, or there is none to be learnt.

    It is for a posterior of a model with noise, whose outputs are few and seen as they are, or as
    sets of repeats.
    """
    asked = config.likelihood and problem.random and problem.question == "posterior"
    columns, repeats = len(outputs.columns), problem.repeats
    seen = config.embedding.kind == "none" or (config.embedding.kind == "set" and repeats > 1)
    few = (
        parameters.dimension <= MOST_PARAMETERS
        and columns // repeats <= MOST_OUTPUTS
        and repeats <= MOST_REPEATS
    )
    if not (asked and seen and few) or problem.missing:
        return None
    known = known_prior(problem.prior, parameters)
    if known is not None:
        inside = problem.prior.contains if isinstance(problem.prior, CutPrior) else None
        return Scales(parameters, outputs, known, repeats, inside)

    def draws() -> Tensor:
        x = problem.prior.sample(_PRIOR_DRAWS, np.random.default_rng(seed))
        return torch.as_tensor(parameters.to_network(x), dtype=torch.float32)

    return Scales(parameters, outputs, draws, repeats)


def _is_answer(problem: Problem) -> bool:
    """Whether the density of the head may be the answer, or is what the answer rests on."""
    return problem.random or problem.question == "posterior"


def _scheduled(config: TrainConfig, problem: Problem, pairs: int) -> TrainConfig:
    """The settings with steps of the head for so many pairs, where they leave it open.

    In a population without noise the game and the correction do what the head leaves undone.
    """
    if config.head_steps is not None or not _is_answer(problem):
        return config
    steps = min(_PASSES * pairs // config.batch_size, _MOST_STEPS)
    return config.model_copy(update={"head_steps": max(steps, config.steps_of_head)})


def _room(simulations: Simulations, checkpoint: str | Path | None) -> Path | None:
    """Where training pairs may be laid out: by the checkpoint, else by the simulations."""
    if checkpoint is None:
        return folder_of(simulations.y)
    folder = Path(checkpoint).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fingerprint(
    config: TrainConfig, simulations: Simulations, ends: tuple[Array, Array], asked: list[Any]
) -> str:
    """What a checkpoint must match to be taken up again."""
    held = ["mapped"] if on_disk(simulations.y) else []
    text = json.dumps([config.model_dump(exclude={"workers"}), *asked, *held])
    return digest(text, *ends, simulations.x, simulations.y)
