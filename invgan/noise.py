r"""The noise of the measurement: how an observed output scatters about the model's own.

With the model's output m and a scale s for each output, what is observed is

    normal        y = m + s e,         e ~ N(0, 1),
    student_t     y = m + s e,         e ~ t(df),
    lognormal     y = m exp(s e),      e ~ N(0, 1),

independently for each output. Where f is the density of e, its log-density is

    log p(y | m) = sum_j log f(e_j) - log s_j,

less log |y_j| for the multiplicative law, which keeps the sign of its output.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.settings import SettingError, number, short, unknown

__all__ = ["Noise", "as_noise"]

Array = NDArray[np.float64]

_SCALES = {"normal": "sd", "lognormal": "sigma", "student_t": "sd"}


@dataclass(frozen=True)
class Noise:
    """Independent noise on every output.

    Attributes:
        kind: ``"normal"``, ``"lognormal"`` or ``"student_t"``.
        scale: a positive number for all outputs, or a sequence or a mapping by output name with
            one for each. A mapping is kept as its values, a sequence as a tuple.
        df: degrees of freedom of ``"student_t"``, positive; None for the others.
        names: the outputs that the values of a mapping belong to, else None.

    Raises:
        InputError: there is no such kind, or a number is not positive and finite.

    Example:
        >>> Noise.normal({"peak": 0.1, "day": 2}).over(("day", "peak")).scale
        (2.0, 0.1)
    """

    kind: str
    scale: Any
    df: float | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if str(self.kind) not in _SCALES:
            raise unknown((str(self.kind),), _SCALES, "a law of noise")
        put = object.__setattr__
        if isinstance(self.scale, Mapping):
            put(self, "names", tuple(map(str, self.scale)))
        put(self, "scale", _scales(self.scale, self._path))
        if self.kind == "student_t":
            put(self, "df", _positive(self.df, (self.kind, "df")))
        elif self.df is not None:
            raise SettingError((self.kind,), f"takes no degrees of freedom; got {short(self.df)}")

    @classmethod
    def normal(cls, sd: float | Sequence[float] | Mapping[str, float]) -> Noise:
        """Gaussian noise of standard deviation sd, in units of the outputs."""
        return cls("normal", sd)

    @classmethod
    def lognormal(cls, sigma: float | Sequence[float] | Mapping[str, float]) -> Noise:
        """A factor whose logarithm is Gaussian with mean zero and standard deviation sigma."""
        return cls("lognormal", sigma)

    @classmethod
    def student_t(cls, df: float, sd: float | Sequence[float] | Mapping[str, float]) -> Noise:
        """Student's t of scale sd (the standard deviation as df grows), in units of the outputs."""
        return cls("student_t", sd, df)

    def over(self, outputs: Sequence[str]) -> Noise:
        """The same noise with its scales in the order of the outputs.

        Raises:
            InputError: it has scales for other outputs than these.
        """
        if isinstance(self.scale, float):
            return self
        if self.names is None:
            if len(self.scale) != len(outputs):
                wanted = f"must have one number for each of the {len(outputs)} outputs"
                raise SettingError(self._path, f"{wanted}; got {len(self.scale)}")
            return self
        for name in self.names:
            if name not in outputs:
                raise unknown((*self._path, name), outputs, "an observed output")
        for name in outputs:
            if name not in self.names:
                raise SettingError((*self._path, name), "is missing: each output needs a number")
        by_name = dict(zip(self.names, self.scale, strict=True))
        return Noise(self.kind, tuple(by_name[name] for name in outputs), self.df)

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        """Observed outputs (n, L) about the model's own outputs y (n, L)."""
        e = rng.standard_normal(y.shape) if self.df is None else rng.standard_t(self.df, y.shape)
        s = np.asarray(self.scale)
        return np.asarray(y * np.exp(s * e) if self.kind == "lognormal" else y + s * e)

    def log_prob(self, observed: Array, y: Array) -> Array:
        """Log-density of observed outputs where the model's own are y, summed over outputs.

        Args:
            observed: shape (n, L), or (..., L) in general.
            y: shape (n, L), or any that broadcasts against the observed: (n, 1, L) against rows
                (R, L) gives each row under each output, (n, R).

        Returns:
            Shape (n,), or what the shapes without L broadcast to; minus infinity where y is not
            finite.
        """
        s = np.asarray(self.scale)
        with np.errstate(all="ignore"):
            if self.kind == "lognormal":
                each = self._log_f(np.log(observed / y) / s) - np.log(np.abs(observed))
            else:
                each = self._log_f((observed - y) / s)
            total = np.sum(each - np.log(s), axis=-1)
        return np.where(np.isnan(total), -np.inf, total)

    @property
    def _path(self) -> tuple[str, ...]:
        """The settings that lead to the scale."""
        return (self.kind, "sd") if self.kind == "student_t" else (self.kind,)

    def _log_f(self, e: Array) -> Array:
        """Log-density of the standard noise, in the shape of e."""
        if self.df is None:
            return np.asarray(-0.5 * e**2 - 0.5 * math.log(2 * math.pi))
        half = 0.5 * (self.df + 1)
        constant = math.lgamma(half) - math.lgamma(self.df / 2) - 0.5 * math.log(self.df * math.pi)
        return np.asarray(constant - half * np.log1p(e**2 / self.df))

    def plain(self) -> dict[str, Any]:
        """The noise as a configuration file writes it; `as_noise` reads it back."""
        scale = list(self.scale) if isinstance(self.scale, tuple) else self.scale
        if self.names is not None:
            scale = dict(zip(self.names, scale, strict=True))
        return {self.kind: scale if self.df is None else {"df": self.df, "sd": scale}}


def as_noise(source: Any) -> Noise:
    """Understand whatever the user gave as noise.

    Args:
        source: a `Noise`, or a mapping such as ``{"normal": 0.1}``, ``{"normal": [0.1, 2]}``,
            ``{"lognormal": {"peak": 0.1, "day": 2}}`` or ``{"student_t": {"df": 4, "sd": 0.1}}``.

    Raises:
        InputError: it is none of these; the sentence starts with the setting below ``noise``.
    """
    if isinstance(source, Noise):
        return source
    if not isinstance(source, Mapping) or len(source) != 1:
        raise SettingError((), f"must be one law, such as {{normal: 0.1}}; got {short(source)}")
    kind, given = next(iter(source.items()))
    if kind not in _SCALES:
        raise unknown((str(kind),), _SCALES, "a law of noise")
    if kind == "student_t":
        return Noise.student_t(**_student(given))
    argument = _SCALES[kind]
    by_name = isinstance(given, Mapping) and set(given) == {argument}
    return Noise(kind, given[argument] if by_name else given)


def _student(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        wanted = "must hold df and sd by name, as in {df: 4, sd: 0.1}"
        raise SettingError(("student_t",), f"{wanted}; got {short(given)}")
    for name in given:
        if name not in ("df", "sd"):
            raise unknown(("student_t", str(name)), ("df", "sd"), "a setting")
    for name in ("df", "sd"):
        if name not in given:
            raise SettingError(("student_t", name), "is missing")
    return dict(given)


def _scales(given: Any, path: tuple[str, ...]) -> float | tuple[float, ...]:
    if isinstance(given, Mapping) and given:
        return tuple(_positive(value, (*path, str(name))) for name, value in given.items())
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, list | tuple) and given:
        return tuple(_positive(value, (*path, str(j))) for j, value in enumerate(given))
    return _positive(given, path)


def _positive(given: Any, path: tuple[str, ...]) -> float:
    try:
        value = number(given.item() if isinstance(given, np.generic) else given)
    except SettingError as error:
        raise error.under(*path) from None
    if isinstance(value, int | float) and 0 < value <= sys.float_info.max:
        return float(value)
    raise SettingError(path, f"must be a number above 0; got {short(given)}")
