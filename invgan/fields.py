r"""Parameters that are a field: values on a regular grid, (C, H, W), in a row of D = C H W.

A prior whose draws are fields has their shape as ``field``. The model then gets (n, C, H, W);
everything else keeps rows (n, D), in C order.

Hundreds of pixels cannot be looked at one at a time, so fields are looked at by a few quantities of
each channel: mean, standard deviation, smallest and largest value, roughness (root mean square of
the steps between neighbours), and, which tell where, the mean of each quarter and the value in its
middle.

The isotropic power spectrum of a field f of H x W pixels is the mean of ``|F_k|^2 / (H W)`` over
shells of the wave number |k|, F being its discrete cosine transform: unlike Fourier's it does not
take the field for a periodic one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.linalg import solve_triangular
from scipy.special import ndtri

from invgan.errors import InputError
from invgan.priors import Box

__all__ = ["KERNELS", "GaussianField", "field_shape", "quantities", "quantity_names", "spectrum"]

Array = NDArray[np.float64]
Shape = tuple[int, int, int]

KERNELS = ("exponential", "matern32", "gaussian")
"""Covariance functions of the distance, from rough to smooth."""

_MOST_PIXELS = 4096
_JITTER = 1e-9
_OF_A_CHANNEL = ("mean", "sd", "smallest", "largest", "roughness")


class GaussianField:
    """A Gaussian random field on a regular grid, one in each channel, independent of each other.

    With distances r in pixels and the correlation length l the covariance is

    - ``exponential``: ``sd^2 exp(-r / l)``, continuous and rough;
    - ``matern32``: ``sd^2 (1 + s) exp(-s)``, ``s = sqrt(3) r / l``, once differentiable;
    - ``gaussian``: ``sd^2 exp(-r^2 / (2 l^2))``, smooth

    (Rasmussen and Williams 2006, chapter 4). It is a prior like any other; its ``field`` (C, H, W)
    says that the model takes fields (n, C, H, W).

    Args:
        shape: (H, W), or (C, H, W).
        length: correlation length, in pixels.

    Other Args:
        sd: standard deviation of every pixel.
        mean: of every pixel.
        kernel: ``exponential``, ``matern32`` or ``gaussian``.
        name: of the field; pixels are called name[i,j], or name[c,i,j] where there are channels.

    Raises:
        InputError: a size, a length or the kernel is none, or there are more than 4096 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        length: float,
        *,
        sd: float = 1.0,
        mean: float = 0.0,
        kernel: str = "exponential",
        name: str = "x",
    ) -> None:
        self.field = _grid(shape)
        if kernel not in KERNELS:
            raise InputError(f"kernel must be one of {', '.join(KERNELS)}; got {kernel!r}")
        for what, value in (("length", length), ("sd", sd)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} of a GaussianField must be above 0; got {value}")
        if not math.isfinite(mean):
            raise InputError(f"mean of a GaussianField must be finite; got {mean}")
        self.mean, self.sd = float(mean), float(sd)
        self.covariance = self.sd**2 * _correlation(self.field[1:], float(length), kernel)
        self._factor = np.linalg.cholesky(self.covariance)
        size = math.prod(self.field)
        self.names = tuple(_pixel(name, self.field, k) for k in range(size))
        self.support = Box(np.full(size, -np.inf), np.full(size, np.inf))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n fields, shape (n, D)."""
        z = rng.standard_normal((n, self.field[0], len(self._factor)))
        return np.asarray(self.mean + z @ self._factor.T).reshape(n, -1)

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        rest = (np.asarray(x) - self.mean).reshape(-1, len(self._factor)).T
        z = solve_triangular(self._factor, rest, lower=True)
        constant = np.log(self._factor.diagonal()).sum() + 0.5 * len(z) * math.log(2 * math.pi)
        each = -0.5 * np.square(z).sum(axis=0) - constant
        return np.asarray(each.reshape(len(x), -1).sum(axis=1))

    def quantile(self, p: Array) -> Array:
        """Quantiles of every pixel at the levels p (m,), shape (m, D)."""
        column = self.mean + self.sd * ndtri(np.asarray(p, float))
        return np.repeat(column[:, None], len(self.names), axis=1)

    def __repr__(self) -> str:
        return f"GaussianField({' x '.join(map(str, self.field))})"


def field_shape(prior: Any) -> Shape | None:
    """The shape (C, H, W) of a prior's draws, or None where they are no fields.

    Raises:
        InputError: its shape is not that of as many parameters as it has names.
    """
    given = getattr(prior, "field", None)
    if given is None:
        return None
    shape = _grid(given)
    if math.prod(shape) != len(prior.names):
        raise InputError(
            f"the prior's field {tuple(given)} has {math.prod(shape)} values and the prior "
            f"{len(prior.names)} parameters; one of them is wrong"
        )
    return shape


def quantity_names(shape: Shape) -> tuple[str, ...]:
    """Names of what `quantities` returns."""
    several = shape[0] > 1
    quarters = [f"{v} {h}" for v in ("upper", "lower") for h in ("left", "right")]
    places = [f"[{i},{j}]" for i, j in _middles(shape)]
    local = [*(f"mean {q}" for q in quarters), *(f"value at {p}" for p in places)]
    return tuple(
        f"{what}, channel {c + 1}" if several else what
        for c in range(shape[0])
        for what in (*_OF_A_CHANNEL, *(local if min(shape[1:]) > 1 else ()))
    )


def quantities(x: Array, shape: Shape) -> Array:
    """What fields x (n, D) are looked at by: columns named by `quantity_names`, shape (n, Q)."""
    f = np.asarray(x, float).reshape(len(x), *shape)
    columns = []
    for c in range(shape[0]):
        one = f[:, c]
        columns += [of(one, axis=(1, 2)) for of in (np.mean, np.std, np.min, np.max)]
        columns.append(_roughness(one))
        if min(shape[1:]) > 1:
            h, w = shape[1] // 2, shape[2] // 2
            halves = (one[:, :h], one[:, h:])
            columns += [q.mean(axis=(1, 2)) for v in halves for q in (v[:, :, :w], v[:, :, w:])]
            columns += [one[:, i, j] for i, j in _middles(shape)]
    return np.stack(columns, axis=1)


def spectrum(x: Array, shape: Shape) -> tuple[Array, Array]:
    """The mean isotropic power spectrum of fields x (n, D).

    Returns:
        Wave numbers in half waves across the longer side, shape (S,), and the mean power of the
        fields in each shell, all channels together, shape (S,). The mean of the field is left out.
    """
    f = np.asarray(x, float).reshape(-1, *shape[1:])
    power = np.square(dctn(f, axes=(1, 2), norm="ortho")).mean(axis=0)
    side = max(shape[1:])
    rows, columns = (np.arange(k) * side / k for k in shape[1:])
    shell = np.rint(np.hypot(rows[:, None], columns)).astype(int)
    shells = np.arange(1, side)
    return shells.astype(float), np.array([power[shell == k].mean() for k in shells])


def _middles(shape: Shape) -> list[tuple[int, int]]:
    """The middle of each quarter, row by row."""
    rows, columns = ((k // 4, k // 2 + (k - k // 2) // 2) for k in shape[1:])
    return [(i, j) for i in rows for j in columns]


def _roughness(f: Array) -> Array:
    steps = [np.diff(f, axis=axis) for axis in (1, 2)]
    count = sum(math.prod(step.shape[1:]) for step in steps)
    total = sum(np.square(step).sum(axis=(1, 2)) for step in steps)
    return np.asarray(np.sqrt(total / max(count, 1)))


def _grid(shape: Any) -> Shape:
    """(C, H, W) of what was given as a shape."""
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    whole = all(isinstance(k, int | np.integer) and k > 0 for k in sizes)
    if len(sizes) not in (2, 3) or not whole:
        raise InputError(f"the shape of a field must be (H, W) or (C, H, W); got {shape!r}")
    channels, height, width = (1, *sizes) if len(sizes) == 2 else sizes
    return int(channels), int(height), int(width)


def _correlation(sides: tuple[int, int], length: float, kernel: str) -> Array:
    """Correlations (P, P) of the pixels of a grid."""
    if math.prod(sides) > _MOST_PIXELS:
        raise InputError(
            f"a GaussianField has {_MOST_PIXELS} pixels at most; got {sides[0]} x {sides[1]}: use "
            "a coarser grid, or a prior of your own with names, support, field, sample, log_prob"
        )
    i, j = (k.ravel() for k in np.indices(sides))
    r = np.hypot(i[:, None] - i, j[:, None] - j) / length
    s = math.sqrt(3) * r
    found = {
        "exponential": np.exp(-r),
        "matern32": (1 + s) * np.exp(-s),
        "gaussian": np.exp(-0.5 * r**2),
    }
    correlation: Array = found[kernel] + _JITTER * np.eye(len(r))
    return correlation


def _pixel(name: str, shape: Shape, k: int) -> str:
    c, i, j = np.unravel_index(k, shape)
    return f"{name}[{i},{j}]" if shape[0] == 1 else f"{name}[{c},{i},{j}]"
