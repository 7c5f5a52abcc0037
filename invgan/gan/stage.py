"""The one training loop: steps in segments, a held-out evaluation after each, the best one kept.

Both stages, the head's likelihood fit and the adversarial game, run through it. Between
evaluations nothing is read back from the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from invgan.gan.checkpoint import State, load_state, save_state

__all__ = ["Column", "Pairs", "Plan", "Rows", "Source", "Stage", "Watch", "decay", "run_stage"]

Progress = Callable[[int, int], None]
Watch = Callable[[Sequence[Mapping[str, Any]]], None]
Rows = list[dict[str, Any]]
"""The history of a stage: figures of its steps and evaluations."""

_AT_ONCE = 8192
_RECORD_EVERY = 20
_LAST_RATE = 0.02


class Column(Protocol):
    """Rows of numbers: a tensor, or what lies on the disk and gives tensors of the device."""

    @property
    def shape(self) -> torch.Size:
        """(n, E)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where rows are, once they are asked for."""
        ...

    def __len__(self) -> int:
        """How many rows."""
        ...

    def __getitem__(self, rows: Any, /) -> Tensor:
        """Some rows, by a slice or by a tensor of numbers."""
        ...


C_co = TypeVar("C_co", bound=Column, covariant=True)


@dataclass(frozen=True)
class Source(Generic[C_co]):
    """Training pairs, wherever they lie: u (n, E) in the stage's space, y (n, L) output scores."""

    u: C_co
    y: C_co

    def batch(self, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random batch, with replacement."""
        rows = torch.randint(len(self.u), (size,), generator=rng, device=self.u.device)
        return self.u[rows], self.y[rows]

    def chunks(self, size: int = _AT_ONCE) -> Iterator[tuple[Tensor, Tensor]]:
        """All pairs in order, a bounded number at once."""
        for start in range(0, len(self.u), size):
            yield self.u[start : start + size], self.y[start : start + size]

    def some(self) -> tuple[Tensor, Tensor]:
        """The first pairs, as many as may be held at once: all that are held anyway."""
        return self.u[:], self.y[:]

    def at(self, rows: slice | Tensor) -> Pairs:
        """The pairs of these rows."""
        return Pairs(self.u[rows], self.y[rows])


class Pairs(Source[Tensor]):
    """Pairs on the device."""


class Stage(Protocol):
    """What the loop asks of a stage."""

    name: str
    state: State

    @property
    def kept(self) -> nn.Module:
        """The network whose best weights are kept."""
        ...

    def step(self, step: int, record: bool) -> Tensor | None:
        """One optimiser step; where record is set, the figures named by `columns`."""
        ...

    def measure(self) -> float:
        """The held-out figure of what would be kept now; smaller is better."""
        ...

    def evidence(self) -> dict[str, float]:
        """What else held-out pairs say now, for the history alone."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures that `step` returns."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long a stage runs and where its checkpoint goes.

    Attributes:
        steps: most steps.
        evaluations: held-out evaluations over them.
        patience: evaluations without improvement after which the stage stops, or None.
        checkpoint: file for the state after each evaluation, or None.
        fingerprint: what is trained, so that no other training's checkpoint is taken up.
        progress: called with (steps done, steps).
        watch: called with the history so far after each evaluation.
    """

    steps: int
    evaluations: int
    patience: int | None
    checkpoint: Path | None = None
    fingerprint: str = ""
    progress: Progress | None = None
    watch: Watch | None = None


def decay(step: int, steps: int) -> float:
    """Cosine factor of the learning rate, from 1 to 2 %."""
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))


def run_stage(stage: Stage, plan: Plan, *, lead: float | None = None) -> Rows:
    """Train a stage and leave its best weights in ``stage.kept``; returns the history rows.

    Args:
        stage: what to train.
        plan: how long.
        lead: where given, the untrained state is itself a candidate, and training must better its
            held-out figure by this share, so that a draw goes to the simpler answer.
    """
    state = stage.state
    if not load_state(plan.checkpoint, stage.name, plan.fingerprint, state):
        state.memory = {"step": 0, "history": [], "best": math.inf, "waited": 0, "over": False}
        if lead is not None:
            _judge(stage, {"phase": stage.name, "step": 0}, lead)
    memory = state.memory
    while memory["step"] < plan.steps and not memory["over"]:
        _segment(stage, plan)
        last = memory["history"][-1]
        _judge(stage, last)
        impatient = plan.patience is not None and memory["waited"] >= plan.patience
        memory["over"] = impatient or not math.isfinite(last["heldout"])
        if plan.watch is not None:
            plan.watch(memory["history"])
        save_state(plan.checkpoint, stage.name, plan.fingerprint, state)
    if plan.progress is not None:
        plan.progress(plan.steps, plan.steps)
    stage.kept.load_state_dict(state.best)
    return list(memory["history"])


def _segment(stage: Stage, plan: Plan) -> None:
    """Steps up to the next evaluation; their figures go to the history."""
    memory = stage.state.memory
    first = memory["step"]
    last = min(plan.steps, first + -(-plan.steps // plan.evaluations))
    figures: list[Tensor] = []
    for step in range(first, last):
        record = step % _RECORD_EVERY == 0 or step == last - 1
        row = stage.step(step, record)
        if row is not None:
            figures.append(row)
        if record and plan.progress is not None:
            plan.progress(step + 1, plan.steps)
    means = torch.stack(figures).cpu().tolist()
    steps = [*range(-(-first // _RECORD_EVERY) * _RECORD_EVERY, last, _RECORD_EVERY), last]
    for step, values in zip(steps, means, strict=False):
        figures_row = dict(zip(stage.columns, values, strict=True))
        memory["history"].append({"phase": stage.name, "step": step, **figures_row})
    memory["history"][-1]["step"] = last
    memory["step"] = last


def _judge(stage: Stage, row: dict[str, Any], lead: float = 0.0) -> None:
    """Evaluate; keep the weights where the held-out figure is the best so far."""
    state, memory = stage.state, stage.state.memory
    row |= {"heldout": stage.measure(), **stage.evidence()}
    row["kept"] = row["heldout"] < memory["best"]
    if row["step"] == 0:
        memory["history"].append(row)
    if row["kept"] or not state.best:
        memory["best"], memory["waited"] = row["heldout"] - lead * abs(row["heldout"]), 0
        state.best = {k: v.detach().clone() for k, v in stage.kept.state_dict().items()}
    else:
        memory["waited"] += 1
