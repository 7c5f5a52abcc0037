"""The artefact of the regularised generator: a sampler of one population's parameters.

It knows no observation to condition on: it *is* the population. Two files of plain data hold it,
`<stem>.safetensors` (weights) and `<stem>.json` (scales, names, settings, history).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from invgan.arguments import whole
from invgan.errors import InputError
from invgan.gan.artefact import Kind
from invgan.gan.device import choose_device, generator_on, to_array
from invgan.gan.networks import Generator
from invgan.ground import own_ground
from invgan.samples import Samples
from invgan.scaling import ParameterScaling

__all__ = ["PopulationGenerator", "RganConfig", "draw"]

Progress = Callable[[int, int], None]

_KIND = Kind("generator of a population", "rgan", 1, "train it first")
_AT_ONCE = 8192
_HELD, _SMOOTHER = 100 / 3, 10.0


@dataclass(frozen=True)
class RganConfig:
    """Settings of the regularised generator.

    Attributes:
        surrogate: ``"auto"`` takes the regression for a deterministic model, the flow else.
        surrogate_steps: most steps of its fit.
        steps: generator steps of the game.
        weight: first weight w of the critic that holds x to the prior.
        last_weight: the weight that it falls to, by the same factor at each step.
        batch_size: rows in one step.
        learning_rate: of generator and critics.
        hidden: units in each hidden layer.
        layers: hidden layers of generator and critics.
        gamma: weight of the R1 and R2 gradient penalties.
        averaging: decay of the average of generator weights.
        evaluations: evaluations over the steps; the best generator is kept.
        patience: evaluations without improvement after which the surrogate's fit stops.
    """

    surrogate: Literal["auto", "regression", "flow"] = "auto"
    surrogate_steps: int = 4000
    steps: int = 6000
    weight: float = 0.3
    last_weight: float = 0.003
    batch_size: int = 512
    learning_rate: float = 1e-3
    hidden: int = 128
    layers: int = 3
    gamma: float = 0.05
    averaging: float = 0.999
    evaluations: int = 12
    patience: int = 5

    def __post_init__(self) -> None:
        if self.surrogate not in (kinds := ("auto", "regression", "flow")):
            raise InputError(f"surrogate must be one of {', '.join(kinds)}; got {self.surrogate!r}")
        for name in ("surrogate_steps", "steps", "batch_size", "hidden", "layers", "evaluations"):
            whole(name, getattr(self, name))
        if not (0 <= self.averaging < 1 and self.gamma >= 0 and self.learning_rate > 0):
            raise InputError(
                "averaging lies from 0 to below 1, gamma is not negative and learning_rate is "
                f"positive; got {self.averaging}, {self.gamma} and {self.learning_rate}"
            )
        if not (self.weight > 0 and self.last_weight > 0):
            raise InputError(
                "weight and last_weight must be positive, since the one falls to the other by a "
                f"factor; got {self.weight} and {self.last_weight}"
            )

    def to_be_corrected(self) -> Self:
        """The same for draws that `invgan.correction.correct` will weigh by their outputs.

        It mends outputs that are drawn to the prior's, and cannot move draws to where there are
        none. So w is 33 times as large, which holds the parts of the answer that lie apart, and
        the penalty 10 times as large, without which the draws then gather in ridges.
        """
        return replace(
            self, weight=_HELD * self.weight, last_weight=_HELD * self.last_weight,
            gamma=_SMOOTHER * self.gamma,
        )  # fmt: skip


@dataclass(frozen=True)
class PopulationGenerator:
    """A sampler of the population's parameters.

    Attributes:
        generator: the network z -> e.
        parameters: scale of the parameters, e <-> x.
        names: the D parameter names.
        outputs: the L output names.
        config: the settings of its training.
        history: figures of the training, one dict a row.
        info: figures for the report: seed, seconds, surrogate_error, energy.
    """

    generator: Generator
    parameters: ParameterScaling
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    config: RganConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def to(self, device: str) -> Self:
        """The same generator on another device (this one is moved)."""
        return replace(self, generator=self.generator.to(choose_device(device)))

    @own_ground()
    @torch.no_grad()
    def sample(
        self, n: int = 20_000, *, seed: int = 0, progress: Progress | None = None
    ) -> Samples:
        """Draw n parameter vectors, not yet run through the model.

        The draws of a deterministic model may go on to `invgan.correction.correct`, which makes
        their push-forward exact. It weighs by outputs alone, so x given y stays the generator's,
        and with it what is left of the compromise with the prior.

        Args:
            n: how many draws.

        Other Args:
            seed: of the noise.
            progress: called with (done, total).

        Raises:
            InputError: n is no whole number above zero.
        """
        n, started = whole("n", n), time.perf_counter()
        device = next(self.generator.parameters()).device
        rng, parts = generator_on(device, seed), []
        for start in range(0, n, _AT_ONCE):
            size = min(_AT_ONCE, n - start)
            e = draw(self.generator, size, rng, device)
            parts.append(self.parameters.to_parameters(to_array(e)))
            if progress is not None:
                progress(start + size, n)
        info = {
            "method": "rgan",
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "training_seconds": self.info.get("seconds", 0.0),
        }
        return Samples(np.concatenate(parts), None, np.ones(n), self.names, self.outputs, info)

    def save(self, path: str | Path) -> None:
        """Write `<path>.safetensors` and `<path>.json`."""
        data = {
            "names": self.names,
            "outputs": self.outputs,
            "noise": self.generator.noise,
            "parameters": self.parameters.to_dict(),
            "config": asdict(self.config),
            "history": self.history,
            "info": self.info,
        }
        _KIND.save(path, self.generator, data)

    @classmethod
    @own_ground()
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote, onto a device.

        Raises:
            InputError: the files are missing, damaged, or of another format.
        """
        place = choose_device(device)
        return _KIND.load(path, place, lambda data, weights: cls._rebuild(data, weights, place))

    @classmethod
    def _rebuild(
        cls, data: dict[str, Any], weights: dict[str, Tensor], place: torch.device
    ) -> Self:
        config = RganConfig(**data["config"])
        parameters = ParameterScaling.from_dict(data["parameters"])
        generator = Generator(data["noise"], 0, parameters.dimension, config.hidden, config.layers)
        generator.load_state_dict(weights)
        names, outputs = tuple(data["names"]), tuple(data["outputs"])
        return cls(
            generator.to(place), parameters, names, outputs, config, data["history"], data["info"]
        )


def draw(generator: Generator, n: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """Network parameters e (n, E)."""
    z = torch.randn(n, generator.noise, generator=rng, device=device)
    drawn: Tensor = generator(z, z[:, :0])
    return drawn
