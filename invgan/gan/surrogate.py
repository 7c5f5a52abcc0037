"""A differentiable stand-in for the model, so that a critic of outputs can teach a generator of x.

The regularised generator needs dy/dx, which a simulator seldom gives. Its place is taken by a map
``t = f(e, n)`` of network parameters e and noise n, learnt from the simulations:

- ``regression``, for a deterministic model: a perceptron with a linear skip, n without columns;
- ``flow``, for a stochastic one: a conditional density p(t given e), fitted by likelihood as the
  heads are, and sampled by reparametrisation, ``t = T^-1(n; e)`` with ``n ~ N(0, I)``;
- the user's own model, where it can be written in torch.

Outputs are compared where the observations are. With normal scores s of the simulated outputs, and
centre m and spread v of the observed rows on that scale, column by column,

    t = asinh((s - m) / v),

which is of size one over the observations and grows like a logarithm away from them: the stand-in
is exact where it will be asked, and no simulation is so far off that it rules the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invgan.gan.checkpoint import State
from invgan.gan.device import to_tensor
from invgan.gan.heads import FlowHead, build_head
from invgan.gan.known import Differentiable, Known
from invgan.gan.layers import blank_linear
from invgan.gan.likelihood import LikelihoodStage, descend_clipped
from invgan.gan.networks import initialise
from invgan.gan.stage import Pairs, Stage, decay
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = [
    "Differentiable",
    "FlowSurrogate",
    "KnownModel",
    "RegressionStage",
    "RegressionSurrogate",
    "Surrogate",
    "TargetScale",
    "pairs_for",
    "surrogate_stage",
]

Array = NDArray[np.float64]

_LEAST_SPREAD = 1e-3
_LARGEST_GRADIENT = 5.0
_SMOOTHING = 0.05


@dataclass(frozen=True)
class TargetScale:
    """Outputs on the scale of the observed ones.

    Attributes:
        scores: normal scores of the simulated outputs.
        centre: medians of the observed scores, shape (L,).
        spread: their standard deviations, shape (L,).
    """

    scores: OutputScaling
    centre: Array
    spread: Array

    @classmethod
    def fit(cls, simulated: Array, observed: list[Array]) -> Self:
        """From simulated outputs (n, L) and the observed values of each of the L columns."""
        scores = OutputScaling.fit(simulated)
        seen = [np.clip(m(v), -6, 6) for m, v in zip(scores.maps, observed, strict=True)]
        centre = np.array([float(np.median(s)) for s in seen])
        spread = np.array([max(float(s.std()), _LEAST_SPREAD) for s in seen])
        return cls(scores, centre, spread)

    def to_network(self, y: Array) -> Array:
        """Outputs y (n, L) as t (n, L)."""
        return self.columns(y, range(len(self.centre)))

    def columns(self, y: Array, index: range | tuple[int, ...]) -> Array:
        """Some columns alone: y (n, len(index)) as t."""
        maps = [self.scores.maps[j] for j in index]
        s = np.stack([np.clip(m(y[:, k]), -6, 6) for k, m in enumerate(maps)], axis=1)
        return self.of_scores(s, list(index))

    def of_scores(self, s: Array, index: Sequence[int] | slice = slice(None)) -> Array:
        """Normal scores s (n, len(index)) of these columns as t."""
        return np.asarray(np.arcsinh((s - self.centre[index]) / self.spread[index]))


class Surrogate(nn.Module):
    """A differentiable map from network parameters e (n, E) and noise n (n, K) to t (n, L).

    Attributes:
        noise: the number K of noise coordinates; 0 for a deterministic one.
    """

    noise: int

    def forward(self, e: Tensor, n: Tensor) -> Tensor:
        """Outputs t (n, L)."""
        raise NotImplementedError


class RegressionSurrogate(Surrogate):
    """A smooth perceptron with a linear skip."""

    def __init__(self, features: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.noise = 0
        self.skip = blank_linear(features, outputs)
        self.network = nn.Sequential(
            blank_linear(features, hidden), nn.SiLU(),
            blank_linear(hidden, hidden), nn.SiLU(),
            blank_linear(hidden, hidden), nn.SiLU(),
            blank_linear(hidden, outputs),
        )  # fmt: skip

    def forward(self, e: Tensor, n: Tensor) -> Tensor:
        """Outputs t (n, L)."""
        return cast(Tensor, self.skip(e) + self.network(e))


class FlowSurrogate(Surrogate):
    """Draws of a conditional flow p(t given e)."""

    def __init__(self, head: FlowHead, outputs: int) -> None:
        super().__init__()
        self.noise = outputs
        self.head = head

    def forward(self, e: Tensor, n: Tensor) -> Tensor:
        """Outputs t (n, L)."""
        return self.head.inverse(n, e)


class KnownModel(Surrogate):
    """The user's own torch model between the network's scales."""

    def __init__(
        self, model: Differentiable, parameters: ParameterScaling, scale: TargetScale
    ) -> None:
        super().__init__()
        self.noise = 0
        maps = scale.scores.maps
        self._known = Known(model, parameters, maps, scale.of_scores)

    def forward(self, e: Tensor, n: Tensor) -> Tensor:
        """Outputs t (n, L)."""
        return cast(Tensor, self._known(e))


class RegressionStage:
    """Fits the regression by least squares on t; the held-out mean square decides."""

    name = "surrogate"
    columns = ("train_mse",)

    def __init__(
        self,
        network: RegressionSurrogate,
        pairs: Pairs,
        selection: Pairs,
        config: TrainConfig,
        rng: torch.Generator,
    ) -> None:
        self.kept = network
        self._pairs, self._selection, self._config = pairs, selection, config
        fused = pairs.u.device.type in ("cpu", "cuda")
        self._optimiser = torch.optim.Adam(network.parameters(), config.learning_rate, fused=fused)
        self.state = State({"surrogate": network}, {"surrogate": self._optimiser}, rng)

    def step(self, step: int, record: bool) -> Tensor | None:
        """One least-squares step."""
        t, e = self._pairs.batch(self._config.batch_size, self.state.rng)
        loss = (self.kept(e, e[:, :0]) - t).square().mean()
        rate = self._config.learning_rate * decay(step, self._config.steps_of_head)
        descend_clipped(self._optimiser, loss, rate, _LARGEST_GRADIENT)
        return loss.detach()[None] if record else None

    @torch.no_grad()
    def measure(self) -> float:
        """Held-out mean square of t, for each output."""
        total = sum(
            float((self.kept(e, e[:, :0]) - t).square().sum()) for t, e in self._selection.chunks()
        )
        return total / self._selection.u.numel()

    def evidence(self) -> dict[str, float]:
        """Nothing: the held-out figure says it all."""
        return {}


def surrogate_stage(
    kind: Literal["regression", "flow"],
    pairs: Pairs,
    selection: Pairs,
    *,
    steps: int,
    hidden: int,
    seed: int,
    rng: torch.Generator,
) -> tuple[Surrogate, Stage]:
    """An untrained surrogate and the stage that fits it to pairs (t, e).

    Args:
        kind: ``"regression"`` or ``"flow"``.
        pairs: training pairs, t in the place of u and e in the place of y.
        selection: held-out pairs.

    Other Args:
        steps: of the fit.
        hidden: units in each hidden layer.
        seed: of the weights.
        rng: of the batches, on the pairs' device.
    """
    outputs, features = pairs.u.shape[1], pairs.y.shape[1]
    config = TrainConfig(head_steps=steps, hidden=hidden, smoothing=_SMOOTHING)
    weights = torch.Generator().manual_seed(seed)
    place = pairs.u.device
    if kind == "flow":
        head: Any = build_head(
            "flow", outputs, features, hidden=hidden, transforms=config.transforms, rng=weights
        )
        head.to(place)
        stage = LikelihoodStage(head, pairs, selection, config, rng)
        return FlowSurrogate(head, outputs), stage
    network = RegressionSurrogate(features, outputs, hidden)
    initialise(network, weights)
    network.to(place)
    return network, RegressionStage(network, pairs, selection, config, rng)


def pairs_for(
    x: Array, y: Array, parameters: ParameterScaling, scale: TargetScale, place: torch.device
) -> Pairs:
    """Simulations as pairs (t, e) on the device."""
    t, e = scale.to_network(y), parameters.to_network(x)
    return Pairs(to_tensor(t, place), to_tensor(e, place))
