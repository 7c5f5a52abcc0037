"""The user's own torch model between the scales of the networks, so that gradients pass through it.

Both scales, of parameters and of outputs, are read from dense tables by straight lines. Which model
can be differentiated at all is found by trying it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.execution.calls import numbered
from invgan.ground import theirs
from invgan.models import TorchModel
from invgan.models.batched import chosen_device
from invgan.monotone import MonotoneMap
from invgan.problem import Problem
from invgan.scaling import ParameterScaling

__all__ = ["GRID", "Differentiable", "Known", "as_theirs", "differentiable", "read_table"]

Array = NDArray[np.float64]
Differentiable = Callable[[Tensor], Tensor]
"""A model in torch: parameters (n, D) to outputs (n, L), both in the user's units."""

GRID = np.linspace(-6, 6, 4097)
"""Places on the scale of normal scores at which a table has its knots."""


class Known(nn.Module):
    """Network parameters e (n, E) to outputs on a scale of their own, t (n, L).

    Args:
        model: of parameters in the user's units.
        parameters: their scale.
        maps: normal scores s of each of the L outputs.
        onto: t of scores (K, L), increasing; t are the scores themselves where left out.

    Raises:
        InputError: the parameters are proportions.
    """

    def __init__(
        self,
        model: Differentiable,
        parameters: ParameterScaling,
        maps: Sequence[MonotoneMap],
        onto: Callable[[Array], Array] = lambda s: s,
    ) -> None:
        super().__init__()
        if parameters.simplex:
            raise InputError(
                "a differentiable model of proportions is not supported; leave differentiable "
                "out, and the model is learnt from its simulations"
            )
        self._model = model
        grid = np.repeat(GRID[:, None], parameters.dimension, axis=1)
        x = parameters.to_parameters(grid)
        y = np.stack([m.inverse(GRID) for m in maps], axis=1)
        t = np.broadcast_to(onto(GRID[:, None]), y.shape)
        for name, table in (("e", grid), ("x", x), ("y", y), ("t", t)):
            self.register_buffer(f"{name}_table", torch.as_tensor(table.T.copy()))

    def forward(self, e: Tensor) -> Tensor:
        """Outputs t (n, L)."""
        x = read_table(e.double(), self.get_buffer("e_table"), self.get_buffer("x_table"))
        y = self._model(x)
        wanted = (len(e), len(self.get_buffer("y_table")))
        if not isinstance(y, Tensor) or y.shape != wanted:
            raise InputError(
                f"the differentiable model turned parameters {tuple(x.shape)} into "
                f"{tuple(getattr(y, 'shape', ()))}; expected a tensor {wanted}"
            )
        table = self.get_buffer("y_table"), self.get_buffer("t_table")
        return read_table(y.double(), *table).to(e.dtype)


def differentiable(problem: Problem, x: Array) -> Differentiable | None:
    """The model of a problem as a function that can be differentiated, or None.

    A `torch_model` without noise of its own, whose outputs depend on parameters in a way that torch
    can follow. Measurement noise upon it is left out; outputs of repeats are all the same.

    Args:
        problem: whose model it is.
        x: a few parameters (n, D), to try it on.
    """
    model = problem.model
    if not isinstance(model, TorchModel) or problem.stochastic:
        return None
    device, called, field = chosen_device(model.device), as_theirs(model.function), problem.field

    def outputs(x: Tensor) -> Tensor:
        given = x.to(device) if field is None else x.to(device).reshape(-1, *field)
        return _rows(called(given), problem).repeat(1, problem.repeats).to(x)

    tried = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    try:
        return outputs if outputs(tried).requires_grad else None
    except RuntimeError:
        return None


def as_theirs(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """A function of the user's, which goes by what the user has set; gradients are as here."""

    def called(x: Tensor) -> Any:
        with_gradients = torch.is_grad_enabled()
        with theirs(), torch.set_grad_enabled(with_gradients):
            return function(x)

    return called


def _rows(found: object, problem: Problem) -> Tensor:
    """What a torch model returned, as outputs (n, L)."""
    if isinstance(found, Mapping):
        columns: dict[str, Tensor] = {}
        for name, value in found.items():
            names = [name] if name in problem.outputs else numbered(name, tuple(value.shape[1:]))
            columns |= zip(names, value.reshape(len(value), -1).unbind(dim=1), strict=True)
        return torch.stack([columns[name] for name in problem.outputs], dim=1)
    if not isinstance(found, Tensor):
        raise InputError(f"a torch model returns tensors; got {type(found).__name__}")
    return found.reshape(len(found), -1)


def read_table(values: Tensor, knots: Tensor, images: Tensor) -> Tensor:
    """Piecewise linear images of values (n, C), a table (C, K) for each column."""
    v = values.T.contiguous()
    cell = torch.searchsorted(knots, v.detach()).clamp(1, knots.shape[1] - 1)
    a, b = knots.gather(1, cell - 1), knots.gather(1, cell)
    fa, fb = images.gather(1, cell - 1), images.gather(1, cell)
    return (fa + (fb - fa) * ((v.clamp(knots[:, :1], knots[:, -1:]) - a) / (b - a))).T
