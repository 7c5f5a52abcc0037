"""Whole batches on a device: functions and differential equations written in torch.

Numbers are double precision, in and out, wherever the device has it. torch is imported when first
called, so that a problem can be built without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError, ModelError
from invgan.models.identity import identity

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from invgan.models.ode import OdeModel

__all__ = ["TorchModel", "solutions", "torch_model"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TorchModel:
    """What `torch_model` returns: a function of x (n, D), with or without noise.

    Attributes:
        function: of a tensor (m, D), and a generator where there is noise.
        device: where it runs.
        batch: rows that it gets at once.
    """

    function: Callable[..., Any]
    device: str
    batch: int

    @property
    def identity(self) -> str:
        """The function; where it runs makes no other model of it."""
        return f"torch_model {identity(self.function)}"

    def __call__(self, x: ArrayLike, rng: np.random.Generator | None = None) -> Any:
        """Outputs for each row of x, as double precision: (n, L), or columns by name."""
        import torch  # noqa: PLC0415

        rows, device = np.asarray(x, float), chosen_device(self.device)
        noise = () if rng is None else (_generator(rng, device),)
        parts = []
        with torch.no_grad():
            for start in range(0, max(1, len(rows)), self.batch):
                given = on_device(rows[start : start + self.batch], device)
                parts.append(_back(self.function(given, *noise)))
        if isinstance(parts[0], dict):
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return np.concatenate(parts)


def torch_model(
    function: Callable[..., Any], device: str = "auto", *, batch: int = 65_536
) -> TorchModel:
    """A model written in torch.

    Args:
        function: of a tensor of parameters (m, D) on the device, and for a model with noise of a
            torch.Generator there; returns a tensor (m, L) or (m,), or tensors (m,) by name.
        device: auto (a GPU where there is one), cpu, cuda, cuda:N or mps.

    Other Args:
        batch: rows that the function gets at once, as many as the device's memory takes.

    Raises:
        InputError: it is no function, or the batch has no rows.
    """
    if not callable(function):
        raise InputError(f"the model must be a function; got {type(function).__name__}")
    if batch < 1:
        raise InputError(f"batch must be 1 or more rows; got {batch}")
    return TorchModel(function, device, int(batch))


def chosen_device(name: str) -> torch.device:
    """The device of this name.

    Raises:
        InputError: there is none on this machine.
    """
    import torch  # noqa: PLC0415

    usual = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(usual if name == "auto" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} is not there ({reason}); use auto") from None
    return device


def on_device(rows: Array, device: torch.device) -> Tensor:
    """A tensor of its own, in double precision where the device has it."""
    import torch  # noqa: PLC0415

    kind = torch.float32 if device.type == "mps" else torch.float64
    return torch.tensor(rows, dtype=kind, device=device)


def solutions(model: OdeModel, x: Array) -> Array:
    """The states (n, T, S) of an ODE model for each row of x (n, D), integrated together.

    The steps are common to all rows, so a row's digits beyond the tolerances depend on its company.
    A batch that cannot be integrated is halved until the rows that fail stand alone.

    Raises:
        InputError: torchdiffeq is not installed.
        ModelError: the right-hand side or the initial state have another shape.
    """
    try:
        import torchdiffeq  # noqa: F401, PLC0415
    except ImportError:
        raise InputError(
            "method='torch' needs torchdiffeq: pip install invgan[ode], or take a method of scipy"
        ) from None
    device = chosen_device(model.device)
    return _solved(model, on_device(x, device)).cpu().double().numpy()


def _solved(model: OdeModel, x: Tensor) -> Tensor:
    import torch  # noqa: PLC0415

    u = _start(model, x)
    nothing = torch.full((len(x), len(model.times), u.shape[1]), torch.nan).to(u)
    if not bool(torch.isfinite(u).all()):
        good = torch.isfinite(u).all(dim=1)
        if bool(good.any()):
            nothing[good] = _solved(model, x[good])
        return nothing
    found = _integrated(model, x, u)
    if found is not None:
        return found
    if len(x) <= 1:
        return nothing
    return torch.cat([_solved(model, half) for half in x.tensor_split(2)])


def _integrated(model: OdeModel, x: Tensor, u: Tensor) -> Tensor | None:
    """The states (m, T, S), or None where the steps shrink to nothing or are too many."""
    import torch  # noqa: PLC0415
    from torchdiffeq import odeint  # noqa: PLC0415

    def rhs(t: Tensor, state: Tensor) -> Tensor:
        du = model.rhs(t, state, x)
        if tuple(du.shape) != tuple(state.shape):
            raise ModelError(
                f"the right-hand side has shape {tuple(du.shape)}; expected {tuple(state.shape)}"
            )
        return torch.as_tensor(du).to(state)

    begins = model.times[0] == model.start
    times = torch.tensor([*([] if begins else [model.start]), *model.times]).to(u)
    options = {"max_num_steps": max(1, model.most // 6)}  # six evaluations a step
    with torch.no_grad():
        try:
            found = odeint(
                rhs, u, times, rtol=model.rtol, atol=model.atol, method="dopri5", options=options
            )
        except AssertionError:
            return None
    states: Tensor = found.transpose(0, 1)[:, 0 if begins else 1 :]
    return states if bool(torch.isfinite(states).all()) else None


def _start(model: OdeModel, x: Tensor) -> Tensor:
    """The initial states (m, S)."""
    import torch  # noqa: PLC0415

    if callable(model.initial):
        u = torch.as_tensor(model.initial(x)).to(x)
        wanted = (len(x), len(model.states) if model.states else u.shape[-1])
        if tuple(u.shape) != wanted:
            raise ModelError(f"the initial state has shape {tuple(u.shape)}; expected {wanted}")
        return u
    return torch.tensor(model.initial).to(x).expand(len(x), -1).clone()


def _generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    import torch  # noqa: PLC0415

    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))


def _back(found: Any) -> Any:
    """Tensors as arrays of double precision."""
    if isinstance(found, Mapping):
        return {str(name): _back(part) for name, part in found.items()}
    if not hasattr(found, "detach"):
        raise ModelError(f"a torch model returns tensors; got {type(found).__name__}")
    return found.detach().cpu().double().numpy()
