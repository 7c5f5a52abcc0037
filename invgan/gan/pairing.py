"""From simulations to training pairs: which are learnt from, and on what scale.

Pairs whose outputs lie near the observations are chosen. The conditional p(x given y) does not
change when pairs are chosen by y alone, and capacity goes where it will be asked.

Where the law of the noise of the measurement is known, a run of the model gives as many pairs as
one likes: its outputs under further noise. So few runs are learnt from up to 32 times; held-out
rows stay as they were observed.

Simulations in memory give pairs in memory. Of simulations that are mapped from the disk the pairs
are laid out on the disk too, by going through them a part at a time. The scale of the outputs is
then that of evenly spaced rows (20 million values at most), and of the selection rows the first
50,000 are used, or fewer where rows are wide. Where that is all of both, training gives the same as
in memory, to the last bit; but sets of repeats are thinned by other random numbers, and no run is
seen under further noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.drawn import LOOKED_AT, check_drawn
from invgan.errors import InputError
from invgan.gan.device import to_tensor
from invgan.gan.stage import Column, Pairs, Source
from invgan.gan.streaming import written
from invgan.mapped import in_parts, let_go, on_disk, taken
from invgan.observations import Table
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig
from invgan.simulation import measure
from invgan.structure import column_groups, thin_sets

__all__ = ["Material", "check_enough", "check_simulations", "material", "region", "under_noise"]

Array = NDArray[np.float64]

_TARGET_DRAWS = 20_000
_FEWEST_SIMULATIONS = 100
_FEWEST_PAIRS, _PAIRS_EACH = 2_000, 1_000
_SCALE_VALUES = 20_000_000
_SELECTION_ROWS, _SELECTION_VALUES = 50_000, 2**24
_MOST_COPIES, _COPIED_ROWS, _COPIED_VALUES = 32, 2**18, 2**25


@dataclass(frozen=True)
class Material:
    """What the networks learn from.

    Attributes:
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: pairs that decide what is kept.
        scaling: scale of the outputs.
        copies: how often each simulation is among the pairs, under noise of its own.
    """

    pairs: Source[Column]
    selection: Pairs
    scaling: OutputScaling
    copies: int = 1


def check_enough(n: int) -> None:
    """Refuse too few simulations to learn from.

    Raises:
        InputError: there are fewer than a hundred.
    """
    if n < _FEWEST_SIMULATIONS:
        raise InputError(
            f"{n} simulations are too few to train on; use {_FEWEST_SIMULATIONS} or more"
        )


def check_simulations(problem: Problem, simulations: Simulations) -> None:
    """Refuse simulations that are another problem's, or too few to learn from.

    Raises:
        InputError: their names differ, there are fewer than a hundred, or their parameters were
            drawn from another prior or their outputs measured with another noise.
    """
    problem.check_names("simulations", simulations.names, simulations.outputs)
    check_enough(len(simulations))
    info = simulations.info
    # The rows of several rounds are draws of priors that were cut, and are checked as they come.
    if "rounds" not in info:
        check_drawn(_first_draws(simulations), problem.prior, "the simulations")
    if info.get("noise", str(problem.noise)) != str(problem.noise):
        raise InputError(
            f"the simulations were measured with the noise {info['noise']} and the problem states "
            f"{problem.noise}: simulate anew, or state the noise that they have"
        )


def _first_draws(simulations: Simulations) -> Array:
    """Parameters (n, D) of the first simulations, finished and failed, as many as are looked at."""
    parts = simulations.x, simulations.failed
    share = min(1.0, LOOKED_AT / sum(map(len, parts)))
    return np.concatenate([part[: int(share * len(part))] for part in parts])


def under_noise(problem: Problem, simulations: Simulations, *, seed: int) -> list[Array]:
    """Outputs (n, L) of the training rows as they were observed, and under further noise.

    There is as much further noise as there is room for, and none where the own outputs of the model
    are not at hand, or are not to be measured.
    """
    training = simulations.training
    seen = [training.y]
    if training.own is None or problem.noise is None or on_disk(training.y):
        return seen
    n, width = len(training.x), training.x.shape[1] + training.y.shape[1]
    room = min(_COPIED_ROWS // n, _COPIED_VALUES // (n * width), _MOST_COPIES)
    for state in np.random.SeedSequence([seed, 1]).generate_state(max(room - 1, 0)):
        seen.append(measure(problem, training.own, seed=int(state)))
    return seen


def region(problem: Problem, seen: Sequence[Array], config: TrainConfig) -> tuple[Array, Array]:
    """Ends (L,) of the outputs to train on: the observed range and a margin, else everything.

    For the population question only: one training for the posterior question serves every y. The
    margin grows where too few simulations would be left.

    Args:
        problem: its observations say what will be asked.
        seen: outputs of the training simulations, from `under_noise`.
        config: settings.
    """
    if problem.question == "posterior":
        low, high = zip(*(_ends(y, np.fmin, np.fmax) for y in seen), strict=True)
        return np.fmin.reduce(low), np.fmax.reduce(high)
    y, target = seen[0], problem.observations
    rows = target.rows if isinstance(target, Table) else target.sample(_TARGET_DRAWS, _target_rng())
    low, high = np.quantile(rows, [0.001, 0.999], axis=0)
    least, largest = _ends(y, np.minimum, np.maximum)
    width = np.where(high > low, high - low, largest - least)
    width = np.where(width > 0, width, 1.0)
    fewest = _fewest(len(problem.prior.names), len(y))
    margin = max(config.focus, _reach(y, low, high, width, fewest))
    return low - margin * width, high + margin * width


def material(
    problem: Problem,
    simulations: Simulations,
    seen: Sequence[Array],
    config: TrainConfig,
    parameters: ParameterScaling,
    ends: tuple[Array, Array],
    *,
    seed: int,
    device: torch.device,
    folder: Path | None,
) -> Material:
    """Choose and scale the pairs.

    Args:
        problem: its question, and its repeats.
        simulations: pairs of parameters and outputs, in memory or mapped.
        seen: outputs of the training rows, from `under_noise`.
        config: settings.
        parameters: scale of the parameters.
        ends: of the outputs to train on, from `region`.

    Other Args:
        seed: of the sizes of sets.
        device: where pairs, or batches of them, go.
        folder: where pairs of mapped simulations are laid out.
    """
    sets = problem.repeats if config.embedding.kind == "set" and problem.repeats > 1 else 0
    choice = _Choice(*ends, sets, problem.question == "posterior", np.random.default_rng(seed))
    groups = column_groups(config.embedding, simulations.y.shape[1])
    training, selection = simulations.training, simulations.selection
    if not on_disk(simulations.y):
        chosen = choice.of(training.x, seen[0])
        scales = _Scales(parameters, OutputScaling.fit(chosen[1], groups))
        rows = chain([chosen], (choice.of(training.x, y) for y in seen[1:]))
        parts = zip(*(scales.tensors(part, device) for part in rows), strict=True)
        pairs: Source[Column] = Pairs(*map(torch.cat, parts))
        held = choice.of(selection.x, selection.y)
    else:
        scales = _Scales(parameters, OutputScaling.fit(choice.evenly(training.y), groups))
        bare = config.embedding.kind == "none"
        pairs = written(_scored(training, choice, scales, bare), folder, device)
        held = choice.first(selection)
    return Material(pairs, Pairs(*scales.tensors(held, device)), scales.outputs, len(seen))


@dataclass(frozen=True)
class _Choice:
    """Which rows are learnt from.

    Attributes:
        low: lower ends of the outputs.
        high: upper ends.
        sets: how many repeats a row is a set of, 0 where it is none.
        everything: whether no row lies beyond the ends.
        rng: of the sizes of sets.
    """

    low: Array
    high: Array
    sets: int
    everything: bool
    rng: np.random.Generator

    def of(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The rows that are learnt from."""
        near = self._near(y)
        return x[near], self._thinned(y[near])

    def first(self, part: Simulations) -> tuple[Array, Array]:
        """As many of the first rows as may be held in memory."""
        most = max(1, min(_SELECTION_ROWS, _SELECTION_VALUES // part.y.shape[1]))
        found: list[tuple[Array, Array]] = []
        for rows in in_parts(part.x, part.y):
            found.append(self.of(np.array(part.x[rows]), np.array(part.y[rows])))
            let_go(part.x, part.y)
            if sum(len(x) for x, _ in found) >= most:
                break
        x, y = (np.concatenate(column)[:most] for column in zip(*found, strict=True))
        return x, y

    def evenly(self, y: Array) -> Array:
        """Every k-th of the rows, where k = 1, 2, 4, ... is as small as it may be."""
        most = max(2, _SCALE_VALUES // y.shape[1])
        if self.everything:
            every = 1 << max(0, int(np.ceil(np.log2(len(y) / most))))
            return self._thinned(taken(y, np.arange(0, len(y), every)))
        kept, every, seen = y[:0], 1, 0
        for rows in in_parts(y):
            part = np.array(y[rows])
            near = part[self._near(part)]
            kept = np.concatenate([kept, near[-seen % every :: every]])
            seen += len(near)
            while len(kept) > most:
                kept, every = kept[::2].copy(), 2 * every
            let_go(y)
        return self._thinned(kept)

    def _near(self, y: Array) -> NDArray[np.bool_]:
        return np.asarray(np.all(~((y < self.low) | (y > self.high)), axis=1))

    def _thinned(self, y: Array) -> Array:
        """Sets of repeats lose a random number of elements, so that any size is learnt."""
        return thin_sets(y, self.sets, self.rng) if self.sets else y


@dataclass(frozen=True)
class _Scales:
    """From rows of simulations to what networks see."""

    parameters: ParameterScaling
    outputs: OutputScaling

    def tensors(self, rows: tuple[Array, Array], device: torch.device) -> tuple[Tensor, Tensor]:
        """E (n, E) and output scores (n, L)."""
        e, y = self.parameters.to_network(rows[0]), self.outputs.to_network(rows[1])
        return to_tensor(e, device), to_tensor(y, device)


def _scored(
    part: Simulations, choice: _Choice, scales: _Scales, bare: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs in order, some at a time; without an embedding an absent output is a zero."""
    for rows in in_parts(part.x, part.y):
        found = choice.of(np.array(part.x[rows]), np.array(part.y[rows]))
        let_go(part.x, part.y)
        e, y = scales.tensors(found, torch.device("cpu"))
        yield e, y.nan_to_num(nan=0.0) if bare else y


def _ends(y: Array, least: np.ufunc, largest: np.ufunc) -> tuple[Array, Array]:
    """Of each column, gone through in parts."""
    found: list[tuple[Any, Any]] = []
    for rows in in_parts(y):
        found.append((least.reduce(y[rows], axis=0), largest.reduce(y[rows], axis=0)))
        let_go(y)
    low, high = (np.array(column) for column in zip(*found, strict=True))
    return least.reduce(low, axis=0), largest.reduce(high, axis=0)


def _fewest(parameters: int, n: int) -> int:
    """How many of n rows to learn from at least: a thousand for each parameter, or half of all."""
    return max(min(_FEWEST_PAIRS, n), min(_PAIRS_EACH * parameters, n // 2))


def _reach(y: Array, low: Array, high: Array, width: Array, fewest: int) -> float:
    """The margin, in widths, within which so many rows lie."""
    nearest = np.empty(0)
    for rows in in_parts(y):
        away = np.max(np.maximum(low - y[rows], y[rows] - high) / width, axis=1)
        nearest = np.concatenate([nearest, away])
        if len(nearest) > fewest:
            nearest = np.partition(nearest, fewest - 1)[:fewest]
        let_go(y)
    return float(nearest.max())


def _target_rng() -> np.random.Generator:
    return np.random.default_rng(0)
