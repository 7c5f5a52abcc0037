"""Simulations in rounds, each from the prior cut to where the answer can still be.

    simulate a part -> train a head -> draw for the observations -> cut the prior -> simulate ...

Half of the budget is for the last round; the rounds before it share the other half. The regions
are nested, so simulations of earlier rounds that lie in the last region are draws of the last
prior too, and nothing needs weights (truncated sequential estimation: Deistler, Gonçalves and
Macke 2022; Miller et al. 2021). Those that lie elsewhere are learnt from as well (`pooling`). A
training on them answers for these observations alone.

Every region is fitted around an answer widened by the doubt that held-out pairs cast on it
(`doubt`). A network that knows little gives a large region, and a region that leaves most of the
prior is not used: the next round draws from the prior before, and where that was cut already the
rest of the budget is spent there at once. So the last region holds as many simulations as one
round would have put there, or more.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import seeds_from
from invgan.errors import InputError
from invgan.gan import Inverse, train
from invgan.models.identity import while_working
from invgan.predictability import check_predictability
from invgan.priors import PriorLike
from invgan.problem import Problem
from invgan.rounds.doubt import doubted
from invgan.rounds.inside import confined
from invgan.rounds.pooling import learnable, pooled
from invgan.samples import Simulations
from invgan.settings import SimulateConfig, TrainConfig
from invgan.simulation import simulate
from invgan.truncation import Truncated, mass_of, narrowed, within

__all__ = ["simulate_rounds", "solve_rounds"]

Array = NDArray[np.float64]
Advance = Callable[[int, int], None]
Bar = Callable[[str], AbstractContextManager[Advance]]

_FEWEST = 100
_SMALLEST_CUT = 0.7
_SEEDS = 4
_HEAD_ALONE = {"steps": 0, "judge": False, "members": 1}


@while_working
def solve_rounds(
    problem: Problem,
    simulating: SimulateConfig | None = None,
    training: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    bar: Bar | None = None,
) -> tuple[Problem, Simulations, Inverse]:
    """Simulate in rounds and train on what they gave: `simulate_rounds`, `confined`, `train`.

    Returns:
        The problem with its prior cut, the simulations of all rounds, and the inverse.
    """
    training = training or TrainConfig()
    seeds = seeds_from(seed, 2)
    simulations = simulate_rounds(
        problem, simulating, training, seed=seeds[0], device=device, bar=bar
    )
    learnt = learnable(problem, simulations)
    with _shown(bar, "train") as advance:
        inverse = train(*learnt, training, seed=seeds[1], device=device, progress=advance)
    return confined(problem, simulations), simulations, inverse


@while_working
def simulate_rounds(
    problem: Problem,
    simulating: SimulateConfig | None = None,
    training: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    store: Path | None = None,
    fingerprint: str = "",
    bar: Bar | None = None,
) -> Simulations:
    """Spend the budget of simulations in rounds.

    Args:
        problem: model, prior and observations.
        simulating: the budget n of all rounds together, how many rounds there may be, the share
            of the answer that each may miss, and how to run the model.
        training: settings; between rounds one head alone is trained, where there is any, since it
            is quick, and blunter than the game.

    Other Args:
        seed: of everything random.
        device: where to train and draw.
        store: a folder for the finished rounds, ``simulations-1.npz`` and so on; those that lie
            there are taken up, and the result is the same as without the interruption.
        fingerprint: what the rounds are made from; those of another are refused.
        bar: called with a title; gives a context with a (done, total) callback.

    Returns:
        The simulations of all rounds that lie in the last region, in random order, with the others
        ``beyond``. ``info`` holds ``regions``, from which `confined` builds the prior that they
        are draws of, and ``rounds``, one dict for each: round, simulations, regions (how many they
        were drawn inside), prior_mass (of these), inside (how many lie in the last region); and
        of the cut that was made or tried for it would_leave (share of the prior before), stretch,
        blur and stray (see `doubt`), leaked (share of draws outside the prior before) and heldout
        (of the training).

    Raises:
        ModelError: the model raised or did not return its outputs.
        OutsideError: no parameter of the prior explains the observations.
        InputError: the budget is too small for so many rounds; a stored round is another's.
    """
    plan = _Plan(
        problem, simulating or SimulateConfig(), training or TrainConfig(), seed, device, store,
        fingerprint, bar,
    )  # fmt: skip
    plan.check()
    started = time.perf_counter()
    parts: list[Simulations] = []
    while (left := plan.simulating.n - _spent(parts)) > 0:
        parts.append(plan.stored(len(parts) + 1) or plan.next(parts, left))
        if len(parts) == 1:
            check_predictability(problem, parts[0], seed=seed)
    simulations = pooled(confined(problem, parts[-1]), parts, seed)
    simulations.info["seconds"] = time.perf_counter() - started
    return simulations


@dataclass(frozen=True)
class _Plan:
    """What `simulate_rounds` was asked for."""

    problem: Problem
    simulating: SimulateConfig
    training: TrainConfig
    seed: int
    device: str
    store: Path | None
    fingerprint: str
    bar: Bar | None

    def check(self) -> None:
        """Refuse rounds that are too small to learn from."""
        rounds, n = self.simulating.rounds, self.simulating.n
        if rounds > 1 and self._early < _FEWEST:
            raise InputError(
                f"each round before the last of {rounds} would have {self._early} of {n} "
                f"simulations and {_FEWEST} are needed: use {2 * _FEWEST * (rounds - 1)} "
                "simulations or more, or fewer rounds"
            )

    @property
    def _early(self) -> int:
        """Simulations in each round before the last."""
        return self.simulating.n // (2 * (self.simulating.rounds - 1))

    def next(self, parts: Sequence[Simulations], left: int) -> Simulations:
        """Simulate the round after these; left are the simulations that remain."""
        k = len(parts) + 1
        seeds = self._seeds(k)
        here, settled = self.problem, False
        found: dict[str, Any] = {}
        if parts:
            before = confined(self.problem, parts[-1])
            here, found = self._cut(before, parts, seeds)
            if mass_of(here.prior) > _SMALLEST_CUT * mass_of(before.prior):
                here, settled = before, isinstance(before.prior, Truncated)
        n = left if settled or k == self.simulating.rounds else self._early
        with _shown(self.bar, f"simulate, round {k}") as advance:
            part = simulate(
                here, n, seed=self.seed if k == 1 else seeds[0], progress=advance,
                chunk=self.simulating.chunk, max_failures=self.simulating.max_failures,
                design="random" if parts else self.simulating.design, store=self._filling(k),
            )  # fmt: skip
        found |= {"round": k, "simulations": n, "prior_mass": mass_of(here.prior)}
        regions = _regions(here.prior)
        found["regions"] = len(regions)
        part.info.update({"regions": regions, "round": found, "fingerprint": self.fingerprint})
        self._keep(k, part)
        return part

    def _cut(
        self, here: Problem, parts: Sequence[Simulations], seeds: Sequence[int]
    ) -> tuple[Problem, dict[str, Any]]:
        """The problem with its prior cut further, after training on these rounds."""
        simulations = pooled(here, parts, self.seed)
        quick = {} if self.training.head == "none" else _HEAD_ALONE
        with _shown(self.bar, f"train, round {len(parts)}") as advance:
            inverse = train(
                *learnable(self.problem, simulations), self.training.model_copy(update=quick),
                seed=seeds[1], device=self.device, checkpoint=self._checkpoint(len(parts)),
                progress=advance,
            )  # fmt: skip
        answer, found = doubted(here, inverse, simulations, seeds[2])
        prior = narrowed(here.prior, answer, miss=self.simulating.miss, seed=seeds[3])
        found["leaked"] = 1 - float(within(here.prior, answer).mean())
        found["would_leave"] = mass_of(prior) / mass_of(here.prior)
        return replace(here, prior=prior), found

    def _seeds(self, k: int) -> list[int]:
        state = np.random.SeedSequence(self.seed, spawn_key=(k,)).generate_state(_SEEDS)
        return [int(s) for s in state]

    def stored(self, k: int) -> Simulations | None:
        """The round where it lies in the store."""
        file = None if self.store is None else self.store / f"simulations-{k}.npz"
        if file is None or not file.is_file():
            return None
        part = Simulations.load(file)
        if part.info.get("fingerprint") != self.fingerprint:
            raise InputError(
                f"{file} was made from another problem, seed or setting: name another folder, or "
                "remove the rounds there"
            )
        return part

    def _filling(self, k: int) -> Path | None:
        """Where the simulations of a round go as they come."""
        return None if self.store is None else self.store / f"round-{k}"

    def _keep(self, k: int, part: Simulations) -> None:
        filled = self._filling(k)
        if self.store is None or filled is None:
            return
        part.save(self.store / f"simulations-{k}.npz")
        shutil.rmtree(filled, ignore_errors=True)
        for file in self.store.glob(f"checkpoint-{k - 1}-*"):
            file.unlink()

    def _checkpoint(self, k: int) -> Path | None:
        return None if self.store is None else self.store / f"checkpoint-{k}"


def _spent(parts: Sequence[Simulations]) -> int:
    return sum(part.info["round"]["simulations"] for part in parts)


def _regions(prior: PriorLike) -> list[dict[str, Any]]:
    return [region.to_dict() for region in prior.regions] if isinstance(prior, Truncated) else []


def _shown(bar: Bar | None, title: str) -> AbstractContextManager[Advance]:
    return nullcontext(lambda done, total: None) if bar is None else bar(title)
