"""Ordinary differential equations as models: a right-hand side, a start, and times to look at.

    du/dt = f(t, u, x),    u(t_0) = u_0(x),    observed: u(t_1), ..., u(t_T)

Two roads. Row by row with `scipy.integrate.solve_ivp`, whose steps suit each parameter vector; or
whole batches at once on torch (`torchdiffeq`), with common steps, which pays for many rows of a
cheap right-hand side. A row whose integration fails has NaN for outputs, which the simulation
counts and keeps apart.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError, ModelError
from invgan.models.identity import identity
from invgan.models.summary import on_finite_rows

__all__ = ["OdeModel", "ode_model"]

Array = NDArray[np.float64]

METHODS = ("LSODA", "RK45", "RK23", "DOP853", "Radau", "BDF")


@dataclass(frozen=True)
class OdeModel:
    """What `ode_model` returns; a function of x (n, D), or of one vector (D,).

    Attributes:
        rhs: the right-hand side.
        initial: the initial state (S,), or a function of x that returns it.
        times: where the solution is looked at, shape (T,).
        states: names of the S states, or None where nobody named them.
        observed: names and indices of the states that are outputs; None for all.
        summary: what is made of the solutions, or None.
        start: the time of the initial state.
        method: of `solve_ivp`, or "torch".
        rtol: relative tolerance.
        atol: absolute tolerance.
        most: evaluations of the right-hand side in one integration.
        device: where torch integrates.
    """

    rhs: Callable[..., Any]
    initial: Any
    times: tuple[float, ...]
    states: tuple[str, ...] | None
    observed: tuple[tuple[str, int], ...] | None
    summary: Callable[..., Any] | None
    start: float
    method: str
    rtol: float
    atol: float
    most: int
    device: str

    @property
    def identity(self) -> str:
        """What the equations are."""
        parts = (self.rhs, self.initial, self.summary)
        said = [identity(part) if callable(part) else part for part in parts]
        said += [self.observed, self.times, self.start]
        return f"ode_model {[*said, self.method, self.rtol, self.atol, self.most]}"

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """Names of the outputs, or None where only a run or the summary tells them."""
        if self.summary is not None or self.observed is None:
            return None
        return _names(self.observed, self.times)

    def __call__(self, x: ArrayLike) -> dict[str, Any] | Array:
        """Outputs for each row of x.

        Returns:
            Columns (n,), or numbers for one vector, by name: the summary's own, else each observed
            state at each time, as in ``I_3.5``. An array where the summary returns one.

        Raises:
            ModelError: the right-hand side, the start or the summary have other shapes.
        """
        rows = np.asarray(x, float)
        u = self.solutions(np.atleast_2d(rows))
        index = [j for _, j in self._observed(u.shape[2])]
        if self.summary is None:
            found: dict[str, Any] | Array = self._outputs(u)
        else:
            found = on_finite_rows(partial(self.summary, np.array(self.times)), u[:, :, index])
        if rows.ndim == 2:
            return found
        return {k: v[0] for k, v in found.items()} if isinstance(found, dict) else found[0]

    def solutions(self, x: Array) -> Array:
        """The states (n, T, S) at the times for each row of x (n, D); NaN where it failed."""
        if self.method == "torch":
            from invgan.models.batched import solutions  # noqa: PLC0415  (torch is heavy)

            return solutions(self, x)
        return np.stack([self._solution(row) for row in x])

    def start_of(self, x: Array) -> Array:
        """The initial state (S,) for one vector x (D,)."""
        u = _real(self.initial(x.copy()) if callable(self.initial) else self.initial, "initial")
        wanted = (len(self.states),) if self.states else (u.size,)
        if u.shape != wanted:
            raise ModelError(f"the initial state has shape {u.shape}; expected {wanted}")
        return u

    def _solution(self, x: Array) -> Array:
        """The states (T, S) of one row."""
        from scipy.integrate import solve_ivp  # noqa: PLC0415

        u, budget = self.start_of(x), [self.most]

        def rhs(t: float, state: Array) -> Array:
            budget[0] -= 1
            if budget[0] < 0:
                raise _TooLongError
            # It may write into its arguments, which are the solver's.
            du = _real(self.rhs(t, state.copy(), x.copy()), "rhs")
            if du.shape != state.shape:
                raise ModelError(f"the right-hand side has shape {du.shape}; expected {u.shape}")
            return du

        # An integration that runs away is a failure of this row, not a warning on the screen.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found: Any = solve_ivp(  # type: ignore[call-overload]
                    rhs, (self.start, self.times[-1]), u, method=self.method, rtol=self.rtol,
                    atol=self.atol, t_eval=self.times,
                )  # fmt: skip
            except (_TooLongError, ArithmeticError, np.linalg.LinAlgError):
                return np.full((len(self.times), len(u)), np.nan)
        if not found.success or found.y.shape[1] != len(self.times):
            return np.full((len(self.times), len(u)), np.nan)
        return np.asarray(found.y.T)

    def _outputs(self, u: Array) -> dict[str, Array]:
        observed = self._observed(u.shape[2])
        columns = u[:, :, [j for _, j in observed]].transpose(2, 1, 0).reshape(-1, len(u))
        return dict(zip(_names(observed, self.times), columns, strict=True))

    def _observed(self, states: int) -> Sequence[tuple[str, int]]:
        if self.observed is None:
            return [(f"u{j + 1}", j) for j in range(states)]
        if any(j >= states for _, j in self.observed):
            raise ModelError(f"observe names state {max(j for _, j in self.observed)} of {states}")
        return self.observed


def _real(value: Any, what: str) -> Array:
    if np.iscomplexobj(value):
        raise ModelError(f"{what} gave complex numbers; states and rates are real")
    return np.asarray(value, float)


class _TooLongError(Exception):
    """An integration that takes too many steps."""


def ode_model(
    rhs: Callable[..., Any],
    initial: ArrayLike | Callable[..., Any],
    times: ArrayLike,
    *,
    states: Sequence[str] | None = None,
    observe: Sequence[str | int] | None = None,
    summary: Callable[..., Any] | None = None,
    start: float = 0.0,
    method: str = "LSODA",
    rtol: float = 1e-6,
    atol: float = 1e-9,
    most: int = 100_000,
    device: str = "auto",
) -> OdeModel:
    """A model that solves differential equations.

    Args:
        rhs: ``f(t, u, x)`` with the state u (S,) and the parameters x (D,); returns du/dt (S,).
            For ``method="torch"`` batched, with tensors u (n, S) and x (n, D).
        initial: the state (S,) at `start`, or a function of x that returns it (of x (n, D), for
            torch).
        times: where the solution is looked at, increasing, none before `start`.

    Other Args:
        states: names of the S states.
        observe: states that are outputs, by name or by number from 0; all where left out.
        summary: a function of the times (T,) and the observed states of many solutions (n, T, K),
            in the order of `observe`, that returns a column (n,) for each name, or (n, L).
        start: the time of the initial state.
        method: of `scipy.integrate.solve_ivp`, or "torch" for whole batches on a device.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        most: evaluations of the right-hand side in one integration, beyond which it has failed.
        device: for torch: auto, cpu, cuda, cuda:N or mps.

    Returns:
        The model. It can be sent to other processes where `rhs`, `initial` and `summary` can:
        functions of a module, or of a file that the configuration names.

    Raises:
        InputError: something is missing or contradicts the rest.

    Example:
        >>> decay = ode_model(lambda t, u, x: -x * u, [1.0], [0.0, 1.0], states=["c"])
        >>> decay([2.0])["c_1"].round(4)
        np.float64(0.1353)
    """
    if not callable(rhs):
        raise InputError(f"rhs must be a function f(t, u, x); got {type(rhs).__name__}")
    if method not in (*METHODS, "torch"):
        raise InputError(f"method must be one of {', '.join(METHODS)} or torch; got {method!r}")
    if not (rtol > 0 and atol > 0 and most > 0):
        raise InputError(f"rtol, atol and most must be above 0; got {rtol}, {atol} and {most}")
    names = None if states is None else tuple(map(str, states))
    first = initial if callable(initial) else _initial(initial, names)
    seen, looked = _times(times, start), _observe(observe, names)
    return OdeModel(
        rhs, first, seen, names, looked, summary, float(start), method, float(rtol), float(atol),
        int(most), device,
    )  # fmt: skip


def _times(times: ArrayLike, start: float) -> tuple[float, ...]:
    try:
        values = np.atleast_1d(np.asarray(times, float))
    except (TypeError, ValueError):
        raise InputError(f"times must be numbers that increase; got {str(times)[:80]}") from None
    rising = (
        values.ndim == 1
        and np.isfinite([*values.flat, start]).all()
        and np.all(np.diff(values) > 0)
    )
    if not len(values) or not rising or values[0] < start or values[-1] <= start:
        raise InputError(
            f"times must increase, none before start={start:g}; got {str(values.tolist())[:80]}"
        )
    return tuple(values.tolist())


def _initial(initial: ArrayLike, names: tuple[str, ...] | None) -> tuple[float, ...]:
    try:
        u = np.atleast_1d(np.asarray(initial, float))
    except (TypeError, ValueError):
        u = np.empty(0)
    wanted = (len(names),) if names else (u.size,)
    if not u.size or u.shape != wanted or not np.isfinite(u).all():
        raise InputError(
            f"initial must be {wanted[0] or 'some'} finite numbers, one for each state, or a "
            f"function of x; got {str(initial)[:80]}"
        )
    return tuple(u.tolist())


def _observe(
    observe: Sequence[str | int] | None, names: tuple[str, ...] | None
) -> tuple[tuple[str, int], ...] | None:
    if names is not None and (not names or len(set(names)) != len(names)):
        raise InputError(f"states must name each state once; got {list(names)}")
    if observe is None:
        return None if names is None else tuple((name, j) for j, name in enumerate(names))
    chosen = [observe] if isinstance(observe, str | int | np.integer) else list(observe)
    found = []
    for one in chosen:
        j = names.index(one) if names and one in names else one
        if not isinstance(j, int | np.integer) or not 0 <= j < (len(names) if names else math.inf):
            raise InputError(
                f"observe must name states ({', '.join(names) if names else 'by number from 0'}); "
                f"got {one!r}"
            )
        found.append((names[j] if names else f"u{j + 1}", int(j)))
    if not found or len(set(found)) != len(found):
        raise InputError(f"observe must name each state once; got {chosen}")
    return tuple(found)


def _names(observed: Sequence[tuple[str, int]], times: tuple[float, ...]) -> tuple[str, ...]:
    """State and time of each output, the times as short as they can be told apart."""
    labels = [f"{t:g}" for t in times]
    if len(set(labels)) < len(labels):
        labels = [repr(t) for t in times]
    return tuple(f"{name}_{label}" for name, _ in observed for label in labels)
