"""From simulations to a trained inverse: head start, then the game, held-out pairs deciding.

1. Pairs whose outputs lie near the observations are chosen. The conditional p(x given y) does not
   change when pairs are chosen by y alone, and capacity goes where it will be asked.
2. The head is fitted by likelihood, with a little noise on the parameters: the answer to a
   deterministic model is a thin sheet whose density has no bound, and without the noise the
   likelihood chases its sharpness instead of how much mass lies where (noise regularisation:
   Rothfuss et al. 2019). The game then sees the sharp pairs.
3. The training pairs are mapped once into the head's latent space u, where generator and critic
   play. The generator that held-out pairs like best is kept, the head alone being a candidate.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.gan.device import choose_device, few_threads, generator_on, to_tensor
from invgan.gan.game import GameStage
from invgan.gan.heads import Head, IdentityHead
from invgan.gan.inverse import Inverse, make_head
from invgan.gan.likelihood import LikelihoodStage
from invgan.gan.stage import Pairs, Plan, run_stage
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = ["train"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

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
        InputError: the simulations are not this problem's, or too few.
    """
    config = config or TrainConfig()
    _check(problem, simulations)
    started = time.perf_counter()
    place = choose_device(device)
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(4)]
    low, high = _region(problem, simulations, config)
    learnt, held = (
        _within(part, low, high) for part in (simulations.training, simulations.selection)
    )
    parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(seeds[0]))
    scaling = OutputScaling.fit(learnt.y)
    pairs, selection = (_pairs(part, parameters, scaling, place) for part in (learnt, held))
    stages = _Stages(config, checkpoint, _fingerprint(config, simulations, low, seed), progress)
    with few_threads():
        head = make_head(config, parameters.dimension, pairs.y.shape[1], seeds[1]).to(place)
        history = stages.head(head, pairs, selection, generator_on(place, seeds[2]))
        pairs, selection = _mapped(head, pairs), _mapped(head, selection)
        noise = max(parameters.dimension, 4)
        game = GameStage(pairs, selection, config, noise, generator_on(place, seeds[3]))
        history += stages.game(game)
    kept = [row for row in history if row["phase"] == "gan" and row.get("kept")]
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "device": str(place),
        "pairs": len(learnt),
        "share_of_simulations": len(learnt) / len(simulations.training),
        "steps": history[-1]["step"],
        "kept_step": kept[-1]["step"] if kept else 0,
        "divergence": kept[-1]["heldout"] if kept else None,
        "divergence_of_head": next(r["heldout"] for r in history if r["phase"] == "gan"),
    }
    return Inverse(
        head, game.kept, parameters, scaling, low, high, simulations.names, simulations.outputs,
        config, history, info,
    )  # fmt: skip


@dataclass(frozen=True)
class _Stages:
    """The two stages, with one progress and a checkpoint file each."""

    config: TrainConfig
    checkpoint: str | Path | None
    fingerprint: str
    progress: Progress | None

    def head(
        self, head: Head, pairs: Pairs, selection: Pairs, rng: torch.Generator
    ) -> list[dict[str, Any]]:
        """Fit the head, where there is one."""
        if isinstance(head, IdentityHead):
            return []
        stage = LikelihoodStage(head, pairs, selection, self.config, rng)
        plan = self._plan("head", self._head_steps, 0, self.config.patience)
        return run_stage(stage, plan, start=False)

    def game(self, stage: GameStage) -> list[dict[str, Any]]:
        """Play the game to the end of its schedule: it settles as the learning rate falls."""
        return run_stage(stage, self._plan("gan", self.config.steps, self._head_steps), start=True)

    @property
    def _head_steps(self) -> int:
        return 0 if self.config.head == "none" else self.config.head_steps

    def _plan(self, name: str, steps: int, before: int, patience: int | None = None) -> Plan:
        path = None if self.checkpoint is None else Path(f"{self.checkpoint}-{name}.safetensors")
        total = self._head_steps + self.config.steps

        def shifted(done: int, _: int) -> None:
            if self.progress is not None:
                self.progress(before + done, total)

        return Plan(steps, self.config.evaluations, patience, path, self.fingerprint, shifted)


def _check(problem: Problem, simulations: Simulations) -> None:
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


def _region(problem: Problem, simulations: Simulations, config: TrainConfig) -> tuple[Array, Array]:
    """Ends (L,) of the outputs to train on: the observed range and a margin, else everything.

    For the population question only: one training for the posterior question serves every y. The
    margin grows where too few simulations would be left.
    """
    y = simulations.training.y
    if problem.question == "posterior":
        return y.min(axis=0), y.max(axis=0)
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
    near = np.all((part.y >= low) & (part.y <= high), axis=1)
    return replace(part, x=part.x[near], y=part.y[near])


def _pairs(
    part: Simulations, parameters: ParameterScaling, scaling: OutputScaling, place: torch.device
) -> Pairs:
    return Pairs(
        to_tensor(parameters.to_network(part.x), place),
        to_tensor(scaling.to_network(part.y), place),
    )


@torch.no_grad()
def _mapped(head: Head, pairs: Pairs) -> Pairs:
    """The pairs in the head's latent space."""
    return Pairs(torch.cat([head(e, y)[0] for e, y in pairs.chunks()]), pairs.y)


def _fingerprint(config: TrainConfig, simulations: Simulations, low: Array, seed: int) -> str:
    """What a checkpoint must match to be taken up again."""
    content = hashlib.sha256(json.dumps([config.model_dump(), seed, low.tolist()]).encode())
    content.update(np.ascontiguousarray(simulations.x).tobytes())
    content.update(np.ascontiguousarray(simulations.y).tobytes())
    return content.hexdigest()
