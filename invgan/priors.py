"""Priors: the laws of the parameters before any observation, and where they live.

A prior is anything with the four members of `PriorLike`. Three are ready made: `Prior` (independent
one-dimensional laws from `scipy.stats`), `MultivariateNormal` (correlated) and `Dirichlet`
(proportions that add up to one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from invgan.errors import InputError

__all__ = [
    "Box",
    "CutPrior",
    "Dirichlet",
    "HasQuantiles",
    "MultivariateNormal",
    "Prior",
    "PriorLike",
    "Simplex",
    "Support",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Parameters that move independently of each other between bounds (which may be infinite).

    Attributes:
        low: lower bounds, shape (D,).
        high: upper bounds, shape (D,), each above its lower bound.
    """

    low: Array
    high: Array

    def __post_init__(self) -> None:
        low = np.asarray(self.low, float)
        high = np.asarray(self.high, float)
        if low.ndim != 1 or low.shape != high.shape or not np.all(low < high):
            raise InputError(f"Box needs two vectors with low < high; got low={low}, high={high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) lie inside; shape (n,)."""
        return np.asarray(np.all((x >= self.low) & (x <= self.high), axis=1))


_ROUNDED = 1e-5


@dataclass(frozen=True)
class Simplex:
    """Proportions: D non-negative parameters that add up to one.

    Attributes:
        dimension: D, two or more.
    """

    dimension: int

    def __post_init__(self) -> None:
        if self.dimension < 2:
            raise InputError(f"a Simplex has two or more parameters; got {self.dimension}")

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) lie inside, but for rounding in a file; shape (n,)."""
        return np.asarray(np.all(x >= 0, axis=1) & (np.abs(x.sum(axis=1) - 1) < _ROUNDED))


Support = Box | Simplex


@runtime_checkable
class PriorLike(Protocol):
    """What invgan asks of a prior. Any object with these members will do."""

    @property
    def names(self) -> tuple[str, ...]:
        """The D names of the parameters."""
        ...

    @property
    def support(self) -> Support:
        """Where the parameters live."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D), with no other randomness than rng's."""
        ...

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,); minus infinity outside the support."""
        ...


@runtime_checkable
class HasQuantiles(PriorLike, Protocol):
    """A prior that knows the quantiles of each of its parameters."""

    def quantile(self, p: Array) -> Array:
        """Quantiles of every parameter at the levels p (m,), shape (m, D)."""
        ...


@runtime_checkable
class CutPrior(PriorLike, Protocol):
    """A prior whose density is that of another times a factor that is constant in pieces."""

    @property
    def whole(self) -> PriorLike:
        """The other one."""
        ...

    def contains(self, x: Array) -> NDArray[np.bool_]:
        """Which rows of x (n, D) lie in the innermost of the pieces; shape (n,)."""
        ...


class Prior:
    """Independent laws, one for each named parameter.

    Args:
        laws: a mapping from names to frozen continuous laws of `scipy.stats`, for names that are
            not Python identifiers.
        **named: the same as keyword arguments.

    Raises:
        InputError: no law, a law given twice, or something that is not a frozen continuous law.

    Example:
        >>> from scipy import stats
        >>> prior = Prior(rate=stats.lognorm(0.5), shape=stats.uniform(0, 4))
        >>> prior.names
        ('rate', 'shape')
    """

    def __init__(self, laws: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        if not isinstance(laws, Mapping | None):
            raise InputError(
                f"the prior needs a name for each law, as in Prior(x1=law); "
                f"got {type(laws).__name__}"
            )
        both = set(laws or {}) & set(named)
        if both:
            raise InputError(f"the prior got {sorted(both)} twice; give each parameter one law")
        self.laws: dict[str, Any] = {**(laws or {}), **named}
        if not self.laws:
            raise InputError("the prior has no parameters; give it laws, as in Prior(x1=uniform())")
        for name, law in self.laws.items():
            check_law(law, f"prior of {name!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order given."""
        return tuple(self.laws)

    @property
    def support(self) -> Box:
        """The bounds of each parameter."""
        bounds = np.array([law.support() for law in self.laws.values()], float)
        return Box(bounds[:, 0], bounds[:, 1])

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D)."""
        columns = [law.rvs(size=n, random_state=rng) for law in self.laws.values()]
        return np.stack(columns, axis=1).astype(float)

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        columns = [law.logpdf(x[:, j]) for j, law in enumerate(self.laws.values())]
        return np.asarray(np.sum(columns, axis=0))

    def quantile(self, p: Array) -> Array:
        """Quantiles of every law at the levels p (m,), shape (m, D)."""
        return np.stack([law.ppf(p) for law in self.laws.values()], axis=1)

    def __repr__(self) -> str:
        return f"Prior({', '.join(self.laws)})"


class MultivariateNormal:
    """A correlated normal prior.

    Args:
        mean: shape (D,).
        cov: covariance, shape (D, D), symmetric and positive definite.
        names: D names; x1, x2, ... by default.

    Attributes:
        cov: the covariance, shape (D, D).

    Raises:
        InputError: the shapes disagree, the mean is not finite, or the covariance is not one.
    """

    def __init__(self, mean: ArrayLike, cov: ArrayLike, names: Sequence[str] | None = None) -> None:
        mean_, cov_ = np.atleast_1d(np.asarray(mean, float)), np.asarray(cov, float)
        if cov_.shape != (len(mean_), len(mean_)):
            raise InputError(
                f"MultivariateNormal got a mean of shape {mean_.shape} and a covariance of shape "
                f"{cov_.shape}; expected ({len(mean_)}, {len(mean_)})"
            )
        finite = np.isfinite(mean_).all() and np.isfinite(cov_).all()
        if not (finite and np.allclose(cov_, cov_.T, rtol=0, atol=1e-8 * np.abs(cov_).max())):
            raise InputError(
                "MultivariateNormal needs finite means and a finite, symmetric covariance; "
                f"got mean={mean_.tolist()}, cov={cov_.tolist()}"
            )
        # Parameters may be of very different sizes.
        self._mean, self._sd = mean_, np.sqrt(np.abs(np.diag(cov_)))
        units = np.where(self._sd > 0, self._sd, 1.0)
        try:
            self._law = stats.multivariate_normal(None, cov_ / np.outer(units, units))
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InputError(f"MultivariateNormal got no usable covariance: {error}") from None
        self.cov = cov_
        self.names = _names(names, len(mean_))
        self.support = Box(np.full(len(mean_), -np.inf), np.full(len(mean_), np.inf))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D)."""
        z = np.asarray(self._law.rvs(n, random_state=rng)).reshape(n, -1)
        return np.asarray(self._mean + self._sd * z)

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        z = (np.asarray(x, float) - self._mean) / self._sd
        return np.asarray(np.atleast_1d(self._law.logpdf(z)) - np.log(self._sd).sum())


class Dirichlet:
    """Proportions that add up to one.

    Args:
        alpha: concentrations, shape (D,), all positive.
        names: D names; x1, x2, ... by default.

    Raises:
        InputError: fewer than two concentrations or one that is not positive.
    """

    def __init__(self, alpha: ArrayLike, names: Sequence[str] | None = None) -> None:
        alpha_ = np.asarray(alpha, float)
        usable = np.all((alpha_ > 0) & np.isfinite(alpha_))
        if alpha_.ndim != 1 or len(alpha_) < 2 or not usable:
            raise InputError(f"Dirichlet needs two or more positive concentrations; got {alpha_}")
        # Draws of small concentrations underflow to zero, where the density has a pole.
        self._least = np.where(alpha_ < 1, np.finfo(float).tiny, 0)
        self._law = stats.dirichlet(alpha_)
        self.names = _names(names, len(alpha_))
        self.support = Simplex(len(alpha_))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n parameter vectors, shape (n, D)."""
        return np.asarray(self._law.rvs(n, random_state=rng))

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D) in its first D - 1 coordinates, shape (n,)."""
        out = np.full(len(x), -np.inf)
        inside = self.support.contains(x)
        if inside.any():
            shares = np.maximum(x[inside] / x[inside].sum(1, keepdims=True), self._least)
            out[inside] = self._law.logpdf(shares.T)
        return out


def check_law(law: Any, what: str) -> None:
    """Raise `InputError` unless law is a frozen continuous law of one variable."""
    dist = getattr(law, "dist", None)
    if isinstance(dist, stats.rv_continuous):
        if np.ndim(law.median()):
            raise InputError(
                f"the {what} holds {np.size(law.median())} laws; give each value a law of its own"
            )
        if not np.isfinite(law.median()):
            raise InputError(f"the {what} has parameters that define no law: {law.args} {law.kwds}")
        return
    if isinstance(dist, stats.rv_discrete):
        raise InputError(f"the {what} is discrete ({dist.name}); only continuous laws can be used")
    raise InputError(
        f"the {what} must be a frozen law of scipy.stats, such as stats.uniform(-2, 4); "
        f"got {type(law).__name__}"
    )


def _names(names: Sequence[str] | None, dimension: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{j + 1}" for j in range(dimension))
    if len(names) != dimension or len(set(names)) != dimension:
        raise InputError(f"expected {dimension} different names; got {list(names)}")
    return tuple(names)
