"""The head's stage: maximum likelihood of the parameters given the outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invgan.gan.checkpoint import State
from invgan.gan.heads import log_prob
from invgan.gan.stage import Column, Pairs, Source, decay
from invgan.settings import TrainConfig

__all__ = ["LikelihoodStage"]

_LARGEST_GRADIENT = 5.0


class LikelihoodStage:
    """Fits p(e given y) by minimising ``-E log p(e given y)`` over the training pairs."""

    name = "head"
    columns = ("train_nll",)

    def __init__(
        self,
        head: nn.Module,
        pairs: Source[Column],
        selection: Pairs,
        config: TrainConfig,
        rng: torch.Generator,
    ) -> None:
        self.kept = head
        self._pairs, self._selection, self._config = pairs, selection, config
        fused = pairs.u.device.type in ("cpu", "cuda")
        self._optimiser = torch.optim.Adam(head.parameters(), config.learning_rate, fused=fused)
        self.state = State({"head": head}, {"head": self._optimiser}, rng)

    def step(self, step: int, record: bool) -> Tensor | None:
        """One likelihood step."""
        e, y = self._pairs.batch(self._config.batch_size, self.state.rng)
        noise = torch.randn(e.shape, generator=self.state.rng, device=e.device)
        e = e + self._smoothing(step) * noise
        loss = -log_prob(self.kept, e, y).mean()
        rate = self._config.learning_rate * decay(step, self._config.steps_of_head)
        descend_clipped(self._optimiser, loss, rate, _LARGEST_GRADIENT)
        return loss.detach()[None] if record else None

    def _smoothing(self, step: int) -> float:
        """Falls geometrically to a twentieth over the first four fifths of the steps."""
        share = min(1.0, step / (0.8 * self._config.steps_of_head))
        return float(self._config.smoothing * 0.05**share)

    @torch.no_grad()
    def measure(self) -> float:
        """Held-out negative log-likelihood, nats a pair."""
        total = sum(float(log_prob(self.kept, e, y).sum()) for e, y in self._selection.chunks())
        return -total / len(self._selection.u)

    def evidence(self) -> dict[str, float]:
        """Nothing: the held-out figure says it all."""
        return {}


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    """One optimiser step at this rate."""
    _gradient_of(loss, optimiser)
    _step(optimiser, rate)


def descend_clipped(
    optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, largest: float
) -> Tensor:
    """One optimiser step along a gradient of bounded norm; returns its norm before clipping."""
    _gradient_of(loss, optimiser)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
    _step(optimiser, rate)
    return norm


def _gradient_of(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]


def _step(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
