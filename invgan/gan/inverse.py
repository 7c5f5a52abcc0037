"""The trained inverse: from outputs to parameters, with everything that sampling needs.

An artefact is two files of plain data, `<stem>.safetensors` (weights) and `<stem>.json` (scales,
names, settings, history), which load on any device and in later versions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from invgan.errors import InputError
from invgan.files import replacing, write_text
from invgan.gan.device import choose_device, generator_on, to_array, to_tensor
from invgan.gan.heads import Head, build_head
from invgan.gan.networks import Generator
from invgan.observations import Observations, Table, as_observations
from invgan.samples import Samples
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig
from invgan.simulation import sort_repeats

__all__ = ["Inverse", "sample"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

_FORMAT = 1
_AT_ONCE = 8192


@dataclass(frozen=True)
class Inverse:
    """A conditional sampler of parameters given outputs.

    Attributes:
        head: the density of the head start, e <- u.
        generator: the generator u <- (z, y) kept by the held-out pairs.
        parameters: scale of the parameters, x <-> e.
        scaling: scale of the outputs.
        low: lower ends of the outputs that were trained on, shape (L,).
        high: upper ends, shape (L,).
        names: the D parameter names.
        outputs: the L output names.
        config: the settings of its training.
        history: figures of the training, one dict a row.
        info: figures for the report: seed, seconds, pairs, kept.
    """

    head: Head
    generator: Generator
    parameters: ParameterScaling
    scaling: OutputScaling
    low: Array
    high: Array
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    config: TrainConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def to(self, device: str) -> Self:
        """The same inverse on another device (this one is moved)."""
        place = choose_device(device)
        return replace(self, head=self.head.to(place), generator=self.generator.to(place))

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of y (n, L) lie within the outputs that were trained on; shape (n,)."""
        return np.asarray(np.all((y >= self.low) & (y <= self.high), axis=1))

    @torch.no_grad()
    def draw(self, y: Array, *, seed: int = 0, progress: Progress | None = None) -> Array:
        """One parameter vector for each row of outputs y (n, L), shape (n, D).

        Args:
            y: outputs; to draw m times for one row, give it m times.

        Other Args:
            seed: of the noise.
            progress: called with (done, total).

        Raises:
            InputError: y has another number of columns than the inverse was trained with.
        """
        if y.ndim != 2 or y.shape[1] != len(self.low):
            raise InputError(f"the inverse takes outputs (n, {len(self.low)}); got {y.shape}")
        device = next(self.generator.parameters()).device
        rng = generator_on(device, seed)
        parts = []
        for start in range(0, len(y), _AT_ONCE):
            rows = self.scaling.to_network(y[start : start + _AT_ONCE])
            parts.append(self._draw(to_tensor(rows, device), rng))
            if progress is not None:
                progress(min(start + _AT_ONCE, len(y)), len(y))
        return np.concatenate(parts) if parts else np.empty((0, len(self.names)))

    def _draw(self, y: Tensor, rng: torch.Generator) -> Array:
        z = torch.randn(len(y), self.generator.noise, generator=rng, device=y.device)
        e = to_array(self.head.inverse(self.generator(z, y), y))
        return self.parameters.to_parameters(e)

    def save(self, path: str | Path) -> None:
        """Write `<path>.safetensors` and `<path>.json`."""
        stem = Path(path)
        tensors = {f"head/{k}": v for k, v in self.head.state_dict().items()}
        tensors |= {f"generator/{k}": v for k, v in self.generator.state_dict().items()}
        copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        with replacing(stem.with_name(stem.name + ".safetensors")) as temporary:
            save_file(copies, str(temporary))
        write_text(stem.with_name(stem.name + ".json"), json.dumps(self._description(), indent=1))

    def _description(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "names": self.names,
            "outputs": self.outputs,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "noise": self.generator.noise,
            "parameters": self.parameters.to_dict(),
            "scaling": self.scaling.to_dict(),
            "config": self.config.model_dump(),
            "history": self.history,
            "info": self.info,
        }

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote, onto a device.

        Raises:
            InputError: the files are missing, damaged, or of a later format.
        """
        stem, place = Path(path), choose_device(device)
        text, weights = (stem.with_name(stem.name + end) for end in (".json", ".safetensors"))
        if not (text.is_file() and weights.is_file()):
            raise InputError(f"there is no trained inverse at {str(stem)!r}; run train first")
        try:
            data = json.loads(text.read_text(encoding="utf-8"))
            if data["format"] > _FORMAT:
                raise InputError(f"{text} was written by a later invgan; upgrade to read it")
            return cls._rebuild(data, load_file(str(weights), device=str(place)), place)
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{stem} is no inverse that invgan wrote, or is damaged: {error}"
            ) from None

    @classmethod
    def _rebuild(
        cls, data: dict[str, Any], weights: dict[str, Tensor], place: torch.device
    ) -> Self:
        config = TrainConfig(**data["config"])
        parameters = ParameterScaling.from_dict(data["parameters"])
        features, width = parameters.dimension, len(data["low"])
        head = make_head(config, features, width, 0)
        generator = make_generator(config, data["noise"], features, width)
        for name, network in (("head/", head), ("generator/", generator)):
            own = {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}
            network.load_state_dict(own)
            network.to(place)
        return cls(
            head,
            generator,
            parameters,
            OutputScaling.from_dict(data["scaling"]),
            np.array(data["low"], float),
            np.array(data["high"], float),
            tuple(data["names"]),
            tuple(data["outputs"]),
            config,
            data["history"],
            data["info"],
        )


def make_head(config: TrainConfig, features: int, width: int, seed: int) -> Head:
    """The head that the settings ask for, untrained, on the CPU."""
    rng = torch.Generator().manual_seed(seed)
    return build_head(
        config.head, features, width, hidden=config.hidden, transforms=config.transforms, rng=rng
    )


def make_generator(config: TrainConfig, noise: int, features: int, width: int) -> Generator:
    """The generator that the settings ask for, on the CPU; its weights are to be filled in."""
    return Generator(noise, width, features, config.hidden, config.layers)


def sample(
    inverse: Inverse,
    observations: Any,
    n: int = 20_000,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Samples:
    """Draw n parameter vectors for observations.

    Args:
        inverse: the trained inverse.
        observations: a `Table` or a `Law` of outputs, as in ``problem.observations``, or
            anything that can be made one. Rows of a table are used equally often. An inverse
            trained on repeats of one experiment takes all rows as one condition.
        n: how many draws.

    Other Args:
        seed: of the choice of rows and of the noise.
        progress: called with (done, total).

    Returns:
        The generator's draws, not yet run through the model.

    Raises:
        InputError: the observations have another number of columns than the training had.
    """
    started = time.perf_counter()
    rows_seed, noise_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
    y = _conditions(inverse, observations, n, np.random.default_rng(rows_seed))
    x = inverse.draw(y, seed=noise_seed, progress=progress)
    info = {
        "method": "cgan",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "training_seconds": inverse.info.get("seconds", 0.0),
    }
    return Samples(x, None, np.ones(n), inverse.names, inverse.outputs, info)


def _conditions(inverse: Inverse, observations: Any, n: int, rng: np.random.Generator) -> Array:
    """Rows (n, L) to condition on, L counting the repeats of one experiment."""
    seen: Observations = as_observations(observations)
    if len(inverse.low) > len(inverse.outputs) and isinstance(seen, Table):
        return np.repeat(sort_repeats(seen.rows[None]).reshape(1, -1), n, axis=0)
    return seen.representative(n, rng)
