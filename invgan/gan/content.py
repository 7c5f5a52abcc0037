"""Content: what a draw should share with the real parameters of the same outputs.

Super-resolution adds to the adversarial loss a distance of the drawn field G(z, y) to the real one
x that y came from (Ledig et al. 2017, who take pixels or features of a network). Here it is

    pixels:   E |G(z, y) - u|^2 / E             in the coordinates u (n, E) of the game,
    outputs:  E |s(M(x(G(z, y)))) - s(y)|^2 / L

with the model M itself, its outputs on the normal scores s of the training outputs. The latter asks
only that a draw explains its outputs, as the real parameters do, and needs the model's gradient.

Both bias a posterior. The first is smallest for the posterior's mean: it draws all draws to it, and
their spread goes. The second is smallest for parameters whose outputs are y without noise, where
exact draws differ from y by as much as the noise; for a model without noise it is zero for exact
draws, and free of this bias. So the weight is zero unless it is set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.gan.device import generator_on
from invgan.gan.known import Known, differentiable
from invgan.gan.member import Estimator
from invgan.gan.networks import Generator
from invgan.gan.stage import Pairs
from invgan.problem import Problem
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = ["Content", "Outputs", "known_outputs", "outputs_of"]

Array = NDArray[np.float64]
Outputs = Callable[[Tensor, Tensor], Tensor]
"""Draws u (n, E) for scores y (n, L) to the scores (n, L) of the outputs that they have."""

_SEED = 13
_MOST = 8192


class Content(nn.Module):
    """Mean square of what draws have in common with the real parameters: nothing to learn.

    Args:
        weight: in the generator's loss.
        outputs: of draws; where None the draws themselves are compared.
    """

    column = "content_loss"

    def __init__(self, weight: float, outputs: Outputs | None) -> None:
        super().__init__()
        self.weight, self._outputs = weight, outputs

    def forward(self, z: Tensor, y: Tensor, u: Tensor, real: Tensor) -> Tensor:
        """The mean square, for draws u (n, E) and the real parameters (n, E) of the same y."""
        if self._outputs is None:
            return (u - real).square().mean()
        return (self._outputs(u, y) - y).square().mean()

    @torch.no_grad()
    def measure(self, generator: Generator, heldout: Pairs) -> float:
        """The same for held-out pairs, with the same noise at every call."""
        rng = generator_on(heldout.y.device, _SEED)
        u, y = heldout.u[:_MOST], heldout.y[:_MOST]
        z = generator.latent(len(y), rng)
        return float(self(z, y, generator(z, y), u))


def known_outputs(
    problem: Problem,
    x: Array,
    config: TrainConfig,
    parameters: ParameterScaling,
    scaling: OutputScaling,
) -> Known | None:
    """The model between the networks' scales, where the settings compare outputs; else None.

    Args:
        problem: whose model it is.
        x: some of its parameters (n, D).
        config: settings.
        parameters: scale of the parameters.
        scaling: scale of the outputs.

    Raises:
        InputError: outputs are to be compared, and cannot be.
    """
    if config.content_weight == 0 or config.content == "pixels":
        return None
    summarised = config.embedding.kind != "none"
    model = None if summarised or parameters.simplex else differentiable(problem, x[:2])
    if model is not None:
        return Known(model, parameters, scaling.columns)
    if config.content == "outputs":
        why = (
            "train.embedding.kind none" if summarised else "a torch_model without noise of its own"
        )
        raise InputError(
            "train.content outputs compares outputs through a model that torch can differentiate, "
            f"in parameters that are no proportions, and needs {why}; choose pixels or auto"
        )
    return None


def outputs_of(estimator: Estimator, known: Known | None) -> Outputs | None:
    """Outputs of draws in a head's latent space, without an embedding; None without a model."""
    if known is None:
        return None
    estimator.requires_grad_(False)
    known.to(estimator.centre.device)
    return lambda u, y: known(estimator.inverse(u, y))
