"""A generator of a table: the same game without anything to condition on.

The rows of a table are pairs whose y has no columns. So everything that the settings say of loss,
network and tricks holds here too; only the head start does not, which is of parameters given
outputs. The columns are brought to mean zero and standard deviation one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from invgan.arguments import seeds_from, whole
from invgan.errors import InputError
from invgan.files import digest
from invgan.gan.artefact import Kind
from invgan.gan.codes import check_code
from invgan.gan.device import choose_device, few_threads, generator_on, to_array, to_tensor
from invgan.gan.game import GameStage
from invgan.gan.networks import Generator, build_generator
from invgan.gan.stage import Pairs, Plan, Watch, run_stage
from invgan.ground import own_ground
from invgan.settings import TrainConfig

__all__ = ["TableGenerator", "fit_generator", "load_generator"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_KIND = Kind("generator of a table", "table", 1, "fit and save one first")
_HELD_OUT = 0.1
_FEWEST = 100
_AT_ONCE = 8192


@dataclass(frozen=True)
class TableGenerator:
    """A sampler of rows like those of a table.

    Attributes:
        generator: the network z -> u.
        centre: means of the columns, shape (D,).
        spread: their standard deviations.
        config: the settings of its training.
        history: figures of the training, one dict a row.
        info: figures for a report: seed, seconds, divergence.
    """

    generator: Generator
    centre: Array
    spread: Array
    config: TrainConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    @own_ground()
    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, code: int | None = None) -> Array:
        """Draw n rows, shape (n, D).

        Args:
            n: how many.

        Other Args:
            seed: of the noise.
            code: the kind of all draws, 0 to ``config.codes - 1``; kinds at random where left out.

        Raises:
            InputError: there is no such code, or n is no whole number above zero.
        """
        n = whole("n", n)
        check_code(code, self.config.codes)
        device = next(self.generator.parameters()).device
        rng, u = generator_on(device, seed), np.empty((n, len(self.centre)))
        for start in range(0, n, _AT_ONCE):
            y = torch.empty(min(_AT_ONCE, n - start), 0, device=device)
            u[start : start + _AT_ONCE] = to_array(self.generator.draw(y, rng, code))
        return np.asarray(self.centre + self.spread * u)

    def save(self, path: str | Path) -> None:
        """Write `<path>.safetensors` and `<path>.json`."""
        description = {
            "noise": self.generator.noise,
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
            "config": self.config.model_dump(),
            "history": self.history,
            "info": self.info,
        }
        _KIND.save(path, self.generator, description)


@own_ground()
def load_generator(path: str | Path, *, device: str = "auto") -> TableGenerator:
    """Read what `TableGenerator.save` wrote, onto a device.

    Args:
        path: the files without their endings, as they were saved.

    Other Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        InputError: the files are missing, damaged, of another kind or format.
    """
    place = choose_device(device)

    def rebuild(data: dict[str, Any], weights: dict[str, Tensor]) -> TableGenerator:
        config = TrainConfig(**data["config"])
        centre, spread = (np.array(data[name], float) for name in ("centre", "spread"))
        if centre.ndim != 1 or centre.shape != spread.shape:
            raise ValueError("centre and spread are not one number for each column")
        generator = build_generator(config, data["noise"], 0, len(centre))
        generator.load_state_dict(weights)
        history, info = data["history"], data["info"]
        return TableGenerator(generator.to(place), centre, spread, config, history, info)

    return _KIND.load(path, place, rebuild)


@own_ground()
def fit_generator(
    table: ArrayLike,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> TableGenerator:
    """Learn to draw rows like those of a table: a GAN without conditions.

    Args:
        table: rows (N, D), or N numbers of one column.
        config: settings of the game; those of the head, the judge and the region play no part.

    Other Args:
        seed: of weights, batches and noise; the same seed gives the same result on one machine.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        checkpoint: a file for the state of training; where one of the same training lies there,
            it is taken up, and the result is the same as without the interruption.
        progress: called with (steps done, steps).
        watch: called after each evaluation with the history so far.

    Returns:
        The generator whose draws held-out rows, a tenth of the table, could least be told from.

    Raises:
        InputError: the table has too few rows, a value that is not finite, or a constant column;
            or the settings ask for content, which is of parameters given outputs.
    """
    config, started = config or TrainConfig(), time.perf_counter()
    rows = _checked(table)
    if config.content_weight:
        raise InputError(
            "content_weight compares a draw with the real parameters of the same outputs, and a "
            f"table has no outputs; got {config.content_weight:g}, leave it 0"
        )
    seeds = seeds_from(seed, 2)
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    place = choose_device(device)
    order = np.random.default_rng(seeds[0]).permutation(len(rows))
    u = to_tensor((rows[order] - centre) / spread, place)
    cut = int(_HELD_OUT * len(u))
    selection, pairs = (Pairs(part, part[:, :0]) for part in (u[:cut], u[cut:]))
    stage = GameStage(pairs, selection, config, generator_on(place, seeds[1]))
    path = None if checkpoint is None else Path(f"{checkpoint}-gan.safetensors")
    mark = _fingerprint(config, rows, seed)
    plan = Plan(config.steps, config.evaluations, None, path, mark, progress, watch)
    with few_threads():
        history = run_stage(stage, plan, lead=0.0)
    info = {
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "device": str(place),
        "divergence": min(row["heldout"] for row in history if row.get("kept")),
    }
    return TableGenerator(stage.kept, centre, spread, config, history, info)


def _checked(table: ArrayLike) -> Array:
    """The rows (N, D)."""
    if np.iscomplexobj(table):
        raise InputError("a table to learn from holds real numbers; got complex ones")
    if isinstance(table, np.ma.MaskedArray):
        table = np.ma.filled(table.astype(float), np.nan)
    try:
        rows = np.array(table, float)
    except (TypeError, ValueError) as error:
        raise InputError(f"a table to learn from is rows of numbers (N, D): {error}") from None
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or len(rows) < _FEWEST:
        raise InputError(
            f"a table to learn from has {_FEWEST} or more rows (N, D); got shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        first = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"row {first} of the table is not finite; leave such rows out")
    with np.errstate(over="ignore"):
        too_large = ~np.isfinite(rows.std(axis=0))
    if too_large.any():
        first = int(np.argmax(too_large))
        raise InputError(f"column {first} of the table is too large for its spread; scale it down")
    if not (np.ptp(rows, axis=0) > 0).all():
        first = int(np.argmin(np.ptp(rows, axis=0)))
        raise InputError(f"column {first} of the table is constant; leave it out")
    return rows


def _fingerprint(config: TrainConfig, rows: Array, seed: int) -> str:
    """What a checkpoint must match to be taken up again."""
    return digest(json.dumps([config.model_dump(), seed]), rows)
